#!/usr/bin/python3
"""Writes the committed seeds of the fuzz targets, tests/fuzz/corpus/<target>/<hash of the content>.

    tests/fuzz/seed.py [RECORDINGS]          seeds from recordings of real peers (default ../shared/recordings) and by hand
    tests/fuzz/seed.py --fold TARGET FOLDER  adds what libFuzzer kept in FOLDER, smallest first, up to the limits

Seeds only guide the search: any bytes are legal input. At most 100 files a target, 1 MB in all (repository rules).
"""
import argparse
import hashlib
import json
import pathlib
import struct
import sys
from collections.abc import Iterator

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
FILES_MAX = 100
RECORDED_MAX = 24  # of one kind: the recordings repeat themselves
BYTES_MAX = 40_000  # a target

EVENTS = [  # as in codec_fuzz.cpp
    "init", "request_connection", "allow_access", "authorize_flow", "create_authorization", "reject_access",
    "resource_updated", "access_authorization_expiry_updated", "ice_candidates", "invalidate_ice_candidates",
    "relays_presence",
]


def datagrams(path: pathlib.Path) -> Iterator[bytes]:
    """UDP payloads of a classic little-endian pcap with Ethernet frames."""
    data = path.read_bytes()
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from("<8xI", data, at)[0]
        frame = data[at + 16 : at + 16 + size]
        at += 16 + size
        header = {b"\x08\x00": 20, b"\x86\xdd": 40}.get(frame[12:14])
        protocol = frame[14 + (9 if header == 20 else 6)] if header else 0
        if header and protocol == 17:
            yield frame[14 + header + 8 :]


def kind_of(datagram: bytes) -> tuple:
    """Two datagrams of one kind teach the fuzzer the same."""
    if datagram[:1] < b"\x02" and datagram[4:8] == b"\x21\x12\xa4\x42":
        types, at = [], 20
        while at + 4 <= len(datagram):
            types.append(datagram[at : at + 4])
            at += 4 + (struct.unpack_from(">H", datagram, at + 2)[0] + 3) // 4 * 4
        return ("stun", datagram[:2], *types)
    if 0x40 <= datagram[0] < 0x50:
        return ("channel", *kind_of(datagram[4:])) if len(datagram) > 4 else ("channel",)
    return ("wireguard", datagram[0], len(datagram))


def recorded_datagrams(recordings: pathlib.Path) -> dict[tuple, bytes]:
    kinds: dict[tuple, bytes] = {}
    for path in sorted(recordings.glob("*/*/*.pcap")):
        for datagram in datagrams(path):
            if datagram:
                kinds.setdefault(kind_of(datagram), datagram)
    return kinds


def portal_lines(recordings: pathlib.Path) -> Iterator[dict]:
    for path in sorted(recordings.glob("*/*/portal.jsonl")):
        for line in path.read_text().splitlines():
            yield json.loads(line)


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def texts_starting(value: object, prefix: str) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith(prefix):
            yield value
    elif isinstance(value, (dict, list)):
        for element in value.values() if isinstance(value, dict) else value:
            yield from texts_starting(element, prefix)


