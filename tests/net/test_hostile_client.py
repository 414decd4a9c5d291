"""A client that does what no client does: more flows than it may have, packets of every kind, old datagrams again. Each is
counted by its reason; nobody else notices, and memory stays bounded (spec policy 3.8, 8.2)."""
import glob
import ipaddress
import os
import socket
import struct
import time

import pytest

from lab import netns, topology as t
from lab.client import TUN, Client
from lab.lab import Lab, resources
from lab.names import proxies
from lab.probes import Probes
from lab.process import SLOWDOWN, wait_for
from lab.traffic import Stream
from lab.world import ROOT
from steps import healed

VOID = {"id": "5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b54", "type": "dns", "name": "void", "address": "**.void.test", "filters": []}
VOID4, VOID6 = "10.66.0.1", "fd66::1"           # the gateway's kernel swallows what goes there
FLOWS_MAX = 262_144
PACKET_MAX = 1280
UDP, TCP, ECHO4, ECHO6 = 17, 6, 1, 58
# What may befall a packet of a client, and answers to it left out.
ENDS = {"malformed_packet", "fragmented", "oversized_packet", "spoofed_source", "multicast", "not_allowed", "proxy_unknown",
        "proxy_without_address", "not_translatable", "nat_exhausted", "special_address", "tunnel_range",
        "gateway_port_closed", "outbound_icmp_error", "malformed_probe", "control_malformed"}


@pytest.fixture(scope="module")
def lab():
    with Lab("C", shape=t.Shape(plain_offloads=False), scenario={"resources": resources() + [VOID]}) as raised:
        raised.dns.set("deep.void.test", VOID4, VOID6)
        for route in (VOID4 + "/32", VOID6 + "/128"):
            netns.execute(raised.world.ns("gateway"), "ip", "route", "add", "blackhole", route)
        healed(lambda: raised.probes.get(t.RESOURCE4, seconds=3), 20)
        raised.bystander = Client(raised.world, "C", name="bystander", host="portal").start()
        probes = Probes(raised.world, "portal")
        healed(lambda: probes.get(t.RESOURCE4, seconds=3), 20)
        yield raised


def tunnel_addresses(lab):
    peer = next(p for p in lab.gateway.ask("peers")["peers"] if p["client"] == device(lab))
    return peer["ipv4"], peer["ipv6"]


def device(lab):
    """The hostile client's id: the one with the first tunnel addresses the portal gave out."""
    shown = netns.execute(lab.world.ns("client"), "ip", "-o", "-4", "addr", "show", "dev", TUN)
    address = shown.split("inet ")[1].split("/")[0]
    return next(p["client"] for p in lab.gateway.ask("peers")["peers"] if p["ipv4"] == address)


def met(lab):
    """(packets that went on to resources, packets of clients that were dropped, by reason)."""
    status = lab.gateway.ask("status")["status"]
    return status["traffic"]["packets_in"], {d["reason"]: d["count"] for d in status["drops"] if d["reason"] in ENDS}


def corpora():
    """Every input any fuzz target keeps, as far as it fits in a packet."""
    inputs = []
    for name in sorted(glob.glob(os.path.join(ROOT, "tests", "fuzz", "corpus", "*", "*"))):
        with open(name, "rb") as f:
            inputs.append(f.read(PACKET_MAX))
    return [i for i in inputs if i]


def is_control(packet):
    return len(packet) >= 40 and packet[0] >> 4 == 6 and packet[6] == 255 and not any(packet[8:40])


def as_own(packet, own4, own6):
    """The same packet from the client's own address to the resource; none where there is no such."""
    if packet[0] >> 4 == 4 and len(packet) >= 20:
        return packet[:12] + ipaddress.ip_address(own4).packed + ipaddress.ip_address(t.RESOURCE4).packed + packet[20:]
    if packet[0] >> 4 == 6 and len(packet) >= 40:
        return packet[:8] + ipaddress.ip_address(own6).packed + ipaddress.ip_address(t.RESOURCE6).packed + packet[40:]
    return None


def test_every_packet_of_the_fuzz_corpora_goes_on_or_is_counted(lab):
    own = tunnel_addresses(lab)
    packets = [p for p in corpora() if not is_control(p)]
    packets += [p for p in (as_own(p, *own) for p in packets) if p]
    assert len(packets) > 500
    onward, dropped = met(lab)
    for packet in packets:
        lab.client.inner(packet)

    def all_met():
        now_onward, now_dropped = met(lab)
        return now_onward - onward + sum(now_dropped.values()) - sum(dropped.values()) >= len(packets)
    wait_for("every packet", all_met, 10)
    now_onward, now_dropped = met(lab)
    reasons = {r: n - dropped.get(r, 0) for r, n in now_dropped.items() if n != dropped.get(r, 0)}
    print(f"{len(packets)} packets: {now_onward - onward} went on, dropped {reasons}")
    assert now_onward - onward + sum(reasons.values()) == len(packets)
    assert len(reasons) >= 4 and now_onward > onward
    assert lab.probes.get(t.RESOURCE4).ok and Probes(lab.world, "portal").get(t.RESOURCE4).ok


