"""Which way packets take: direct over either family, through NATs, or through the relay."""
import pytest

from lab import topology as t
from lab.services import relay_counts
from steps import healed


def works(lab):
    """Pages, datagrams, pings and bulk over both inner families."""
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=5), 20)
    for address in (t.RESOURCE4, t.RESOURCE6):
        healed(lambda a=address: lab.probes.get(a, seconds=5), 15)
        for answer in (lab.probes.udp(address), lab.probes.ping(address),
                       lab.probes.download(address, 1_000_000), lab.probes.upload(address, 1_000_000)):
            assert answer.ok, answer


@pytest.mark.parametrize("outer, host", [(("v4",), t.GATEWAY4), (("v6",), t.GATEWAY6)])
def test_direct_over_one_family(make_lab, generation, outer, host):
    lab = make_lab(generation, shape=t.Shape(outer=outer))
    works(lab)
    kind, remote = lab.client.wait_path("direct")
    assert host in remote


@pytest.mark.parametrize("client_nat, gateway_nat, wanted", [
    ("preserving", "", "direct"), ("", "preserving", "direct"), ("random", "", "direct"),
    ("preserving", "preserving", "direct"), ("random", "random", "relayed")])
def test_nats_end_in_the_path_they_allow(make_lab, generation, portal_kind, client_nat, gateway_nat, wanted):
    lab = make_lab(generation, portal_kind, shape=t.Shape(client_nat=client_nat, gateway_nat=gateway_nat))
    works(lab)
    lab.client.wait_path(wanted)
    counts = relay_counts(lab.relay)["data"]
    if wanted == "relayed":
        assert counts["to_peer"] > 1000


@pytest.mark.parametrize("relay_generation", ["A", "B", "C"])
def test_a_relay_of_any_generation_carries_traffic(make_lab, generation, relay_generation):
    lab = make_lab(generation, relay_generation=relay_generation,
                   shape=t.Shape(client_nat="random", gateway_nat="random"))
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=5), 20)
    lab.client.wait_path("relayed")
    assert lab.probes.download(t.RESOURCE4, 100_000).ok


def test_iceless_peers_meet_when_the_portal_chooses_so(make_lab, generation, portal_kind):
    if generation != "C":
        return
    lab = make_lab(generation, portal_kind, scenario={"iceless": True})
    works(lab)
