"""The host's connection tracking is spared the tunnel's datagrams as long as nobody else relies on it."""
import re
import socket
import struct
import time

import pytest

from lab import netns, topology as t
from lab.gateway import Gateway
from lab.lab import Lab
from lab.process import wait_for
from lab.traffic import Stream
from steps import healed

PORT = 52625
IPV6_CHECKSUM = 7
STATEFUL = """
table inet guard {
  chain in {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "lo" accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
  }
}
"""
WHY = "table inet guard, chain in uses ct"
GAP_MAX = 5.0       # the kernel tells at once; where reading the rules takes long they are read again later
BACK_MAX = 40       # ten seconds without a firewall, and slack

CASES = {
    "A": {"generation": "A"},
    "B": {"generation": "B"},
    "C": {"generation": "C"},
    "C without ICE": {"generation": "C", "scenario": {"iceless": True}},
    "B by a relay": {"generation": "B", "shape": t.Shape(client_nat="random", gateway_nat="random")},
}


def in_gateway(lab, *command, check=True):
    return netns.execute(lab.world.ns("gateway"), *command, check=check)


def entries(lab):
    """Of the tunnel's datagrams in the connection table."""
    listed = in_gateway(lab, "conntrack", "-L", check=False) + in_gateway(lab, "conntrack", "-L", "-f", "ipv6", check=False)
    return [line for line in listed.splitlines() if re.search(rf"port={PORT}\b", line)]


def reason(lab):
    return lab.gateway.ask("status")["status"]["tracked_because"]


def restarted(lab, **env):
    """Another gateway, serving, with some settings."""
    lab.gateway.stop()
    lab.portal.wait_gone("gateway")
    lab.gateway = Gateway(lab.world, env=env).start()
    lab.gateway.wait_joined(lab.portal)
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 30)


@pytest.fixture(scope="module")
def lab():
    with Lab("C") as running:
        yield running


@pytest.mark.parametrize("case", CASES)
def test_a_firewall_that_comes_up_gets_its_tracking_and_traffic_goes_on(make_lab, case):
    lab = make_lab(**CASES[case])
    assert lab.probes.get(t.RESOURCE4).ok and lab.probes.get(t.RESOURCE6).ok
    lab.client.wait_path("relayed" if "relay" in case else "direct")
    wait_for("decided", lambda: reason(lab) == "", 5)
    time.sleep(2)
    before = len(entries(lab))
    stream = Stream(lab.world, rate=50)
    stream.start()
    stream.wait_again()
    assert len(entries(lab)) <= before, entries(lab)    # none is made; those of the first instant end by themselves

    netns.nft(lab.world.ns("gateway"), STATEFUL)
    wait_for("tracked again", lambda: reason(lab) == WHY, 10)
    stream.wait_again()
    time.sleep(1)
    outcome = stream.stop()
    print(f"{case}: {before} entries, then {len(entries(lab))}; a firewall comes up: {outcome}")
    assert outcome.gap <= GAP_MAX, outcome
    assert any("udp" in line for line in entries(lab)), "else the firewall lets in what it should not"
    assert "notrack" not in in_gateway(lab, "nft", "list", "ruleset")
    assert lab.probes.get(t.RESOURCE4).ok and lab.probes.get(t.RESOURCE6).ok
    if case != "C":
        return          # the way back is the same for all

    stream = Stream(lab.world, rate=50)
    stream.start()
    in_gateway(lab, "nft", "delete", "table", "inet", "guard")
    wait_for("not tracked", lambda: reason(lab) == "", BACK_MAX)
    time.sleep(1)
    outcome = stream.stop()
    print(f"{case}: the firewall is gone: {outcome}")
    assert outcome.gap <= GAP_MAX, outcome
    assert "notrack" in in_gateway(lab, "nft", "list", "table", "inet", "firegate")


def test_beside_a_stateful_firewall_tracking_is_kept_from_the_start(lab):
    netns.nft(lab.world.ns("gateway"), STATEFUL)
    try:
        restarted(lab)
        assert lab.probes.get(t.RESOURCE6).ok and lab.probes.udp(t.RESOURCE4).ok
        assert reason(lab) == WHY
        assert f"tracking  of the tunnel's datagrams kept: {WHY}\n" in lab.gateway.show("status").stdout
        said = [line for line in lab.gateway.process.log_text().splitlines() if "tracking of the tunnel" in line]
        assert len(said) == 1 and WHY in said[0], said
        restarted(lab, FIREGATE_UNTRACKED="off")
        assert reason(lab) == "FIREGATE_UNTRACKED is off"
    finally:
        in_gateway(lab, "nft", "delete", "table", "inet", "guard")


def test_a_legacy_firewall_is_noticed_though_nobody_announces_it(lab):
    restarted(lab)
    wait_for("not tracked", lambda: reason(lab) == "", BACK_MAX)
    in_gateway(lab, "iptables-legacy", "-A", "INPUT", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
    wait_for("tracked", lambda: reason(lab).startswith("iptables-legacy has a table"), 20)
    assert lab.probes.get(t.RESOURCE4).ok


def test_a_clients_flow_with_our_port_as_its_source_is_answered(lab):
    restarted(lab, FIREGATE_UNTRACKED="on")
    assert reason(lab) == ""
    for family, address in ((socket.AF_INET, t.RESOURCE4), (socket.AF_INET6, t.RESOURCE6)):
        with netns.entered(lab.world.ns("client")):     # raw: the client program has the port
            s = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP)
        with s:
            s.settimeout(1)
            s.connect((address, 0))
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, 6)
            datagram = struct.pack("!HHHH", PORT, t.ECHO, 8 + 5, 0) + b"hello"      # IPv4 needs no checksum

            def answered(raw=s, sent=datagram):
                raw.send(sent)
                try:
                    return raw.recv(100).endswith(b"hello")
                except TimeoutError:
                    return False
            wait_for(f"an answer from {address} to port {PORT}", answered, 5)


def test_strangers_fill_no_connection_table_and_a_kill_leaves_no_rule(make_lab):
    lab = make_lab("C", shape=t.Shape(attacker=True))
    assert lab.probes.get(t.RESOURCE4).ok
    wait_for("decided", lambda: reason(lab) == "", 5)
    before = int(in_gateway(lab, "conntrack", "-C"))
    with netns.entered(lab.world.ns("attacker")):
        for _ in range(500):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(b"x" * 40, (t.GATEWAY4, PORT))
    after = int(in_gateway(lab, "conntrack", "-C"))
    print(f"500 strangers: {after - before} entries more")
    assert after - before < 100, (before, after)
    lab.gateway.process.kill()
    wait_for("gone", lambda: "notrack" not in in_gateway(lab, "nft", "list", "ruleset"), 5)
