"""The load generator and what it needs around a gateway: its clients' end of the WAN cable, its resource's of the LAN's."""
import json
import os
import select
import subprocess
import time

from lab import netns, topology as t
from lab.gateway import TUN
from lab.process import BIN, SLOWDOWN, die_with_parent
from lab.stub_dns import NameServer

RESOURCE_PORT = 7007
CLIENT_NET4 = "100.64.0.0/10"       # of clients inside
PORTAL = f"{t.CLIENT4}:{t.PORTAL_PORT}"
PORTS = "20001-24096"               # of clients outside
WAN, LAN = "to-gateway", "eth0"     # in the hosts "inet" and "resource"
JOIN_SECONDS = 30                   # originals of B and C give up after 15 (spec portal 1.6)
ANSWER_SECONDS = 900                # the longest: thousands of clients that connect
LOOK = 0.5                          # seconds between looks at the gateway while the generator is busy


def prepare(world):
    """The internet shrinks to a cable between clients and gateway; what a load sends ends where it is counted."""
    inet, resource = world.ns("inet"), world.ns("resource")
    netns.ip([f"link set {WAN} nomaster", f"addr add {t.CLIENT4}/24 dev {WAN}"], inet)
    netns.ip([f"route add {CLIENT_NET4} via {t.RESOURCE_GATEWAY4}"], resource)
    for host, device, which in ((inet, WAN, [f"udp dport {PORTS}", f"ip daddr {CLIENT_NET4}"]),
                                (resource, LAN, [f"udp dport {RESOURCE_PORT}"])):
        rules = "\n    ".join(f"{match} drop" for match in which)
        netns.nft(host, f"""
table netdev load {{
  chain arrived {{
    type filter hook ingress device {device} priority filter
    {rules}
  }}
}}
""")
    netns.resolver(world.ns("gateway"), t.CLIENT4)


def mac(world, host, device):
    return json.loads(netns.run("ip", "-n", world.ns(host), "-json", "link", "show", "dev", device))[0]["address"]


class Lost(RuntimeError):
    """Clients whose gateway no longer knows them; they come again with the next connect()."""


