"""A connection over time: silent for longer than it takes to go idle, and across a rekey. The generations wait together."""
import time

import pytest

from lab import topology as t
from lab.traffic import Stream
from steps import healed

IDLE = 40           # beyond the 20 s after which both sides check every 25 s only (spec connectivity 2.19)
REKEYED = 135       # beyond the 120 s after which the client makes new keys


def raised(make_lab, nat, wanted):
    labs = [make_lab(g, shape=t.Shape(client_nat=nat, gateway_nat=nat)) for g in ("A", "B", "C")]
    for lab in labs:
        healed(lambda p=lab.probes: p.get(t.RESOURCE4, seconds=3), 15)
        lab.client.wait_path(wanted)
    return labs


@pytest.mark.parametrize("nat, wanted", [("", "direct"), ("random", "relayed")])
def test_the_first_datagram_after_silence_is_answered(make_lab, nat, wanted):
    labs = raised(make_lab, nat, wanted)
    time.sleep(IDLE)
    for lab in labs:
        answer = lab.probes.udp(t.RESOURCE4, attempts=1)
        print(f"after {IDLE} s of silence, {wanted}, {lab.generation}: {answer.first_ms} ms")
        assert answer.ok, answer


@pytest.mark.long
@pytest.mark.parametrize("nat, wanted", [("", "direct"), ("random", "relayed")])
def test_nothing_is_lost_across_a_rekey(make_lab, nat, wanted):
    labs = raised(make_lab, nat, wanted)
    streams = [Stream(lab.world, rate=50) for lab in labs]
    for stream in streams:
        stream.start()
    time.sleep(REKEYED)
    for lab, outcome in zip(labs, [stream.stop() for stream in streams]):
        print(f"across a rekey, {wanted}, {lab.generation}: {outcome}")
        assert outcome.lost == 0, outcome
