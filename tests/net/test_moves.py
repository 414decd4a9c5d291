"""Addresses, routes and mappings change under 50 requests a second: how long nobody answers."""
import time

import pytest

from lab import netns, topology as t
from steps import gap_of, healed, page

GATEWAY_NEXT4 = t.WAN4 + "12"


def replaced(lab):
    netns.ip([f"addr del {t.GATEWAY4}/24 dev eth0", f"addr add {GATEWAY_NEXT4}/24 dev eth0",
              f"route replace default via {t.SINK4}"], lab.world.ns("gateway"))


def rerouted(lab):
    """A second interface on the internet, and the routes moved to it; the first keeps its address and loses its cable."""
    gateway, inet = lab.world.ns("gateway"), lab.world.ns("inet")
    netns.ip([f"link add eth9 netns {gateway} type veth peer name to-eth9 netns {inet}"])
    netns.ip(["link set to-eth9 master br0", "link set to-eth9 up"], inet)
    netns.ip([f"addr add {GATEWAY_NEXT4}/24 dev eth9", "link set eth9 up",
              f"neigh add {t.SINK4} lladdr {t.SINK_MAC} dev eth9 nud permanent"], gateway)
    netns.ip(["link set to-gateway down"], inet)
    netns.ip([f"route del {t.WAN4}0/24 dev eth0", f"route replace default via {t.SINK4} dev eth9"], gateway)


def flapped(lab):
    gateway = lab.world.ns("gateway")
    netns.ip(["link set eth0 down"], gateway)
    time.sleep(2)
    netns.ip(["link set eth0 up", f"neigh replace {t.SINK4} lladdr {t.SINK_MAC} dev eth0 nud permanent",
              f"route add default via {t.SINK4}"], gateway)


@pytest.mark.parametrize("act", [replaced, rerouted, flapped])
def test_the_gateways_own_address_changes(make_lab, generation, act):
    lab = make_lab(generation, shape=t.Shape(outer=("v4",)))
    healed(page(lab), 15)
    gap_of(lab, lambda: act(lab), 20, f"gateway {act.__name__}")


def test_a_client_behind_a_nat_follows_the_gateway_to_its_new_address(make_lab, generation):
    """The NAT lets nothing in from an address the client never sent to, so the portal has to tell it. One of generation C
    lets the gateway in again because it is told goodbye from the old address."""
    lab = make_lab(generation, shape=t.Shape(outer=("v4",), client_nat="preserving"))
    healed(page(lab), 15)
    gap_of(lab, lambda: replaced(lab), 20, "gateway replaced, client behind NAT")
    healed(page(lab, t.RESOURCE6), 10)


@pytest.mark.long
def test_where_no_goodbye_can_be_sent_the_newest_portal_refuses_until_it_has_noticed(make_lab, generation):
    """37 s (spec portal 3.1), and ten more until ours gives its closing handshake up; meanwhile a client behind a NAT
    hears of nothing. The network drops whatever has an address of another place."""
    if generation != "C":
        return
    lab = make_lab(generation, shape=t.Shape(outer=("v4",), client_nat="preserving"))
    healed(page(lab), 15)

    def act():
        netns.nft(lab.world.ns("gateway"), "table ip lab_filter { chain out { type filter hook output priority 0; "
                                           f"ip saddr {t.GATEWAY4} drop; }}; }}\n")
        replaced(lab)
    gap_of(lab, act, 75, "gateway replaced, old address of no use, client behind NAT")
    healed(page(lab, t.RESOURCE6), 10)
