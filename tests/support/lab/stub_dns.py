"""The resolver on the client's host: names of DNS resources get the proxy addresses the client hands out for them, all other
names do not exist. Listens where the host's resolv.conf then points, so that curl and getent work as on a user's machine."""
import socket
import struct
import threading

from lab import netns

ADDRESS = "127.0.0.1"
A, AAAA = 1, 28
NO_ERROR, FORMAT_ERROR, NO_NAME = 0, 1, 3


class NameServer(threading.Thread):
    """Answers queries that reach this address in a namespace; until stop()."""

    def __init__(self, namespace, address):
        super().__init__(daemon=True)
        with netns.entered(namespace):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.socket.settimeout(0.2)
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.is_set():
            try:
                query, source = self.socket.recvfrom(4096)
            except TimeoutError:
                continue
            self.socket.sendto(self.answer(query), source)

    def stop(self):
        self.ended.set()
        self.join(5)
        self.socket.close()

    def answer(self, query):
        """There are no names."""
        try:
            return reply(query[:question(query)[2]], NO_NAME)
        except (IndexError, struct.error, UnicodeDecodeError):
            return reply(query[:12], FORMAT_ERROR)


class StubDns(NameServer):
    def __init__(self, lab):
        self.client = lab.client
        self.asked = []                 # (name, type), as they came
        namespace = lab.world.ns(lab.client.host)
        netns.execute(namespace, "ip", "link", "set", "lo", "up")
        super().__init__(namespace, ADDRESS)
        netns.resolver(namespace, ADDRESS)

    def answer(self, query):
        try:
            name, kind, end = question(query)
        except (IndexError, struct.error, UnicodeDecodeError):
            return reply(query[:12], FORMAT_ERROR)
        self.asked.append((name, kind))
        found = self.client.resolve(name)
        if not found["v4"] + found["v6"]:
            return reply(query[:end], NO_NAME)
        addresses = {A: found["v4"], AAAA: found["v6"]}.get(kind, [])
        return reply(query[:end], NO_ERROR, kind, addresses)


def question(query):
    """(name, type, where the question ends) of a query with one question."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1:at + 1 + length].decode("ascii"))
        at += 1 + length
    kind, _ = struct.unpack_from("!HH", query, at + 1)
    return ".".join(labels).lower(), kind, at + 5


def reply(asked, code, kind=0, addresses=()):
    """`asked` is the query up to the end of its question."""
    questions = 1 if len(asked) > 12 else 0
    out = asked[:2] + struct.pack("!HHHHH", 0x8180 | code, questions, len(addresses), 0, 0) + asked[12:]
    for address in addresses:
        packed = socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, address)
        out += struct.pack("!HHHIH", 0xC00C, kind, 1, 1, len(packed)) + packed
    return out
