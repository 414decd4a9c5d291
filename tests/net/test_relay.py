"""The lab's relay answers as Firezone's does (spec connectivity 7)."""
import json
import os
import socket
import time

import pytest

import capture
import stun
from lab import netns, topology as t
from lab.process import wait_for
from lab.services import relay_counts
from lab.world import PYTHON, SUPPORT, World
from relay.control import REALM, password
from relay.server import SO_RCVBUFFORCE
from relay_peer import RelayPeer, code, relayed

SECRET = "f506ea9dcc471df08b264efadf1af07f37c0442b8cbb3bc3cd1d4255c9ed9d66"
SHARED = os.environ.get("FG_SHARED", os.path.join(SUPPORT, "..", "..", "..", "shared"))


@pytest.fixture(scope="module")
def world():
    w = World(t.Shape(relays=2)).up()
    yield w
    w.down()


@pytest.fixture(params="ABC", scope="module")
def relay(request, world):
    process = world.start("relay", "relay", [
        PYTHON, f"{SUPPORT}/relay.py", "--ipv4", t.RELAY4, "--ipv6", t.RELAY6, "--generation", request.param,
        "--secret", SECRET])
    process.wait_log('"listening"')
    process.generation = request.param
    yield process
    process.stop()


@pytest.fixture
def peers(world):
    made = []

    def make(host="client", server=t.RELAY4, **more):
        peer = RelayPeer(world.ns(host), server, SECRET, salt=more.pop("salt", os.urandom(8).hex()), **more)
        made.append(peer)
        return peer

    yield make
    for peer in made:
        peer.close()


def kinds(answer):
    return [k for k, _ in answer.attributes]


def test_binding_tells_the_address_it_saw_unsigned(relay, peers):
    peer = peers()
    answer = peer.request(stun.BINDING, auth=False)
    assert kinds(answer) == [stun.SOFTWARE, stun.XOR_MAPPED_ADDRESS]
    seen = stun.parse_xor_address(answer.get(stun.XOR_MAPPED_ADDRESS), answer.transaction)
    assert seen == (t.CLIENT4, peer.socket.getsockname()[1])


def test_the_first_allocate_without_a_nonce_is_challenged(relay, peers):
    answer = peers().request(stun.ALLOCATE, RelayPeer.ALLOCATE)
    signed = [stun.MESSAGE_INTEGRITY] if relay.generation != "A" else []
    assert code(answer) == 401 and answer.get(stun.REALM) == b"firezone"
    assert kinds(answer) == [stun.SOFTWARE, stun.ERROR_CODE, stun.REALM, stun.NONCE, *signed]


def test_an_allocation_has_the_same_port_on_both_families(relay, peers):
    peer = peers()
    answer = peer.allocate()
    (ip4, port4), (ip6, port6) = relayed(answer)
    assert (ip4, ip6, port4) == (t.RELAY4, t.RELAY6, port6) and 49152 <= port4 <= 65535
    assert answer.get(stun.LIFETIME) == stun.u32(600)
    signed = [stun.MESSAGE_INTEGRITY] if relay.generation != "A" else []
    assert kinds(answer) == [stun.SOFTWARE, stun.XOR_RELAYED_ADDRESS, stun.XOR_RELAYED_ADDRESS,
                             stun.XOR_MAPPED_ADDRESS, stun.LIFETIME, *signed]
    assert not signed or answer.has_integrity(peer.key)


def test_a_second_allocate_on_the_same_socket_is_a_mismatch(relay, peers):
    peer = peers()
    peer.allocate()
    assert code(peer.allocate()) == 437


def test_a_new_socket_with_the_same_username_replaces_the_allocation(relay, peers):
    first = peers(salt="same")
    first.allocate()
    second = peers(salt="same")
    assert code(second.allocate()) == 0
    assert code(first.request(stun.REFRESH)) == (0 if relay.generation == "A" else 437)


@pytest.mark.parametrize("attributes, wanted", [
    (((stun.REQUESTED_TRANSPORT, b"\x06\0\0\0"),), 400),
    (((stun.REQUESTED_TRANSPORT, b"\x11\0\0\0"), (stun.ADDITIONAL_ADDRESS_FAMILY, b"\x01\0\0\0")), 400),
    (((stun.REQUESTED_TRANSPORT, b"\x11\0\0\0"), (stun.ADDITIONAL_ADDRESS_FAMILY, b"\x02\0\0\0"),
      (stun.REQUESTED_ADDRESS_FAMILY, b"\x01\0\0\0")), 400),
    ((), 400),
])
def test_allocate_refuses_what_the_originals_refuse(relay, peers, attributes, wanted):
    assert code(peers().allocate(attributes)) == wanted


