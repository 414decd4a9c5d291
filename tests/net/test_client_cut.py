"""The client loses its relay, both ends behind symmetric NATs: how long nobody answers 50 requests a second.

Its own packets go nowhere and nothing tells it: the next request to its relay does, and originals make none for minutes
(spec connectivity 3.7). The gateway has them make one."""
import pytest

from lab import netns, topology as t
from relays import meet
from steps import gap_of, healed, page

RELAYED = {"client_nat": "random", "gateway_nat": "random"}
# A may choose the same relay again, of two, until it has asked it for 49 s (spec connectivity 3.5, 3.11).
LIMIT = {"A": 60, "B": 20, "C": 20}


@pytest.mark.parametrize("same", [False, True])
def test_the_client_is_cut_off_from_its_relay(make_lab, generation, same):
    lab = make_lab(generation, shape=t.Shape(relays=2, **RELAYED))
    _, theirs = meet(lab, same=same)
    gap_of(lab, lambda: theirs.cut("client"), LIMIT[generation], "client cut off from its relay")
    healed(page(lab, t.RESOURCE6), 10)


def test_the_clients_nat_forgets_its_relay(make_lab, generation):
    """The relay knows nobody at the new address, and drops data without a word (spec connectivity 7.4)."""
    lab = make_lab(generation, shape=t.Shape(relays=2, **RELAYED))
    meet(lab, same=False)
    forget = lambda: netns.execute(lab.world.ns("natc"), "conntrack", "-D", "-p", "udp")     # noqa: E731
    gap_of(lab, forget, 5, "client's NAT forgets")
    healed(page(lab, t.RESOURCE6), 10)
