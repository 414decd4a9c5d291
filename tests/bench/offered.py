"""The contenders under the load generator (tests/support/load): it stands on both sides of the gateway's host, which has no
other neighbours, and its packets are sealed and counted where that costs the gateway nothing."""
import os
import shlex
import tempfile

import charge
import contenders
from contenders import GATEWAY_CPU, OTHER_CPU
from lab import load, netns, topology as t
from lab.gateway import Gateway
from lab.process import wait_for
from lab.world import World

# Below the hundred handshake messages a second from which gateways ask for cookies, and those of A drop: there a connection
# has two of them, as the gateway initiates, too (spec connectivity 4.5, 4.7).
CONNECT_RATES = {"A": 40}
CONNECT_RATE = 90


class Offered(contenders.Contender):
    kind = "plain"

    def __init__(self):
        super().__init__()
        self.generator = None

    def up(self):
        self.world = World(contenders.SHAPE).up()
        load.prepare(self.world)
        self._links()
        self.raise_lab()
        return self

    def raise_lab(self):
        netns.ip([f"route add {load.CLIENT_NET4} via {t.CLIENT4}"], self.world.ns("gateway"))
        self.start_generator()

    def start_generator(self, key=""):
        self.generator = load.Generator(self.world, self.kind, key, wrapper=["taskset", "-c", str(OTHER_CPU)])

    def connect(self, clients):
        """The first so many; who was lost on the way comes again."""
        rate = CONNECT_RATES.get(self.generator.generation, CONNECT_RATE)
        self.generator.connect(clients, rate=rate, seconds=30 + clients / rate * 2)

    def offer(self, **words):
        """One load: what the gateway was charged, and what became of the packets."""
        meter, told, (own, kernel) = self._load(words)
        sent, arrived, late = (sum(told[way][key] for way in ("up", "down")) for key in ("sent", "arrived", "missed"))
        wrong = sum(told[way]["wrong"] + told[way]["unsealed"] for way in ("up", "down"))
        if wrong:
            raise RuntimeError(f"{self.name}: {wrong} packets arrived wrong or were never sent: {told}")
        arrived = max(arrived, 1)
        return {"ns": (own + kernel) / arrived, "own_ns": own / arrived, "delivered": arrived / max(sent, 1),
                "kpps": arrived / told["seconds"] / 1e3, "late": late / max(sent + late, 1),
                "busy": (own + kernel) / told["seconds"] / 1e9, "beside_ns": meter.beside / arrived}

    def _load(self, words):
        """Once more where clients were lost: gateways of A close what carried nothing for five minutes, and do not say so."""
        for is_last in (False, True):
            self.connect(words["clients"])
            meter = self.meter()
            try:
                return meter, *self.generator.load(meter, **words)
            except load.Lost as problem:
                if is_last:
                    raise
                print(f"{self.name}: {problem}, once more", flush=True)

    def ping(self, count):
        """Round trips of one packet in flight, microseconds."""
        self.connect(1)
        told = self.generator.ask("ping", count=count)
        if not told["answered"]:
            raise RuntimeError(f"{self.name}: no ping was answered")
        return {"median_us": told["median_us"], "p99_us": told["p99_us"]}

    def down(self):
        if self.generator:
            self.generator.stop()
        super().down()


class Routing(Offered):
    name = "routing"


class WireguardGo(Offered):
    name = "wireguard-go"
    kind = "wireguard"
    PORT = 51820
    PEERS = 200

    def __init__(self):
        super().__init__()
        self.program, self._version = contenders.wireguard_go()
        self.gateway = None

    def raise_lab(self):
        w = self.world
        device, namespace = f"g{w.tag}", w.ns("gateway")
        self.gateway = w.start("go", "gateway", ["taskset", "-c", str(GATEWAY_CPU), self.program, device],
                               {"WG_PROCESS_FOREGROUND": "1"})
        wait_for("wireguard-go", lambda: os.path.exists(f"/var/run/wireguard/{device}.sock"), 5)
        private = netns.run("wg", "genkey").strip()
        self.start_generator(netns.run("wg", "pubkey", feed=private).strip())
        peers = self.generator.ask("peers", clients=self.PEERS)
        with tempfile.NamedTemporaryFile("w", dir=w.dir) as f:
            f.write(f"[Interface]\nPrivateKey = {private}\nListenPort = {self.PORT}\n")
            f.writelines(f"[Peer]\nPublicKey = {p['key']}\nAllowedIPs = {p['address']}/32\n" for p in peers)
            f.flush()
            netns.run("wg", "setconf", device, f.name)
        netns.ip([f"link set {device} mtu {contenders.INNER_MTU} up", f"route add {load.CLIENT_NET4} dev {device}"], namespace)

    def pids(self):
        return charge.descendants(self.gateway.pid)

    def version(self):
        return self._version


