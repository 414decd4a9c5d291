"""Many clients of generation B at once, coming, staying and going, beside one that keeps sending."""
import json
import os
import time

import pytest

from lab import netns, topology as t
from lab.gateway import Gateway
from lab.process import BIN, SLOWDOWN, wait_for
from lab.services import start_resource
from lab.world import World

PORTAL = f"{t.CLIENT4}:{t.PORTAL_PORT}"         # portal, relay and clients are one process on the client's host
STEADY = 50
MEMORY_MAX = 30 * 1024
IDLE_MICROSECONDS_MAX = 12    # wanted: 2, which a plain UDP program needs; more where the processors are shared
FLOOR = os.path.join(BIN, "firegate-lab-floor")


class Swarm:
    def __init__(self, world):
        self.world = world
        self.gateway = Gateway(world, env={"FIREZONE_API_URL": f"ws://{PORTAL}", "RUST_LOG": "info"})
        start_resource(world)
        self.process = None

    def start(self, **options):
        words = {"listen": PORTAL, "echo": f"{t.RESOURCE4}:{t.ECHO}", **options}
        self.process = self.world.start("swarm", "client", [
            os.path.join(BIN, "firegate-lab-swarm"), *(f"{k}={v}" for k, v in words.items())])
        self.process.wait_log("listening")
        self.gateway.start()
        self.gateway.wait_tun()
        return self

    def told(self, event, seconds):
        def look():
            found = [line for line in self.process.log_text().splitlines() if f'"event": "{event}"' in line]
            if not found and not self.process.alive() and event != "end":
                raise RuntimeError(self.process.tail())
            return json.loads(found[0]) if found else None
        return wait_for(f"swarm: {event}", look, seconds)

    def end(self):
        self.process.stop(10)
        return self.told("end", 1)

    def resident(self):
        """Bytes."""
        with open(f"/proc/{self.gateway.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def idle_cost(self, clients, seconds):
        """Microseconds of processor time a client and second, by thread; datagrams a second, taken and sent."""
        return cost_of(self.gateway.process.pid, self.world.ns("gateway"), clients, seconds)

    def floor(self, clients, seconds, taken, sent):
        """The same of a program that takes and sends as many datagrams and does nothing else."""
        half = taken / 2                    # checks of the clients; the other half answers those of the gateway
        place = f"{t.GATEWAY4}:52625"
        self.gateway.stop()
        programs = [
            self.world.start("floor", "gateway", [FLOOR, f"listen={place}", f"checks={round(half / 2)}",
                                                  f"unanswered={max(0, round((sent - taken) / 2))}"]),
            self.world.start("floor-clients", "client", [FLOOR, f"target={place}", f"rate={half}"])]
        for one in programs:
            one.wait_log("running")
        time.sleep(1)
        out = cost_of(programs[0].pid, self.world.ns("gateway"), clients, seconds)
        for one in programs:
            one.stop()
        return out


def cost_of(pid, ns, clients, seconds):
    def look():
        spent = {}
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f, \
                    open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as name:
                spent[name.read().strip()] = int(f.read().split()[0])
        with netns.entered(ns), open("/proc/thread-self/net/snmp", encoding="ascii") as f:
            udp = [line.split() for line in f if line.startswith("Udp:")][1]
        return time.monotonic(), spent, int(udp[1]), int(udp[4])

    before = look()
    time.sleep(seconds)
    after = look()
    took = after[0] - before[0]
    threads = {name: (after[1][name] - spent) / 1e3 / took / clients for name, spent in before[1].items()}
    return threads, (after[2] - before[2]) / took, (after[3] - before[3]) / took


@pytest.fixture
def swarm(bare_world):
    return Swarm(bare_world(outer=("v4",)))


def undisturbed(told):
    print(f"steady client: {told['answers']} of {told['requests']} answered, median {told['median_ms']} ms, "
          f"99 % {told['p99_ms']} ms, worst {told['worst_ms']} ms")
    assert told["lost"] == 0 and told["failed"] == 0
    assert told["requests"] > STEADY
    assert told["median_ms"] < 50 * SLOWDOWN


def test_two_hundred_at_once_all_get_service(swarm):
    """The limiter answers more than a hundred handshakes a second with cookies; whoever got one comes back with it."""
    swarm.start(clients=200, rate=10_000, steady=STEADY)
    told = swarm.told("complete", 40)
    print(f"\nall of {told['served']} served after {told['seconds']} s")
    undisturbed(swarm.end())


def test_three_hundred_come_in_ten_seconds_and_change_places(swarm):
    swarm.start(clients=300, rate=30, steady=STEADY, churn=20)
    told = swarm.told("complete", 60)
    print(f"\n{told['served']} served after {told['seconds']} s")
    time.sleep(5)
    end = swarm.end()
    print(f"{end['left']} left and were replaced")
    assert end["left"] > 50
    undisturbed(end)


@pytest.mark.long
def test_two_thousand_in_a_minute_cost_little_and_next_to_nothing_when_idle(swarm):
    count = 2000
    swarm.start(clients=count, rate=count / 60, steady=STEADY, calm=5)
    wait_for("first clients", lambda: swarm.process.alive() and swarm.resident() > 0, 5)
    time.sleep(1)                           # buffers and tables that the first clients made resident are not theirs
    before = swarm.resident()
    told = swarm.told("complete", 120)
    each = (swarm.resident() - before) / (count - count / 60)
    print(f"\n{told['served']} served after {told['seconds']} s; {each / 1024:.1f} KiB each")
    time.sleep(30)                          # silent after 5 s, idle 20 s later
    threads, taken, sent = swarm.idle_cost(count, 20)
    end = swarm.end()
    grown = (swarm.resident() - before) / count
    floor = swarm.floor(count, 20, taken, sent)
    idle = sum(threads.values())
    print(f"{idle:.2f} us a client and second when all are idle ("
          + ", ".join(f"{name} {cost:.2f}" for name, cost in sorted(threads.items()))
          + f"; {taken:.0f} datagrams/s in, {sent:.0f} out); of a plain program that moves as many "
          f"({floor[1]:.0f} in, {floor[2]:.0f} out) {sum(floor[0].values()):.2f}; {grown / 1024:.1f} KiB each at the end")
    undisturbed(end)
    assert SLOWDOWN > 1 or each <= MEMORY_MAX and idle <= IDLE_MICROSECONDS_MAX
