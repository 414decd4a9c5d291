"""STUN side of the relay: authentication, allocations, channels (spec connectivity 7.1-7.3).

Sans-IO: `handle` takes a datagram and the time and returns the answer. What needs sockets (opening and
closing relay ports) goes through the `ports` object given to it.
"""
import base64
import hashlib
import random
import uuid

import stun

REALM = "firezone"                       # spec connectivity 7.1
SOFTWARE = b"firegate-lab-relay"
PORT_MIN, PORT_MAX = 49152, 65535
LIFETIME_DEFAULT, LIFETIME_MAX = 600, 3600   # spec connectivity 7.3
CHANNEL_LIFETIME, CHANNEL_COOL_DOWN = 600, 300
CHANNEL_MIN, CHANNEL_MAX = 0x4000, 0x4FFF
NONCE_USES = {"A": 100, "B": 10_000, "C": 10_000}
ALLOCATIONS_MAX = 4096
NONCES_MAX = 65536


def password(expiry, secret, salt):
    """spec connectivity 3.1: what portal and relay derive alike."""
    digest = hashlib.sha256(f"{expiry}:{secret}:{salt}".encode()).digest()
    return base64.b64encode(digest).decode().rstrip("=")


class Channel:
    def __init__(self, number, peer, now):
        self.number, self.peer, self.bound_at = number, peer, now

    def live(self, now):
        return now < self.bound_at + CHANNEL_LIFETIME

    def reserved(self, now):
        return now < self.bound_at + CHANNEL_LIFETIME + CHANNEL_COOL_DOWN


class Allocation:
    def __init__(self, client, username, port, families, expires_at):
        self.client, self.username, self.port = client, username, port
        self.families, self.expires_at = families, expires_at
        self.by_number, self.by_peer = {}, {}


class Nonces:
    """A: a pool, 100 uses each. B: a pool, 10 000 uses. C: one for each client socket (spec connectivity 7.1)."""

    def __init__(self, generation):
        self.per_socket, self.uses = generation == "C", NONCE_USES[generation]
        self.left, self.of_socket = {}, {}

    def challenge(self, client):
        known = self.of_socket.get(client) if self.per_socket else None
        if known and self.left.get(known, 0) > 0:
            return known
        nonce = str(uuid.uuid4())
        while len(self.left) >= NONCES_MAX:
            self.left.pop(next(iter(self.left)))
        self.left[nonce] = self.uses
        if self.per_socket:
            while len(self.of_socket) >= NONCES_MAX:
                self.of_socket.pop(next(iter(self.of_socket)))
            self.of_socket[client] = nonce
        return nonce

    def use(self, nonce, client):
        if self.per_socket and self.of_socket.get(client) != nonce:
            return False
        if self.left.get(nonce, 0) <= 0:
            return False
        self.left[nonce] -= 1
        return True


class Refused(Exception):
    """An answer that is an error; `signed` says whether the generation may sign it."""

    def __init__(self, code, signed=True):
        super().__init__(code)
        self.code, self.signed = code, signed


