"""The benchmark's harness, not its figures: it raises its labs, charges the right threads and writes its file."""
import json
import os
import subprocess

from lab import netns
from lab.world import ROOT


def test_the_benchmark_measures_routing_and_the_gateway(tmp_path):
    path = tmp_path / "result.json"
    done = subprocess.run([os.path.join(ROOT, "tests", "bench", "run"), "--runs", "1", "--seconds", "1", "--parts",
                           "iperf3,ping,offered,sink", "--quick", "--only", "routing,firegate", "--loads", "udp64:up", "--json",
                           str(path)],
                          capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    found = json.loads(path.read_text())
    for part, load in (("iperf3", "udp64/up"), ("offered", "64 many/up"), ("offered", "1252 one/down")):
        routing, ours = (found[part][name][load] for name in ("routing", "firegate"))
        assert routing["ns"] > 0 and routing["own_ns"] == 0      # the kernel's threads of its links alone
        assert ours["ns"] > ours["own_ns"] > 0
    assert found["ping"]["firegate"]["median_us"] > 0
    assert found["sink"]["firegate"]["ns"] > 0
    assert not found["failed"]
    assert list(tmp_path.glob("*.svg"))
    assert found["commit"] and found["kernel"] and found["cpu"]


def test_a_gateway_that_does_not_come_up_is_told_with_its_last_words_and_nothing_is_left(tmp_path):
    with subprocess.Popen([os.path.join(ROOT, "tests", "bench", "run"), "--parts", "offered", "--only", "firegate", "--quick",
                           "--gateway", "sh -c 'echo wrong token; exit 1'", "--json", str(tmp_path / "result.json")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as bench:
        out, _ = bench.communicate(timeout=120)
    print(out)
    assert bench.returncode == 1
    assert "failed: sh comes up: the gateway ended with 1; its log ends: wrong token" in out
    assert not netns.existing(f"fg{bench.pid:x}-")
