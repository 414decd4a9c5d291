"""A name of generation A whose address is dead: it is looked up again when nothing came back for two minutes (spec policy 4.4)."""
import time

import pytest

from lab import netns, topology as t
from lab.lab import Lab
from lab.names import proxies
from lab.probes import until_ok
from lab.traffic import Stream

DEAD = "10.66.0.1"
SILENCE = 120


@pytest.mark.long
def test_a_name_whose_address_stays_silent_is_looked_up_again():
    with Lab("A") as lab:
        netns.execute(lab.world.ns("gateway"), "ip", "route", "add", "blackhole", DEAD + "/32")
        assert until_ok(lambda: lab.probes.get(t.RESOURCE4, seconds=5)).ok
        lab.dns.set("moving.lab.test", DEAD)
        stream = Stream(lab.world, proxies(lab, "moving.lab.test")[0], rate=5)
        began = time.monotonic()
        stream.start()
        time.sleep(20)
        lab.dns.set("moving.lab.test", t.RESOURCE4)
        deadline = began + SILENCE + 25
        while not stream.answered and time.monotonic() < deadline:
            time.sleep(0.2)
        answered = bool(stream.answered)
        after = stream.at[min(stream.answered)] - began if answered else None
        outcome = stream.stop()
        print(f"first answer to what was sent {after} s after the name was asked for; {outcome}")
        assert answered and SILENCE - 2 < after < SILENCE + 20, outcome
