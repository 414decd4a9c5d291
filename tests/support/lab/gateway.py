"""The gateway under test: ours, or any other program put in its place through FG_GATEWAY."""
import json
import os
import shlex
import subprocess
import urllib.error
import urllib.request

from lab import netns, topology as t
from lab.process import BIN, wait_for
from lab.services import TOKENS

DEFAULT = os.path.join(BIN, "firegate")
HEALTH = "127.0.0.1:8080"
TUN = "tun-firezone"

# What the originals' start script installs (spec operations 12): only for them, they do not translate themselves.
SCRIPT_RULES = """
table ip lab_gateway {
  chain post {
    type nat hook postrouting priority srcnat
    oifname "eth*" masquerade
  }
}
table ip6 lab_gateway {
  chain post {
    type nat hook postrouting priority srcnat
    oifname "eth*" masquerade
  }
}
"""


class Gateway:
    def __init__(self, world, command=None, env=None, backend=None):
        self.rules = bool(os.environ.get("FG_GATEWAY_RULES"))
        backend = backend or os.environ.get("FG_BACKEND")
        self.world, self.process = world, None
        self.control = world.path("control.sock")
        self.command = shlex.split(command or os.environ.get("FG_GATEWAY", DEFAULT))
        portal = t.PORTAL4 if world.shape.gateway_v4 else f"[{t.PORTAL6}]"
        self.env = {
            "FIREZONE_API_URL": f"ws://{portal}:{t.PORTAL_PORT}", "FIREZONE_TOKEN": TOKENS["gateway"],
            "FIREZONE_ID": "lab-gateway", "FIREZONE_NAME": "lab gateway", "RUST_LOG": "debug",
            "HEALTH_CHECK_ADDR": HEALTH, "FIREZONE_NO_TELEMETRY": "true",
            "FIREGATE_STATE_DIRECTORY": world.dir, "FIREGATE_CONTROL_SOCKET": self.control,
            **({"FIREGATE_BACKEND": backend} if backend else {}), **(env or {})}
        self.starts = 0

    def start(self):
        if self.starts == 0 and self.rules:
            netns.nft(self.world.ns("gateway"), SCRIPT_RULES)
        self.starts += 1
        self.process = self.world.start("gateway", "gateway", self.command, self.env)
        return self

    def wait_joined(self, portal, seconds=20):
        """Until the portal has it. Raises with the end of its log if it stops before."""
        def look():
            if not self.process.alive():
                raise RuntimeError(f"gateway ended with {self.process.returncode()}:\n{self.process.tail()}")
            return portal.state()["gateways"]
        return wait_for("gateway at the portal", look, seconds)

    def stop(self):
        return self.process.stop(10)

    def health(self, path="/readyz"):
        """(status, body) of the health listener."""
        with netns.entered(self.world.ns("gateway")):
            try:
                with urllib.request.urlopen(f"http://{HEALTH}{path}", timeout=2) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as e:
                return e.code, e.read().decode()

    def show(self, *words, before=(), socket=None):
        """`firegate status` and its kin: the finished process."""
        return subprocess.run([*before, DEFAULT, *words, "--control-socket", socket or self.control],
                              capture_output=True, text=True, timeout=30, check=False)

    def ask(self, *words):
        """The same as JSON."""
        shown = self.show(*words, "--json")
        if shown.returncode not in (0, 3):
            raise RuntimeError(f"{words}: {shown.stderr or shown.stdout}")
        return json.loads(shown.stdout)

    def drops(self):
        """Reason -> count, of those that counted."""
        return {d["reason"]: d["count"] for d in self.ask("status")["status"]["drops"]}

    def wait_tun(self, seconds=10):
        """Until the device carries the addresses of init."""
        wait_for("gateway's TUN", lambda: "inet" in netns.run(
            "ip", "-n", self.world.ns("gateway"), "addr", "show", "dev", TUN, check=False), seconds)
