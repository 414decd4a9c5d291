"""Generation C without ICE (spec connectivity 5): paths found by probes inside the tunnel, and how long nobody answers when
one of them goes."""
import time

import pytest

from lab import netns, topology as t
from lab.services import relay_counts
from lab.traffic import Stream
from steps import healed

RANDOM_NATS = {"client_nat": "random", "gateway_nat": "random"}


@pytest.fixture
def make_iceless(make_lab):
    def make(portal_kind="ours", **shape):
        return make_lab("C", portal_kind, shape=t.Shape(**shape), scenario={"iceless": True})
    return make


def settled(lab, path):
    """Traffic flows over the kind of path, and the search for it is over."""
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 20)
    lab.client.wait_path(path)
    assert lab.client.gateways()[0]["ice"] == "none"
    time.sleep(2)


def gap_of(lab, act, seconds, limit, what):
    """The longest silence of a steady stream during `act` and as many seconds after."""
    stream = Stream(lab.world, rate=50)
    stream.start()
    time.sleep(1)
    act()
    answered, deadline = len(stream.answered), time.monotonic() + seconds
    while time.monotonic() < deadline and len(stream.answered) < answered + 200:
        time.sleep(0.1)
    time.sleep(2)
    outcome = stream.stop()
    print(f"{what}: {outcome}")
    assert outcome.gap <= limit, outcome


def cut_direct(lab):
    """No datagram passes between client and gateway themselves; the relay is in the way of nobody."""
    ends = ((f"ip {{}} {{{{ {t.GATEWAY4}, {t.GATEWAY_NAT4} }}}}"), f"ip6 {{}} {t.GATEWAY6}")
    chains = "\n".join(
        f"chain {hook} {{ type filter hook {hook} priority filter; "
        + " ".join(f"{end.format(side)} meta l4proto udp drop;" for end in ends) + " }"
        for hook, side in (("input", "saddr"), ("output", "daddr")))
    netns.nft(lab.world.ns("client"), f"table inet lab_cut {{\n{chains}\n}}\n")


# -- paths ---------------------------------------------------------------------------------------------------------
def test_the_portal_chooses_it_for_peers_that_can(make_iceless, portal_kind):
    lab = make_iceless(portal_kind)
    settled(lab, "direct")
    for address in (t.RESOURCE4, t.RESOURCE6):
        for answer in (healed(lambda a=address: lab.probes.get(a, seconds=5), 15), lab.probes.udp(address),
                       lab.probes.ping(address), lab.probes.download(address, 1_000_000),
                       lab.probes.upload(address, 1_000_000)):
            assert answer.ok, answer
    said = [e["event"] for e in lab.portal.log("from") if e["kind"] == "gateway"]
    joined = said.index("phx_join")
    assert said[joined + 1] == "set_snownet_capabilities"
    asked = [e for e in lab.portal.log("to_gateway") if e["event"] == "create_authorization"]
    assert asked and all(e["payload"]["use_iceless"] for e in asked)
    lines = [line for e in lab.portal.log("from") if e["event"] == "broadcast_ice_candidates"
             for line in e["payload"]["candidates"]]
    assert lines and not any("ufrag" in line or "raddr 0.0.0.0" in line for line in lines)


def test_two_random_nats_leave_the_relay(make_iceless, portal_kind):
    lab = make_iceless(portal_kind, **RANDOM_NATS)
    settled(lab, "relayed")
    for answer in (lab.probes.udp(t.RESOURCE4), lab.probes.download(t.RESOURCE4, 1_000_000),
                   lab.probes.upload(t.RESOURCE4, 1_000_000)):
        assert answer.ok, answer
    assert relay_counts(lab.relay)["data"]["to_peer"] > 1000


@pytest.mark.parametrize("client_nat, gateway_nat", [("preserving", "preserving"), ("random", ""), ("", "random")])
def test_nats_that_can_be_crossed_are(make_iceless, client_nat, gateway_nat):
    settled(make_iceless(client_nat=client_nat, gateway_nat=gateway_nat), "direct")


def test_peers_meet_with_ice_when_the_portal_says_so(make_lab):
    lab = make_lab("C", "ours", scenario={"iceless": False})
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 20)
    assert lab.client.gateways()[0]["ice"] != "none"


# -- losses --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["deafen", "kill"])
def test_a_relay_that_is_lost_is_replaced(make_iceless, how):
    lab = make_iceless(relays=2, **RANDOM_NATS)
    settled(lab, "relayed")
    _, remote = lab.client.wait_path()
    relay = next((r for r in lab.relays if r.v4 in remote or r.v6 in remote), lab.relays[0])
    gap_of(lab, getattr(relay, how), 40, 20, f"relay in use, {how}")


def test_a_client_that_is_cut_off_from_its_relay_moves(make_iceless):
    lab = make_iceless(relays=2, **RANDOM_NATS)
    settled(lab, "relayed")
    gateway = lab.client.gateways()[0]
    relay = next(r for r in lab.relays if gateway["local"].startswith((f"{r.v4}:", f"[{r.v6}]:")))
    gap_of(lab, lambda: relay.cut("client"), 40, 20, "client cut off from its relay")


def test_a_direct_path_that_dies_leaves_the_relay(make_iceless):
    lab = make_iceless()
    settled(lab, "direct")
    gap_of(lab, lambda: cut_direct(lab), 40, 15, "direct path cut")
    assert lab.client.path()[0] == "relayed"


def test_a_nat_that_changes_its_address_is_followed(make_iceless):
    lab = make_iceless(client_nat="preserving")
    settled(lab, "direct")

    def change():
        ns = lab.world.ns("natc")
        netns.ip([f"addr del {t.CLIENT_NAT4}/24 dev eth0", f"addr add {t.WAN4}22/24 dev eth0",
                  f"route replace default via {t.SINK4}"], ns)
        netns.execute(ns, "conntrack", "-F")
    gap_of(lab, change, 40, 3, "client's NAT re-bound")


def test_a_client_that_moves_to_another_address(make_iceless):
    lab = make_iceless(outer=("v4",))
    settled(lab, "direct")

    def move():
        netns.ip([f"addr del {t.CLIENT4}/24 dev eth0", f"addr add {t.WAN4}22/24 dev eth0",
                  f"route replace default via {t.SINK4}"], lab.world.ns("client"))
        lab.client.ask("reset")
    gap_of(lab, move, 40, 5, "client at another address")


def test_forty_quiet_seconds_cost_nothing(make_iceless):
    lab = make_iceless()
    settled(lab, "direct")
    time.sleep(40)
    started = time.monotonic()
    answer = lab.probes.udp(t.RESOURCE4)
    took = time.monotonic() - started
    print(f"after 40 s of silence: {took * 1000:.0f} ms")
    assert answer.ok and took < 1, (answer, took)


def test_a_gateway_that_restarts_is_found_again(make_iceless):
    lab = make_iceless()
    settled(lab, "direct")

    def restart():
        lab.gateway.stop()
        lab.gateway.start()
    gap_of(lab, restart, 40, 20, "gateway restarted")
