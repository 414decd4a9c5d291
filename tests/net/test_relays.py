"""Relays that die, go deaf or are cut off under steady traffic: how long the traffic stands still. Gaps are printed."""
import time

import pytest

from lab import topology as t
from relays import flowing, meet, recovered

RELAYED = {"client_nat": "random", "gateway_nat": "random"}


@pytest.mark.parametrize("how", ["kill", "deafen", "cut"])
def test_the_gateway_leaves_a_relay_that_fell_silent(make_lab, generation, how):
    """The client keeps its own. Killed: the portal tells at once (A) or after a second. Deaf or out of reach: nobody
    tells, the gateway finds out."""
    lab = make_lab(generation, shape=t.Shape(relays=2, **RELAYED))
    ours, _ = meet(lab, same=False)
    stream = flowing(lab)
    ours.cut("gateway") if how == "cut" else getattr(ours, how)()
    assert recovered(lab, stream, f"{how}, gateway's relay").gap < 2.5


def test_both_ends_leave_a_killed_relay(make_lab, generation):
    lab = make_lab(generation, shape=t.Shape(relays=2, **RELAYED))
    relay, _ = meet(lab, same=True)
    stream = flowing(lab)
    relay.kill()
    assert recovered(lab, stream, "kill, relay of both").gap < 2.5


def test_direct_traffic_does_not_notice_that_relays_die(make_lab, generation):
    lab = make_lab(generation, shape=t.Shape(relays=2))
    stream = flowing(lab, "direct")
    lab.relays[0].kill()
    time.sleep(1)
    lab.relays[1].deafen()
    time.sleep(3)
    assert recovered(lab, stream, "both relays, direct path").lost == 0