class Control:
    def __init__(self, generation, secret, addresses, ports, wall_clock):
        self.generation, self.secret = generation, secret
        self.addresses = addresses            # {stun.V4: "198.51.100.30", stun.V6: …}
        self.ports, self.wall_clock = ports, wall_clock
        self.nonces = Nonces(generation)
        self.allocations, self.by_username = {}, {}
        self.counts = {}

    # -- entry ---------------------------------------------------------------------------------------
    def handle(self, data, client, now):
        """The answer to a STUN datagram from `client` (ip, port), or None."""
        if self.generation == "C" and client[1] == 0:
            return self._count("drop:source port 0")
        try:
            request = stun.decode(data)
        except stun.Malformed:
            return self._count("drop:malformed")
        if request.cls != stun.REQUEST:
            return self._count("drop:not a request")
        handler = {stun.BINDING: self._binding, stun.ALLOCATE: self._allocate, stun.REFRESH: self._refresh,
                   stun.CHANNEL_BIND: self._channel_bind,
                   stun.CREATE_PERMISSION: self._create_permission}.get(request.method)
        if handler is None:
            return self._count("drop:unknown method")
        name = {stun.BINDING: "binding", stun.ALLOCATE: "allocate", stun.REFRESH: "refresh",
                stun.CHANNEL_BIND: "channel_bind", stun.CREATE_PERMISSION: "create_permission"}[request.method]
        try:
            attributes, key = handler(request, client, now)
        except _NoAnswer:
            return self._count("drop:bad username")
        except Refused as refusal:
            self._count(f"{name}:{refusal.code}")
            return self._error(request, refusal, client)
        self._count(f"{name}:ok")
        answer = stun.Message(request.method, stun.SUCCESS, request.transaction,
                              [(stun.SOFTWARE, SOFTWARE), *attributes])
        return answer.encode(None if self.generation == "A" else key)

    def _count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def _error(self, request, refusal, client):
        answer = stun.Message(request.method, stun.ERROR, request.transaction, [(stun.SOFTWARE, SOFTWARE)])
        answer.add(stun.ERROR_CODE, stun.error_code(refusal.code, _REASONS.get(refusal.code, "")))
        if refusal.code in (401, 438):
            answer.add(stun.REALM, REALM.encode()).add(stun.NONCE, self.nonces.challenge(client).encode())
        key = None
        if refusal.signed and self.generation != "A":
            username = _username(request)
            key = self._key(*username) if username else None
        return answer.encode(key)

    # -- authentication, in this order (spec connectivity 7.2) ------------------------------------------
    def _key(self, name, expiry, salt):
        return stun.long_term_key(name, REALM, password(expiry, self.secret, salt))

    def _authenticate(self, request, client):
        given = [request.get(k) for k in (stun.MESSAGE_INTEGRITY, stun.USERNAME, stun.NONCE)]
        if request.get(stun.USERNAME) is not None and _username(request) is None:
            raise _NoAnswer
        if None in given:
            raise Refused(401)
        if not self.nonces.use(given[2].decode(errors="replace"), client):
            raise Refused(438)
        name, expiry, salt = _username(request)
        key = self._key(name, expiry, salt)
        if expiry <= self.wall_clock() or not request.has_integrity(key):
            raise Refused(401)
        return name, key

    # -- requests (spec connectivity 7.3) ------------------------------------------------------------------
    def _binding(self, request, client, now):
        return [(stun.XOR_MAPPED_ADDRESS, stun.xor_address(*client, request.transaction))], None

    def _allocate(self, request, client, now):
        transport = request.get(stun.REQUESTED_TRANSPORT)
        if transport is None or len(transport) != 4:
            raise Refused(400, signed=False)
        username, key = self._authenticate(request, client)
        if client in self.allocations:
            raise Refused(437)
        port = self._free_port()
        if port is None:
            raise Refused(508)
        if transport[0] != stun.TRANSPORT_UDP:
            raise Refused(400)
        families = self._families(request)
        if self.generation != "A" and username in self.by_username:
            self.delete(self.by_username[username])
        sockets = {f: (self.addresses[f], port) for f in families}
        if not self.ports.open(client, sockets):
            raise Refused(508)
        lifetime = self._lifetime(request)
        allocation = Allocation(client, username, port, sockets, now + lifetime)
        self.allocations[client] = allocation
        self.by_username[username] = allocation
        relayed = [(stun.XOR_RELAYED_ADDRESS, stun.xor_address(*a, request.transaction)) for a in sockets.values()]
        return [*relayed, (stun.XOR_MAPPED_ADDRESS, stun.xor_address(*client, request.transaction)),
                (stun.LIFETIME, stun.u32(lifetime))], key

    def _families(self, request):
        requested, additional = (request.get(k) for k in
                                 (stun.REQUESTED_ADDRESS_FAMILY, stun.ADDITIONAL_ADDRESS_FAMILY))
        if requested and additional:
            raise Refused(400)
        if additional and additional[0] == stun.V4:
            raise Refused(400)
        wanted = [requested[0] if requested else stun.V4] + ([stun.V6] if additional else [])
        if any(f not in self.addresses for f in wanted):
            raise Refused(440)
        return wanted

    def _free_port(self):
        if len(self.allocations) >= ALLOCATIONS_MAX:
            return None
        used = {a.port for a in self.allocations.values()}
        for _ in range(100):
            port = random.randint(PORT_MIN, PORT_MAX)
            if port not in used:
                return port
        return None

    @staticmethod
    def _lifetime(request):
        asked = request.get(stun.LIFETIME)
        if asked is None or len(asked) != 4:
            return LIFETIME_DEFAULT
        asked = int.from_bytes(asked, "big")
        return min(max(asked, LIFETIME_DEFAULT), LIFETIME_MAX)

    def _refresh(self, request, client, now):
        _, key = self._authenticate(request, client)
        allocation = self.allocations.get(client)
        if allocation is None:
            raise Refused(437)
        asked = request.get(stun.LIFETIME)
        if asked is not None and int.from_bytes(asked, "big") == 0:
            self.delete(allocation)
            return [(stun.LIFETIME, stun.u32(0))], key
        lifetime = self._lifetime(request)
        allocation.expires_at = now + lifetime
        return [(stun.LIFETIME, stun.u32(lifetime))], key

    def _channel_bind(self, request, client, now):
        number, peer = request.get(stun.CHANNEL_NUMBER), request.get(stun.XOR_PEER_ADDRESS)
        if number is None or peer is None or len(number) != 4:
            raise Refused(400, signed=False)
        number = int.from_bytes(number[:2], "big")
        if not CHANNEL_MIN <= number <= CHANNEL_MAX:
            raise Refused(400, signed=False)
        try:
            peer = stun.parse_xor_address(peer, request.transaction)
        except stun.Malformed:
            raise Refused(400, signed=False) from None
        _, key = self._authenticate(request, client)
        allocation = self.allocations.get(client)
        if allocation is None:
            raise Refused(437)
        if (stun.V6 if ":" in peer[0] else stun.V4) not in allocation.families:
            raise Refused(443)
        self._bind(allocation, number, peer, now)
        return [], key

    def _bind(self, allocation, number, peer, now):
        of_peer, of_number = allocation.by_peer.get(peer), allocation.by_number.get(number)
        if of_peer and of_peer.number != number and of_peer.reserved(now):
            raise Refused(400)
        if of_number and of_number.peer != peer and of_number.reserved(now):
            raise Refused(400)
        if of_peer and of_peer.number == number:
            of_peer.bound_at = now
            return
        for old in filter(None, (of_peer, of_number)):
            allocation.by_peer.pop(old.peer, None)
            allocation.by_number.pop(old.number, None)
        channel = Channel(number, peer, now)
        allocation.by_number[number] = allocation.by_peer[peer] = channel

    def _create_permission(self, request, client, now):
        _, key = self._authenticate(request, client)
        return [], key

    # -- life cycle -------------------------------------------------------------------------------------------
    def delete(self, allocation):
        self.allocations.pop(allocation.client, None)
        if self.by_username.get(allocation.username) is allocation:
            del self.by_username[allocation.username]
        self.ports.close(allocation.client)

    def tick(self, now):
        for allocation in [a for a in self.allocations.values() if a.expires_at <= now]:
            self._count("allocation:expired")
            self.delete(allocation)


class _NoAnswer(Exception):
    """spec connectivity 7.2: a username that is not `<number>:<text>` gets no answer at all."""


_REASONS = {400: "Bad Request", 401: "Unauthorized", 437: "Allocation Mismatch", 438: "Stale Nonce",
            440: "Address Family not Supported", 443: "Peer Address Family Mismatch", 508: "Insufficient Capacity"}


def _username(request):
    """(whole name, expiry, salt), or None."""
    raw = request.get(stun.USERNAME)
    if raw is None:
        return None
    name = raw.decode(errors="replace")
    expiry, colon, salt = name.partition(":")
    return (name, int(expiry), salt) if colon and expiry.isascii() and expiry.isdigit() else None
