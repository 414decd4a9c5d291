"""What the pipeline costs between memory and memory, with the cipher and without: figures of the micro benchmarks."""
import json
import os
import statistics
import subprocess

from lab.world import ROOT

PROGRAMS = {"with the cipher": "pipeline_bench", "without": "pipeline_null_bench", "workers": "workers_bench"}


def run(program, rounds):
    """{case: nanoseconds a packet}. Empty when it has not been built."""
    path = os.path.join(ROOT, "build", "release", "tests", program)
    if not os.access(path, os.X_OK):
        return {}
    done = subprocess.run([path, "--rounds", str(rounds), "--json"], capture_output=True, text=True, timeout=300, check=True)
    return {case: statistics.median(values) for case, values in json.loads(done.stdout).items()}


def measure(rounds):
    return {name: run(program, rounds) for name, program in PROGRAMS.items()}
