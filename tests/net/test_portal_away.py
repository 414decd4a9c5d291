"""A portal that restarts, is gone for long, or falls silent without a word: packets of connected clients do not notice."""
import time

import pytest

from fault import Traffic
from lab import netns, topology as t
from lab.lab import Lab
from steps import healed


@pytest.fixture(scope="module")
def lab(generation):
    with Lab(generation, scenario={"rate_limit": False}) as made:
        healed(lambda: made.probes.get(t.RESOURCE4, seconds=3), 15)
        yield made


def test_a_portal_that_restarts_is_joined_again(lab):
    with Traffic(lab, rejoins=1, seconds=20) as traffic:
        traffic.before = 0
        lab.portal.restart()
    lab.portal.wait_joined("client", seconds=20)


def test_a_portal_away_for_20_seconds(lab):
    away(lab, 20)


@pytest.mark.long
def test_a_portal_away_for_10_minutes(lab):
    away(lab, 600)


def away(lab, seconds):
    with Traffic(lab, rejoins=1, seconds=90) as traffic:
        lab.portal.stop()
        time.sleep(seconds)
        traffic.before = 0
        open(lab.portal.log_path(), "w", encoding="utf-8").close()
        lab.portal.start()
    lab.portal.wait_joined("client", seconds=90)
    lab.portal.wait_joined("relay", seconds=90)
    assert healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 15).ok


BLACK_HOLE = f"""
table ip lab_hole {{
  chain in {{
    type filter hook input priority filter
    ip saddr {t.GATEWAY4} tcp dport {t.PORTAL_PORT} drop
  }}
  chain out {{
    type filter hook output priority filter
    ip daddr {t.GATEWAY4} tcp sport {t.PORTAL_PORT} drop
  }}
}}
"""


def into_a_black_hole(lab):
    ns = lab.world.ns("portal")
    with Traffic(lab, rejoins=1, seconds=90):
        began = time.monotonic()
        netns.nft(ns, BLACK_HOLE)
        lab.gateway.process.wait_log("Hiccup in portal connection.*(heartbeats|timed out)", 60)
        print(f"noticed after {time.monotonic() - began:.0f} s")
        netns.nft(ns, "delete table ip lab_hole")


@pytest.mark.long
def test_a_silent_black_hole_is_noticed_by_heartbeats_in_every_generation(lab):
    into_a_black_hole(lab)


def test_a_silent_black_hole_is_noticed_by_heartbeats(make_lab):
    made = make_lab("C")
    healed(lambda: made.probes.get(t.RESOURCE4, seconds=3), 15)
    into_a_black_hole(made)
