"""A NAT forgets its mappings, again and again: both ends behind symmetric NATs, on one relay of two, fifty requests a second.

The portal's connection goes with the mappings. What is told through it meanwhile is lost, and its owner takes its time to
notice: a client of B and C until its next heartbeat, at most 10 s (spec portal 1.9)."""
import time

from lab import netns, topology as t
from relays import meet
from steps import gap_of, healed, page

ROUNDS = 2
GATEWAY = 5
# 10 s; for A its checks, which fail after 10.5 s and make it ask the portal (spec connectivity 2.18). Then a second until it
# dials again, two until it is asked, and its new allocation.
CLIENT = {"A": 20, "B": 16, "C": 16}


def forget(lab, host, *which):
    return lambda: netns.execute(lab.world.ns(host), "conntrack", *(which or ("-F",)))


def test_both_nats_forget_their_mappings_twice(make_lab, generation):
    """A portal of C refuses a gateway for 37 s, as long as it believes in the connection before (spec portal 3.1): there the
    gateway's NAT forgets datagrams only."""
    lab = make_lab(generation, shape=t.Shape(relays=2, client_nat="random", gateway_nat="random"))
    meet(lab, same=True)
    which = ("-D", "-p", "udp") if generation == "C" else ()
    for _ in range(ROUNDS):
        gap_of(lab, forget(lab, "natg", *which), GATEWAY, "gateway's NAT forgets")
        time.sleep(2)
        gap_of(lab, forget(lab, "natc"), CLIENT[generation], "client's NAT forgets")
        time.sleep(2)
    healed(page(lab, t.RESOURCE6), 10)
