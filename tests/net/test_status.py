"""What an operator is told of a running gateway, and that it is what happened."""
import os
import re
import socket
import stat
import time

import pytest

from lab import netns, topology as t
from lab.client import TUN as CLIENT_TUN
from lab.gateway import Gateway
from lab.lab import NET4, Lab
from lab.probes import refused_quickly
from lab.process import wait_for
from steps import failed, healed, hold_grants, page

PATHS = {"direct": {}, "relayed": {"client_nat": "random", "gateway_nat": "random"}}
STRANGER = "100.95.1.1"                 # a tunnel address of nobody


@pytest.fixture(scope="module", params=PATHS)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def lab(generation, path):
    with Lab(generation, shape=t.Shape(**PATHS[path])) as running:
        healed(page(running), 15)
        running.client.wait_path(path)
        running.path = path
        yield running


def only_peer(lab):
    peers = lab.gateway.ask("peers")["peers"]
    assert len(peers) == 1, peers
    return peers[0]


def addresses_of(lab):
    """The client's tunnel addresses as its host has them."""
    shown = netns.execute(lab.world.ns("client"), "ip", "-o", "addr", "show", "dev", CLIENT_TUN)
    return re.findall(r"inet6? ((?:100\.|fd00:2021:)[0-9a-f.:]+)/", shown)


def explain(lab, *words):
    shown = lab.gateway.show("explain", *words)
    print(shown.stdout)
    return shown


def test_the_status_is_that_of_the_lab(lab):
    status = lab.gateway.ask("status")["status"]
    assert status["ready"] and status["pid"] == lab.gateway.process.pid, status
    assert status["portal"]["joined"] and status["portal"]["host"] == t.PORTAL4
    assert status["portal"]["generation"] == lab.generation
    assert [r["server"] for r in status["relays"]] in ([f"{t.RELAY4}:3478"], [f"[{t.RELAY6}]:3478"])
    assert status["relays"][0]["answering"] and status["relays"][0]["round_trip_ms"] > 0
    assert status["clients"] == {"with_access": 1, "connections": 1, "without_path": 0,
                                 "direct": int(lab.path == "direct"), "relayed": int(lab.path == "relayed")}
    assert status["traffic"]["packets_in"] > 0 and status["traffic"]["bytes_out"] > 0
    shown = netns.execute(lab.world.ns("gateway"), "ip", "addr", "show", "dev", status["tunnel"]["interface"])
    assert status["tunnel"]["ipv4"] in shown and status["tunnel"]["ipv6"] in shown
    text = lab.gateway.show("status").stdout
    print(text)
    assert ", ready, up " in text and f"generation {lab.generation}" in text, text
    assert re.search(r"^relay +\S+ answers, round trip [\d.]+ ms$", text, re.MULTILINE), text


def test_a_line_of_the_table_is_what_the_lab_knows_of_the_client(lab):
    before = only_peer(lab)["traffic"]
    assert page(lab)().ok
    peer = only_peer(lab)
    assert sorted(addresses_of(lab)) == sorted([peer["ipv4"], peer["ipv6"]])
    assert peer["state"] == "connected" and peer["path"]["kind"] == lab.path
    assert peer["traffic"]["packets_in"] > before["packets_in"] and peer["traffic"]["bytes_out"] > before["bytes_out"]
    assert peer["resources"] >= 1 and peer["last_handshake"]["ago_s"] < 180
    header, row = lab.gateway.show("peers").stdout.splitlines()
    cells = dict(zip(re.split(r" {2,}", header), re.split(r" {2,}", row)))
    print(header, row, sep="\n")
    assert cells["CLIENT"] == peer["client"] and cells["STATE"] == "connected"
    assert cells["ADDRESSES"] == f"{peer['ipv4']} {peer['ipv6']}" and cells["RESOURCES"] == str(peer["resources"])
    if lab.path == "direct":
        assert cells["PATH"].startswith("direct ") and peer["path"]["remote"] in cells["PATH"]
        _, gateway = lab.client.path()
        assert peer["path"]["local"] == gateway, "both ends name the same pair"
    else:
        assert re.fullmatch(r"relayed via (\S+:3478|the client's relay)( and the client's relay)?", cells["PATH"])
        assert peer["path"]["why"], peer


def test_a_client_is_found_by_the_beginning_of_its_id_and_by_its_addresses(lab):
    peer = only_peer(lab)
    for name in (peer["client"], peer["client"][:8].upper(), peer["ipv4"], peer["ipv6"]):
        found = lab.gateway.ask("peers", name)
        assert found["peer"]["client"] == peer["client"]
        assert NET4 in [r["id"] for r in found["resources"]]
    text = lab.gateway.show("peers", peer["client"]).stdout
    print(text)
    assert re.search(rf"^{NET4} +lab +{t.RESOURCE4}/32 +.*tcp {t.WEB}.*icmp", text, re.MULTILINE), text
    missing = lab.gateway.show("peers", "0000")
    assert missing.returncode == 1 and "firegate peers" in missing.stderr


def test_explain_agrees_with_a_permitted_page_a_refused_port_and_a_foreign_address(lab):
    client = only_peer(lab)["ipv4"]
    for address, port in ((t.RESOURCE4, t.WEB), (t.RESOURCE4, t.WEB_ALT), (t.FORBIDDEN4, t.WEB)):
        answer = lab.probes.get(address, port=port, seconds=4)
        shown = explain(lab, client, address, str(port))
        assert shown.returncode == (0 if answer.ok else 3), (answer, shown)
        assert answer.ok or refused_quickly(answer), answer
        if answer.ok:
            assert "resource 'lab'" in shown.stdout and f"tcp {t.WEB}" in shown.stdout
        else:
            assert "not_allowed" in shown.stdout and "ICMP type 3 code 13" in shown.stdout
    assert "but" in explain(lab, client, t.RESOURCE4, str(t.WEB_ALT)).stdout, "whose filter refuses it"
    assert explain(lab, client, t.RESOURCE4).returncode == 0 and lab.probes.ping(t.RESOURCE4).ok
    assert explain(lab, client, t.RESOURCE4, f"{t.ECHO}/udp").returncode == 0 and lab.probes.udp(t.RESOURCE4).ok


