"""The load generator of the benchmark: what it says was sent, arrived and authenticated is so. No verdict on speed."""
import pytest

from lab import load, topology as t
from lab.gateway import Gateway
from lab.world import World

CLIENTS, RATE, SECONDS = 10, 2000, 2
REFUSALS = ("unknown_receiver", "session_expired", "replayed", "bad_tag", "not_allowed", "spoofed_source", "malformed_packet")


class Site:
    def __init__(self, world):
        self.world = world
        load.prepare(world)
        self.generator = load.Generator(world)
        self.gateway = Gateway(world, env={"FIREZONE_API_URL": f"ws://{load.PORTAL}", "RUST_LOG": "info"}).start()
        self.generator.wait_joined()
        self.generator.connect(CLIENTS)

    def losses(self):
        refused = {f"gateway: {d['reason']}": d["count"] for d in self.gateway.ask("status")["status"]["drops"]}
        return load.lost(self.world) | refused


@pytest.fixture(scope="module")
def site():
    world = World(t.Shape(outer=("v4",))).up()
    try:
        made = Site(world)
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
