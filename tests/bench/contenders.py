"""What is compared, each in a lab of its own of one shape: plain routing, wireguard-go, the gateway under test.

CPU 1 runs the gateway's side, CPU 0 everything else. What the gateway receives comes in frames of the wire's size: the other
ends of its two links do not send super-packets.
"""
import os
import shlex
import shutil
import subprocess

import charge
import loads
from lab import netns, topology as t
from lab.lab import Lab
from lab.process import BIN, wait_for
from lab.world import ROOT, World

GATEWAY_CPU, OTHER_CPU = 1, 0
INNER_MTU = 1280                        # spec connectivity 1.7
GO_MODULE = "golang.zx2c4.com/wireguard"
GO_BIN = os.path.join(ROOT, "build", "bench", "bin")
TUNNEL4 = "10.99.0."
FLOOD_SECONDS_MAX = 120
SHAPE = t.Shape(outer=("v4",))      # every tunnel over the same family


class Contender:
    name = ""

    def __init__(self):
        self.world, self.threads = None, []

    def up(self):
        self.raise_lab()
        self._links()
        loads.count_arrivals(self.world)
        return self

    def raise_lab(self):
        self.world = World(SHAPE)
        self.world.up()
        self.world.start("iperf3", "resource", ["iperf3", "-s", "-p", str(t.IPERF)])

    def _links(self):
        """What the gateway's links receive is worked on in threads on its CPU; frames come in the wire's size."""
        w = self.world
        for namespace, device in ((w.ns("inet"), "to-gateway"), (w.ns("resource"), "eth0")):
            netns.execute(namespace, "ethtool", "-K", device, "tso", "off", "gso", "off", "tx-udp-segmentation", "off")
            charge.threaded_napi(namespace, device, OTHER_CPU)
        netns.execute(w.ns("client"), "ethtool", "-K", "eth0", "gro", "on")
        for device in ("eth0", "eth1"):
            self.threads += charge.threaded_napi(w.ns("gateway"), device, GATEWAY_CPU)

    def pids(self):
        """Of the gateway's processes."""
        return []

    def version(self):
        return ""

    def meter(self):
        return charge.Meter(self.pids(), [*self.threads, charge.softirq_thread(GATEWAY_CPU)])

    def down(self):
        if self.world:
            self.world.down()


class Routing(Contender):
    name = "routing"

    def raise_lab(self):
        super().raise_lab()
        # Packets as long as in a tunnel.
        netns.ip([f"route add {t.RESOURCE4}/32 via {t.GATEWAY4} mtu {INNER_MTU}"], self.world.ns("client"))
        netns.ip([f"route add {t.CLIENT4}/32 via {t.RESOURCE_GATEWAY4} mtu {INNER_MTU}"], self.world.ns("resource"))


def wireguard_go():
    """The program and where it is from: the Go module where Go can build it, else Debian's."""
    program = os.path.join(GO_BIN, "wireguard")
    if not os.path.exists(program) and shutil.which("go"):
        subprocess.run(["go", "install", f"{GO_MODULE}@latest"], env={**os.environ, "GOBIN": GO_BIN}, cwd="/",
                       capture_output=True, check=False)
    if os.path.exists(program):
        told = subprocess.run(["go", "version", "-m", program], capture_output=True, text=True, check=False).stdout
        version = next((line.split()[2] for line in told.splitlines() if line.split()[:2] == ["mod", GO_MODULE]), "")
        return program, f"Go module {version}"
    told = subprocess.run(["dpkg-query", "--show", "wireguard-go"], capture_output=True, text=True, check=False).stdout
    return "wireguard-go", "Debian " + (told.split() or ["?", "?"])[1]


