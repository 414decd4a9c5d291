"""Portal, gateway, relay or the client's network go away and come back."""
import time

from lab import netns, topology as t
from lab.lab import NET4, NET6
from lab.services import relay_counts
from lab.traffic import Stream
from steps import healed


def page(lab, address=t.RESOURCE4):
    return lambda: lab.probes.get(address, seconds=3)


def test_a_portal_connection_dropped_under_traffic_loses_nothing(fresh):
    healed(page(fresh), 15)
    stream = Stream(fresh.world)
    stream.start()
    upgrades = fresh.portal.state()["counts"].get("gateway:phx_join", 0)
    for how in ({"do": "drop", "who": "gateway"}, {"do": "reset", "who": "gateway"}):
        time.sleep(0.5)
        fresh.portal.ask(**how)
        upgrades += 1
        deadline = time.monotonic() + 10
        while fresh.portal.state()["counts"].get("gateway:phx_join", 0) < upgrades and time.monotonic() < deadline:
            time.sleep(0.05)
        fresh.portal.wait_joined("gateway")
    time.sleep(0.5)
    outcome = stream.stop()
    assert outcome.sent > 200 and not outcome.lost, outcome
    assert healed(page(fresh, t.RESOURCE6), 15).ok      # and new grants still arrive


def test_a_restarted_gateway_is_found_again(fresh):
    healed(page(fresh), 15)
    assert fresh.gateway.stop() == 0
    fresh.portal.wait_gone("gateway")
    fresh.gateway.start().wait_joined(fresh.portal)
    healed(page(fresh), 25)


def test_a_restarted_client_is_served_again(fresh):
    healed(page(fresh), 15)
    fresh.client.stop()
    fresh.client.start()
    healed(page(fresh), 20)


def test_a_restarted_relay_is_used_again(make_lab, generation):
    lab = make_lab(generation, shape=t.Shape(client_nat="random", gateway_nat="random"))
    healed(page(lab), 20)
    lab.client.wait_path("relayed")
    lab.restart_relay()
    lab.portal.wait_joined("relay")
    healed(page(lab), 45)
    assert relay_counts(lab.relay)["data"]["to_peer"] > 0


def test_a_client_that_moves_to_another_address_is_served_there(make_lab, generation):
    """What newer clients do on a network change: new sockets, new key, new login; the old session gets no goodbye."""
    lab = make_lab(generation, shape=t.Shape(outer=("v4",)))
    healed(page(lab), 15)
    lab.client.kill()
    netns.ip([f"addr del {t.CLIENT4}/24 dev eth0", f"addr add {t.WAN4}22/24 dev eth0",
              f"route replace default via {t.SINK4}"], lab.world.ns("client"))
    lab.client.start()
    healed(page(lab), 20)


def test_a_nat_that_changes_its_address_under_traffic_is_followed(make_lab, generation):
    """The client notices nothing; its packets come from elsewhere."""
    lab = make_lab(generation, shape=t.Shape(client_nat="preserving"))
    healed(page(lab), 15)
    ns = lab.world.ns("natc")
    netns.ip([f"addr del {t.CLIENT_NAT4}/24 dev eth0", f"addr add {t.WAN4}22/24 dev eth0",
              f"route replace default via {t.SINK4}"], ns)
    netns.execute(ns, "conntrack", "-F")
    healed(page(lab), 25)


def test_goodbye_frees_the_connection_and_the_next_packet_makes_a_new_one(fresh):
    healed(page(fresh), 15)
    fresh.client.goodbye()
    healed(page(fresh), 20)
    fresh.client.connect(NET4)
    fresh.client.connect(NET6)
    healed(page(fresh, t.RESOURCE6), 15)
