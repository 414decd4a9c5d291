"""Relays that restart, are exchanged by the portal, come late or not at all, under steady traffic. Gaps are printed."""
import time
import uuid

import pytest

from lab import topology as t
from lab.process import wait_for
from relays import flowing, meet, page, recovered
from steps import healed

RELAYED = {"client_nat": "random", "gateway_nat": "random"}


def presence(lab, gone, connected):
    lab.portal.ask("push", to="gateway", event="relays_presence",
                   payload={"disconnected_ids": gone, "connected": connected})


def ids_of(lab):
    """Address -> id of the relays the gateway was given."""
    init = lab.portal.log("init")
    lists = [e["payload"]["relays"] for e in init if e["to"] == "gateway"]
    return {entry["addr"]: entry["id"] for entries in lists for entry in entries}


def test_the_only_relay_restarts(make_lab, generation):
    lab = make_lab(generation, shape=t.Shape(**RELAYED))
    stream = flowing(lab)
    lab.relays[0].restart()
    assert recovered(lab, stream, "the only relay restarts").gap < 5


@pytest.mark.parametrize("what", ["other credentials", "another address", "another relay"])
def test_a_relay_is_exchanged_by_the_portal(make_lab, generation, what):
    """The gateway's end moves to its other relay within the same instant; nobody waits for the new one."""
    lab = make_lab(generation, shape=t.Shape(relays=3, **RELAYED), scenario={"relay_limit": 3})
    spare = lab.relays.pop()
    spare.stop()
    wait_for("two relays", lambda: len(lab.portal.state()["relays"]) == 2, 5)
    ours, _ = meet(lab, same=False)
    spare.join = False
    spare.start()
    known = ids_of(lab)[f"{ours.v4}:3478"]
    stream = flowing(lab)
    if what == "other credentials":
        presence(lab, [], ours.entries(known, "other"))
    elif what == "another address":
        presence(lab, [], spare.entries(known, "other"))
    else:
        presence(lab, [known], spare.entries(str(uuid.uuid4()), "other"))
    assert recovered(lab, stream, what).gap < 1


def test_a_relay_that_answers_late_costs_nothing(make_lab, generation):
    """Announced before its socket exists: the first BINDINGs are refused by ICMP, which disturbs nobody else."""
    lab = make_lab(generation, shape=t.Shape(relays=2, **RELAYED))
    late = lab.relays[1]
    late.stop()
    stream = flowing(lab)
    late.renew()
    presence(lab, [], late.entries(str(uuid.uuid4()), "late"))
    time.sleep(1.2)
    late.join = False
    late.start()
    wait_for("an allocation there", lambda: late.counts()["allocations"], 5)
    assert recovered(lab, stream, "late relay").lost == 0


def test_without_any_relay_the_first_one_that_appears_is_used(make_lab, generation):
    lab = make_lab(generation, shape=t.Shape(**RELAYED))
    lab.relays[0].stop()
    wait_for("the gateway to hear of it", lambda: lab.gateway.health()[0] == 503, 10)
    if generation != "A":               # the portal hears of it later than the gateway, and offers the relay until then
        wait_for("the portal to say so", lambda: "relay gone" in lab.gateway.process.log_text(), 10)
    assert not page(lab).ok
    counts = lab.portal.state()["counts"]
    assert generation == "A" or counts.get("gateway:no_relays", 0) + counts.get("client:no_relays", 0) > 0
    lab.relays[0].restart()
    started = time.monotonic()
    healed(lambda: page(lab), 30)
    print(f"{generation}: first page {time.monotonic() - started:.1f} s after the first relay appeared")