class WireguardGo(Contender):
    name = "wireguard-go"

    def __init__(self):
        super().__init__()
        self.program, self._version = wireguard_go()
        self.gateway = None

    def raise_lab(self):
        super().raise_lab()
        for host in ("gateway", "client"):
            with open(self.world.path(host), "w", encoding="ascii", opener=_private) as f:
                f.write(netns.run("wg", "genkey"))
        self._side("client", OTHER_CPU, "2", "gateway", f"{TUNNEL4}1/32,{t.RESOURCE4}/32", t.GATEWAY4)
        self.gateway = self._side("gateway", GATEWAY_CPU, "1", "client", f"{TUNNEL4}2/32", t.CLIENT4)
        netns.ip([f"route add {t.RESOURCE4}/32 dev {self._device('client')}"], self.world.ns("client"))
        netns.ip([f"route add {TUNNEL4}0/24 via {t.RESOURCE_GATEWAY4}"], self.world.ns("resource"))

    def _device(self, host):
        return f"{host[0]}{self.world.tag}"         # unique on the machine: its socket is a file

    def _side(self, host, cpu, number, peer, allowed, endpoint):
        device, namespace = self._device(host), self.world.ns(host)
        process = self.world.start(f"go-{host}", host, ["taskset", "-c", str(cpu), self.program, device],
                                   {"WG_PROCESS_FOREGROUND": "1"})
        wait_for("wireguard-go", lambda: os.path.exists(f"/var/run/wireguard/{device}.sock"), 5)
        with open(self.world.path(peer), encoding="ascii") as key:
            public = netns.run("wg", "pubkey", feed=key.read()).strip()
        netns.run("wg", "set", device, "private-key", self.world.path(host), "listen-port", "51820",
                  "peer", public, "allowed-ips", allowed, "endpoint", f"{endpoint}:51820")
        netns.ip([f"addr add {TUNNEL4}{number}/24 dev {device}", f"link set {device} mtu {INNER_MTU} up"], namespace)
        return process

    def pids(self):
        return charge.descendants(self.gateway.pid)

    def version(self):
        return self._version


class Firegate(Contender):
    """Our gateway, or any program that takes its environment, between portal, relay and client of the lab."""
    name = "firegate"
    shape = SHAPE

    def __init__(self, command=None, generation="C", rules=True):
        super().__init__()
        self.lab = Lab(generation, shape=self.shape, narrow=False)
        if command:
            self.lab.gateway.command = shlex.split(command)
            self.name = os.path.basename(self.lab.gateway.command[0])
            self.lab.gateway.rules = rules
        self.lab.gateway.command = ["taskset", "-c", str(GATEWAY_CPU), *self.lab.gateway.command]
        self.lab.gateway.env |= {"RUST_LOG": "info", "FIREGATE_BACKEND": "kernel"}
        self.lab.client.log = "info"

    def raise_lab(self):
        self.lab.up()
        self.world = self.lab.world
        self.lab.probes.get(t.RESOURCE4)
        kind, remote = self.lab.client.wait_path("direct")
        print(f"{self.name}: {kind} to {remote}", flush=True)

    def pids(self):
        return charge.descendants(self.lab.gateway.process.pid)

    def down(self):
        self.lab.world.down()


class Flooded(Firegate):
    """The same gateway while a stranger sends it handshake initiations, ten times what a core checks, during every load. Or
    sends them to another host, `elsewhere`: client and sender then share their CPU just as much, so what differs between
    the two is the gateway's."""
    shape = t.Shape(outer=("v4",), attacker=True)
    RATE = 200_000
    RUN = 16                                # of one source: they cross the hosts in between as one super-packet

    def __init__(self, command=None, generation="C", rules=True, elsewhere=False):
        super().__init__(command, generation, rules)
        self.name = "elsewhere" if elsewhere else "flooded"
        self.target = f"{t.PORTAL4}:9" if elsewhere else f"{t.GATEWAY4}:52625"

    def start_flood(self):
        key = self.lab.portal.state()["gateways"][0]["key"]
        flood = self.world.start("flood", "attacker", [
            "taskset", "-c", str(OTHER_CPU), os.path.join(BIN, "firegate-lab-flood"), "kind=initiation", f"key={key}",
            f"target={self.target}", f"rate={self.RATE}", f"run={self.RUN}", f"seconds={FLOOD_SECONDS_MAX}"])
        flood.wait_log("flooding", 30)
        return flood

    def meter(self):
        return FloodedMeter(self, super().meter())


class FloodedMeter:
    """Charges as the meter it wraps; the flood lasts as long as it does."""

    def __init__(self, contender, meter):
        self.contender, self.meter, self.flood = contender, meter, None

    def start(self):
        self.flood = self.contender.start_flood()
        self.meter.start()

    def stop(self):
        charged = self.meter.stop()
        alive = self.flood.alive()
        self.flood.stop()
        if not alive:
            raise RuntimeError(f"the flood ended before the load:\n{self.flood.tail()}")
        return charged


def _private(path, flags):
    return os.open(path, flags, 0o600)
