"""Steady traffic in the background: a datagram every few milliseconds, each answered or missed."""
import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass

from lab import netns, topology as t


@dataclass(frozen=True)
class Outcome:
    sent: int
    answered: int
    gap: float          # seconds: the longest run of requests in a row that nobody answered, by the times they were sent
    duplicates: int = 0     # answers beyond the first to one request
    silence: float = 0.0    # seconds: the longest time in which no answer came, late ones to queued requests included

    @property
    def lost(self):
        return self.sent - self.answered

    def __str__(self):
        return f"{self.answered} of {self.sent} answered, longest gap {self.gap:.2f} s, longest silence {self.silence:.2f} s"


class Stream(threading.Thread):
    """UDP echoes at a fixed rate. `stop()` waits for stragglers and returns the Outcome."""

    def __init__(self, world, address=t.RESOURCE4, rate=200, size=200, host="client"):
        super().__init__(daemon=True)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.entered(world.ns(host)):
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(0.2)
        self.socket.connect((address, t.ECHO))
        self.rate, self.size, self.ended = rate, size, threading.Event()
        self.sent, self.answered, self.received, self.at, self.silence = 0, set(), 0, [], 0.0
        self.receiver = threading.Thread(target=self._receive, daemon=True)

    def run(self):
        self.receiver.start()
        started = time.monotonic()
        while not self.ended.is_set():
            self.at.append(time.monotonic())
            try:
                self.socket.send(struct.pack("!I", self.sent) + bytes(self.size - 4))
            except OSError:
                pass                    # an ICMP error of an earlier datagram; the missing answer counts
            self.sent += 1
            time.sleep(max(0.0, started + self.sent / self.rate - time.monotonic()))

    def _receive(self):
        last = time.monotonic()
        while not (self.ended.is_set() and time.monotonic() - last > 0.5):
            try:
                number = struct.unpack_from("!I", self.socket.recv(65536))[0]
            except OSError:
                continue
            if self.answered:
                self.silence = max(self.silence, time.monotonic() - last)
            last = time.monotonic()
            self.answered.add(number)
            self.received += 1

    def wait_again(self, seconds=60):
        if not self.wait_steady(seconds):
            raise TimeoutError(f"requests are not answered again within {seconds} s")

    def stop(self):
        self.ended.set()
        self.join(5)
        self.receiver.join(5)
        self.socket.close()
        return Outcome(self.sent, len(self.answered), max((length for _, length in self.gaps()), default=0.0),
                       self.received - len(self.answered), self.silence)

    def gaps(self):
        """(when, seconds) of every run of requests that nobody answered; the clock is time.monotonic()."""
        found, since = [], None
        for number, at in enumerate(self.at):
            if number in self.answered:
                since = None
            elif since is None:
                since = at
                found.append((since, 1 / self.rate))
            else:
                found[-1] = (since, at - since + 1 / self.rate)
        return found

    def wait_steady(self, seconds):
        """Until half a second of requests in a row, sent from now on, has been answered; whether it came to that."""
        first, deadline = self.sent, time.monotonic() + seconds
        run = self.rate // 2
        while time.monotonic() < deadline:
            newest = self.sent - 2
            if newest - first > run and all(n in self.answered for n in range(newest - run, newest)):
                return True
            time.sleep(0.02)
        return False


def outcome_of(world, act, seconds, address=t.RESOURCE4):
    """What 50 requests a second met while `act` happened and until they were answered again."""
    stream = Stream(world, address, rate=50)
    stream.start()
    time.sleep(0.7)
    act()
    stream.wait_steady(seconds)
    time.sleep(0.3)
    return stream.stop()


@dataclass
class Ways:
    """By which way tunnel packets reached the gateway, or left it."""
    xdp: int = 0
    socket: int = 0

    @property
    def share(self):
        return self.xdp / max(1, self.xdp + self.socket)


def _counted(lab, read):
    def ask():
        return read(lab.gateway.ask("status")["status"]["backend"])
    ways, before = Ways(), ask()
    yield ways
    ways.xdp, ways.socket = (now - then for now, then in zip(ask(), before))


@contextlib.contextmanager
def data_ways(lab):
    """Counts while the block runs; the figures are there behind it."""
    yield from _counted(lab, lambda backend: (backend["data_by_xdp"], backend["data_by_socket"]))


@contextlib.contextmanager
def send_ways(lab):
    """Likewise of what the workers send."""
    yield from _counted(lab, lambda backend: (backend["sent_by_xdp"], backend["sent"] - backend["sent_by_xdp"]))
