"""A relay that lies: answers every request of the gateway as one of its moods says. For tests of the gateway."""
import os
import random
import socket
import threading

import stun
from lab import netns
from relay.control import REALM

USER, PASSWORD = "2145916800:hostile", "hostile"
KEY = stun.long_term_key(USER, REALM, PASSWORD)
ALTERNATE_SERVER = 0x8023
PUBLIC, NOWHERE = ("203.0.113.66", 4000), ("0.0.0.0", 0)


class Hostile(threading.Thread):
    """One socket of a relay host. `asked` counts what arrived, by method."""

    def __init__(self, world, host, address):
        super().__init__(daemon=True)
        with netns.entered(world.ns(host)):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 3478))
        self.socket.settimeout(0.1)
        self.mood, self.asked, self.ended = None, 0, threading.Event()
        self.random = random.Random(7)

    def entries(self, ident):
        return [{"id": ident, "type": "turn", "addr": "%s:%d" % self.socket.getsockname(), "username": USER,
                 "password": PASSWORD, "expires_at": 2145916800}]

    def run(self):
        while not self.ended.is_set():
            try:
                data, source = self.socket.recvfrom(2048)
                request = stun.decode(data)
            except (TimeoutError, stun.Malformed):
                continue
            self.asked += 1
            for answer in getattr(self, self.mood)(request, source):
                self.socket.sendto(answer, source)

    def stop(self):
        self.ended.set()
        self.join()
        self.socket.close()

    # -- moods: requests in, datagrams out ------------------------------------------------------------------
    def other_transactions(self, request, source):
        honest = self._granted(request, source)
        return [honest[:8] + os.urandom(12) + honest[20:] for _ in range(20)]

    def wrong_integrity(self, request, source):
        if request.method == stun.BINDING:
            return [self._granted(request, source)]
        return [self._granted(request, source, key=b"x" * 16), self._refused(request, 401, key=b"x" * 16),
                self._refused(request, 437, key=b"x" * 16), self._refused(request, 420, key=b"x" * 16)]

    def nonsense_addresses(self, request, source):
        """Signed and well-formed, but nowhere: unspecified, multicast, and IPv6 for a socket that speaks IPv4."""
        where = self.random.choice([NOWHERE, ("224.0.0.1", 5), ("2001:db8::66", 5)])
        return [self._granted(request, where, relayed=[NOWHERE, ("ff02::1", 9)])]

    def redirects(self, request, source):
        if request.method == stun.BINDING:
            return [self._granted(request, source)]
        elsewhere = (ALTERNATE_SERVER, b"\0\1\x0d\x96" + socket.inet_aton("198.51.100.40"))
        return [self._refused(request, 300, more=[elsewhere])]

    def challenges_for_ever(self, request, source):
        if request.method == stun.BINDING:
            return [self._granted(request, source)]
        return [self._refused(request, self.random.choice([401, 438]), nonce=os.urandom(8).hex().encode())] * 50

    def challenges_without_nonce(self, request, source):
        if request.method == stun.BINDING:
            return [self._granted(request, source)]
        return [self._refused(request, 401, nonce=None)] * 50

    def mismatch_for_ever(self, request, source):
        if request.method == stun.BINDING:
            return [self._granted(request, source)]
        return [self._refused(request, 437)]

    def garbage_channel_data(self, request, source):
        """An allocation, and then channel data that nobody asked for, with lengths of every kind."""
        out = [self._granted(request, source, relayed=[PUBLIC])]
        for _ in range(200):
            body = os.urandom(self.random.randrange(0, 64))
            length = self.random.choice([len(body), 0, 0xFFFF, len(body) + 1])
            out.append(self.random.randrange(0x4000, 0x5000).to_bytes(2, "big") + length.to_bytes(2, "big") + body)
        return out

    def _granted(self, request, mapped, relayed=(PUBLIC,), key=KEY):
        answer = stun.Message(request.method, stun.SUCCESS, request.transaction)
        for address in relayed if request.method == stun.ALLOCATE else ():
            answer.add(stun.XOR_RELAYED_ADDRESS, stun.xor_address(*address, request.transaction))
        if request.method in (stun.BINDING, stun.ALLOCATE):
            answer.add(stun.XOR_MAPPED_ADDRESS, stun.xor_address(*mapped, request.transaction))
        if request.method in (stun.ALLOCATE, stun.REFRESH):
            answer.add(stun.LIFETIME, stun.u32(600))
        return answer.encode(None if request.method == stun.BINDING else key)

    def _refused(self, request, code, key=KEY, nonce=b"nonce", more=()):
        answer = stun.Message(request.method, stun.ERROR, request.transaction, [
            (stun.ERROR_CODE, stun.error_code(code, "")), (stun.REALM, REALM.encode()), *more])
        if nonce is not None:
            answer.add(stun.NONCE, nonce)
        return answer.encode(key)


MOODS = ("other_transactions", "wrong_integrity", "nonsense_addresses", "redirects", "challenges_for_ever",
         "challenges_without_nonce", "mismatch_for_ever", "garbage_channel_data")
