"""What a user on the client's host sees: pages, datagrams, pings, and how long the first answer took."""
import errno
import hashlib
import http.client
import json
import os
import socket
import struct
import time
from dataclasses import dataclass

from lab import netns, topology as t


@dataclass
class Answer:
    """Outcome of one probe. `error` is an errno name or "timeout"; `first_ms` counts from the first packet."""
    ok: bool
    sent: str
    received: str
    first_ms: float | None = None
    error: str | None = None
    body: bytes = b""


def _name(e):
    if isinstance(e, TimeoutError):
        return "timeout"
    return errno.errorcode.get(e.errno, str(e)) if getattr(e, "errno", None) else repr(e)


class Probes:
    def __init__(self, world, host="client"):
        self.world, self.ns = world, world.ns(host)

    # -- TCP -------------------------------------------------------------------------------------------------
    def connect(self, address, port, seconds=10.0):
        """A connected TCP socket of the client's host. Raises OSError."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.entered(self.ns):
            s = socket.socket(family, socket.SOCK_STREAM)
        s.settimeout(seconds)
        try:
            s.connect((address, port))
        except OSError:
            s.close()
            raise
        return s

    def get(self, address, path="/", port=t.WEB, seconds=10.0):
        """One GET; the time counts from the SYN to the first bytes of the answer."""
        return self._http("GET", address, path, port, None, seconds)

    def post(self, address, data, port=t.WEB, seconds=30.0):
        return self._http("POST", address, "/upload", port, data, seconds)

    def _http(self, method, address, path, port, data, seconds):
        started = time.monotonic()
        sent = f"{method} {path}" + (f" {len(data)} B" if data else "")
        try:
            connection = http.client.HTTPConnection(address, port, timeout=seconds)
            connection.sock = self.connect(address, port, seconds)
            connection.request(method, path, body=data)
            answer = connection.getresponse()
            first = (time.monotonic() - started) * 1000
            body = answer.read()
            connection.close()
        except (OSError, http.client.HTTPException) as e:
            return Answer(False, sent, f"no answer ({_name(e)})", (time.monotonic() - started) * 1000, _name(e))
        return Answer(answer.status == 200, sent, f"{answer.status}, {len(body)} B", first, None, body)

    def download(self, address, size, port=t.WEB, seconds=30.0):
        """GET of a known file; ok only with the right bytes."""
        from lab.services import content_sha
        answer = self.get(address, f"/size/{size}", port, seconds)
        answer.ok = answer.ok and hashlib.sha256(answer.body).hexdigest() == content_sha(size)
        answer.received += ", checksum right" if answer.ok else ", checksum WRONG"
        return answer

    def upload(self, address, size, port=t.WEB, seconds=30.0):
        data = os.urandom(size)
        answer = self.post(address, data, port, seconds)
        if answer.ok:
            told = json.loads(answer.body)
            answer.ok = told == {"length": size, "sha256": hashlib.sha256(data).hexdigest()}
            answer.received = f"{told['length']} B arrived, checksum {'right' if answer.ok else 'WRONG'}"
        return answer

    # -- UDP ---------------------------------------------------------------------------------------------------
    def udp(self, address, data=b"firegate", port=t.ECHO, seconds=3.0, attempts=3):
        """An echo, repeated when nothing comes back: datagrams may be lost while a path is made."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.entered(self.ns):
            s = socket.socket(family, socket.SOCK_DGRAM)
        started = time.monotonic()
        with s:
            level, option = ((socket.IPPROTO_IPV6, 25) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 11))
            s.setsockopt(level, option, 1)          # IPV6_RECVERR, IP_RECVERR: ICMP errors become errno
            s.settimeout(seconds)
            s.connect((address, port))
            error = "timeout"
            for _ in range(attempts):
                try:
                    s.send(data)
                    back = s.recv(65536)
                    first = (time.monotonic() - started) * 1000
                    return Answer(back == data, f"{len(data)} B datagram", f"{len(back)} B back", first, None, back)
                except TimeoutError:
                    continue
                except OSError as e:
                    error = _name(e)
                    break
        return Answer(False, f"{len(data)} B datagram", f"no answer ({error})",
                      (time.monotonic() - started) * 1000, error)

    def echo_from(self, address, source_port, data):
        """A datagram from that port to the echo service; the socket its answer comes to."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with netns.entered(self.ns):
            s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::" if family == socket.AF_INET6 else "", source_port))
        s.settimeout(3)
        s.connect((address, t.ECHO))
        s.send(data)
        return s

    # -- ICMP ---------------------------------------------------------------------------------------------------
    def ping(self, address, size=56, seconds=3.0, attempts=3):
        """An echo request; an ICMP error for it comes back as its errno."""
        v6 = ":" in address
        family, proto = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
        with netns.entered(self.ns):
            s = socket.socket(family, socket.SOCK_DGRAM, proto)
        payload, started, error = os.urandom(size), time.monotonic(), "timeout"
        with s:
            s.setsockopt(*((socket.IPPROTO_IPV6, 25, 1) if v6 else (socket.IPPROTO_IP, 11, 1)))
            s.settimeout(seconds)
            s.connect((address, 0))
            for sequence in range(attempts):
                try:
                    s.send(struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 0, sequence) + payload)
                    back = s.recv(65536)
                    first = (time.monotonic() - started) * 1000
                    ok = back[0] == (129 if v6 else 0) and back[8:] == payload
                    return Answer(ok, f"{size} B echo request", "echo reply" if ok else f"type {back[0]}", first)
                except TimeoutError:
                    continue
                except OSError as e:
                    error = _name(e)
                    break
        return Answer(False, f"{size} B echo request", f"no answer ({error})",
                      (time.monotonic() - started) * 1000, error)


def until_ok(probe, seconds=15.0):
    """The first good answer, its time counted from the first attempt; else the last bad one. A generation-A client
    may use a second resource before the gateway hears of the grant, so a first attempt can be refused. More than
    one attempt is said in `sent`."""
    started, attempts = time.monotonic(), 0
    while True:
        began = time.monotonic()
        answer = probe()
        attempts += 1
        if answer.ok or time.monotonic() - started > seconds:
            answer.first_ms += (began - started) * 1000
            if attempts > 1:
                answer.sent += f", {attempts} attempts"
            return answer
        time.sleep(0.1)


REFUSED = ("EACCES", "EHOSTUNREACH", "ENETUNREACH", "ECONNREFUSED", "EPERM")


def refused_quickly(answer, within_ms=3000):
    """An ICMP "prohibited" reached the user: an errno, not silence."""
    return not answer.ok and answer.error in REFUSED and answer.first_ms < within_ms
