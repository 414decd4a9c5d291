"""A NAT forgets everything, again and again: both ends behind symmetric NATs, two relays, fifty requests a second.

The portal's connection goes with the mappings. What is told through it meanwhile is lost, and how long its owner takes to
notice that is the owner's: a client of B and C by its heartbeat, at most 10 s later (spec portal 1.9)."""
import time

import pytest

from lab import netns, topology as t
from relays import meet
from steps import gap_of, healed, page

ROUNDS = 2
# 10 s, or for A its checks, which fail after 10.5 s and make it ask the portal (spec connectivity 2.18); a second before it
# dials again; two until it is asked; and its new allocation.
CLIENT = {"A": 20, "B": 15, "C": 15}
# A portal of C refuses a gateway as long as it believes in its connection before (spec portal 3.1): until the client's checks
# have failed and it asks for access, if the NAT resets what it does not know.
GATEWAY = {"A": 5, "B": 5, "C": 25}


def forget(lab, host):
    return lambda: netns.execute(lab.world.ns(host), "conntrack", "-F")


@pytest.mark.parametrize("same", [True, False])
def test_both_nats_forget_everything_twice(make_lab, generation, same):
    lab = make_lab(generation, shape=t.Shape(relays=2, client_nat="random", gateway_nat="random"))
    meet(lab, same=same)
    for _ in range(ROUNDS):
        gap_of(lab, forget(lab, "natg"), GATEWAY[generation], "gateway's NAT forgets")
        time.sleep(2)
        gap_of(lab, forget(lab, "natc"), CLIENT[generation], "client's NAT forgets")
        time.sleep(2)
    healed(page(lab, t.RESOURCE6), 10)
