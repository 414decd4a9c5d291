#!/usr/bin/python3
"""Datagrams of a capture file (classic pcap, Ethernet): (source, destination, payload) in order."""
import ipaddress
import struct


def datagrams(path):
    with open(path, "rb") as f:
        data = f.read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from(order + "I", data, at + 8)[0]
        frame = data[at + 16:at + 16 + size]
        at += 16 + size
        found = _udp(frame)
        if found:
            yield found


def _udp(frame):
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == 17:
        head = 14 + (frame[14] & 15) * 4
        source, destination = frame[26:30], frame[30:34]
    elif kind == b"\x86\xdd" and frame[20] == 17:
        head = 54
        source, destination = frame[22:38], frame[38:54]
    else:
        return None
    from_port, to_port, length = struct.unpack_from("!HHH", frame, head)
    return ((str(ipaddress.ip_address(source)), from_port), (str(ipaddress.ip_address(destination)), to_port),
            frame[head + 8:head + length])
