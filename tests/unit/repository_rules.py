#!/usr/bin/python3
"""The repository's rules as tests.

    tests/unit/repository_rules.py               every rule against the tracked files
    tests/unit/repository_rules.py --self-test   only: does each rule catch the violation it is written for?

A rule fails when it finds something, and also when it does not catch its own sample. One line for each finding,
`file:line: what is wrong; how to mend it`; the last line is `N passed, N failed`.
"""
import argparse
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True

from rules import code, core, layout  # noqa: E402

RULES = [*layout.RULES, *code.RULES]


def tracked(root: pathlib.Path) -> core.Repository:
    listing = subprocess.run(
        ["git", "-C", root, "ls-files", "--stage", "-z"], check=True, capture_output=True, text=True
    ).stdout
    files, executables = {}, set()
    for entry in filter(None, listing.split("\0")):
        meta, path = entry.split("\t", 1)
        if meta.startswith("120000") or not (root / path).is_file():
            continue  # symbolic links, and files deleted but not yet committed
        files[path] = (root / path).read_bytes()
        if meta.startswith("100755"):
            executables.add(path)
    return core.Repository(files, executables)


def blindness(rule: core.Rule) -> str | None:
    """Why the rule proves nothing; none when it catches its sample and lets the mended sample pass."""
    if not list(rule.check(core.sample(rule.red, rule.red_executables))):
        return "does not catch its own sample"
    findings = list(rule.check(core.sample(rule.green, rule.green_executables)))
    return f"complains about its mended sample: {findings[0]}" if findings else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    repository = None if options.self_test else tracked(pathlib.Path(__file__).resolve().parents[2])
    failed = 0
    for rule in RULES:
        findings = [str(f) for f in rule.check(repository)] if repository else []
        if reason := blindness(rule):
            findings.append(f"{rule.check.__module__}.{rule.check.__name__}: {reason}; repair the rule")
        if findings:
            failed += 1
            print(f"FAILED  {rule.says}")
            print("".join(f"  {finding}\n" for finding in findings), end="")
    print(f"{len(RULES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