def test_reserved_bytes_that_are_not_zero_break_the_integrity(relay, peers):
    peer = peers()
    peer.allocate(((stun.REQUESTED_TRANSPORT, b"\x11\0\0\0"),))
    other = peers()
    other.request(stun.ALLOCATE, RelayPeer.ALLOCATE)
    assert code(other.request(stun.ALLOCATE, ((stun.REQUESTED_TRANSPORT, b"\x11\0\0\1"),))) == 401


def test_authentication_is_checked_in_order(relay, peers):
    peer = peers()
    assert code(peer.request(stun.REFRESH, nonce=None)) == 401
    assert code(peer.request(stun.REFRESH, nonce="unknown")) == 438
    assert code(peer.request(stun.REFRESH, key=b"x" * 16)) == 401
    assert code(peer.request(stun.REFRESH)) == 437


def test_an_expired_username_is_refused(relay, peers):
    peer = peers(expiry=1_700_000_000)
    peer.request(stun.ALLOCATE, RelayPeer.ALLOCATE)
    assert code(peer.request(stun.ALLOCATE, RelayPeer.ALLOCATE)) == 401


def test_some_requests_get_no_answer(relay, peers):
    peer = peers()
    whole = stun.Message(stun.BINDING).encode()
    assert peer.silent(whole + b"\0")
    assert peer.silent(stun.Message(0x00A).encode())
    assert peer.silent(stun.Message(0x006, stun.INDICATION).encode())
    peer.username = "nonsense"
    assert peer.silent(stun.Message(stun.REFRESH, attributes=[(stun.USERNAME, b"nonsense")]).encode(b"k"))


def test_refresh_cuts_lifetimes_and_deletes_at_zero(relay, peers):
    peer = peers()
    peer.allocate()
    assert peer.request(stun.REFRESH, ((stun.LIFETIME, stun.u32(100_000)),)).get(stun.LIFETIME) == stun.u32(3600)
    assert peer.request(stun.REFRESH).get(stun.LIFETIME) == stun.u32(600)
    assert peer.request(stun.REFRESH, ((stun.LIFETIME, stun.u32(0)),)).get(stun.LIFETIME) == stun.u32(0)
    assert code(peer.request(stun.REFRESH)) == 437


def test_channels_belong_to_one_peer(relay, peers):
    peer = peers()
    peer.nonce = "x"
    assert code(peer.bind(0x3FFF, ("192.0.2.1", 1))) == 400 and code(peer.bind(0x5000, ("192.0.2.1", 1))) == 400
    peer.allocate()
    assert code(peer.bind(0x4000, ("192.0.2.1", 1))) == 0
    assert code(peer.bind(0x4000, ("192.0.2.1", 1))) == 0
    assert code(peer.bind(0x4001, ("192.0.2.1", 1))) == 400
    assert code(peer.bind(0x4000, ("192.0.2.1", 2))) == 400
    assert code(peer.bind(0x4FFF, ("2001:db8::1", 1))) == 0


def test_a_family_that_was_not_allocated_is_refused(relay, peers):
    peer = peers()
    peer.allocate(((stun.REQUESTED_TRANSPORT, b"\x11\0\0\0"),))
    assert code(peer.bind(0x4000, ("2001:db8::1", 1))) == 443


def test_nonces_live_as_the_generation_says(relay, peers):
    peer = peers()
    peer.request(stun.ALLOCATE, RelayPeer.ALLOCATE)
    first = peer.nonce
    codes = [code(peer.request(stun.REFRESH, nonce=first)) for _ in range(101)]
    assert codes[:100] == [437] * 100 and codes[100] == (438 if relay.generation == "A" else 437)
    peer.request(stun.ALLOCATE, RelayPeer.ALLOCATE, nonce=None)
    assert (peer.nonce == first) == (relay.generation == "C")


def test_data_flows_only_through_channels(relay, peers, world):
    peer = peers()
    (_, port), _ = relayed(peer.allocate())
    with netns.entered(world.ns("portal")):
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.bind((t.PORTAL4, 0))
    far.settimeout(1)
    before = relay_counts(relay)["data"]["drop:no channel"]
    far.sendto(b"early", (t.RELAY4, port))
    wait_for("a drop without channel", lambda: relay_counts(relay)["data"]["drop:no channel"] > before, 3)
    peer.bind(0x4000, far.getsockname())
    peer.send(0x4000, b"out")
    data, source = far.recvfrom(100)
    assert (data, source) == (b"out", (t.RELAY4, port))
    far.sendto(b"back", source)
    assert peer.receive() == b"\x40\x00\x00\x04back"
    peer.send(0x4001, b"unbound")
    peer.raw(b"\x40\x00\x00\x09short")
    peer.raw(b"\x40\x00\x00\x04long and more")
    if relay.generation == "B":                             # the user-space path cuts the rest off
        assert far.recvfrom(100)[0] == b"long"
    dropped = ("drop:unbound", "drop:short")
    wait_for("all drops counted", lambda: all(relay_counts(relay)["data"][d] >= 1 for d in dropped), 3)
    far.close()


