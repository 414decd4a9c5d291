"""One lab under soak: its traffic, its faults, its samples."""
import itertools
import math
import os
import random
import threading
import time

from lab import topology as t
from lab.client import Client
from lab.lab import Lab
from lab.probes import Probes, until_ok
from lab.traffic import Stream
from soak import samples
from soak.faults import deck

ADDRESSES = (t.RESOURCE4, t.RESOURCE6)
GUEST_HOST = "portal"                   # a host on the open internet that is nobody's client
GUEST_SECONDS_MAX = 15
BACK_SECONDS_MAX = 30                   # traffic flows again this long after the last fault
SLOW_SECONDS = 40
SETTLE_SECONDS_MAX = 90                 # and everything counted is given back
# Three ways to meet: directly, through NATs of either kind, and through relays.
SHAPES = {"A": {"client_nat": "preserving"}, "B": {"client_nat": "random", "gateway_nat": "random"},
          "C": {"client_nat": "preserving", "gateway_nat": "preserving"}}


class Pages(threading.Thread):
    """A user: a page every second over either family, a larger one now and then."""

    def __init__(self, probes):
        super().__init__(daemon=True)
        self.probes, self.ended = probes, threading.Event()
        self.asked, self.good = 0, {address: [] for address in ADDRESSES}

    def run(self):
        while not self.ended.wait(0.5):
            self.asked += 1
            address = ADDRESSES[self.asked % 2]
            if self.asked % 10 < 2:
                answer = self.probes.download(address, 100_000, seconds=5)
            else:
                answer = self.probes.get(address, seconds=3)
            if answer.ok:
                self.good[address].append(time.monotonic())

    def back_after(self, moment):
        """Seconds from that moment to the first good page over each family began and ended; None when one is missing."""
        firsts = [next((g for g in self.good[address] if g > moment), None) for address in ADDRESSES]
        return None if None in firsts else max(firsts) - moment

    def stop(self):
        self.ended.set()
        self.join(10)


class Trial:
    def __init__(self, generation, seed):
        self.generation, self.chance = generation, random.Random(f"{seed}:{generation}")
        self.lab = Lab(generation, shape=t.Shape(relays=2, impair="gateway", **SHAPES[generation]))
        self.lab.gateway.env["RUST_LOG"] = "info"
        self.lab.client.log = "warn"
        self.guest = Client(self.lab.world, generation, "warn", name="guest", host=GUEST_HOST)
        self.guest_probes = Probes(self.lab.world, GUEST_HOST)
        self.samples, self.happened, self.complaints, self.deck, self.relay = [], [], [], [], None
        self.stream = self.pages = self.due = self.fault = None
        self.calm_since = time.monotonic()

    # -- from start to verdict -------------------------------------------------------------------------------------
    def up(self):
        self.lab.__enter__()
        for address in ADDRESSES:
            if not until_ok(lambda a=address: self.lab.probes.get(a, seconds=5), 30).ok:
                raise RuntimeError(f"{self.generation}: no page at the start")
        self.stream, self.pages = Stream(self.lab.world, rate=20), Pages(self.lab.probes)
        self.stream.start()
        self.pages.start()
        return self

    def sample(self, at):
        if self.alive():
            self.samples.append(samples.sample(self.lab, at))

    def fault_begins(self, at, left):
        """`left`: seconds until calm; what takes longer to notice than traffic may be away is not begun any more."""
        slow = left > SLOW_SECONDS
        self.deck = [f for f in self.deck if slow or not f.slow] or deck(self.lab.world.shape.hosts(), self.chance, slow)
        self.fault, began = self.deck.pop(), time.monotonic()
        seconds = self._do(self.fault.begin, self, self.chance) or 0.0
        self.happened.append({"at": round(at, 1), "fault": self.fault.name, "seconds": round(seconds, 1),
                              "moment": began})
        self.due = time.monotonic() + seconds

    def fault_ends(self):
        if self.fault is not None:
            self._do(self.fault.end, self)
        self.fault, self.due, self.calm_since = None, None, time.monotonic()

    def calm(self):
        """After the last fault: traffic is back, then everything counted is what it was at the start."""
        back = None
        while back is None and time.monotonic() < self.calm_since + BACK_SECONDS_MAX + 10:
            time.sleep(0.2)
            back = self.pages.back_after(self.calm_since)
        if back is None or back > BACK_SECONDS_MAX:
            self.complaints.append(f"no traffic within {BACK_SECONDS_MAX} s after the last fault")
        return back

    def settle(self, at):
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            self.sample(at())
            differences = samples.returned(self.samples[0], self.samples[-1])
            if not differences or time.monotonic() > deadline:
                break
            time.sleep(3)
        self.complaints += differences + samples.memory(self.samples)

    def finish(self, minutes):
        """The gateway's own end and what it leaves."""
        self.pages.stop()
        outcome = self.stream.stop()
        self._blame()
        if self.lab.gateway.stop() != 0:
            self.complaints.append(f"gateway ended with {self.lab.gateway.process.returncode()}")
        text = self.lab.gateway.process.log_text()
        self.complaints += samples.log(text, minutes) + samples.left_behind(self.lab)
        dropped = [line for line in text.splitlines() if "dropped since the start" in line]
        return {"generation": self.generation, "faults": self.happened, "samples": self.samples,
                "stream": str(outcome), "pages": f"{sum(map(len, self.pages.good.values()))} of {self.pages.asked}",
                "dropped": dropped[-1].partition("start ")[2] if dropped else "", "complaints": self.complaints}

    def _blame(self):
        """Each silence of the stream stands beside the fault before it."""
        gaps = self.stream.gaps()
        for event, following in itertools.zip_longest(self.happened, self.happened[1:]):
            until = following["moment"] if following else math.inf
            event["gap"] = round(max((length for at, length in gaps if event["moment"] - 0.1 <= at < until - 0.1),
                                     default=0.0), 2)
        for event in self.happened:
            del event["moment"]

    def down(self):
        """Keeps the logs of a lab that has complaints."""
        for thread in (self.pages, self.stream):
            if thread:
                thread.stop()
        self.lab.world.failed = self.lab.world.failed or bool(self.complaints)
        self.lab.world.down()

    def alive(self):
        return self.lab.gateway.process.alive()

    def _do(self, action, *arguments):
        try:
            return action(*arguments)
        except (OSError, RuntimeError) as e:        # TimeoutError among them: the lab itself did not do what it should
            self.complaints.append(f"{self.fault.name}: {str(e)[:300]}")
            return None

    # -- what faults ask for ---------------------------------------------------------------------------------------
    def drop(self, who):
        for kind in (who,) if who else ("gateway", "client"):
            self.lab.portal.ask("drop", who=kind)

    def guest_joins(self):
        self.guest.start()
        if not until_ok(lambda: self.guest_probes.get(t.RESOURCE4, seconds=3), GUEST_SECONDS_MAX).ok:
            self.complaints.append(f"a guest was not served within {GUEST_SECONDS_MAX} s")

    def guest_leaves(self):
        self.guest.stop()
        if os.path.exists(self.guest.control):
            os.unlink(self.guest.control)
