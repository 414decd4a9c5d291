"""Which way packets take: direct over either family, through NATs, or through the relay."""
import socket
import time

import pytest

from lab import netns, topology as t
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


@pytest.mark.parametrize("outer, wanted", [(("v4", "v6"), "direct"), (("v4",), "relayed")])
def test_a_gateway_host_without_ipv4_serves_its_clients(make_lab, generation, outer, wanted):
    """Portal and relay over IPv6; a client that has IPv4 alone comes by the relay, which translates between them."""
    lab = make_lab(generation, shape=t.Shape(outer=outer, gateway_v4=False))
    healed(lambda: lab.probes.get(t.RESOURCE6, seconds=5), 15)
    for answer in (lab.probes.udp(t.RESOURCE6), lab.probes.ping(t.RESOURCE6),
                   lab.probes.download(t.RESOURCE6, 1_000_000), lab.probes.upload(t.RESOURCE6, 1_000_000)):
        assert answer.ok, answer
    _, remote = lab.client.wait_path(wanted)
    assert wanted == "relayed" or t.GATEWAY6 in remote
    assert lab.gateway.health()[0] == 200, lab.gateway.health()


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


@pytest.mark.parametrize("nat", ["", "random"])
def test_nothing_crosses_the_internet_in_clear(make_lab, generation, nat):
    lab = make_lab(generation, shape=t.Shape(client_nat=nat, gateway_nat=nat))
    with netns.entered(lab.world.ns("inet")):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    tap.setblocking(False)
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=5), 20)
    marks = [b"plain words that must not be seen %d" % i for i in range(20)]
    assert all(lab.probes.udp(t.RESOURCE4, mark).ok for mark in marks)
    seen, deadline = [], time.monotonic() + 0.5
    while time.monotonic() < deadline:
        try:
            seen.append(tap.recv(65536))
        except BlockingIOError:
            time.sleep(0.01)
    tap.close()
    assert len(seen) >= 2 * len(marks)
    assert not any(b"plain words" in frame or b"firegate lab resource" in frame for frame in seen)
