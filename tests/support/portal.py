#!/usr/bin/python3
"""The lab's portal: speaks to gateways, clients and relays of generations A, B and C (spec/portal.md).

    portal.py SCENARIO.json [--listen ADDR:PORT ...] [--control PATH.sock] [--log FILE] [--database FILE]

Scenario members (all but `resources` optional):
  generation      "A", "B" or "C"
  resources       client resources with `filters` added
  expires_in      lifetime of grants in seconds; null: never
  iceless         C: offer ICE-less paths to pairs that both can
  forbidden       resource ids for which authorization is refused
  upstream_dns    ["198.51.100.40:53"]
  addresses       {external id: {"ipv4", "ipv6"}} fixed tunnel addresses
  tokens          {"gateway": [...], "client": [...], "relay": [...]} accepted tokens; absent: every well-shaped one
  relay_limit, relay_limit_gateway, relay_limit_client    how many relays are told
  static_relays   relay entries handed to everybody, in front of no membership (coturn)
  statuses        {"gateway": [503, {"status": 429, "headers": {...}, "body": "x"}, 101]} answers to the next upgrades
  withhold        ["gateway:phx_join", "gateway:heartbeat"] received and counted, never answered
  join_error      {"gateway": "reason"} refused joins
  rate_limit      false: no 503 for more than one connect a second (B, C)
  extra_authorizations    that many unknown pairs in a gateway's init

Control commands are in portal/control.py: state push raw frame fragments reset cut drop crash reauthorize presence
reject update reinit forget set hold release.
"""
import argparse
import asyncio
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from portal.control import ControlSocket  # noqa: E402
from portal.server import Portal  # noqa: E402


def host_port(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def run(arguments):
    with open(arguments.scenario, encoding="utf-8") as f:
        scenario = json.load(f)
    stream = open(arguments.log, "a", encoding="utf-8") if arguments.log else sys.stdout
    portal = Portal(scenario, stream, arguments.database)
    if arguments.control:
        if os.path.exists(arguments.control):
            os.unlink(arguments.control)
        await ControlSocket(portal).listen(arguments.control)
    await portal.listen([host_port(a) for a in arguments.listen or ["0.0.0.0:8081"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--listen", action="append", metavar="ADDR:PORT")
    parser.add_argument("--control", metavar="PATH")
    parser.add_argument("--log", metavar="FILE")
    parser.add_argument("--database", metavar="FILE", help="devices, grants and resources survive a restart in it")
    try:
        asyncio.run(run(parser.parse_args()))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
