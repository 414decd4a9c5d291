"""One connection ends and another begins while requests go on at 50 a second: how long nobody answers."""
import pytest

from lab import netns, topology as t
from steps import gap_of, healed, page


def test_a_client_that_moves_to_another_address(make_lab, generation):
    lab = make_lab(generation, shape=t.Shape(outer=("v4",)))
    healed(page(lab), 15)

    def move():
        netns.ip([f"addr del {t.CLIENT4}/24 dev eth0", f"addr add {t.WAN4}22/24 dev eth0",
                  f"route replace default via {t.SINK4}"], lab.world.ns("client"))
        lab.client.ask("reset")
    gap_of(lab, move, 2, "client changes address")


def test_a_client_that_restarts_with_a_new_key(make_lab, generation):
    """Killed without a goodbye: its old session lives at the gateway when the new key arrives."""
    lab = make_lab(generation)
    healed(page(lab), 15)

    def restart():
        lab.client.kill()
        lab.client.start()
    gap_of(lab, restart, 5, "client restarts with a new key")


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_gateway_that_restarts(make_lab, generation, how):
    lab = make_lab(generation)
    healed(page(lab), 15)

    def restart():
        lab.gateway.stop() if how == "SIGTERM" else lab.gateway.process.kill()
        lab.gateway.start()
    gap_of(lab, restart, 15, f"gateway restarts, {how}")
