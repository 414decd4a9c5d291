#!/usr/bin/python3
"""A strict relay that behaves as Firezone's of generation A, B or C (spec connectivity 7.1-7.4).

    relay.py --ipv4 198.51.100.30 --ipv6 2001:db8:51::30 [--generation B] [--portal ws://… --token .relay]
             [--secret HEX] [--log FILE]

Prints `{"what":"listening"…}` once its sockets answer. SIGUSR1 logs counters and allocations, SIGTERM ends it.
The parts are in relay/: control.py (STUN, sans-IO), server.py (sockets), membership.py (portal).
"""
import argparse
import os
import secrets
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import stun  # noqa: E402
from relay.membership import Membership  # noqa: E402
from relay.server import PORT, Server, json_log  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ipv4")
    parser.add_argument("--ipv6")
    parser.add_argument("--generation", choices="ABC", default="B")
    parser.add_argument("--portal", help="ws://host:port of the portal to join")
    parser.add_argument("--token", default=".relay")
    parser.add_argument("--secret", default=secrets.token_hex(32))
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--log")
    arguments = parser.parse_args()
    addresses = {f: a for f, a in ((stun.V4, arguments.ipv4), (stun.V6, arguments.ipv6)) if a}
    if not addresses:
        parser.error("--ipv4 or --ipv6 is needed")
    log = json_log(open(arguments.log, "a", encoding="utf-8") if arguments.log else sys.stdout)
    server = Server(arguments.generation, arguments.secret, addresses, log, arguments.port)
    server.install_signals()
    if arguments.portal:
        Membership(arguments.portal, arguments.token, arguments.secret,
                   {"ipv4": arguments.ipv4, "ipv6": arguments.ipv6}, log, arguments.port).start()
    log("listening", generation=arguments.generation, addresses=list(addresses.values()))
    server.run()
    server.report()


if __name__ == "__main__":
    main()