def test_datagrams_sent_again_are_counted_and_come_to_nothing(lab):
    ns = lab.world.ns("client")
    with netns.entered(ns):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    wire.bind(("eth0", 0x0003))
    wire.settimeout(0.5)
    assert lab.probes.udp(t.RESOURCE4).ok
    frames = []
    with wire:
        for _ in range(5):
            assert lab.probes.udp(t.RESOURCE4).ok
        while True:
            try:
                frame, where = wire.recvfrom(4096)
            except TimeoutError:
                break
            if where[2] == socket.PACKET_OUTGOING and is_data_message(frame):
                frames.append(frame)
        assert len(frames) >= 5
        before, arrived = lab.gateway.drops().get("replayed", 0), met(lab)[0]
        for frame in frames * 3:
            wire.send(frame)
        wait_for("all are counted", lambda: lab.gateway.drops().get("replayed", 0) - before == 3 * len(frames), 5)
    assert met(lab)[0] == arrived
    print(f"{len(frames)} datagrams three times again: {3 * len(frames)} replayed")


def is_data_message(frame):
    """Over Ethernet, IPv4 or IPv6 without extensions, UDP: a WireGuard data message."""
    ip = frame[14:]
    payload = ip[28:] if ip[0] >> 4 == 4 else ip[48:]
    return payload[:4] == b"\x04\0\0\0"


def packets_of(protocol, source, target, first, last):
    """One for each source port or identifier."""
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    tail = {UDP: struct.pack("!HHH", t.CLOSED, 8, 0xFFFF), TCP: struct.pack("!HIIBBHHH", t.CLOSED, 1, 0, 0x50, 2, 1024, 0, 0),
            ECHO4: struct.pack("!H", 1), ECHO6: struct.pack("!H", 1)}[protocol]
    head = {UDP: b"", TCP: b"", ECHO4: struct.pack("!BBH", 8, 0, 0), ECHO6: struct.pack("!BBH", 128, 0, 0)}[protocol]
    length = len(head) + 2 + len(tail)
    if source.version == 4:
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0, 64, protocol, 0, source.packed, target.packed)
    else:
        ip = struct.pack("!IHBB16s16s", 6 << 28, length, protocol, 64, source.packed, target.packed)
    for number in range(first, last + 1):
        yield ip + head + struct.pack("!H", number) + tail


class Flood:
    """Straight into the client's tunnel device."""

    def __init__(self, lab):
        with netns.entered(lab.world.ns("client")):
            self.sockets = {v: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for v in (4, 6)}
        self.sockets[4].bind((TUN, 0x0800))
        self.sockets[6].bind((TUN, 0x86DD))
        self.sent = 0

    def send(self, packets):
        for packet in packets:
            try:
                self.sockets[packet[0] >> 4].send(packet)
            except OSError:             # the device's queue is full
                time.sleep(0.002)
                continue
            self.sent += 1
            if self.sent % 200 == 0:
                time.sleep(0.001)

    def close(self):
        for s in self.sockets.values():
            s.close()


def memory(lab):
    with open(f"/proc/{lab.gateway.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def flows_of(lab, client):
    traffic = lab.gateway.ask("peers", client)["peer"]["traffic"]
    return traffic["flows"] if traffic else 0


def test_a_flood_of_flows_fills_the_clients_own_table_and_disturbs_nobody(lab):
    own4, own6 = tunnel_addresses(lab)
    client = device(lab)
    v4, v6 = proxies(lab, "deep.void.test")
    lab.probes.udp(v4, seconds=0.5, attempts=1)             # access, and where the name leads
    others = [a for a in lab.client.resolve("deep.void.test")["v4"] if a != v4]
    wait_for("the name", lambda: any(n["name"] == "deep.void.test" for n in lab.gateway.ask("peers", client)["names"]), 10)
    before, exhausted = memory(lab), lab.gateway.drops().get("nat_exhausted", 0)
    stream = Stream(lab.world, rate=50, host="portal")
    stream.start()
    flood, began = Flood(lab), time.monotonic()
    for protocol, source, target in ((UDP, own4, v4), (UDP, own6, v6), (TCP, own4, v4), (TCP, own6, v6), (ECHO4, own4, v4)):
        flood.send(packets_of(protocol, source, target, 1, 65_535))
    filled, took = flows_of(lab, client), time.monotonic() - began
    full = memory(lab)
    for target in others:                                   # the same address, whose ports are taken
        flood.send(packets_of(UDP, own4, target, 1, 20_000))
    again = memory(lab)
    flood.close()
    outcome = stream.stop()
    lost = lab.gateway.drops().get("nat_exhausted", 0) - exhausted
    print(f"{flood.sent} packets in {took:.0f} s: {filled} flows, {lost} found no port; memory {before:.0f} -> {full:.0f} -> "
          f"{again:.0f} MiB; bystander {outcome}")
    assert filled <= FLOWS_MAX and lost > 1000 and full - before < 150 and outcome.gap <= 2, outcome
    if SLOWDOWN == 1:       # a slowed gateway loses most of the flood before it opens a flow, and of the bystander's, too
        assert filled > 100_000 and again - full < 16 and outcome.lost < outcome.sent * 0.1, outcome
    assert Probes(lab.world, "portal").get(t.RESOURCE4).ok and lab.probes.get(t.RESOURCE4).ok