class Firegate(Offered):
    """Our gateway, or any program that takes its environment."""
    name = "firegate"
    kind = "firezone"

    def __init__(self, command=None, backend="kernel", untracked="auto", rules=True):
        super().__init__()
        self.rules = rules
        self.command, self.gateway = shlex.split(command) if command else None, None
        self.backend, _, self.sends = backend.partition("/")
        self.untracked = untracked
        if untracked == "off":
            self.name = "tracked"
        elif command:
            self.name = os.path.basename(self.command[0])
        elif backend != "kernel":
            self.name = f"firegate {backend}"

    def raise_lab(self):
        self.gateway = Gateway(self.world, env={"FIREZONE_API_URL": f"ws://{load.PORTAL}", "RUST_LOG": "info",
                                                "FIREGATE_BACKEND": self.backend, "FIREGATE_UNTRACKED": self.untracked,
                                                **({"FIREGATE_XDP_SEND": self.sends} if self.sends else {})})
        self.gateway.rules = bool(self.command) and self.rules
        self.gateway.command = ["taskset", "-c", str(GATEWAY_CPU), *(self.command or self.gateway.command)]
        self.start_generator()
        self.gateway.start()
        self.generator.wait_joined(self.gateway.process)
        print(f"{self.name}: generation {self.generator.generation}, {self.generator.agent()}", flush=True)
        if not self.command:
            self._check_backend()

    def version(self):
        return self.generator.agent() if self.command else ""

    def _check_backend(self):
        chosen = self.gateway.ask("status")["status"]["backend"]["name"]
        if not chosen.startswith(self.backend):
            raise RuntimeError(f"asked for the backend {self.backend}, it runs with {chosen}")

    def pids(self):
        return charge.descendants(self.gateway.process.pid)

    def sink(self, **words):
        """From the wire to plaintext and no further: packets that authenticate and then bear a wrong source."""
        self.connect(words["clients"])
        before = self._spoofed()
        told, (own, kernel) = self.generator.load(self.meter(), spoofed=1, **words)
        opened = self._spoofed() - before
        if not opened:
            raise RuntimeError("no packet was opened and refused")
        return {"ns": (own + kernel) / opened, "own_ns": own / opened, "delivered": opened / told["up"]["sent"],
                "kpps": opened / told["seconds"] / 1e3}

    def _spoofed(self):
        return sum(d["count"] for d in self.gateway.ask("status")["status"]["drops"] if d["reason"] == "spoofed_source")


# -- what is measured -----------------------------------------------------------------------------------------

RUN = 64                            # of one flow in a row: what a bulk transfer looks like
MANY = {"clients": 100, "run": 1}   # each packet another client's than the one before
ONE = {"clients": 1, "run": RUN}
LOADS = {"64 many": {"sizes": 64, "rate": 40_000, **MANY}, "64 one": {"sizes": 64, "rate": 40_000, **ONE},
         "1252 many": {"sizes": 1252, "rate": 40_000, **MANY}, "1252 one": {"sizes": 1252, "rate": 40_000, **ONE}}
SIZES = (64, 256, 576, 1252)
CROWDS = (1, 10, 100, 1000, 4000)
CROWD_RUN = 16                      # packets in a row: one client's would be merged into runs, a thousand clients' would not
CROWD_RATE = 30_000
AHEAD = {64: 400_000, 1252: 100_000}
LOSS_MAX = 0.001
LATE_MAX = 0.05
FASTEST = 4e6


def words_of(load, way, seconds, rate=None):
    words = dict(LOADS[load])
    words[way] = rate or words["rate"]
    del words["rate"]
    return words | {"seconds": seconds}


def highest(contender, load, way, seconds):
    """The highest rate with less than one packet in a thousand lost, and what a packet cost there. `limit` says whose
    it was: beyond what the generator offers nothing is known."""
    size = LOADS[load]["sizes"]

    def trial(rate):
        for _ in range(2):
            run = contender.offer(**words_of(load, way, seconds, rate), ahead=AHEAD[size] if way == "up" else 0)
            if run["late"] > LATE_MAX or 1 - run["delivered"] < LOSS_MAX:
                break
        return run

    rate, best, limit = 20_000.0, None, "gateway"
    while rate < FASTEST:
        run = trial(rate)
        if run["late"] > LATE_MAX:
            limit = "generator"
        if limit == "generator" or 1 - run["delivered"] >= LOSS_MAX:
            break
        best, rate = run, rate * 1.6
    low, high = rate / 1.6, rate
    for _ in range(3):
        middle = (low + high) / 2
        run = trial(middle)
        if run["late"] <= LATE_MAX and 1 - run["delivered"] < LOSS_MAX:
            best, low = run, middle
        else:
            high = middle
    return (best | {"limit": limit}) if best else None