def from_portal(recordings: pathlib.Path) -> dict[str, list[bytes]]:
    seeds: dict[str, list[bytes]] = {"codec": [], "json": [], "channel": [], "candidate": []}
    seen = set()
    for line in portal_lines(recordings):
        seeds["candidate"] += [text.encode() for text in texts_starting(line, "candidate:")]
        event = "init" if line["what"] == "init" else line.get("event", "")
        if line.get("to", "gateway") != "gateway" or event not in EVENTS or line["what"] == "from":
            continue
        payload = compact(line["payload"])
        shape = (event, tuple(sorted(line["payload"])), len(payload) // 64)
        if shape in seen:
            continue
        seen.add(shape)
        seeds["codec"].append(bytes([EVENTS.index(event)]) + payload)
        seeds["json"].append(payload)
        frame = compact({"topic": "gateway", "event": event, "payload": line["payload"], "ref": None})
        # channel_fuzz.cpp: open, take the join, answer it, then the frame.
        seeds["channel"].append(bytes([2, 1, 8, 1, 0, 1, 0, 0]) + struct.pack(">H", len(frame)) + frame)
    return seeds


def packet_v4(protocol: int, body: bytes, source: int = 0x64400065) -> bytes:
    header = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(body), 1, 0x4000, 64, protocol, 0, source, 0x0A010203)
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + body


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data[: len(data) // 2 * 2])) + (data[-1] << 8 if len(data) % 2 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(payload: bytes, port: int = 80) -> bytes:
    body = struct.pack(">HHHH", 5000, port, 8 + len(payload), 0) + payload
    return packet_v4(17, body)  # over IPv4 the checksum may be 0


def tcp(payload: bytes, flags: int = 0x18, sequence: int = 1000) -> bytes:
    body = struct.pack(">HHIIBBHHH", 5000, 80, sequence, 7, 0x50, flags, 512, 0, 0) + payload
    pseudo = struct.pack(">IIBBH", 0x64400065, 0x0A010203, 0, 6, len(body))
    return packet_v4(6, body[:16] + struct.pack(">H", checksum(pseudo + body)) + body[18:])


def inner_packets() -> list[bytes]:
    echo = struct.pack(">BBHHH", 8, 0, 0, 1, 1) + b"ping"
    echo = echo[:2] + struct.pack(">H", checksum(echo)) + echo[4:]
    error = struct.pack(">BBHHH", 3, 4, 0, 0, 1200) + udp(b"12345678")
    error = error[:2] + struct.pack(">H", checksum(error)) + error[4:]
    v6 = bytes.fromhex("fd00202111110000000000000000006520010db8000000000000000000000001")
    goodbye = struct.pack(">IHBB", 6 << 28, 8, 255, 64) + bytes(32) + bytes([2]) + bytes(7)
    hop_by_hop = struct.pack(">IHBB", 6 << 28, 24, 0, 64) + v6 + bytes([58, 0, 1, 4, 0, 0, 0, 0])
    return [
        udp(b"request"), udp(b""), udp(b"x" * 1200), tcp(b"GET / HTTP/1.0\r\n\r\n"), tcp(b"", 0x02), tcp(b"y" * 1200, 0x10),
        packet_v4(1, echo), packet_v4(1, error), packet_v4(47, b"gre"), goodbye,
        hop_by_hop + struct.pack(">BBHHH", 128, 0, 0, 1, 2) + b"12345678",
        struct.pack(">IHBB", 6 << 28, 16, 17, 64) + v6 + struct.pack(">HHHH", 53, 53, 16, 0xBEEF) + b"12345678",
    ]


def vnet(gso_type: int, gso_size: int, start: int, offset: int) -> bytes:
    return struct.pack("<BBHHHH", 1 if gso_type else 0, gso_type, 40, gso_size, start, offset)


def by_hand() -> dict[str, list[bytes]]:
    packets = inner_packets()
    burst = b"".join(bytes([0x7F & len(p)]) + p + b"\x02" for p in (udp(b"a" * 40), tcp(b"b" * 40), tcp(b"c" * 20)))
    return {
        "address": [b"192.0.2.1", b"2001:db8::1", b"::ffff:1.2.3.4", b"[2001:db8::1]:3478", b"1.2.3.4:65535", b"10.0.0.0/8",
                    b"::/0", b"urn:uuid:f564710d-a26b-5cd9-bcba-4ff696fc0d20", b"{f564710d-a26b-5cd9-bcba-4ff696fc0d20}",
                    b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", b"00ff7f80", b"1:2:3:4:5:6:7.8.9.10"],
        "agent": [bytes([0, 0, 0, 2, 0, 1, 8, 8, 5, 0, 0, 1, 8, 8, 6, 0, 0, 8]), bytes([1, 2, 3, 4] * 40),
                  bytes([0, 0, 0, 0, 0, 2, 1, 1, 2, 2, 8, 8, 8, 8, 6, 0, 0, 1, 6, 1, 1, 1, 8, 8, 8])],
        "console": [
            b'{"version":1,"do":"status"}', b'{"version":1,"do":"peers","after":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11"}',
            b'{"version":1,"do":"peer","client":"100.64.0.1"}',
            b'{"version":1,"do":"explain","client":"7d0f","destination":"wiki.test","protocol":"tcp","port":443}',
            b'{"version":1,"do":"explain","client":"7d0f","destination":"fd20::2","protocol":"icmp","source":"fd00::1"}',
            b'{"version":1,"error":"no"}', b'{"version":1,"peers":[{"client":"a","path":{"kind":"direct"}}],"next":"a"}',
            b'{"version":1,"peer":{"client":"a","traffic":{"bytes_in":4096}},"resources":[{"filters":["tcp 80"]}]}',
            b'{"version":1,"status":{"portal":{"joined":true},"relays":[{"round_trip_ms":1.5}],"drops":[{"count":1}]}}',
            b'{"version":1,"explanation":{"passes":false,"packet":{"port":1},"refusing":[{}],"ended":[{}],"last_grant":{}}}',
        ],
        "api_url": [b"wss://api.firezone.dev", b"ws://[2001:db8::1]:8081/prefix/", b"HTTPS://user@Host:443/a?b#c", b"ws://a:0"],
        "candidate": [b"candidate:1 1 UDP 2130706431 ::1 0 typ host ufrag abcd raddr :: rport 0",
                      b"candidate:a/+ 1 udp 0 1.2.3.4 65535 typ prflx raddr 1.1.1.1 rport 9 generation 0"],
        "channel": [bytes([2, 1, 8, 1, 0, 1, 0, 8, 6, 0, 1, 65, 8, 5, 5, 5, 5, 5]), bytes([2, 0, 8, 6, 3, 1, 0, 3, 1, 0, 1, 0, 8])],
        "coalesce": [b"\x00" + burst, b"\x03" + burst],
        "codec": [],
        "configuration": [b"1h 30m", b"24h", b"36500d 36500d 36500d", b"warn,portal=debug,turn::x=off", b"INFO, a",
                          b"\x08\x0224\x0a\x013\x82\xc0\x0212", b"\x00\x0ews://127.0.0.1\x05\x05debug\x83\x87", b"\x86", b"\x01\x00\x0e\x02/a"],
        "controller": [
            bytes([0, 13, 65, 1, 0, 0, 0, 0, 200, 9, 0, 1, 14, 8, 11, 0, 0, 40, 14, 20, 15, 0, 30, 13, 130]),
            bytes([0, 14, 5, 3, 0, 1, 1, 1, 1, 0, 9, 1, 1, 14, 20, 11, 1, 1, 9]), bytes(range(16)) * 8],
        "demux": [b"\x04\0\0\0" + bytes(28), b"\x01\0\0\0" + bytes(144), b"\x40\0\0\0", b"\x4f\xff\0\x04abcd"],
        "dns": [
            b"\0" + bytes.fromhex("123401000001000000000000055f6c646170045f746370036c616204746573740000210001"),
            b"\0" + bytes.fromhex("123481830001000100000000036c6162047465737400001000 01c00c001000010000003c000403616263"),
            b"\0nameserver 192.0.2.1\nnameserver 2001:db8::1\n",
            b"\1\0\3abc\0\0\0\1x",
            bytes([2, 2, 0, 1, 2, 0, 1, 5, 3, 0, 0, 0, 20, 1, 0, 7, 66, 0, 1, 2, 1, 1, 9, 7, 67]),
            bytes([2, 3] + [0, 1, 2, 0, 1, 5] * 20 + [3, 1, 0, 5, 0, 100, 4, 4, 0, 0, 9, 9, 0, 5, 1, 1, 6, 2, 7, 130]),
        ],
        "frame": [bytes(12) + b"\x08\0" + udp(b"a" * 40), bytes(12) + b"\x88\xa8\0\1\x81\0\0\2\x08\0" + udp(b"b" * 4) + bytes(20),
                  bytes(12) + b"\x86\xdd" + b"\x60\0\0\0\0\x0c\x11\x40" + bytes(32) + b"\x11\x94\xcd\x91\0\x0c\0\0abcd"],
        "handshake": [bytes([0, 0, 2, 0, 2, 1, 2, 0, 2, 1]), bytes([0, 1, 2, 0, 2, 1, 3, 0, 9, 1, 4, 1, 2, 0, 5, 6, 6, 6]),
                      bytes(range(64))],
        "inner": packets,
        "json": [b'{"a":[1,-2,0.5,null,true,"\\u00e9\\n"],"a":{}}', b"[" * 128 + b"]" * 128, b"18446744073709551615", b'"'],
        "pattern": [b"*.example.com a.example.com", b"**.example.com example.com", b"a?c.[a-z]* abc.x", b"foo.** foo", b"[!]] a"],
        "pipeline": [bytes([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), bytes([1, 0, 1, 1, 3, 2, 5, 5, 7, 9]) * 6, bytes(range(200))],
        "policy": [bytes([3, 1, 10, 0, 0, 0, 8, 1, 4, 1, 10, 1, 0, 0, 16, 2, 0, 1, 10, 1, 2, 0, 24, 3, 40, 0, 80, 1, 0, 1, 10, 1, 2, 3]),
                   bytes(range(120))],
        "refusal": [b"\x05token\x02id\x04name\x02os\0\x03\x01\x0210\x01" + b'\x1a{"code":"invalid_token"}  ',
                    b"\x01t\x01i\x01n\x01o\0\x0b\x01\x1dSun, 06 Nov 2094 08:49:37 GMT\0\x09text/html\x0dMissing token"],
        "relay_set": [bytes([0, 1, 1, 2, 0, 0, 0, 2, 1, 1, 0, 2, 1, 3, 0, 2, 2, 2, 0, 1, 7, 9, 1]), bytes([0, 3] + [2, 0, 3, 1] * 20),
                      bytes(range(150))],
        "segment": [vnet(0, 0, 0, 0) + p for p in packets[:4]]
        + [vnet(1, 100, 20, 16) + tcp(b"t" * 950), vnet(5, 100, 20, 6) + udp(b"u" * 950), vnet(0, 0, 20, 6) + udp(b"u")],
        "session": [bytes([0, 0, 0, 4, 1, 2, 3, 4, 1, 0, 0, 0, 1, 0, 1, 0]), bytes([1] + [1, 0, 0, 3, 0, 1, 5, 0, 9] * 8),
                    bytes([0, 0, 1, 3, 65, 66, 67, 1, 0, 4, 255, 1, 0, 5, 6])],
        "stun": [],
        "tunnel_control": [
            b'{"resource":"f564710d-a26b-5cd9-bcba-4ff696fc0d20","domain":"a.lab.test.","proxy_ips":["100.96.0.1","fd00::1"]}',
            b'{"proxy_ips":[],"domain":"x","resource":"{f564710d-a26b-5cd9-bcba-4ff696fc0d20}","other":[[[]]]}'],
        "turn": [bytes([0, 0xFF, 1, 2, 3, 1, 2, 3, 0, 0x5F, 2, 7, 7, 7]), bytes(range(160))],
    }


def write(target: str, seeds: list[bytes]) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(p.stat().st_size for p in folder.iterdir())
    for seed in seeds:
        path = folder / hashlib.sha256(seed).hexdigest()[:16]
        if path.exists() or not seed:
            continue
        total += len(seed)
        if len(list(folder.iterdir())) >= FILES_MAX or total > BYTES_MAX:
            break
        path.write_bytes(seed)


def make(recordings: pathlib.Path) -> None:
    seeds = by_hand()
    kinds = recorded_datagrams(recordings)
    stun = [d for kind, d in kinds.items() if kind[0] == "stun"]
    seeds["stun"] += [d[4:] if kind[0] == "channel" else d for kind, d in kinds.items() if "stun" in kind[:2]]
    seeds["demux"] += stun[:RECORDED_MAX] + [d for kind, d in kinds.items() if kind[0] != "stun"][:RECORDED_MAX]
    for target, more in from_portal(recordings).items():
        seeds[target] += list(dict.fromkeys(more))[:RECORDED_MAX]
    for target, contents in seeds.items():
        write(target, contents)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fold", nargs=2, metavar=("TARGET", "FOLDER"))
    parser.add_argument("recordings", nargs="?", type=pathlib.Path, default=HERE.parents[1] / "../shared/recordings")
    options = parser.parse_args()
    if options.fold:
        target, folder = options.fold
        found = sorted((p.read_bytes() for p in pathlib.Path(folder).iterdir()), key=len)
        write(target, found)
        return 0
    if not options.recordings.is_dir():
        parser.error(f"no recordings at {options.recordings}")
    make(options.recordings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
