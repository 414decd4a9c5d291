"""The gateway with a client it shares nothing with: aioice, wireguard-go and a portal session of their own
(tests/support/second_client)."""
import time
from functools import partial

import pytest

from lab import netns, topology as t
from lab.lab import NET4, Lab
from lab.probes import refused_quickly, until_ok
from lab.second import SecondClient
from lab.services import coturn_entries, relay_counts, start_coturn, start_dns, start_resource
from lab.traffic import Stream
from steps import failed, healed, hold_grants

BOTH = [t.RESOURCE4, t.RESOURCE6]


def page(lab, address=t.RESOURCE4):
    return lambda: lab.probes.get(address, seconds=5)


@pytest.fixture(scope="module")
def second(portal_kind):
    with Lab("B", portal_kind, client=SecondClient) as lab:
        for address in BOTH:
            assert until_ok(page(lab, address)).ok
        yield lab


@pytest.fixture
def lab_with(make_lab, portal_kind):
    """A lab of some shape whose second client has some options."""
    return lambda shape, **options: make_lab("B", portal_kind, shape=shape, client=partial(SecondClient, **options))


@pytest.mark.parametrize("address", BOTH)
def test_pages_datagrams_and_pings(second, address):
    for answer in (second.probes.get(address), second.probes.udp(address), second.probes.ping(address),
                   second.probes.ping(address, size=1224)):
        assert answer.ok, answer


@pytest.mark.parametrize("address", BOTH)
def test_three_megabytes_each_way(second, address):
    for answer in (second.probes.download(address, 3_000_000), second.probes.upload(address, 3_000_000)):
        assert answer.ok, answer


@pytest.mark.parametrize("address, forbidden", [(t.RESOURCE4, t.FORBIDDEN4), (t.RESOURCE6, t.FORBIDDEN6)])
def test_what_the_grant_leaves_out_is_refused_by_icmp(second, address, forbidden):
    for answer in (second.probes.get(address, port=t.WEB_ALT, seconds=4), second.probes.get(forbidden, seconds=4)):
        assert refused_quickly(answer) and answer.error != "ECONNREFUSED", answer
    assert page(second, address)().ok


def test_an_older_client_of_a_newer_portal_is_served(make_lab, portal_kind):
    """The gateway hears of it in the newer dialect (spec portal 5.4)."""
    lab = make_lab("C", portal_kind, client=SecondClient)
    for address in BOTH:
        healed(page(lab, address), 20)
    assert lab.probes.download(t.RESOURCE4, 1_000_000).ok and lab.probes.upload(t.RESOURCE6, 1_000_000).ok


@pytest.mark.parametrize("nomination", ["regular", "aggressive"])
@pytest.mark.parametrize("outer, host", [(("v4",), t.GATEWAY4), (("v6",), t.GATEWAY6)])
def test_a_direct_path_carries_traffic(lab_with, outer, host, nomination):
    lab = lab_with(t.Shape(outer=outer), nomination=nomination)
    netns.nft(lab.world.ns("client"), no_relayed_paths())
    healed(page(lab), 20)
    assert host in lab.client.wait_path("direct")[1]
    assert lab.probes.download(t.RESOURCE4, 1_000_000).ok and lab.probes.upload(t.RESOURCE4, 1_000_000).ok


@pytest.mark.parametrize("nomination", ["regular", "aggressive"])
def test_the_gateways_relay_alone_carries_traffic(lab_with, nomination):
    lab = lab_with(t.Shape(outer=("v4",)), nomination=nomination)
    netns.nft(lab.world.ns("client"), t.no_direct_v4())
    healed(page(lab), 25)
    lab.client.wait_path("relayed")
    assert lab.client.events("path")[-1]["local"] != "relay"
    before = relay_counts(lab.relay)["data"]["to_peer"]
    assert lab.probes.download(t.RESOURCE4, 1_000_000).ok and lab.probes.upload(t.RESOURCE4, 1_000_000).ok
    assert relay_counts(lab.relay)["data"]["to_peer"] - before > 700


