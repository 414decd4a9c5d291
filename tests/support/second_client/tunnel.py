"""wireguard-go as the tunnel: its device, its peer, and what passes the device. Keys travel over its control socket only."""
import asyncio
import base64
import ctypes
import os
import signal
import socket
import struct
import subprocess
import time

CONTROL = "/var/run/wireguard"          # in the file system, not in the namespace: device names are the machine's
MTU = 1280                              # spec connectivity 1.7
PACKET_OUTGOING = 4                     # packet(7): sent by this host
ETH_P_ALL = 3
PR_SET_PDEATHSIG = 1
GOODBYE = bytes(6) + b"\xff"            # spec connectivity 4.10: next header 0xff from :: to ::


def _die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Tunnel:
    def __init__(self, name, private_key):
        self.name, self.control = name, f"{CONTROL}/{name}.sock"
        self.process = subprocess.Popen(["wireguard-go", name], env={**os.environ, "WG_PROCESS_FOREGROUND": "1",
                                        "LOG_LEVEL": "error"}, preexec_fn=_die_with_parent)
        self._await_control()
        self._set(f"private_key={private_key.hex()}", "listen_port=0")
        self._ip("link", "set", name, "mtu", str(MTU), "up")
        self.port = self._await_port()
        self.peer = None

    def addresses(self, ipv4, ipv6):
        for address in (f"{ipv4}/32", f"{ipv6}/128"):
            self._ip("addr", "replace", address, "dev", self.name)

    def route(self, network):
        self._ip("route", "replace", str(network), "dev", self.name)

    def replace_peer(self, public_key, preshared_key, endpoint_port):
        """One peer that owns every inner address; a new one starts without any session."""
        self.remove_peer()
        self.peer = base64.b64decode(public_key).hex()
        self._set(f"public_key={self.peer}", f"preshared_key={base64.b64decode(preshared_key).hex()}",
                  f"endpoint=127.0.0.1:{endpoint_port}", "allowed_ip=0.0.0.0/0", "allowed_ip=::/0")

    def remove_peer(self):
        if self.peer:
            self._set(f"public_key={self.peer}", "remove=true")
            self.peer = None

    def close(self):
        self.process.terminate()
        self.process.wait()

    def _await_control(self):
        """The socket's file is there a moment before anyone listens."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self._ask("get=1\n\n")
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("wireguard-go does not start") from None
            time.sleep(0.01)

    def _await_port(self):
        """wireguard-go opens its socket when it has noticed that the device is up, and tells no port before."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for line in self._ask("get=1\n\n").splitlines():
                if line.startswith("listen_port="):
                    return int(line.split("=")[1])
            time.sleep(0.01)
        raise RuntimeError("wireguard-go opens no socket")

    def _set(self, *lines):
        answer = self._ask("\n".join(("set=1", *lines)) + "\n\n")
        if "errno=0" not in answer:
            raise RuntimeError(f"wireguard-go refuses: {answer.strip()}")

    def _ask(self, text):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(self.control)
            s.sendall(text.encode())
            answer = b""
            while not answer.endswith(b"\n\n"):
                part = s.recv(65536)
                if not part:
                    break
                answer += part
        return answer.decode()

    @staticmethod
    def _ip(*words):
        subprocess.run(["ip", *words], check=True)


class Tap:
    """Looks at the device: where its user wants to go, what is refused, and the gateway's goodbye."""

    def __init__(self, name, on_outbound, on_prohibited, on_goodbye):
        self.on_outbound, self.on_prohibited, self.on_goodbye = on_outbound, on_prohibited, on_goodbye
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind((name, ETH_P_ALL))
        asyncio.get_running_loop().add_reader(self.socket, self._readable)

    def _readable(self):
        for _ in range(64):
            try:
                packet, source = self.socket.recvfrom(128)
            except BlockingIOError:
                return
            if source[2] == PACKET_OUTGOING:
                self._seen(self.on_outbound, destination(packet))
            else:
                self._seen(self.on_prohibited, prohibited(packet))
                if packet[:1] == b"\x60" and packet[:7].endswith(b"\xff") and packet[8:40] == bytes(32) and packet[40] == 2:
                    self.on_goodbye()

    @staticmethod
    def _seen(callback, address):
        if address:
            callback(address)


def destination(packet):
    """Where an IP packet goes, as text; None for what is none."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        return socket.inet_ntop(socket.AF_INET, packet[16:20])
    if version == 6 and len(packet) >= 40:
        return socket.inet_ntop(socket.AF_INET6, packet[24:40])
    return None


def prohibited(packet):
    """The destination that an ICMP "administratively prohibited" is about, else None (spec policy: refusals)."""
    if len(packet) >= 28 and packet[0] >> 4 == 4 and packet[9] == 1:
        start = (packet[0] & 15) * 4
        kind = struct.unpack_from("!BB", packet, start)
        return destination(packet[start + 8:]) if kind in ((3, 9), (3, 10), (3, 13)) else None
    if len(packet) >= 88 and packet[0] >> 4 == 6 and packet[6] == 58:
        return destination(packet[48:]) if tuple(packet[40:42]) == (1, 1) else None
    return None
