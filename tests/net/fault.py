"""Fifty requests a second around something that befalls the portal's connection."""
import time

from lab.process import wait_for
from lab.traffic import Stream

JOIN = "gateway:phx_join"


def joins(lab):
    return lab.portal.state()["counts"].get(JOIN, 0)


class Traffic:
    """Fifty requests a second around a fault; none may stay unanswered."""

    def __init__(self, lab, rejoins, seconds=15, more=0.5):
        self.lab, self.rejoins, self.seconds, self.more = lab, rejoins, seconds, more

    def __enter__(self):
        self.before = joins(self.lab)
        self.stream = Stream(self.lab.world, rate=50)
        self.stream.start()
        time.sleep(0.3)
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                if self.rejoins:
                    wait_for("gateway joined again", self.joined, self.seconds)
                time.sleep(self.more)
                assert joins(self.lab) == self.before + self.rejoins
        finally:
            outcome = self.stream.stop()
        print(f"{self.lab.generation}: {outcome}")
        assert outcome.sent > 20 and not outcome.lost, outcome

    def joined(self):
        state = self.lab.portal.state()
        return state["gateways"] and state["counts"].get(JOIN, 0) >= self.before + self.rejoins
