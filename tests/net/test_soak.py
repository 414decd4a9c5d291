"""Two minutes of ./dev soak: a fault every ten seconds in a lab of each generation, then traffic flows and all is given back."""
import os
import subprocess

import pytest

from lab.world import PYTHON, SUPPORT
from soak import samples

SECONDS_MAX = 500


def test_after_two_minutes_of_faults_traffic_flows_and_nothing_is_kept(tmp_path):
    done = subprocess.run([PYTHON, os.path.join(SUPPORT, "soak.py"), "2", "--json", str(tmp_path / "soak.json")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX, check=False)
    print(done.stdout)
    assert done.returncode == 0, [line for line in done.stdout.splitlines() if "FAILED" in line or line.startswith("seed")]


# -- the verdicts can be bad ----------------------------------------------------------------------------------------
HELD = {name: 5 for name in samples.EXACT}


@pytest.mark.parametrize("name", samples.EXACT)
def test_one_thing_more_than_at_the_start_is_told(name):
    assert samples.returned(HELD, HELD) == []
    assert samples.returned(HELD, HELD | {name: 6}) == [f"{name}: 5 at the start, 6 now"]


def test_memory_that_grows_is_told_and_noise_is_not(monkeypatch):
    monkeypatch.setattr(samples, "SLOWDOWN", 1)

    def held(*values):
        return samples.memory([{"rss kB": v} for v in values])
    assert not held(*(30_000 + 100 * (n % 7) for n in range(360)))
    assert held(30_000, 30_000 + samples.RSS_SLACK_KB + 1)
    assert any("grows" in c for c in held(*(30_000 + 20 * n for n in range(360))))


def test_a_log_with_an_error_or_without_an_end_is_told():
    line = "2026-11-22T21:33:28.677Z  INFO gateway: workers started workers=1\n"
    assert not samples.log(line * 10, 1)
    assert samples.log(line + line.replace(" INFO", "ERROR"), 1)
    assert samples.log(line * 2000, 1) and not samples.log(line * 2000, 60)