def test_explain_agrees_with_a_spoofed_source(lab):
    client, ns = only_peer(lab)["ipv4"], lab.world.ns("client")
    netns.execute(ns, "ip", "addr", "add", f"{STRANGER}/32", "dev", CLIENT_TUN)
    try:
        before = lab.gateway.drops().get("spoofed_source", 0)
        with netns.entered(ns):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.bind((STRANGER, 0))
            sender.sendto(b"x", (t.RESOURCE4, t.ECHO))
            wait_for("it is dropped", lambda: lab.gateway.drops().get("spoofed_source", 0) > before, 5)
    finally:
        netns.execute(ns, "ip", "addr", "del", f"{STRANGER}/32", "dev", CLIENT_TUN)
    shown = explain(lab, client, t.RESOURCE4, f"{t.ECHO}/udp", "--source", STRANGER)
    assert shown.returncode == 3 and "spoofed_source: inner source is not the client's" in shown.stdout, shown


def test_only_the_owner_may_ask(lab):
    shown = os.stat(lab.gateway.control)
    assert stat.S_ISSOCK(shown.st_mode) and stat.S_IMODE(shown.st_mode) == 0o600
    os.chmod(lab.world.dir, 0o755)
    refused = lab.gateway.show("status", before=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert refused.returncode == 1, refused
    assert lab.gateway.control in refused.stderr and "permission denied; run this as root" in refused.stderr


def test_an_expired_grant_is_explained_with_its_end(make_lab, generation):
    lab = make_lab(generation, scenario={"expires_in": 6})
    healed(page(lab), 15)
    client = only_peer(lab)["client"]
    assert explain(lab, client, t.RESOURCE4, str(t.WEB)).returncode == 0
    hold_grants(lab)
    answer = failed(page(lab), 15)
    shown = explain(lab, client, t.RESOURCE4, str(t.WEB))
    assert not answer.ok and shown.returncode == 3, (answer, shown)
    assert re.search(r"resource 'lab' \(10\.20\.0\.2/32\) expired \d{4}-\d\d-\d\dT.*ago\)", shown.stdout), shown


def test_sockets_of_the_dead_are_replaced_and_those_of_the_living_are_not(make_lab):
    lab = make_lab("C")
    pid = lab.gateway.ask("status")["status"]["pid"]
    other = Gateway(lab.world, env={"HEALTH_CHECK_ADDR": "127.0.0.1:8081", "FIREGATE_TUN_NAME": "tun-other",
                                    "FIREZONE_ID": "other"}, backend="kernel").start()
    wait_for("the other says so", lambda: "another gateway listens there" in other.process.log_text(), 10)
    assert lab.gateway.ask("status")["status"]["pid"] == pid
    other.stop()
    own = lab.world.path("of/its/own.sock")
    os.mkdir(lab.world.path("of"))
    other = Gateway(lab.world, env={"HEALTH_CHECK_ADDR": "127.0.0.1:8081", "FIREGATE_TUN_NAME": "tun-other",
                                    "FIREZONE_ID": "other", "FIREGATE_CONTROL_SOCKET": own}, backend="kernel").start()
    wait_for("its own socket", lambda: other.show("status", socket=own).returncode == 0, 10)
    assert stat.S_IMODE(os.stat(os.path.dirname(own)).st_mode) == 0o700
    other.stop()
    assert not os.path.exists(own), "taken away with the gateway"

    lab.gateway.process.kill()
    dead = lab.gateway.show("status")
    assert dead.returncode == 1 and "nobody listens" in dead.stderr, dead
    lab.gateway.start()
    wait_for("status", lambda: lab.gateway.show("status").returncode == 0, 10)
    os.unlink(lab.gateway.control)
    gone = lab.gateway.show("status")
    assert gone.returncode == 1 and "no such socket" in gone.stderr and "FIREGATE_CONTROL_SOCKET" in gone.stderr, gone
    wait_for("the socket is made again", lambda: lab.gateway.show("status").returncode == 0, 15, 0.5)


def test_askers_that_say_nothing_or_too_much_are_let_go_and_the_others_served(make_lab):
    lab = make_lab("C")
    silent = []
    for _ in range(8):
        silent.append(socket.socket(socket.AF_UNIX))
        silent[-1].connect(lab.gateway.control)
    refused = lab.gateway.show("status")
    assert refused.returncode == 1 and "too many ask at once" in refused.stderr, refused
    began = time.monotonic()
    wait_for("the silent ones are let go", lambda: lab.gateway.show("status").returncode == 0, 15)
    print(f"served after {time.monotonic() - began:.1f} s")
    for one in silent:
        one.close()
    for said, answered in ((b"x" * 5000, b""), (b"{}\n", b"version"), (b'{"version":1,"do":"drain"}\n', b"no such request"),
                           (b"\n", b"no JSON")):
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(lab.gateway.control)
            asker.settimeout(8)
            asker.sendall(said)
            try:
                got = asker.makefile("rb").read()
            except ConnectionResetError:
                got = b""
            assert answered in got and bool(got) == bool(answered), (said, got)
    assert lab.gateway.show("status").returncode == 0
