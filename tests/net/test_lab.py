"""The lab itself: links, NAT kinds, resources, names and teardown, without gateway or client."""
import hashlib
import os
import socket
import subprocess
import sys
import time

import pytest

import stun
from lab import netns, topology as t
from lab.probes import Probes
from lab.services import SIZES, Relay, content, start_dns, start_resource
from lab.world import SUPPORT
from relay_peer import RelayPeer


def udp(world, host):
    with netns.entered(world.ns(host)):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("0.0.0.0", 0))
    s.settimeout(1)
    return s


def public(world, inside, server):
    """The address a server on the internet sees for a datagram of `inside`."""
    inside.sendto(b"who", server.getsockname())
    return server.recvfrom(16)[1]


def servers(world):
    made = []
    for host, address in (("portal", t.PORTAL4), ("relay", t.RELAY4)):
        with netns.entered(world.ns(host)):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, 0))
        s.settimeout(1)
        made.append(s)
    return made


@pytest.mark.parametrize("kind, same", [("preserving", True), ("random", False)])
def test_nats_map_ports_as_their_kind_says(bare_world, kind, same):
    world = bare_world(client_nat=kind)
    inside = udp(world, "client")
    seen = [public(world, inside, s) for s in servers(world)]
    assert {a for a, _ in seen} == {t.CLIENT_NAT4}
    assert (seen[0] == seen[1]) == same
    assert not same or seen[0][1] == inside.getsockname()[1]


@pytest.mark.parametrize("kind, works", [("preserving", True), ("random", False)])
def test_hole_punching_works_only_between_port_preserving_nats(bare_world, kind, works):
    world = bare_world(client_nat=kind, gateway_nat=kind)
    one, two = udp(world, "client"), udp(world, "gateway")
    server = servers(world)[0]
    a, b = public(world, one, server), public(world, two, server)
    for _ in range(3):
        one.sendto(b"from one", b)
        two.sendto(b"from two", a)
        time.sleep(0.02)
    for s in (one, two):
        s.settimeout(0.3)
        if works:
            assert s.recv(16).startswith(b"from")
        else:
            with pytest.raises(TimeoutError):
                s.recv(16)


def test_a_direct_ipv4_path_can_be_taken_away(bare_world):
    world = bare_world(outer=("v6",))
    one, two = udp(world, "client"), udp(world, "gateway")
    two.sendto(b"x", (t.CLIENT4, one.getsockname()[1]))
    with pytest.raises(TimeoutError):
        one.recv(16)
    with netns.entered(world.ns("gateway")):
        six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with netns.entered(world.ns("client")):
        far = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    far.bind((t.CLIENT6, 0))
    far.settimeout(1)
    six.sendto(b"x", far.getsockname()[:2])
    assert far.recv(16) == b"x"


def test_what_is_sent_to_private_addresses_vanishes(bare_world):
    """An error would be answered by originals and by coturn with giving up; the internet is silent."""
    s = udp(bare_world(), "relay")
    for _ in range(3):
        s.sendto(b"x", ("192.168.7.2", 9))
        time.sleep(0.02)


def test_the_resource_serves_every_size_and_says_who_asked(bare_world):
    world = bare_world()
    start_resource(world)
    probes = Probes(world, "gateway")
    for address in (t.RESOURCE4, t.RESOURCE6):
        answer = probes.get(address, "/whoami")
        assert answer.ok and answer.body.decode().strip() in (t.RESOURCE_GATEWAY4, t.RESOURCE_GATEWAY6)
        assert probes.udp(address, b"echo").ok and probes.ping(address).ok
        assert probes.upload(address, 300_000).ok
    assert all(probes.download(t.RESOURCE4, size).ok for size in SIZES)
    assert probes.get(t.FORBIDDEN4, "/where", t.WEB_ALT).body == b"10.20.0.3\n"
    closed = probes.get(t.RESOURCE4, port=t.CLOSED)
    assert closed.error == "ECONNREFUSED"


def test_known_content_is_the_same_everywhere():
    assert hashlib.sha256(content(64)).hexdigest() == hashlib.sha256(content(64)).hexdigest()
    assert content(64) != content(63) + content(1)


def test_names_resolve_for_the_gateway(bare_world):
    world = bare_world()
    start_dns(world)
    out = ""
    deadline = time.monotonic() + 3
    while t.RESOURCE4 not in out and time.monotonic() < deadline:
        out = netns.execute(world.ns("gateway"), "getent", "ahosts", "wiki.lab.test", check=False)
    assert t.RESOURCE4 in out and t.RESOURCE6 in out


def test_a_refusal_by_icmp_reaches_the_probe_as_an_errno(bare_world):
    world = bare_world()
    netns.nft(world.ns("resource"), """
table inet refuse {
  chain in {
    type filter hook input priority filter
    udp dport 7007 reject with icmpx admin-prohibited
    tcp dport 80 reject with icmpx admin-prohibited
  }
}
""")
    probes = Probes(world, "gateway")
    for address, errno in ((t.RESOURCE4, "EHOSTUNREACH"), (t.RESOURCE6, "EACCES")):
        assert probes.udp(address).error == errno
        assert probes.get(address, seconds=3).error == errno


def test_a_relay_can_be_deafened_or_cut_off_from_one_host(bare_world):
    world = bare_world(relays=3)
    relays = [Relay(world, "C", host, join=False).start() for host in world.shape.relay_hosts]
    binding = stun.Message(stun.BINDING).encode()

    def heard(relay, host, family="v4"):
        return not RelayPeer(world.ns(host), getattr(relay, family), "").silent(binding, 0.2)

    relays[0].cut("gateway")
    relays[1].deafen()
    assert [[heard(r, h, f) for r in relays] for h in ("client", "gateway") for f in ("v4", "v6")] == [
        [True, False, True], [True, False, True], [False, False, True], [False, False, True]]
    relays[0].mend()
    relays[1].mend()
    assert all(heard(r, h) for r in relays for h in ("client", "gateway"))


LEFTOVER = """
import os, sys
sys.path.insert(0, {support!r})
from lab import topology as t
from lab.services import start_resource
from lab.world import World
world = World(t.Shape(client_nat="random")).up()
start_resource(world)
print(world.tag, *[p.pid for p in world.processes], flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "os.kill(os.getpid(), 15)", "import time; time.sleep(60)"])
def test_nothing_is_left_however_the_lab_ends(end):
    code = LEFTOVER.format(support=SUPPORT, end=end)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as lab:
        tag, *pids = lab.stdout.readline().split()
        if "sleep" in end:
            lab.kill()
        lab.wait(20)
    if "sleep" in end:                      # SIGKILL: the next lab sweeps up
        from lab.world import sweep
        sweep()
    assert netns.existing(tag + "-") == []
    deadline = time.monotonic() + 3
    while any(os.path.exists(f"/proc/{p}") for p in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(os.path.exists(f"/proc/{p}") for p in pids)
