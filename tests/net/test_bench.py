"""The benchmark's harness, not its figures: it raises its labs, charges the right threads and writes its file."""
import json
import os
import subprocess

from lab.world import ROOT


def test_the_benchmark_measures_routing_and_the_gateway(tmp_path):
    path = tmp_path / "result.json"
    done = subprocess.run([os.path.join(ROOT, "tests", "bench", "run"), "--runs", "1", "--seconds", "1", "--only",
                           "routing,firegate", "--loads", "udp64:up", "--json", str(path)],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    found = json.loads(path.read_text())
    routing, ours = (found["medians"][name]["udp64/up"] for name in ("routing", "firegate"))
    assert routing["ns"] > 0 and routing["own_ns"] == 0      # the kernel's threads of its links alone
    assert ours["ns"] > ours["own_ns"] > 0
    assert found["commit"] and found["kernel"] and found["cpu"]
