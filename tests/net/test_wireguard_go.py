"""Our WireGuard against wireguard-go, in both roles, each in a namespace of its own."""
import itertools
import os
import re
import shutil
import tempfile
import time

import pytest

from lab import netns
from lab.process import BIN, Process, wait_for

OURS4, THEIRS4, PORT = "192.0.2.1", "192.0.2.2", 51820
OUR_TUNNEL, THEIR_TUNNEL = "10.9.0.1", "10.9.0.2"
_serial = itertools.count()


class Pair:
    """Two namespaces and a cable: wireguard-go in one, our peer in the other."""

    def __init__(self):
        self.tag = f"fgwg{os.getpid():x}-{next(_serial)}"
        self.ours, self.theirs = f"{self.tag}-o", f"{self.tag}-t"
        self.device = f"w{os.getpid():x}n{self.tag.rsplit('-', 1)[1]}"  # unique on the machine: its socket is a file
        self.dir = tempfile.mkdtemp(prefix=self.tag)
        self.processes = []

    def path(self, name):
        return os.path.join(self.dir, name)

    def up(self):
        netns.ip([f"netns add {self.ours}", f"netns add {self.theirs}",
                  f"link add wire netns {self.ours} type veth peer name wire netns {self.theirs}"])
        netns.ip([f"addr add {OURS4}/24 dev wire", "link set wire up", "link set lo up"], self.ours)
        netns.ip([f"addr add {THEIRS4}/24 dev wire", "link set wire up", "link set lo up"], self.theirs)
        for name in ("ours", "theirs"):
            self._write(name, netns.run("wg", "genkey"))
        self._write("psk", netns.run("wg", "genpsk"))
        self._write("wrong", netns.run("wg", "genpsk"))
        go = self._start("wireguard-go", self.theirs, ["wireguard-go", self.device],
                         {"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "verbose"})
        go.wait_log("UAPI listener started")
        return self

    def configure(self, psk="psk", endpoint=False):
        """Tells wireguard-go about us; with an endpoint it can speak first."""
        netns.run("wg", "set", self.device, "private-key", self.path("theirs"), "listen-port", str(PORT),
                  "peer", self._public("ours"), "preshared-key", self.path(psk), "allowed-ips", f"{OUR_TUNNEL}/32",
                  *(["endpoint", f"{OURS4}:{PORT}"] if endpoint else []))
        netns.ip([f"addr add {THEIR_TUNNEL}/24 dev {self.device}", f"link set {self.device} mtu 1280 up"],
                 self.theirs)

    def peer(self, **options):
        words = {"listen": PORT, "peer": f"{THEIRS4}:{PORT}", "key": self.path("ours"),
                 "remote": self._public("theirs"), "psk": self.path("psk"), "address": OUR_TUNNEL, **options}
        program = os.path.join(BIN, "firegate-wireguard-peer")
        process = self._start("peer", self.ours, [program, *(f"{k}={v}" for k, v in words.items())])
        process.wait_log("ready")
        return process

    def forge_initiations(self, rate, seconds):
        """To us, in wireguard-go's name."""
        flood = self._start("flood", self.theirs, [
            os.path.join(BIN, "firegate-lab-flood"), "kind=initiation", f"target={OURS4}:{PORT}", "interface=wire",
            f"from={THEIRS4}:4242", f"key={self._public('ours')}", f"rate={rate}", f"seconds={seconds}"])
        flood.wait_log("flooding")

    def ping_us(self, count, interval, size=56):
        """(sent, received) of a ping from wireguard-go's side."""
        out = netns.execute(self.theirs, "ping", "-c", str(count), "-i", str(interval), "-W", "2", "-s", str(size),
                            OUR_TUNNEL, check=False)
        found = re.search(r"(\d+) packets transmitted, (\d+) received", out)
        return int(found[1]), int(found[2])

    def down(self):
        for process in reversed(self.processes):
            process.stop()
        for name in (self.ours, self.theirs):
            netns.delete(name)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _start(self, name, ns, command, env=None):
        process = Process(name, ns, command, self.path(f"{name}.log"), env)
        self.processes.append(process)
        return process

    def _write(self, name, text):
        with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(text)

    def _public(self, name):
        with open(self.path(name), encoding="ascii") as f:
            return netns.run("wg", "pubkey", feed=f.read()).strip()


@pytest.fixture
def pairs():
    made = []

    def make(**configuration):
        pair = Pair()
        made.append(pair)
        pair.up().configure(**configuration)
        return pair

    yield make
    for pair in made:
        pair.down()


def summary(process):
    """Counters of our peer, which ends."""
    process.stop()
    line = re.search(r"^end (.*)$", process.log_text(), re.M)[1]
    return {k: int(v) for k, v in (word.split("=") for word in line.split())}


def pongs(process):
    return len(re.findall(r"^pong ", process.log_text(), re.M))


def test_our_handshake_is_answered_and_pings_pass(pairs):
    peer = pairs().peer(ping=THEIR_TUNNEL)
    wait_for("ten pongs", lambda: pongs(peer) >= 10, 10)
    end = summary(peer)
    assert end["sessions"] == 1 and end["bad"] == 0
    assert end["sent"] - end["pongs"] <= 1


def test_their_handshake_is_answered_and_pings_pass_at_every_size(pairs):
    pair = pairs(endpoint=True)
    peer = pair.peer(passive=1)
    assert pair.ping_us(5, 0.2) == (5, 5)
    for size in (0, 1, 15, 16, 17, 1252):
        assert pair.ping_us(1, 0.2, size) == (1, 1)
    end = summary(peer)
    assert end["sessions"] == 1 and end["bad"] == 0 and end["answered"] == 11


def test_full_size_pings_of_ours_pass(pairs):
    peer = pairs().peer(ping=THEIR_TUNNEL, size=1252)
    wait_for("ten pongs", lambda: pongs(peer) >= 10, 10)
    assert summary(peer)["bad"] == 0


def test_our_rekeys_lose_no_ping(pairs):
    peer = pairs().peer(ping=THEIR_TUNNEL, every_ms=20, handshake_every_ms=500)
    wait_for("several sessions", lambda: len(re.findall("^established", peer.log_text(), re.M)) >= 8, 20)
    end = summary(peer)
    assert end["sent"] - end["pongs"] <= 1 and end["bad"] == 0


def test_their_handshake_gets_in_with_our_cookie_while_others_are_forged(pairs):
    """The first hundred of a second need no cookie; whoever comes so early tries again elsewhere."""
    for _ in range(3):
        pair = pairs(endpoint=True)
        peer = pair.peer(passive=1)
        pair.forge_initiations(5000, 12)
        began = time.monotonic()
        pair.ping_us(1, 0.2)
        wait_for("session", lambda: "established" in peer.log_text(), 12)
        if time.monotonic() - began > 4:      # the cookie is used by the next attempt, 5 s later
            break
    else:
        raise AssertionError("never asked for a cookie")
    assert pair.ping_us(3, 0.2) == (3, 3)


def test_a_wrong_pre_shared_key_gives_no_session(pairs):
    peer = pairs(psk="wrong").peer(ping=THEIR_TUNNEL)
    time.sleep(2)
    end = summary(peer)
    assert end["sessions"] == 0 and end["pongs"] == 0 and end["bad"] >= 1


def test_the_rekey_after_two_minutes_loses_no_ping_in_either_role(pairs):
    initiating, answering = pairs(), pairs(endpoint=True)
    ours = initiating.peer(ping=THEIR_TUNNEL, every_ms=250)
    theirs = answering.peer(passive=1)
    assert answering.ping_us(500, 0.25) == (500, 500)
    wait_for("our second session", lambda: len(re.findall("^established", ours.log_text(), re.M)) == 2, 10)
    first, second = summary(ours), summary(theirs)
    assert first["sessions"] == 2 and first["bad"] == 0 and first["sent"] - first["pongs"] <= 1
    assert second["sessions"] == 2 and second["bad"] == 0 and second["answered"] == 500