def test_behind_two_random_nats_both_relayed_addresses_meet(lab_with):
    lab = lab_with(t.Shape(client_nat="random", gateway_nat="random"), turn=True)
    healed(page(lab), 25)
    lab.client.wait_path("relayed")
    assert len(relay_counts(lab.relay)["allocations"]) == 2
    assert lab.probes.download(t.RESOURCE4, 1_000_000).ok and lab.probes.upload(t.RESOURCE4, 1_000_000).ok


@pytest.mark.long
@pytest.mark.parametrize("shape", [t.Shape(), t.Shape(client_nat="random", gateway_nat="random")])
def test_its_rekey_and_its_own_keepalives_lose_nothing(make_lab, shape):
    """wireguard-go makes a new session after two minutes; aioice asks for consent, and no check nominates again."""
    lab = make_lab("B", shape=shape, client=partial(SecondClient, turn=True, nomination="regular"))
    healed(page(lab), 25)
    stream = Stream(lab.world, rate=20)
    stream.start()
    time.sleep(150)
    outcome = stream.stop()
    print(outcome)
    assert outcome.sent > 2500 and outcome.lost <= 1, outcome
    assert len(lab.client.events("path")) == 1 and not lab.client.events("path lost")


class BehindCoturn(Lab):
    """A lab whose only relay is coturn, which aioice knows best; the gateway must be told (spec connectivity 7.5)."""

    def base(self):
        self.gateway.env["FIREGATE_LENIENT_TURN"] = "true"
        self.world.up()
        self.portal.start()
        start_dns(self.world)
        start_coturn(self.world)
        start_resource(self.world)


def test_behind_two_random_nats_coturn_carries_traffic():
    with BehindCoturn("B", shape=t.Shape(client_nat="random", gateway_nat="random"),
                      scenario={"static_relays": coturn_entries()}, client=partial(SecondClient, turn=True)) as lab:
        healed(page(lab), 25)
        lab.client.wait_path("relayed")
        assert lab.probes.download(t.RESOURCE4, 1_000_000).ok and lab.probes.upload(t.RESOURCE4, 1_000_000).ok


def test_a_rejected_grant_is_refused_until_the_client_asks_again(lab_with):
    lab = lab_with(t.Shape())
    healed(page(lab), 20)
    healed(page(lab, t.RESOURCE6), 15)
    hold_grants(lab)
    lab.portal.ask("reject", resource=NET4)
    answer = failed(page(lab), 5)
    assert refused_quickly(answer), answer
    assert page(lab, t.RESOURCE6)().ok
    lab.portal.ask("release")
    healed(page(lab), 15)


def test_a_stopped_gateway_says_goodbye_and_is_found_again(lab_with):
    lab = lab_with(t.Shape())
    healed(page(lab), 20)
    assert lab.gateway.stop() == 0
    lab.portal.wait_gone("gateway")
    assert lab.client.events("goodbye")
    lab.gateway.start().wait_joined(lab.portal)
    healed(page(lab), 25)


def test_a_killed_gateway_is_found_again(make_lab):
    lab = make_lab("B", client=SecondClient)
    healed(page(lab), 20)
    lab.gateway.process.kill()
    lab.gateway.start().wait_joined(lab.portal, 25)
    healed(page(lab), 45)


def no_relayed_paths():
    """Nothing to or from relayed addresses; the relay's own port stays open for STUN."""
    return """
table inet lab_relayed {
  chain out {
    type filter hook output priority filter
    udp dport 49152-65535 ip daddr %s drop
    udp dport 49152-65535 ip6 daddr %s drop
  }
  chain in {
    type filter hook input priority filter
    udp sport 49152-65535 ip saddr %s drop
    udp sport 49152-65535 ip6 saddr %s drop
  }
}
""" % (t.RELAY4, t.RELAY6, t.RELAY4, t.RELAY6)
