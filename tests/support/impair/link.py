"""What happens to the frames of one direction: which are lost, doubled, late, too large. Time and chance are arguments."""
import random
import struct
from dataclasses import dataclass, fields

ETHERNET = 14
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
QUEUE_SECONDS_MAX = 0.25                # what a slow link holds before it drops
QUOTE_V4, QUOTE_V6 = 548, 1232          # RFC 1812 4.3.2.3, RFC 4443 2.4: of the packet that was too large
HELD_MAX = 100_000                      # frames waiting for their release


@dataclass
class Settings:
    """Zero is unimpaired."""
    loss: float = 0.0                   # probability
    duplicate: float = 0.0              # probability
    delay_ms: float = 0.0
    jitter_ms: float = 0.0              # added uniformly; frames overtake each other
    rate_kbit: float = 0.0
    mtu: int = 0                        # of the IP packet
    icmp: bool = True                   # a packet too large is answered as a router would
    blackout_until: float = 0.0

    def change(self, members):
        """Raises ValueError naming a setting that does not exist or cannot be."""
        known = {f.name: f.type for f in fields(self)}
        for name, value in members.items():
            if name not in known:
                raise ValueError(f"no setting {name!r}; there are {', '.join(sorted(known))}")
            if isinstance(value, str) or value < 0 or (known[name] is float and name in ("loss", "duplicate") and value > 1):
                raise ValueError(f"{name} cannot be {value!r}")
        for name, value in members.items():
            setattr(self, name, value)

    def none(self, now):
        return not (self.loss or self.duplicate or self.delay_ms or self.jitter_ms or self.rate_kbit or self.mtu
                    or self.blackout_until > now)


@dataclass
class Statistics:
    frames: int = 0
    passed: int = 0
    lost: int = 0
    duplicated: int = 0
    too_large: int = 0
    blackout: int = 0
    queue: int = 0
    held: int = 0
    send: int = 0


class Link:
    """One direction. The same seed takes the same decisions for the same sequence of frames and settings."""

    def __init__(self, seed):
        self.settings, self.counts = Settings(), Statistics()
        self.chance, self.free_at = random.Random(seed), 0.0

    def releases(self, frame, now):
        """When to send this frame: no time, one, or two."""
        s, counts, draw = self.settings, self.counts, self.chance.random
        counts.frames += 1
        if s.blackout_until > now:
            counts.blackout += 1
            return ()
        if frame[12:14] not in (IPV4, IPV6):
            counts.passed += 1
            return (now,)               # address resolution is not what a scenario wants to lose
        if s.mtu and len(frame) - ETHERNET > s.mtu:
            counts.too_large += 1
            return ()
        # A constant number of draws a frame: one setting does not shift the decisions of another.
        loss, duplicate, late, later = draw(), draw(), draw(), draw()
        if loss < s.loss:
            counts.lost += 1
            return ()
        at = self._through(len(frame), now)
        if at is None:
            counts.queue += 1
            return ()
        counts.passed += 1
        first = at + (s.delay_ms + late * s.jitter_ms) / 1000
        if duplicate >= s.duplicate:
            return (first,)
        counts.duplicated += 1
        return first, at + (s.delay_ms + later * s.jitter_ms) / 1000

    def _through(self, size, now):
        """When the last bit of a frame has left a link of our rate, None when too much waits before it."""
        if not self.settings.rate_kbit:
            return now
        start = max(now, self.free_at)
        if start - now > QUEUE_SECONDS_MAX:
            return None
        self.free_at = start + size * 8 / (self.settings.rate_kbit * 1000)
        return self.free_at


def too_big(frame, mtu):
    """The frame a router sends back for an IP packet larger than its next link, or None: it would fragment or be silent.
    Its source is the packet's destination, since a relay between two cables has no address."""
    kind, packet = frame[12:14], frame[ETHERNET:]
    back = frame[6:12] + frame[:6] + kind
    if kind == IPV4 and len(packet) >= 20 and packet[6] & 0x40 and not (packet[9] == 1 and packet[20:21] == b"\x03"):
        quote = packet[:QUOTE_V4]
        icmp = checksummed(struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + quote, 2)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0) + packet[16:20] + packet[12:16]
        return back + checksummed(head, 10) + icmp
    if kind == IPV6 and len(packet) >= 40 and not (packet[6] == 58 and packet[40] < 128):
        quote = packet[:QUOTE_V6 - 48]
        body = struct.pack("!BBHI", 2, 0, 0, mtu) + quote
        source, target = packet[24:40], packet[8:24]
        pseudo = source + target + struct.pack("!II", len(body), 58)
        body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
        return back + struct.pack("!IHBB", 0x60000000, len(body), 58, 64) + source + target + body
    return None


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def checksummed(data, at):
    return data[:at] + struct.pack("!H", checksum(data)) + data[at + 2:]
