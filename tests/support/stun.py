#!/usr/bin/python3
"""STUN messages (RFC 8489) as the lab's relay and tests need them.

An independent second codec: it shares nothing with control/stun. A message is decoded into typed
attributes; `encode` writes the canonical form (reserved bytes and padding zero), because the relays of
the field check MESSAGE-INTEGRITY over a re-encoding (spec connectivity 3.3).
"""
import hashlib
import hmac
import os
import socket
import struct
import zlib

MAGIC = 0x2112A442
MAGIC_BYTES = struct.pack("!I", MAGIC)

# RFC 8489 §18.2, RFC 8656 §17
BINDING, ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND = 0x001, 0x003, 0x004, 0x008, 0x009
REQUEST, INDICATION, SUCCESS, ERROR = 0x000, 0x010, 0x100, 0x110

# RFC 8489 §18.3, RFC 8656 §18
USERNAME, MESSAGE_INTEGRITY, ERROR_CODE = 0x0006, 0x0008, 0x0009
CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS, REALM, NONCE = 0x000C, 0x000D, 0x0012, 0x0014, 0x0015
XOR_RELAYED_ADDRESS, REQUESTED_ADDRESS_FAMILY, REQUESTED_TRANSPORT = 0x0016, 0x0017, 0x0019
XOR_MAPPED_ADDRESS, ADDITIONAL_ADDRESS_FAMILY, SOFTWARE, FINGERPRINT = 0x0020, 0x8000, 0x8022, 0x8028

V4, V6, TRANSPORT_UDP = 1, 2, 17


class Malformed(ValueError):
    """Bytes that are no STUN message, or an attribute that does not decode."""


class Message:
    """Method, class, transaction id and attributes in order of appearance."""

    def __init__(self, method, cls=REQUEST, transaction=None, attributes=()):
        self.method, self.cls = method, cls
        self.transaction = transaction or os.urandom(12)
        self.attributes = list(attributes)

    def get(self, kind):
        return next((value for k, value in self.attributes if k == kind), None)

    def add(self, kind, value):
        self.attributes.append((kind, value))
        return self

    @property
    def type(self):
        return join_type(self.method, self.cls)

    def encode(self, key=None):
        """Bytes of the message, with MESSAGE-INTEGRITY appended when a key is given."""
        body = b"".join(_attribute(k, v) for k, v in self.attributes)
        if key is None:
            return _header(self, len(body)) + body
        # RFC 8489 §14.5: the length covers the integrity attribute itself.
        signed = _header(self, len(body) + 24) + body
        return signed + _attribute(MESSAGE_INTEGRITY, hmac.new(key, signed, hashlib.sha1).digest())

    def has_integrity(self, key):
        """Whether MESSAGE-INTEGRITY fits `key` over the re-encoding of what precedes it."""
        given = self.get(MESSAGE_INTEGRITY)
        if given is None:
            return False
        head = []
        for kind, value in self.attributes:
            if kind == MESSAGE_INTEGRITY:
                break
            head.append((kind, value))
        again = Message(self.method, self.cls, self.transaction, [(k, canonical(k, v)) for k, v in head])
        return hmac.compare_digest(again.encode(key)[-20:], given)


def join_type(method, cls):
    return (method & 0x0F) | (method & 0x70) << 1 | (method & 0xF80) << 2 | cls


def split_type(value):
    cls = value & 0x110
    return (value & 0x0F) | (value & 0xE0) >> 1 | (value & 0x3E00) >> 2, cls


def _header(message, length):
    return struct.pack("!HHI", message.type, length, MAGIC) + message.transaction


def _attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def decode(data):
    """The message in exactly these bytes. Raises Malformed, also for bytes after the stated length."""
    if len(data) < 20 or data[0] & 0xC0 or data[4:8] != MAGIC_BYTES:
        raise Malformed("not STUN")
    kind, length = struct.unpack_from("!HH", data)
    if length % 4 or length + 20 != len(data):
        raise Malformed("length")
    method, cls = split_type(kind)
    message, at = Message(method, cls, data[8:20]), 20
    while at < len(data):
        if at + 4 > len(data):
            raise Malformed("attribute header")
        attribute, size = struct.unpack_from("!HH", data, at)
        if at + 4 + size > len(data):
            raise Malformed("attribute length")
        message.attributes.append((attribute, data[at + 4:at + 4 + size]))
        at += 4 + size + (-size % 4)
    return message


def canonical(kind, value):
    """The value as an encoder would write it: reserved parts zero (RFC 8656 §18.1, 18.8)."""
    if kind in (REQUESTED_TRANSPORT, REQUESTED_ADDRESS_FAMILY, ADDITIONAL_ADDRESS_FAMILY) and len(value) == 4:
        return value[:1] + b"\0\0\0"
    if kind == CHANNEL_NUMBER and len(value) == 4:
        return value[:2] + b"\0\0"
    if kind in (XOR_PEER_ADDRESS, XOR_MAPPED_ADDRESS, XOR_RELAYED_ADDRESS) and len(value) > 1:
        return b"\0" + value[1:]
    return value


def xor_address(ip, port, transaction):
    """Value of an XOR-…-ADDRESS attribute (RFC 8489 §14.2)."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    raw = socket.inet_pton(family, ip)
    mask = MAGIC_BYTES + transaction
    return struct.pack("!BBH", 0, V6 if ":" in ip else V4, port ^ (MAGIC >> 16)) + bytes(
        a ^ b for a, b in zip(raw, mask))


def parse_xor_address(value, transaction):
    if len(value) not in (8, 20) or value[1] != (V4 if len(value) == 8 else V6):
        raise Malformed("address")
    port = struct.unpack_from("!H", value, 2)[0] ^ (MAGIC >> 16)
    raw = bytes(a ^ b for a, b in zip(value[4:], MAGIC_BYTES + transaction))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw), port


def error_code(code, reason=""):
    return struct.pack("!HBB", 0, code // 100, code % 100) + reason.encode()


def parse_error_code(value):
    return value[2] * 100 + value[3]


def u32(value):
    return struct.pack("!I", value)


def long_term_key(username, realm, password):
    """RFC 8489 §9.2.2, without SASLprep as the field does it."""
    return hashlib.md5(f"{username}:{realm}:{password}".encode()).digest()


def fingerprint(data_before):
    """Value of FINGERPRINT over bytes whose length field already counts it (RFC 8489 §14.7)."""
    return u32(zlib.crc32(data_before) ^ 0x5354554E)
