#!/usr/bin/python3
"""The lab as a demonstration: real traffic through the gateway for generations A, B and C, as one table.

    sudo tests/support/demo.py [--keep] [--down] [--generations ABC] [--portal ours|oracle]
                               [--backend auto|xdp|kernel]

Exit status 0 only if every row holds. --keep leaves the labs up and prints how to look around; --down removes them.
"""
import argparse
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from lab import topology as t  # noqa: E402
from lab.demo_rows import PLANS, Row, run_plan  # noqa: E402
from lab.process import die_with_parent  # noqa: E402
from lab.world import tear_down_kept  # noqa: E402

COLUMNS = ("gen", "path", "what", "sent", "received", "first ms", "")
WORKERS = 2
PLAN_SECONDS = 150
running = []                # workers; each tears its own lab down when it is told to end


def worker(arguments):
    """One lab in a process of its own; rows as JSON lines."""
    for row in run_plan(arguments.worker, arguments.generations, arguments.portal, arguments.keep):
        print(json.dumps(row.__dict__), flush=True)


def launch(plan, generation, arguments):
    """Rows of one lab. A worker that dies is a failed row, not a missing one."""
    command = [sys.executable, os.path.abspath(__file__), "--worker", plan, "--generations", generation,
               "--portal", arguments.portal, "--backend", arguments.backend] + ["--keep"] * arguments.keep
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: die_with_parent(signal.SIGTERM)) as process:
        running.append(process)
        try:
            out, err = process.communicate(timeout=PLAN_SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()
            out, err = process.communicate()
            err += f"\nnot finished within {PLAN_SECONDS} s"
    rows = [Row(**json.loads(line)) for line in out.splitlines() if line.startswith("{")]
    if process.returncode:
        why = (err.strip().splitlines() or ["no reason given"])[-1]
        rows.append(Row(generation, plan, "lab", "", why[:90], None, False, notes=err[-3000:]))
    return rows


def end_workers(number, _):
    for process in running:
        if process.poll() is None:
            process.terminate()
    for process in running:
        process.wait(20)
    os._exit(128 + number)


def render(rows):
    cells = [COLUMNS] + [(r.generation, r.path, r.what, r.sent, r.received,
                          "" if r.first_ms is None else f"{r.first_ms:.1f}", "ok" if r.ok else "FAIL") for r in rows]
    widths = [max(len(c[i]) for c in cells) for i in range(len(COLUMNS))]
    lines = ["  ".join(c[i].rjust(widths[i]) if i == 5 else c[i].ljust(widths[i])
                       for i in range(len(COLUMNS))).rstrip() for c in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def look_around(rows):
    print("\nThe labs are up. To look around:")
    for row in rows:
        if row.what == "lab" and row.ok:
            print(f"  {row.generation} {row.path}:\n{row.notes}")
    print(f"Tear down: sudo {os.path.relpath(os.path.abspath(__file__))} --down")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the labs up")
    parser.add_argument("--down", action="store_true", help="remove labs left by --keep")
    parser.add_argument("--generations", default="ABC")
    parser.add_argument("--portal", choices=("ours", "oracle"), default="ours")
    parser.add_argument("--backend", choices=("auto", "xdp", "kernel"), default="auto", help="of the gateway")
    parser.add_argument("--worker", choices=sorted(PLANS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("the lab makes network namespaces: run it as root (sudo)")
    os.environ["FG_BACKEND"] = arguments.backend
    if arguments.worker:
        return worker(arguments)
    if arguments.down:
        print(f"{tear_down_kept()} lab(s) removed")
        return 0
    tear_down_kept()
    signal.signal(signal.SIGTERM, end_workers)
    started = time.monotonic()
    jobs = [(plan, g) for g in arguments.generations for plan, what in PLANS.items() if what.fits(g)]
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(lambda job: launch(*job, arguments), jobs))
    rows = [row for result in results for row in result]
    shown = [r for r in rows if r.what != "lab" or not r.ok]
    print(render(shown))
    for row in shown:
        if not row.ok and row.notes:
            print(f"\n{row.generation} {row.path} {row.what}:\n{row.notes}", file=sys.stderr)
    bad = sum(not r.ok for r in shown)
    print(f"\n{len(shown) - bad} of {len(shown)} rows hold, {time.monotonic() - started:.0f} s")
    if arguments.keep:
        look_around(rows)
    return 1 if bad or not shown else 0


if __name__ == "__main__":
    sys.exit(main())
