"""Sockets of the relay: one epoll loop for control, relay ports and both directions of data."""
import errno
import json
import os
import select
import signal
import socket
import time

import stun
from relay.control import Control

PORT = 3478                # spec connectivity 7.1: everything to clients leaves from here
BATCH = 64                 # datagrams taken from one socket before the others get their turn
BUFFER = 8 << 20
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33        # socket(7); the relay runs as root


def _udp(ip, port):
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        s.bind((ip, port))
    except OSError:
        s.close()
        raise
    return s


class Server:
    """Owns the sockets; hands STUN to Control and moves ChannelData itself (spec connectivity 7.4)."""

    def __init__(self, generation, secret, addresses, log, port=PORT):
        self.log, self.epoll = log, select.epoll()
        self.relay = {}            # client -> {family: socket}
        self.owner = {}            # relay socket fileno -> (socket, client)
        self.counts = {"to_peer": 0, "to_client": 0, "drop:unbound": 0, "drop:no channel": 0, "drop:short": 0,
                       "drop:send": 0}
        self.front = {f: _udp(ip, port) for f, ip in addresses.items()}
        self.front_by_fd = {s.fileno(): s for s in self.front.values()}
        for fd in self.front_by_fd:
            self.epoll.register(fd, select.EPOLLIN)
        self.control = Control(generation, secret, addresses, self, time.time)
        self.running = True

    # -- what Control asks for ---------------------------------------------------------------------------
    def open(self, client, sockets):
        opened = {}
        try:
            for family, (ip, port) in sockets.items():
                opened[family] = _udp(ip, port)
        except OSError as e:
            for s in opened.values():
                s.close()
            self.log("port", why=str(e))
            return False
        self.relay[client] = opened
        for s in opened.values():
            self.owner[s.fileno()] = (s, client)
            self.epoll.register(s.fileno(), select.EPOLLIN)
        return True

    def close(self, client):
        for s in self.relay.pop(client, {}).values():
            self.epoll.unregister(s.fileno())
            del self.owner[s.fileno()]
            s.close()

    # -- the loop -----------------------------------------------------------------------------------------
    def run(self):
        next_tick = 0.0
        while self.running:
            try:
                events = self.epoll.poll(1.0)
            except InterruptedError:
                continue
            now = time.monotonic()
            for fd, _ in events:
                if fd in self.front_by_fd:
                    self._from_clients(self.front_by_fd[fd], now)
                elif fd in self.owner:
                    self._from_peers(*self.owner[fd], now)
            if now >= next_tick:
                self.control.tick(now)
                next_tick = now + 1.0

    def stop(self, *_):
        self.running = False

    def _from_clients(self, s, now):
        for _ in range(BATCH):
            try:
                data, source = s.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError as e:
                self._failed(e)
                continue
            client = source[:2]
            if data and 0x40 <= data[0] <= 0x7F:
                self._to_peer(data, client, now)
                continue
            answer = self.control.handle(data, client, now)
            if answer:
                self._send(s, answer, client)

    def _to_peer(self, data, client, now):
        allocation = self.control.allocations.get(client)
        if allocation is None or len(data) < 4:
            self.counts["drop:unbound"] += 1
            return
        length = data[2] << 8 | data[3]
        if len(data) - 4 < length:
            self.counts["drop:short"] += 1
            return
        if self.control.generation != "B" and len(data) - 4 != length:
            self.counts["drop:short"] += 1       # the fast path is exact (spec connectivity 7.6)
            return
        channel = allocation.by_number.get(data[0] << 8 | data[1])
        if channel is None or not channel.live(now):
            self.counts["drop:unbound"] += 1
            return
        family = stun.V6 if ":" in channel.peer[0] else stun.V4
        if self._send(self.relay[client][family], data[4:4 + length], channel.peer):
            self.counts["to_peer"] += 1

    def _from_peers(self, s, client, now):
        allocation = self.control.allocations[client]
        front = self.front[stun.V6 if ":" in client[0] else stun.V4]
        for _ in range(BATCH):
            try:
                data, source = s.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError as e:
                self._failed(e)
                continue
            channel = allocation.by_peer.get(source[:2])
            if channel is None or not channel.live(now):
                self.counts["drop:no channel"] += 1
                continue
            head = bytes((channel.number >> 8, channel.number & 0xFF, len(data) >> 8, len(data) & 0xFF))
            if self._send(front, head + data, client):
                self.counts["to_client"] += 1

    def _send(self, s, data, to):
        try:
            s.sendto(data, to)
            return True
        except OSError as e:
            self._failed(e)
            return False

    def _failed(self, e):
        # An ICMP error of an earlier datagram surfaces here; a relay has nobody to tell.
        self.counts["drop:send"] += 1
        if e.errno not in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EAGAIN, errno.EACCES,
                           errno.EINVAL, errno.EMSGSIZE):
            self.log("socket", why=str(e))

    def report(self, *_):
        self.log("counts", data=self.counts, stun=self.control.counts,
                 allocations=[{"client": list(a.client), "port": a.port, "channels": {
                     hex(c.number): list(c.peer) for c in a.by_number.values()}}
                     for a in self.control.allocations.values()])

    def install_signals(self):
        signal.signal(signal.SIGUSR1, self.report)
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)


def json_log(stream):
    """One write a line: a signal's report may come in the middle of another line, the thread to the portal at any time."""
    def log(what, **members):
        line = json.dumps({"t": round(time.time(), 3), "what": what, **members}) + "\n"
        os.write(stream.fileno(), line.encode())
    return log
