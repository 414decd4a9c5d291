"""The load generator of the benchmark: what it says was sent, arrived and authenticated is so, a portal of each generation is
played, and a gateway that does not come up is told with the step that is missing. No verdict on speed."""
import concurrent.futures
import json
import os
import socket
import struct

import pytest

from lab import load, netns, topology as t
from lab.gateway import DEFAULT, Gateway
from lab.process import wait_for
from lab.world import ROOT, World

CLIENTS, RATE, SECONDS = 10, 2000, 2
REFUSALS = ("unknown_receiver", "session_expired", "replayed", "bad_tag", "not_allowed", "spoofed_source", "malformed_packet")
EVENTS = {"A": "connection_ready", "B": "flow_authorized", "C": "authorization_created"}


class Site:
    """Generator and gateway, which has joined a portal of that generation; any other when none is given."""

    def __init__(self, world, generation="", command=DEFAULT):
        self.world = world
        load.prepare(world)
        self.generator = load.Generator(world, generation=generation)
        self.gateway = Gateway(world, command=command, env={"FIREZONE_API_URL": f"ws://{load.PORTAL}", "RUST_LOG": "info"}).start()

    def connect(self):
        self.generator.wait_joined(self.gateway.process)
        self.generator.connect(CLIENTS)
        return self

    def losses(self):
        refused = {f"gateway: {d['reason']}": d["count"] for d in self.gateway.ask("status")["status"]["drops"]}
        return load.lost(self.world) | refused


@pytest.fixture
def world():
    world = World(t.Shape(outer=("v4",))).up()
    yield world
    world.down()


@pytest.fixture(scope="module")
def site():
    world = World(t.Shape(outer=("v4",))).up()
    try:
        made = Site(world).connect()
        yield made
        made.generator.stop()
    finally:
        world.down()


@pytest.mark.parametrize("ways", [("up",), ("down",), ("up", "down")], ids="+".join)
@pytest.mark.parametrize("sizes", ["64", "64,570,1252"])
def test_all_that_is_sent_arrives_authentic_or_is_counted_as_lost(site, ways, sizes):
    before = site.losses()
    told, _ = site.generator.load(**dict.fromkeys(ways, RATE), sizes=sizes, clients=CLIENTS, flows=3, run=4, mask=0,
                                  seconds=SECONDS)
    lost = {where: count - before.get(where, 0) for where, count in site.losses().items()}
    print(f"\n{told}\nlost: { {k: v for k, v in lost.items() if v} }")
    for way in ("up", "down"):
        assert (told[way]["sent"] > RATE * SECONDS / 10) == (way in ways)
        assert told[way]["sampled"] == told[way]["arrived"] and told[way]["wrong"] == 0
        assert told[way]["unsealed"] == 0
    missing = sum(told[w]["sent"] - told[w]["arrived"] for w in ways)
    assert 0 <= missing <= sum(lost.values())       # the kernel's own packets may be among the lost
    assert not any(lost.get(f"gateway: {reason}") for reason in REFUSALS)


def test_a_ping_in_flight_comes_back(site):
    told = site.generator.ask("ping", count=20, interval=0.01)
    print(f"\n{told}")
    assert told["answered"] == 20


@pytest.mark.parametrize("generation", ["A", "B"])
def test_a_gateway_is_spoken_to_in_the_words_of_its_generation(world, generation):
    site = Site(world, generation).connect()
    progress = site.generator.ask("progress")
    told, _ = site.generator.load(up=500, down=500, clients=CLIENTS, mask=0)
    print(f"\n{progress}\n{told}")
    assert site.generator.generation == progress["portal"]["generation"] == generation
    assert progress["portal"]["heard"][EVENTS[generation]] == CLIENTS
    assert all(told[way]["arrived"] > 100 and told[way]["wrong"] == told[way]["unsealed"] == 0 for way in ("up", "down"))
    site.generator.stop()


