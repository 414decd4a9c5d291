"""The lab's client program, and what a user on its host can do."""
import json
import os
import shlex
import socket

from lab import topology as t
from lab.process import BIN, wait_for
from lab.services import TOKENS

DEFAULT = os.path.join(BIN, "firegate-lab-client")
VERSIONS = {"A": "1.2.1", "B": "1.5.9", "C": "1.5.12"}
TUN = "tun-client"


class Client:
    def __init__(self, world, generation, log="debug", name="client", host="client"):
        self.world, self.generation, self.log, self.process = world, generation, log, None
        self.name, self.host = name, host
        self.control, self._file = world.path(f"{name}.sock"), None
        self.command = shlex.split(os.environ.get("FG_CLIENT", DEFAULT))

    def start(self):
        self._file = None
        if os.path.exists(self.control):
            os.unlink(self.control)
        self.process = self.world.start(self.name, self.host, [
            *self.command, "--api-url", f"ws://{t.PORTAL4}:{t.PORTAL_PORT}", "--token", TOKENS["client"],
            "--generation", self.generation, "--id", f"lab-{self.name}", "--tun", TUN, "--control", self.control,
            "--version", VERSIONS[self.generation], "--log", self.log])
        wait_for("client joined", self._joined, 15)
        return self

    def _joined(self):
        if not self.process.alive():
            raise RuntimeError("client ended:\n" + self.process.tail())
        if not os.path.exists(self.control):
            return False
        try:
            return self.state().get("joined")
        except OSError:
            return False

    def stop(self):
        if self._file:
            self._file.close()
            self._file = None
        return self.process.stop()

    def kill(self):
        """Gone without a goodbye."""
        if self._file:
            self._file.close()
            self._file = None
        self.process.kill()

    def ask(self, do, **members):
        if self._file is None:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(10)
            try:
                s.connect(self.control)
                self._file = s.makefile("rwb")
            finally:
                s.close()
        self._file.write((json.dumps({"do": do, **members}) + "\n").encode())
        self._file.flush()
        line = self._file.readline()
        if not line:
            raise RuntimeError("client closed its control socket:\n" + self.process.tail())
        return json.loads(line)

    def state(self):
        return self.ask("state")

    def connect(self, resource):
        return self.ask("connect", resource=resource)

    def resolve(self, name, **through):
        """The proxy addresses an application gets for the name: {"v4": […], "v6": […]}."""
        return self.ask("resolve", name=name, **through)

    def inner(self, packet):
        """Sends that packet through the tunnel as it is."""
        answer = self.ask("inner", hex=packet.hex())
        if "error" in answer:
            raise RuntimeError("packet not sent: no connection")

    def goodbye(self):
        return self.ask("goodbye")

    def gateways(self):
        return self.state().get("gateways", [])

    def path(self):
        """"direct" or "relayed" and the remote address of the first connected gateway, else (None, None)."""
        for gateway in self.gateways():
            if gateway.get("state") == "connected":
                return gateway.get("path"), gateway.get("remote")
        return None, None

    def wait_path(self, wanted=None, seconds=20):
        def look():
            kind, remote = self.path()
            return (kind, remote) if kind and wanted in (None, kind) else None
        return wait_for(f"path {wanted or 'any'}", look, seconds)