def test_two_allocations_reach_each_other_across_families(relay, peers):
    one, two = peers(), peers("gateway", t.RELAY6)
    a, b = relayed(one.allocate()), relayed(two.allocate())
    for (mine, theirs) in zip(a, b):
        number = 0x4000 if ":" not in mine[0] else 0x4001
        assert code(one.bind(number, theirs)) == 0 and code(two.bind(number, mine)) == 0
        one.send(number, b"ping")
        assert two.receive() == number.to_bytes(2, "big") + b"\x00\x04ping"


def test_ten_thousand_packets_a_second_pass(relay, peers, world):
    one, two = peers(), peers("gateway")
    a, b = relayed(one.allocate()), relayed(two.allocate())
    one.bind(0x4000, b[0])
    two.bind(0x4000, a[0])
    for s in (one.socket, two.socket):
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    before = relay_counts(relay)["data"]
    count, burst, started = 10_000, 50, time.monotonic()
    for first in range(0, count, burst):
        for _ in range(burst):
            one.send(0x4000, b"x" * 1200)
        time.sleep(max(0.0, started + (first + burst) / 12_000 - time.monotonic()))
    deadline = time.monotonic() + 2
    while relay_counts(relay)["data"]["to_client"] - before["to_client"] < count and time.monotonic() < deadline:
        pass
    after = relay_counts(relay)["data"]
    assert after["to_peer"] - before["to_peer"] >= count * 0.99
    assert after["to_client"] - before["to_client"] >= count * 0.99


@pytest.mark.parametrize("folder", ["A/relayed", "B/relayed", "C/relayed", "B/direct"])
def test_recorded_requests_get_answers_of_the_recorded_shape(world, peers, folder):
    path = os.path.join(SHARED, "recordings", folder)
    secret = next(json.loads(line)["payload"]["stamp_secret"] for line in open(f"{path}/portal.jsonl", encoding="utf-8")
                  if "stamp_secret" in line)
    relay = world.start("replay", "relay2", [PYTHON, f"{SUPPORT}/relay.py", "--ipv4", t.RELAY2_4, "--ipv6",
                                             t.RELAY2_6, "--secret", secret])
    relay.wait_log('"listening"')
    recorded = recorded_exchanges(f"{path}/wan.pcap", secret)
    assert {m for m, _, _ in recorded} >= {stun.BINDING, stun.ALLOCATE, stun.CHANNEL_BIND}
    peer = peers(server=t.RELAY2_4)
    seen = set()
    for method, request, wanted in recorded:
        if wanted.cls == stun.ERROR or method == stun.BINDING:
            peer.raw(request)
            answer = stun.decode(peer.receive())
            assert code(answer) == code(wanted) and sorted(kinds(answer)) == sorted(kinds(wanted))
            seen.add(method)
        elif stun.decode(request).get(stun.NONCE):      # a nonce of another relay: stale
            peer.raw(request)
            assert code(stun.decode(peer.receive())) == 438
    assert {stun.BINDING, stun.ALLOCATE} <= seen
    relay.stop()


def recorded_exchanges(pcap, secret):
    """(method, request bytes, answer) with every signature of the recording verified."""
    waiting, out = {}, []
    for source, _, data in capture.datagrams(pcap):
        try:
            message = stun.decode(data)
        except stun.Malformed:
            continue
        username = (message.get(stun.USERNAME) or b"").decode()
        if message.cls == stun.REQUEST and source[1] != 3478:
            key = None
            if username.count(":") == 1 and username.split(":")[0].isdigit():
                expiry, salt = username.split(":")
                key = stun.long_term_key(username, REALM, password(expiry, secret, salt))
                assert message.has_integrity(key)
            waiting[message.transaction] = (data, key)
        elif source[1] == 3478 and message.transaction in waiting:
            request, key = waiting.pop(message.transaction)
            assert message.get(stun.MESSAGE_INTEGRITY) is None or message.has_integrity(key)
            out.append((message.method, request, message))
    return out
