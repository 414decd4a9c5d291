"""Two packet sockets, the frames that wait, and a control socket (guides/testing.md, "Faults without netem")."""
import dataclasses
import heapq
import itertools
import json
import select
import socket
import struct
import threading
import time

from impair.link import HELD_MAX, Link, too_big

ETH_P_ALL = 3
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, PACKET_IGNORE_OUTGOING = 263, 1, 1, 23     # packet(7)
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
BATCH, FRAME, BUFFER = 128, 65536, 64 << 20


def packet_socket(device):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
    s.bind((device, ETH_P_ALL))
    membership = struct.pack("@iHH8s", socket.if_nametoindex(device), PACKET_MR_PROMISC, 0, b"")
    s.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
    return s


class Relay:
    """Frames of `inside` go to `outside` ("out") and back ("in"), each direction with a Link of its own."""

    def __init__(self, inside, outside, seed):
        self.links = {"out": Link(f"{seed}:out"), "in": Link(f"{seed}:in")}
        a, b = packet_socket(inside), packet_socket(outside)
        self.routes = {a.fileno(): (a, b, self.links["out"]), b.fileno(): (b, a, self.links["in"])}
        self.waiting, self.order = [], itertools.count()
        self.running = True

    def run(self):
        poll = select.epoll()
        for fd in self.routes:
            poll.register(fd, select.EPOLLIN)
        while self.running:
            wait = max(0.0, self.waiting[0][0] - time.monotonic()) if self.waiting else 0.5
            for fd, _ in poll.poll(min(wait, 0.5)):
                self._receive(*self.routes[fd])
            self._release()

    def _receive(self, source, target, link):
        now = time.monotonic()
        clear = link.settings.none(now)
        for _ in range(BATCH):
            try:
                frame = source.recv(FRAME)
            except BlockingIOError:
                return
            except OSError:
                link.counts.send += 1               # the device went down
                return
            if clear:
                link.counts.frames += 1
                link.counts.passed += 1
                self._send(target, frame, link)
                continue
            large = link.counts.too_large
            for at in link.releases(frame, now):
                self._hold(at, now, target, frame, link)
            if link.counts.too_large > large and link.settings.icmp:
                answer = too_big(frame, link.settings.mtu)
                if answer:
                    self._send(source, answer, link)

    def _hold(self, at, now, target, frame, link):
        if at <= now and not self.waiting:
            self._send(target, frame, link)
        elif len(self.waiting) < HELD_MAX:
            heapq.heappush(self.waiting, (at, next(self.order), target, frame, link))
        else:
            link.counts.held += 1

    def _release(self):
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            _, _, target, frame, link = heapq.heappop(self.waiting)
            self._send(target, frame, link)

    @staticmethod
    def _send(target, frame, link):
        try:
            target.send(frame)
        except OSError:
            link.counts.send += 1

    # -- control ---------------------------------------------------------------------------------------------------
    def command(self, m):
        """set and blackout take `direction`: "in", "out" or "both". Raises ValueError, KeyError."""
        chosen = list(self.links.values()) if m.get("direction", "both") == "both" else [self.links[m["direction"]]]
        members = {k: v for k, v in m.items() if k not in ("do", "direction")}
        if m["do"] == "blackout":
            members = {"blackout_until": time.monotonic() + members["seconds"]}
        elif m["do"] == "clear":
            members = dataclasses.asdict(type(chosen[0].settings)())
        elif m["do"] == "state":
            return {name: {"settings": dataclasses.asdict(link.settings), "counts": dataclasses.asdict(link.counts)}
                    for name, link in self.links.items()}
        elif m["do"] != "set":
            raise ValueError(f"unknown command {m['do']!r}")
        for link in chosen:
            link.settings.change(members)
        return {"ok": True}

    def listen(self, path):
        """One JSON object a line in, one out."""
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen()
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def _accept(self, server):
        while True:
            connection, _ = server.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rwb") as stream:
            for line in stream:
                try:
                    answer = self.command(json.loads(line))
                except (ValueError, KeyError, TypeError) as e:
                    answer = {"error": repr(e)}
                stream.write((json.dumps(answer) + "\n").encode())
                stream.flush()
