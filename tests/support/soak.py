#!/usr/bin/python3
"""Labs of all generations side by side under faults, and what the gateways hold meanwhile (guides/testing.md, "Soak").

    soak.py MINUTES [--seed N] [--generations ABC] [--json FILE]

Every ten seconds each lab meets a fault drawn from the seed. Afterwards traffic must be back within thirty seconds and each
gateway must hold what it held at the start: descriptors, sockets, timers, threads, rules, routes, tables, memory within
noise; its log has no errors. Exit status 1 and kept logs when one does not. FG_GATEWAY names another gateway.
"""
import argparse
import json
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from lab.world import ROOT  # noqa: E402
from soak.trial import Trial  # noqa: E402

EVERY_SECONDS = 10
WARM_SECONDS = 10
COLUMNS = ("rss kB", "threads", "fds", "sockets", "timers", "nft lines", "rules", "routes", "conntrack", "cpu s", "log kB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--generations", default="ABC")
    parser.add_argument("--json", default=os.path.join(ROOT, "build", "soak", f"{time.strftime('%Y%m%d-%H%M%S')}.json"))
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("soak: makes network namespaces: run it as root", file=sys.stderr)
        return 77
    print(f"seed {arguments.seed}", flush=True)
    trials = [Trial(g, arguments.seed) for g in arguments.generations]
    try:
        reports = soak(trials, arguments.minutes)
    except BaseException:
        for trial in trials:
            trial.lab.world.failed = True
        raise
    finally:
        for trial in trials:
            trial.down()
    verdict(reports, arguments)
    return 1 if any(r["complaints"] for r in reports) else 0


def soak(trials, minutes):
    for trial in trials:
        trial.up()
    started = time.monotonic()
    at = lambda: time.monotonic() - started     # noqa: E731
    time.sleep(WARM_SECONDS)
    for trial in trials:
        trial.sample(at())
    end = time.monotonic() + minutes * 60
    faults = {trial: time.monotonic() + EVERY_SECONDS * n / len(trials) for n, trial in enumerate(trials)}
    sample_due = time.monotonic() + EVERY_SECONDS
    while time.monotonic() < end and all(trial.alive() for trial in trials):
        for trial in trials:
            if trial.due is not None and time.monotonic() >= trial.due:
                trial.fault_ends()
            if trial.due is None and time.monotonic() >= faults[trial]:
                trial.fault_begins(at(), end - time.monotonic())
                faults[trial] = time.monotonic() + EVERY_SECONDS
                print(f"{at():7.1f}  {trial.generation}  {trial.happened[-1]['fault']}", flush=True)
        if time.monotonic() >= sample_due:
            for trial in trials:
                trial.sample(at())
            sample_due += EVERY_SECONDS
        time.sleep(0.05)
    for trial in trials:
        trial.fault_ends()
    for trial in trials:
        if not trial.alive():
            trial.complaints.append(f"gateway ended with {trial.lab.gateway.process.returncode()}")
    living = [trial for trial in trials if trial.alive()]
    for trial in living:
        back = trial.calm()
        print(f"{at():7.1f}  {trial.generation}  traffic back "
              + (f"{back:.1f} s after the last fault" if back is not None else "never"), flush=True)
    for trial in living:
        trial.settle(at)
    return [trial.finish(minutes) for trial in trials]


def worst(faults):
    """(name, seconds) of the faults after which traffic stood still longest, the fault's own time included."""
    gaps = {}
    for event in faults:
        gaps[event["fault"]] = max(gaps.get(event["fault"], 0.0), event["gap"])
    return sorted(gaps.items(), key=lambda item: -item[1])[:5]


def verdict(reports, arguments):
    for report in reports:
        samples = report["samples"]
        print(f"\n{report['generation']}  {len(report['faults'])} faults, stream {report['stream']}, pages {report['pages']}"
              + (f"\n   dropped: {report['dropped']}" if report["dropped"] else ""))
        print(f"   {'':10}" + "".join(f"{name:>11}" for name in COLUMNS))
        for name, row in (("start", samples[0]), ("most", {c: max(s[c] for s in samples) for c in COLUMNS}),
                          ("end", samples[-1])):
            print(f"   {name:10}" + "".join(f"{row[c]:>11}" for c in COLUMNS))
        print("   longest gap " + ", ".join(f"{name} {gap:.1f} s" for name, gap in worst(report["faults"])))
        for complaint in report["complaints"]:
            print(f"   FAILED  {complaint}")
    os.makedirs(os.path.dirname(os.path.abspath(arguments.json)), exist_ok=True)
    with open(arguments.json, "w", encoding="utf-8") as f:
        json.dump({"seed": arguments.seed, "minutes": arguments.minutes, "labs": reports}, f, indent=1)
    failed = sum(bool(r["complaints"]) for r in reports)
    print(f"\n{arguments.json}\n{len(reports) - failed} passed, {failed} failed")


if __name__ == "__main__":
    sys.exit(main())