def test_a_gateway_is_served_as_the_generation_it_asks_for(site):
    assert site.generator.generation == "C"
    assert site.generator.ask("progress")["portal"]["heard"][EVENTS["C"]] == CLIENTS


class Recorded:
    """The portal's side of an original gateway as it was recorded: its upgrade request, its frames; it knows no ICE."""

    def __init__(self, world, generation):
        path = os.path.join(os.environ.get("FG_SHARED", os.path.join(ROOT, "..", "shared")), "recordings", generation, "direct",
                            "portal.jsonl")
        with open(path, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f]
        self.said = [line for line in lines if line["what"] == "from" and line["kind"] == "gateway"]
        asked = next(line for line in lines if line["what"] == "upgrade" and line["path"].startswith("/gateway/"))
        with netns.entered(world.ns("gateway")):
            self.socket = socket.create_connection((t.CLIENT4, t.PORTAL_PORT), 5)
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        head = "".join(f"{name}: {value}\r\n" for name, value in asked["headers"].items())
        self.socket.sendall(f"GET {asked['path']} HTTP/1.1\r\n{head}\r\n".encode())
        self.stream = self.socket.makefile("rb")
        self.status = self.stream.readline().decode()
        self.headers = dict(line.decode().lower().strip().split(": ", 1) for line in iter(self.stream.readline, b"\r\n"))

    def send(self, event, payload, ref, topic="gateway"):
        data = json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref}).encode()
        size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
        self.socket.sendall(b"\x81" + size + bytes(4) + data)      # masked with zeros

    def hear(self):
        """The next message; the portal may send it in several frames."""
        data, is_last = b"", False
        while not is_last:
            head, size = self.stream.read(2)
            is_last = head & 0x80
            size = struct.unpack("!H", self.stream.read(2))[0] if size == 126 else size
            data += self.stream.read(size)
        return json.loads(data)

    def allocate(self):
        """As much of it as the relay looks at: a nonce."""
        self.udp.sendto(struct.pack("!HHI12sHH4s", 3, 8, 0x2112A442, bytes(12), 0x15, 4, b"once"), (t.CLIENT4, 3478))

    def close(self):
        self.stream.close()
        self.socket.close()
        self.udp.close()


@pytest.mark.parametrize("generation", ["A", "B", "C"])
def test_the_portal_serves_the_words_of_recorded_gateways(world, generation):
    load.prepare(world)
    generator = load.Generator(world)
    gateway = Recorded(world, generation)
    assert gateway.status.startswith("HTTP/1.1 101 ") and gateway.headers["upgrade"] == "websocket"
    gateway.send("phx_join", None, 0)
    done = {"status": "ok", "response": {}}
    assert gateway.hear() == {"topic": "gateway", "event": "phx_reply", "ref": 0, "payload": done}
    assert gateway.hear()["event"] == "init"
    generator.wait_joined()
    gateway.send("heartbeat", {}, 1, "phoenix")
    assert gateway.hear() == {"topic": "phoenix", "event": "phx_reply", "ref": 1, "payload": done}
    gateway.allocate()
    with concurrent.futures.ThreadPoolExecutor() as other:
        connecting = other.submit(generator.ask, "connect", clients=1, seconds=6)
        asked = gateway.hear()
        assert asked["event"] == {"A": "request_connection", "B": "authorize_flow", "C": "create_authorization"}[generation]
        if generation != "A":               # and no answer: it has no relay yet
            gateway.send("no_relays", {}, 2)
            assert gateway.hear()["event"] == "relays_presence"
            assert gateway.hear() == asked
        answer = next(line for line in gateway.said if line["event"] == EVENTS[generation])["payload"]
        gateway.send(EVENTS[generation], answer | {"ref": asked["payload"]["ref"]}, 3)
        assert gateway.hear()["payload"] == done
        told = gateway.hear()
        assert told["event"] == "ice_candidates" and told["payload"]["client_id"] == asked["payload"]["client"]["id"]
        assert [line.split()[4:8] for line in told["payload"]["candidates"]] == [[t.CLIENT4, "20001", "typ", "host"]]
        assert connecting.result()["clients"] == 0
    clients = generator.ask("progress")["clients"]
    assert (clients["asked"], clients["let in"], clients["have a session"]) == (1, 1, 0)
    gateway.close()
    generator.stop()


