"""The load generator of the benchmark: what it says was sent, arrived and authenticated is so, a portal of each generation is
played, and a gateway that does not come up is told with the step that is missing. No verdict on speed."""
import os

import pytest

from lab import load, netns, topology as t
from lab.gateway import DEFAULT, Gateway
from lab.process import wait_for
from lab.world import World

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


def failure_of(action):
    with pytest.raises(RuntimeError) as caught:
        action()
    print(f"\n{caught.value}")
    return str(caught.value)


def test_of_a_gateway_that_ends_its_last_words_are_told(world):
    site = Site(world, command="sh -c 'echo no such token; exit 3'")
    text = failure_of(site.connect)
    assert "ended with 3" in text and "no such token" in text
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
