"""What the pipeline costs between memory and memory: the rows of tests/bench/pipeline."""
import json
import os
import subprocess
import tempfile

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipeline")


def measure(runs):
    """{row: {"median": ..., "unit": ..., "target": ...}}. On every CPU: workers are to run beside each other."""
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        done = subprocess.run([PROGRAM, "--runs", str(runs), "--json", result.name], capture_output=True, text=True, timeout=600,
                              check=False, preexec_fn=lambda: os.sched_setaffinity(0, range(os.cpu_count())))
        if done.returncode:
            raise RuntimeError(done.stderr.strip() or done.stdout.strip())
        with open(result.name, encoding="utf-8") as f:
            return {row["what"]: {k: row[k] for k in ("median", "unit", "target")} for row in json.load(f)["rows"]}
