"""Relays that die, go deaf, move, restart or come late under steady traffic; the gaps are printed."""
import time

import pytest

from lab import topology as t
from lab.traffic import Stream
from steps import healed

RELAYED = {"client_nat": "random", "gateway_nat": "random"}


def flowing(lab, path="relayed"):
    """Fifty requests a second over a path that has settled."""
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 20)
    lab.client.wait_path(path)
    stream = Stream(lab.world, rate=50)
    stream.start()
    time.sleep(1)
    return stream


def gateway_relay(lab):
    """The relay that carries the gateway's end of the connection: where its traffic comes out."""
    _, remote = lab.client.wait_path()
    return next(r for r in lab.relays if r.v4 in remote or r.v6 in remote)


def outcome(lab, stream, what):
    result = stream.stop()
    print(f"{lab.generation}: {what}: {result}")
    return result


@pytest.mark.parametrize("how", ["kill"])
def test_one_of_two_relays_dies(make_lab, generation, how):
    lab = make_lab(generation, shape=t.Shape(relays=2, **RELAYED))
    stream = flowing(lab)
    relay = gateway_relay(lab)
    getattr(relay, how)()
    time.sleep(8)
    gap = outcome(lab, stream, f"{how} of the gateway's relay").gap
    assert gap < 5
