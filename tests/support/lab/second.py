"""The second client (tests/support/second_client) in the lab client's place."""
import itertools
import json
import os

from lab import topology as t
from lab.process import wait_for
from lab.services import TOKENS
from lab.world import PYTHON, SUPPORT

_serial = itertools.count()


class SecondClient:
    """Generation B. `turn`: gathers a relayed candidate of its own; `nomination`: "aggressive" or "regular"."""

    def __init__(self, world, turn=False, nomination="aggressive"):
        self.world, self.process, self.options = world, None, {"turn": turn, "nomination": nomination}

    def start(self):
        config = self.world.path("second.json")
        # The device's name belongs to the machine, not to the namespace.
        device = f"second{os.getpid():x}{next(_serial)}"[:15]
        with open(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            json.dump({"api_url": f"ws://{t.PORTAL4}:{t.PORTAL_PORT}", "token": TOKENS["client"], "id": "second-client",
                       "device": device, **self.options}, f)
        self.process = self.world.start("second", "client", [PYTHON, f"{SUPPORT}/second_client/main.py", config])
        wait_for("second client joined", self._joined, 20)
        return self

    def _joined(self):
        if not self.process.alive():
            raise RuntimeError("second client ended:\n" + self.process.tail())
        return self.events("init")

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.kill()

    def events(self, what=None):
        """What it told so far, oldest first."""
        lines = [line for line in self.process.log_text().splitlines() if line.startswith("{")]
        return [e for e in map(json.loads, lines) if what in (None, e["what"])]

    def path(self):
        """(kind, remote) of the latest path, (None, None) before the first."""
        paths = self.events("path")
        return (paths[-1]["kind"], paths[-1]["remote"]) if paths else (None, None)

    def wait_path(self, wanted=None, seconds=20):
        def look():
            kind, remote = self.path()
            return (kind, remote) if kind and wanted in (None, kind) else None
        return wait_for(f"path {wanted or 'any'}", look, seconds)
