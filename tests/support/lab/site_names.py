"""The site's own name server, and what a user asks it through the gateway's tunnel address (spec policy 7)."""
import re
import struct
import subprocess
import time
from dataclasses import dataclass

from lab import netns, topology as t
from lab.gateway import TUN
from lab.process import wait_for

PORT = 53535
SRV, TXT, BIG, MISSING = "_ldap._tcp.site.test", "site.test", "big.site.test", "missing.site.test"
BIG_BYTES = 2000
# Gives the client's host a route to tunnel addresses; what the gateway accepts there does not depend on it.
TUNNEL = [{"id": "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab14", "type": "cidr", "name": "tunnel", "address": "100.64.0.0/11",
           "filters": []},
          {"id": "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab16", "type": "cidr", "name": "tunnel6",
           "address": "fd00:2021:1111::/107", "filters": []}]


def records(word):
    """Options of dnsmasq; `word` is the text of site.test."""
    big = ",".join(["x" * 250] * (BIG_BYTES // 250))
    return [f"--srv-host={SRV},dc.site.test,389,5,7", f"--txt-record={TXT},{word}", f"--txt-record={BIG},{big}"]


def start(world, word="from the site", address=t.RESOURCE4, knows_firezone=True):
    """dnsmasq at an address of the resource host."""
    known = ["--host-record=firezone.dev,192.0.2.1"] if knows_firezone else []
    process = world.start("site-dns", "resource", [
        "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", f"--listen-address={address}",
        "--local=/test/", "--user=root", f"--pid-file={world.path('site-dns.pid')}", "--log-queries", "--log-facility=-", *records(word), *known])
    process.wait_log("started", 10)
    return process


def gateway_addresses(lab):
    """(IPv4, IPv6) of the gateway in the tunnel."""
    shown = netns.execute(lab.world.ns("gateway"), "ip", "-o", "addr", "show", "dev", TUN)
    return tuple(re.search(rf"{family} (\S+)/", shown)[1] for family in ("inet", "inet6"))


@dataclass
class Reply:
    """What dig understood. `status` is "timeout" or "refused" when nothing was answered."""
    status: str
    flags: list
    answers: list
    size: int
    seconds: float


def dig(world, server, name, kind, *options, host="client", seconds=8):
    command = ["ip", "netns", "exec", world.ns(host), "dig", f"@{server}", "-p", str(PORT), "+tries=1", f"+time={seconds}", *options, name, kind]
    began = time.monotonic()
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    took = time.monotonic() - began
    status = re.search(r"status: (\w+)", shown)
    if not status:
        return Reply("refused" if "refused" in shown else "timeout", [], [], 0, took)
    section = re.search(r";; ANSWER SECTION:\n(.*?)\n\n", shown, re.S)
    answers = [line.split(None, 4)[4] for line in section[1].splitlines()] if section else []
    size = re.search(r"MSG SIZE\s+rcvd: (\d+)", shown)
    return Reply(status[1], re.search(r"flags: ([^;]*);", shown)[1].split(), answers, int(size[1]), took)


def wait_answered(world, server, name=TXT, kind="TXT", seconds=20, **more):
    """The first answer of the wanted name; a path is made meanwhile."""
    def once():
        reply = dig(world, server, name, kind, seconds=2, **more)
        return reply if reply.status == "NOERROR" and reply.answers else None
    return wait_for(f"{name} {kind} answered", once, seconds, 0.2)


def query(ident, name=TXT, kind=16):
    """The bytes of a query."""
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return struct.pack("!6H", ident, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)
