"""The impairment relay (tests/support/impair) on the cable of client or gateway; Shape(impair="client") puts it there."""
import json
import socket

from lab.process import wait_for
from lab.world import PYTHON, SUPPORT


class Impairment:
    """Directions are those of the impaired host: "out" leaves it, "in" reaches it."""

    def __init__(self, world, seed=1):
        self.world, self.control = world, world.path("impair.sock")
        self.process = world.start("impair", "impair", [
            PYTHON, f"{SUPPORT}/impair.py", "--inside", "inside", "--outside", "outside", "--seed", str(seed),
            "--control", self.control])
        wait_for("impairment relay", lambda: self.process.wait_log("ready"), 10)

    def ask(self, do, **members):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.control)
            with s.makefile("rwb") as stream:
                stream.write((json.dumps({"do": do, **members}) + "\n").encode())
                stream.flush()
                answer = json.loads(stream.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def set(self, direction="both", **settings):
        return self.ask("set", direction=direction, **settings)

    def blackout(self, seconds, direction="both"):
        return self.ask("blackout", direction=direction, seconds=seconds)

    def clear(self):
        return self.ask("clear")

    def counts(self):
        """Of both directions: {"in": {...}, "out": {...}}."""
        return {name: link["counts"] for name, link in self.ask("state").items()}
