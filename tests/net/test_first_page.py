"""A client reaches resources over a direct path: pages, datagrams, pings, every size, and nothing forbidden."""
import pytest

from lab import topology as t
from lab.probes import refused_quickly, until_ok
from lab.services import SIZES, iperf

BOTH = [t.RESOURCE4, t.RESOURCE6]


@pytest.fixture(autouse=True)
def contact(steady):
    """Both networks are granted before a test looks closer."""
    for address in BOTH:
        assert until_ok(lambda a=address: steady.probes.get(a, seconds=5)).ok


def test_the_first_page_comes_over_a_direct_path(steady):
    answer = steady.probes.get(t.RESOURCE4, "/whoami")
    assert answer.ok, answer
    assert steady.client.wait_path()[0] == "direct"


@pytest.mark.parametrize("address", BOTH)
def test_pages_datagrams_and_pings(steady, address):
    for answer in (steady.probes.get(address), steady.probes.udp(address), steady.probes.ping(address)):
        assert answer.ok, answer


def test_the_resource_sees_the_gateways_address(steady):
    assert steady.probes.get(t.RESOURCE4, "/whoami").body.decode().strip() == t.RESOURCE_GATEWAY4
    assert steady.probes.get(t.RESOURCE6, "/whoami").body.decode().strip() == t.RESOURCE_GATEWAY6


@pytest.mark.parametrize("address", BOTH)
def test_every_size_arrives_intact(steady, address):
    for size in SIZES:
        if size <= 2_000_000:
            answer = steady.probes.download(address, size)
            assert answer.ok, (size, answer)


@pytest.mark.parametrize("address", BOTH)
@pytest.mark.parametrize("size", [1, 100, 1200, 1232])
def test_datagrams_up_to_the_tunnels_mtu_come_back(steady, address, size):
    answer = steady.probes.udp(address, (bytes(range(256)) * 5)[:size])
    assert answer.ok, answer


@pytest.mark.parametrize("address", BOTH)
def test_three_megabytes_each_way(steady, address):
    for answer in (steady.probes.download(address, 3_000_000), steady.probes.upload(address, 3_000_000)):
        assert answer.ok, answer


def test_iperf_runs_both_ways(steady):
    for direction in ((), ("-R",)):
        report = iperf(steady.world, "-c", t.RESOURCE4, "-t", "1", *direction)
        assert report.get("end", {}).get("sum_received", {}).get("bytes", 0) > 1_000_000, report.get("error")


@pytest.mark.parametrize("address", BOTH)
def test_a_port_outside_the_filters_is_refused_by_icmp(steady, address):
    steady.probes.get(address)
    answer = steady.probes.get(address, port=t.WEB_ALT, seconds=4)
    assert refused_quickly(answer), answer
    answer = steady.probes.udp(address, port=t.ECHO + 1, attempts=1)
    assert refused_quickly(answer) and answer.error != "ECONNREFUSED", answer


@pytest.mark.parametrize("granted, forbidden", [(t.RESOURCE4, t.FORBIDDEN4), (t.RESOURCE6, t.FORBIDDEN6)])
def test_an_address_outside_the_grant_is_refused_by_icmp(steady, granted, forbidden):
    assert steady.probes.get(granted).ok
    for answer in (steady.probes.get(forbidden, seconds=4), steady.probes.ping(forbidden, attempts=1)):
        assert refused_quickly(answer) and answer.error != "ECONNREFUSED", answer


@pytest.mark.parametrize("address", BOTH)
def test_a_closed_port_answers_as_it_does_without_a_tunnel(steady, address):
    answer = steady.probes.get(address, port=t.CLOSED, seconds=4)
    assert answer.error == "ECONNREFUSED", answer