def test_a_gateway_that_connects_again_is_told_of_the_clients_it_has(world):
    site = Site(world).connect()
    again = Recorded(world, "C")            # the second connection is the newest: it stands for the gateway from now on
    again.send("phx_join", None, 0)
    assert again.hear()["event"] == "phx_reply"
    init = again.hear()
    assert len(init["payload"]["authorizations"]) == CLIENTS
    again.close()
    site.generator.stop()


def test_clients_that_their_gateway_forgot_are_lost_and_come_again(world):
    site = Site(world).connect()
    site.generator.gateway = None
    site.gateway.stop()
    site.gateway.start()
    site.gateway.wait_tun()
    with pytest.raises(load.Lost, match=f"{CLIENTS} of {CLIENTS} flows"):
        site.generator.load(up=500, clients=CLIENTS)
    site.generator.connect(CLIENTS)
    told, _ = site.generator.load(up=500, clients=CLIENTS, mask=0)
    assert told["up"]["arrived"] > 100
    site.generator.stop()


def failure_of(action):
    with pytest.raises(RuntimeError) as caught:
        action()
    print(f"\n{caught.value}")
    return str(caught.value)


def test_of_a_gateway_that_ends_its_last_words_are_told(world):
    site = Site(world, command="sh -c 'echo no such token; exit 3'")
    text = failure_of(site.connect)
    assert "ended with 3" in text and "no such token" in text
    assert failure_of(lambda: site.generator.ask("progress")) == text
    site.generator.stop()


def test_of_a_gateway_that_never_comes_the_missing_step_is_told(world):
    site = Site(world, command="sleep 1000")
    assert "nobody connected to the portal" in failure_of(lambda: site.generator.wait_joined(site.gateway.process, 2))
    site.generator.stop()


def test_of_a_gateway_that_hears_no_relay_the_missing_step_is_told(world):
    netns.nft(world.ns("gateway"), "table ip deaf { chain in { type filter hook input priority 0; udp sport 3478 drop; }; }")
    site = Site(world)
    site.generator.wait_joined(site.gateway.process)
    text = failure_of(lambda: site.generator.connect(CLIENTS, seconds=3))
    assert "no allocation on the relay" in text and "connlib/" in text
    site.generator.stop()


def test_a_gateway_that_shakes_hands_first_is_answered(world):
    load.prepare(world)
    device, namespace = f"g{world.tag}", world.ns("gateway")
    world.start("go", "gateway", ["wireguard-go", device], {"WG_PROCESS_FOREGROUND": "1"})
    wait_for("wireguard-go", lambda: os.path.exists(f"/var/run/wireguard/{device}.sock"), 5)
    private = netns.run("wg", "genkey")
    generator = load.Generator(world, "wireguard", netns.run("wg", "pubkey", feed=private).strip())
    peer = generator.ask("peers", clients=1)[0]
    netns.run("wg", "set", device, "private-key", "/dev/stdin", "listen-port", "51820", "peer", peer["key"], "allowed-ips",
              f"{peer['address']}/32", "endpoint", f"{t.CLIENT4}:20001", feed=private)
    netns.ip([f"addr add 100.64.0.2/32 dev {device}", f"link set {device} up", f"route add {load.CLIENT_NET4} dev {device}"],
             namespace)
    netns.execute(namespace, "ping", "-c", "1", "-W", "1", peer["address"], check=False)
    wait_for("handshake", lambda: not netns.run("wg", "show", device, "latest-handshakes").rstrip().endswith("\t0"), 5)
    wait_for("session", lambda: generator.ask("progress")["clients"]["have a session"] == 1, 5)
    generator.stop()
