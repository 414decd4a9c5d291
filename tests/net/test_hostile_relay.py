"""A relay of the portal's list turns out to lie: what is established goes on, its answers are counted, it is asked little."""
import re
import time
import uuid

from hostile import MOODS, Hostile
from lab import topology as t
from relays import flowing

# A refusal to each of at most a few hundred datagrams; sends at 0, 1, 2.5 and 4.75 s; then nothing.
ASKED_MAX = 30
SECONDS = 4


def test_a_lying_relay_costs_nobody_else_anything(make_lab):
    lab = make_lab("C", shape=t.Shape(relays=2, client_nat="random", gateway_nat="random"))
    lab.relays[1].stop()
    hostile = Hostile(lab.world, "relay2", t.RELAY2_4)
    hostile.mood = MOODS[0]
    hostile.start()
    stream = flowing(lab)
    asked, before = {}, None
    for mood in MOODS:
        hostile.mood, hostile.asked, ident = mood, 0, str(uuid.uuid4())
        lab.portal.ask("push", to="gateway", event="relays_presence",
                       payload={"disconnected_ids": [before] if before else [], "connected": hostile.entries(ident)})
        time.sleep(SECONDS)
        asked[mood], before = hostile.asked, ident
    outcome = stream.stop()
    hostile.stop()
    print(f"requests in {SECONDS} s: {asked}; {outcome}")
    assert not outcome.lost
    assert all(0 < n <= ASKED_MAX for n in asked.values()), asked
    assert lab.gateway.stop() == 0
    text = lab.gateway.process.log_text()
    counted = re.findall(r"dropped since the start (.*)", text)[-1]
    for reason in ("unknown_stun", "bad_stun_integrity", "unknown_channel"):
        assert int(re.search(rf"{reason}=(\d+)", counted)[1]) > 0, counted
    said = [line for line in text.splitlines() if "relay allocates nothing" in line or "relay gone" in line]
    assert len(said) <= 2 * len(MOODS) + 2, said
