"""The load generator and what it needs around a gateway: its clients' end of the WAN cable, its resource's of the LAN's."""
import json
import os
import subprocess

from lab import netns, topology as t
from lab.gateway import TUN
from lab.process import BIN, die_with_parent

RESOURCE_PORT = 7007
CLIENT_NET4 = "100.64.0.0/10"       # of clients inside
PORTAL = f"{t.CLIENT4}:{t.PORTAL_PORT}"
PORTS = "20001-24096"               # of clients outside
WAN, LAN = "to-gateway", "eth0"     # in the hosts "inet" and "resource"


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


def mac(world, host, device):
    return json.loads(netns.run("ip", "-n", world.ns(host), "-json", "link", "show", "dev", device))[0]["address"]


class Generator:
    """The running program. Its answers are dictionaries; an error is an exception."""

    def __init__(self, world, kind="firezone", key="", wrapper=()):
        words = {"kind": kind, "listen": PORTAL, "gateway": f"{t.GATEWAY4}:51820", "key": key,
                 "resource": f"{t.RESOURCE4}:{RESOURCE_PORT}", "wan": WAN, "wan_other": mac(world, "gateway", "eth0"),
                 "lan": LAN, "lan_host": world.ns("resource"), "lan_other": mac(world, "gateway", "eth1")}
        self._log = open(world.path("load.log"), "ab")
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", world.ns("inet"), *wrapper, os.path.join(BIN, "firegate-lab-load"),
             *(f"{k}={v}" for k, v in words.items() if v)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, bufsize=1, preexec_fn=die_with_parent)
        self.pid = self._process.pid
        self._answer("listening")

    def _answer(self, wanted=None):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"load generator ended with {self._process.wait(5)}, see {self._log.name}")
        told = json.loads(line)
        if isinstance(told, dict) and "error" in told:
            raise RuntimeError(f"load generator: {told['error']}")
        if wanted and wanted not in told:
            raise RuntimeError(f"load generator said {told}, not {wanted}")
        return told

    def wait_joined(self):
        return self._answer("joined")

    def ask(self, command, **words):
        self._process.stdin.write(" ".join([command, *(f"{k}={v}" for k, v in words.items())]) + "\n")
        return self._answer()

    def connect(self, clients, **words):
        told = self.ask("connect", clients=clients, **words)
        if told["clients"] < clients:
            raise RuntimeError(f"{told['clients']} of {clients} clients connected")
        return told

    def load(self, meter=None, **words):
        """One load. What `meter` counts is counted while it lasts."""
        self.ask("load", **words)
        if meter:
            meter.start()
        return self.ask("go"), meter.stop() if meter else None

    def stop(self):
        self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._process.stdout.close()
        self._log.close()


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
