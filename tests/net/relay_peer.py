"""A TURN client for the relay's own tests: enough to allocate, bind and send."""
import socket

import stun
from lab import netns
from relay.control import REALM, password

EXPIRY = 2145916800


class RelayPeer:
    """One socket of a host, with credentials minted from the relay's secret."""

    def __init__(self, ns, server, secret, salt="salt", expiry=EXPIRY, source=("", 0)):
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with netns.entered(ns):
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(source)
        self.socket.settimeout(2)
        self.server = (server, 3478)
        self.username = f"{expiry}:{salt}"
        self.key = stun.long_term_key(self.username, REALM, password(expiry, secret, salt))
        self.nonce = None

    def close(self):
        self.socket.close()

    def raw(self, data):
        self.socket.sendto(data, self.server)

    def receive(self):
        return self.socket.recvfrom(2048)[0]

    def silent(self, data, seconds=0.3):
        """Whether nothing comes back."""
        self.raw(data)
        self.socket.settimeout(seconds)
        try:
            self.receive()
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(2)

    def request(self, method, attributes=(), auth=True, nonce=..., key=None, realm=REALM):
        """The request as originals order it: attributes, SOFTWARE, auth (spec connectivity 3.3)."""
        message = stun.Message(method, attributes=[*attributes, (stun.SOFTWARE, b"test")])
        if auth:
            message.add(stun.USERNAME, self.username.encode()).add(stun.REALM, realm.encode())
            nonce = self.nonce if nonce is ... else nonce
            if nonce is not None:
                message.add(stun.NONCE, nonce.encode())
        self.raw(message.encode((key or self.key) if auth else None))
        answer = stun.decode(self.receive())
        assert answer.transaction == message.transaction and answer.method == method
        if answer.get(stun.NONCE):
            self.nonce = answer.get(stun.NONCE).decode()
        return answer

    ALLOCATE = ((stun.REQUESTED_TRANSPORT, b"\x11\0\0\0"), (stun.ADDITIONAL_ADDRESS_FAMILY, b"\x02\0\0\0"))

    def allocate(self, attributes=ALLOCATE):
        first = self.request(stun.ALLOCATE, attributes)
        if code(first) in (401, 438):
            first = self.request(stun.ALLOCATE, attributes)
        return first

    def bind(self, number, peer):
        message = stun.Message(stun.CHANNEL_BIND)
        message.attributes = [(stun.XOR_PEER_ADDRESS, stun.xor_address(*peer, message.transaction)),
                              (stun.CHANNEL_NUMBER, number.to_bytes(2, "big") + b"\0\0"),
                              (stun.SOFTWARE, b"test"), (stun.USERNAME, self.username.encode()),
                              (stun.REALM, REALM.encode()), (stun.NONCE, self.nonce.encode())]
        self.raw(message.encode(self.key))
        return stun.decode(self.receive())

    def send(self, number, data):
        self.raw(number.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data)


def code(answer):
    """Error code, 0 for success."""
    value = answer.get(stun.ERROR_CODE)
    return stun.parse_error_code(value) if value else 0


def relayed(answer):
    """Relayed addresses of an ALLOCATE success."""
    return [stun.parse_xor_address(v, answer.transaction) for k, v in answer.attributes
            if k == stun.XOR_RELAYED_ADDRESS]
