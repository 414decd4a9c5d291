#!/usr/bin/python3
"""A cable with faults: joins two devices and loses, doubles, delays, reorders, limits or blacks out what passes.

    impair.py --inside DEV --outside DEV --seed N --control PATH.sock

Prints `ready`. Control: {"do":"set","direction":"in|out|both","loss":0.05,…}, {"do":"blackout","seconds":3},
{"do":"clear"}, {"do":"state"}; "out" is from inside to outside. Settings: impair/link.py.
"""
import argparse
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from impair.relay import Relay  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--inside", "--outside", "--seed", "--control"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    relay = Relay(arguments.inside, arguments.outside, arguments.seed)
    relay.listen(arguments.control)
    signal.signal(signal.SIGTERM, lambda *_: setattr(relay, "running", False))
    print("ready", flush=True)
    relay.run()
    print(relay.command({"do": "state"}), flush=True)


if __name__ == "__main__":
    main()
