"""Raising and tearing down a lab; the hosts every lab has besides client and gateway."""
import atexit
import glob
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile

from lab import netns, topology as t
from lab.process import Process

PREFIX = "fg"
KEPT = "/run/firegate-lab"
PYTHON = "/usr/bin/python3"
SUPPORT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(SUPPORT))
_serial = itertools.count()
_up = []

HOST_SYSCTLS = {"net/ipv4/tcp_congestion_control": "reno", "net/ipv6/conf/all/disable_ipv6": 0,
                "net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/all/accept_dad": 0,
                "net/ipv4/ping_group_range": "0 2147483647"}
FORWARDING = {"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1, "net/ipv6/conf/default/forwarding": 1}


class World:
    """Namespaces and links of one lab. Hosts are addressed by role: "client", "gateway", "natc" …"""

    def __init__(self, shape, keep=False):
        self.shape, self.keep = shape, keep
        self.tag = f"{PREFIX}{os.getpid():x}-{next(_serial)}"
        self.dir = tempfile.mkdtemp(prefix=f"{self.tag}-")
        self.processes = []
        self.failed = False

    def ns(self, host):
        return f"{self.tag}-{host}"

    def path(self, name):
        return os.path.join(self.dir, name)

    # -- up ------------------------------------------------------------------------------------------------
    def up(self):
        _install_handlers()
        _up.append(self)
        sweep()
        hosts, cables = self.shape.hosts(), t.links(self.shape)
        netns.ip([f"netns add {self.ns(h)}" for h in hosts])
        for host in hosts:
            netns.sysctls(self.ns(host), HOST_SYSCTLS if host != "impair" else {"net/ipv6/conf/default/disable_ipv6": 1})
        for host in [h for h in ("gateway", "natc", "natg") if h in hosts]:
            netns.sysctls(self.ns(host), FORWARDING)
        netns.ip([f"link add {c.a_name} netns {self.ns(c.a)} type veth peer name {c.b_name} netns {self.ns(c.b)}"
                  for c in cables])
        self._addresses(cables)
        for host, kind in (("natc", self.shape.client_nat), ("natg", self.shape.gateway_nat)):
            if kind:
                netns.nft(self.ns(host), t.nat_table(kind))
        if "v4" not in self.shape.outer:
            netns.nft(self.ns("client"), t.no_direct_v4())
        if not self.shape.plain_offloads:
            for c in cables:
                netns.execute(self.ns(c.a), "ethtool", "-K", c.a_name, "tx", "off")
        for c in [c for c in cables if c.segmented]:
            for host, name in ((c.a, c.a_name), (c.b, c.b_name)):
                netns.execute(self.ns(host), "ethtool", "-K", name, "tx", "off", "gso", "off", "gro", "off")
        for host in ("client", "gateway"):
            netns.resolver(self.ns(host), t.PORTAL4)
        return self

    def _addresses(self, cables):
        per_host = {h: ["link set lo up"] for h in self.shape.hosts()}
        per_host["inet"] += ["link add br0 type bridge forward_delay 0", "link set br0 up"]
        for c in cables:
            for host, name, addresses in ((c.a, c.a_name, c.a_addresses), (c.b, c.b_name, c.b_addresses)):
                if host == "inet":
                    per_host[host].append(f"link set {name} master br0")
                per_host[host] += [f"addr add {a} dev {name}" + (" nodad" if ":" in a else "") for a in addresses]
                per_host[host].append(f"link set {name} up")
        for host, lines in per_host.items():
            netns.ip(lines, self.ns(host))
        if self.shape.attacker:
            netns.ip([f"link set eth0 address {t.SINK_MAC}"], self.ns("attacker"))
        for host, lines in t.default_routes(self.shape).items():
            netns.ip(lines, self.ns(host))

    def start(self, name, host, command, env=None):
        taken = sum(p.name == name or p.name.startswith(name + "-") for p in self.processes)
        name = f"{name}-{taken + 1}" if taken else name
        process = Process(name, self.ns(host), command, self.path(f"{name}.log"), env, self.keep)
        self.processes.append(process)
        return process

    # -- down ----------------------------------------------------------------------------------------------
    def down(self):
        if self not in _up:
            return
        _up.remove(self)
        for process in reversed(self.processes):
            process.stop(1.5)
        for name in netns.existing(self.tag + "-"):
            netns.delete(name)
        if self.failed:
            print(f"logs of the failed lab: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def leave_up(self, notes):
        """Hands the lab over to whoever calls tear_down_kept()."""
        _up.remove(self)
        os.makedirs(KEPT, exist_ok=True)
        with open(f"{KEPT}/{self.tag}.json", "w", encoding="utf-8") as f:
            json.dump({"tag": self.tag, "dir": self.dir, "notes": notes,
                       "processes": [[p.pid, _started(p.pid)] for p in self.processes if p.alive()]}, f)


def tear_down_kept():
    """Ends what leave_up left: processes by pid and start time, namespaces by tag. Returns how many labs."""
    files = glob.glob(f"{KEPT}/*.json")
    for name in files:
        with open(name, encoding="utf-8") as f:
            kept = json.load(f)
        for pid, started in reversed(kept["processes"]):
            if _started(pid) == started:
                os.kill(pid, signal.SIGKILL)
        for ns in netns.existing(kept["tag"] + "-"):
            netns.delete(ns)
        shutil.rmtree(kept["dir"], ignore_errors=True)
        os.unlink(name)
    return len(files)


def sweep():
    """Removes namespaces of labs whose process is gone (killed without a chance to clean up)."""
    kept = {os.path.basename(f)[:-5] for f in glob.glob(f"{KEPT}/*.json")}
    for name in netns.existing(PREFIX):
        owner, _, rest = name[len(PREFIX):].partition("-")
        try:
            pid = int(owner, 16)
        except ValueError:
            continue
        tag = f"{PREFIX}{owner}-{rest.partition('-')[0]}"
        if tag not in kept and not os.path.exists(f"/proc/{pid}"):
            netns.delete(name)


def _started(pid):
    """Start time of a process in clock ticks, so that a re-used pid is not mistaken for it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return int(f.read().rpartition(")")[2].split()[19])
    except OSError:
        return None


_handlers = False


def _install_handlers():
    global _handlers
    if _handlers:
        return
    _handlers = True
    atexit.register(_down_all)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: sys.exit(128 + n))


def _down_all():
    for world in list(_up):
        world.down()