class Generator:
    """The running program. Its answers are dictionaries; an error is an exception."""

    def __init__(self, world, kind="firezone", key="", wrapper=(), generation=""):
        self.generation, self.gateway, self._read = generation, None, b""
        words = {"kind": kind, "listen": PORTAL, "gateway": f"{t.GATEWAY4}:51820", "key": key,
                 "resource": f"{t.RESOURCE4}:{RESOURCE_PORT}", "generation": generation, "wan": WAN, "wan_other": mac(world, "gateway", "eth0"),
                 "lan": LAN, "lan_host": world.ns("resource"), "lan_other": mac(world, "gateway", "eth1")}
        self._log = open(world.path("load.log"), "ab")
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", world.ns("inet"), *wrapper, os.path.join(BIN, "firegate-lab-load"),
             *(f"{k}={v}" for k, v in words.items() if v)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0, preexec_fn=die_with_parent)
        self.pid = self._process.pid
        # Originals want a name server, and wait for its answers.
        self._names = NameServer(world.ns("inet"), t.CLIENT4)
        self._answer("listening")

    def _line(self, seconds):
        """The next line it says; none when time is up. A gateway that ends meanwhile is an exception."""
        deadline = time.monotonic() + seconds * SLOWDOWN
        while b"\n" not in self._read:
            if time.monotonic() > deadline:
                return None
            self._look_at_gateway()
            if not select.select([self._process.stdout], [], [], LOOK)[0]:
                continue
            some = os.read(self._process.stdout.fileno(), 1 << 16)
            if not some:
                with open(self._log.name, encoding="utf-8", errors="replace") as f:
                    raise RuntimeError(f"load generator ended with {self._process.wait(5)}: {f.read().strip()}")
            self._read += some
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _answer(self, wanted=None, seconds=ANSWER_SECONDS):
        line = self._line(seconds)
        if line is None:
            raise TimeoutError(f"load generator: no answer within {seconds} s")
        told = json.loads(line)
        if isinstance(told, dict) and "error" in told:
            raise (Lost if told["error"].startswith("lost:") else RuntimeError)(f"load generator: {told['error']}")
        if wanted and wanted not in told:
            raise RuntimeError(f"load generator said {told}, not {wanted}")
        return told

    def wait_joined(self, gateway=None, seconds=JOIN_SECONDS):
        """Until that gateway, a process of the lab, has joined the portal; afterwards its end is noticed, too."""
        self.gateway = gateway
        line = self._line(seconds)
        if line is None:
            raise RuntimeError(f"the gateway did not join within {seconds} s: {self._why()}")
        self.generation = json.loads(line)["joined"]

    def _look_at_gateway(self):
        if self.gateway and not self.gateway.alive():
            raise RuntimeError(f"the gateway ended with {self.gateway.returncode()}; its log ends:\n{self.gateway.tail()}")

    def ask(self, command, **words):
        self._look_at_gateway()             # an answer from before it ended may still be there
        self._process.stdin.write((" ".join([command, *(f"{k}={v}" for k, v in words.items())]) + "\n").encode())
        return self._answer()

    def agent(self):
        """What the gateway calls itself."""
        return self.ask("progress")["portal"]["agent"]

    def connect(self, clients, **words):
        told = self.ask("connect", clients=clients, **words)
        if told["clients"] < clients:
            raise RuntimeError(f"{told['clients']} of {clients} clients connected: {self._why()}")
        return told

    def _why(self):
        tail = f"; the gateway's log ends:\n{self.gateway.tail()}" if self.gateway else ""
        return missing(self.ask("progress")) + tail

    def load(self, meter=None, **words):
        """One load. What `meter` counts is counted while it lasts."""
        self.ask("load", **words)
        if meter:
            meter.start()
        told, charged = self.ask("go"), meter.stop() if meter else None
        if words.get("down"):
            self.ask("acknowledge")
        return told, charged

    def stop(self):
        self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process.stdout.close()
        self._log.close()
        self._names.stop()


def missing(progress):
    """The first step that a gateway or its clients did not take."""
    portal, relay, clients = progress["portal"], progress["relay"], progress["clients"]
    seen = f"{portal['agent']!r} asked for {portal['path']}"
    if not portal["connections"]:
        return f"nobody connected to the portal, {PORTAL}"
    if not portal["path"]:
        return f"{portal['connections']} connections to the portal, no request by any of them"
    if not portal["joined"]:
        return f"{seen} and {'was refused' if portal['refused'] else 'did not join'}"
    if not relay["allocations"]:
        return f"{seen}; no allocation on the relay: {relay}"
    steps = ["let in", "know where it is", "have a path", "have a session"]
    step = next((s for s in steps if clients[s] < clients["asked"]), "all have a session, and others were lost")
    return f"{seen}, spoken to as {portal['generation']}; not all {step}: {clients}, events {portal['heard']}, relay {relay}"


def lost(world):
    """Packets of a load that a device or socket had no place for, so far: {where: packets}."""
    out = {}
    for host, device in (("inet", WAN), ("resource", LAN), ("gateway", "eth0"), ("gateway", "eth1"), ("gateway", TUN)):
        shown = netns.run("ip", "-n", world.ns(host), "-json", "-s", "link", "show", "dev", device, check=False)
        stats = json.loads(shown or '[{"stats64": {"rx": {"dropped": 0}, "tx": {"dropped": 0}}}]')[0]["stats64"]
        out[f"{host} {device}"] = stats["tx"]["dropped"] + (stats["rx"]["dropped"] if device == TUN else 0)
    with netns.entered(world.ns("gateway")), open("/proc/thread-self/net/snmp", encoding="ascii") as f:
        names, values = (line.split() for line in f if line.startswith("Udp:"))
    out["gateway's sockets"] = int(values[names.index("RcvbufErrors")]) + int(values[names.index("SndbufErrors")])
    return out
