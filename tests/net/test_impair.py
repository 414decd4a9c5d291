"""The impairment relay itself: its decisions from a seed, and frames between two hosts."""
import socket
import struct
import time

import pytest

from impair.link import ETHERNET, IPV4, IPV6, QUEUE_SECONDS_MAX, Link, checksum, too_big
from lab import netns, topology as t
from lab.impair import Impairment

MACS = b"\x02" * 6 + b"\x04" * 6


def v4(size=100, flags=0x40):
    return MACS + IPV4 + bytes([0x45, 0]) + struct.pack("!H", size) + bytes([0, 0, flags, 0, 64, 17, 0, 0]) \
        + bytes([198, 51, 100, 1, 198, 51, 100, 2]) + bytes(size - 20)


def v6(size=100):
    return MACS + IPV6 + b"\x60" + bytes(5) + b"\x11\x40" + bytes(15) + b"\x01" + bytes(15) + b"\x02" + bytes(size - 40)


def link(seed=7, **settings):
    made = Link(seed)
    made.settings.change(settings)
    return made


def fates(made, count=2000):
    return [made.releases(v4(), 0.0) for _ in range(count)]


def test_the_same_seed_decides_the_same_and_another_one_differently():
    settings = {"loss": 0.2, "duplicate": 0.1, "jitter_ms": 10}
    assert fates(link(**settings)) == fates(link(**settings)) != fates(link(8, **settings))


def test_loss_and_duplication_come_as_often_as_asked():
    made = link(loss=0.2, duplicate=0.1)
    lengths = [len(f) for f in fates(made, 10_000)]
    assert 1800 < lengths.count(0) < 2200 and 700 < lengths.count(2) < 900
    assert made.counts.lost == lengths.count(0) and made.counts.duplicated == lengths.count(2)
    assert made.counts.passed + made.counts.lost == made.counts.frames == 10_000


def test_one_setting_does_not_move_the_decisions_of_another():
    lost = [not f for f in fates(link(loss=0.3))]
    assert lost == [not f for f in fates(link(loss=0.3, duplicate=0.5, delay_ms=20, jitter_ms=9))]


def test_delay_is_kept_and_jitter_reorders_within_its_bound():
    times = [f[0] for f in fates(link(delay_ms=100, jitter_ms=15))]
    assert 0.1 <= min(times) and max(times) <= 0.115
    assert times != sorted(times)


def test_a_rate_spaces_frames_and_drops_what_would_wait_too_long():
    made = link(rate_kbit=800)                       # a frame of 114 bytes takes 1.14 ms
    sent = [f[0] for f in fates(made, 1000) if f]
    assert abs(sent[1] - sent[0] - 114 * 8 / 800_000) < 1e-9
    assert max(sent) <= QUEUE_SECONDS_MAX + 0.002 and made.counts.queue == 1000 - len(sent) > 0


def test_a_blackout_ends_by_itself():
    made = link(blackout_until=3.0)
    assert not made.releases(v4(), 2.999) and made.releases(v4(), 3.0) == (3.0,)


def test_the_mtu_lets_its_own_size_pass_and_one_byte_more_not():
    made = link(mtu=1400)
    assert made.releases(v4(1400), 0.0) and not made.releases(v4(1401), 0.0)
    assert made.counts.too_large == 1


@pytest.mark.parametrize("packet, answered", [(v4(1401), True), (v4(1401, flags=0), False), (v6(1401), True)])
def test_what_is_too_large_is_answered_as_a_router_does(packet, answered):
    answer = too_big(packet, 1400)
    assert (answer is not None) == answered
    if answer is None:
        return
    assert answer[:12] == MACS[6:] + MACS[:6]
    inner = answer[ETHERNET:]
    if packet[12:14] == IPV4:
        assert checksum(inner[:20]) == 0 and checksum(inner[20:]) == 0
        assert inner[20:22] == b"\x03\x04" and struct.unpack("!H", inner[26:28]) == (1400,) and len(inner) <= 576
        assert inner[28:] == packet[ETHERNET:ETHERNET + len(inner) - 28]
    else:
        pseudo = inner[8:40] + struct.pack("!II", len(inner) - 40, 58)
        assert checksum(pseudo + inner[40:]) == 0
        assert inner[40:42] == b"\x02\x00" and struct.unpack("!I", inner[44:48]) == (1400,) and len(inner) <= 1280


def test_addresses_are_resolved_whatever_the_loss():
    arp = MACS + b"\x08\x06" + bytes(28)
    assert link(loss=1).releases(arp, 1.0) == (1.0,)
    assert not link(blackout_until=2.0).releases(arp, 1.0)


@pytest.mark.parametrize("wrong", [{"loss": 1.5}, {"loss": -0.1}, {"los": 0.1}, {"mtu": "big"}])
def test_a_wrong_setting_is_refused_and_changes_nothing(wrong):
    made = link(delay_ms=5)
    with pytest.raises(ValueError):
        made.settings.change({"delay_ms": 9} | wrong)
    assert made.settings.delay_ms == 5


# -- with frames ---------------------------------------------------------------------------------------------------
@pytest.fixture
def cable(bare_world):
    world = bare_world(impair="client")
    made = world, Impairment(world)
    ping(world, count=1)                            # addresses are known from here on
    return made


def ping(world, *options, count=5, interval=0.02):
    out = netns.execute(world.ns("client"), "ping", "-q", "-c", str(count), "-i", str(interval), "-W", "1", *options,
                        t.PORTAL4, check=False)
    return out


def test_frames_pass_in_both_families_and_a_changed_setting_holds_at_once(cable):
    world, impairment = cable
    assert " 5 received" in ping(world)
    netns.execute(world.ns("client"), "ping", "-c", "1", "-W", "2", t.PORTAL6)
    impairment.set("out", loss=1)
    assert " 0 received" in ping(world)
    impairment.clear()
    assert " 5 received" in ping(world)
    assert impairment.counts()["out"]["lost"] >= 5          # neighbours may have been asked for meanwhile


def test_duplicates_and_delays_are_seen_by_the_user(cable):
    world, impairment = cable
    impairment.set("out", duplicate=1, delay_ms=100)
    out = ping(world, interval=0.2)
    assert "+5 duplicates" in out or "+4 duplicates" in out, out
    assert float(out.split("min/avg/max/mdev = ")[1].split("/")[0]) >= 100


def test_a_blackout_of_one_way_stops_that_way_only(cable):
    world, impairment = cable
    before = impairment.counts()
    impairment.blackout(0.5, "in")
    assert " 0 received" in ping(world)
    counts = impairment.counts()
    assert counts["in"]["blackout"] >= 5 and counts["out"]["blackout"] == before["out"]["blackout"]
    time.sleep(0.5)
    assert " 5 received" in ping(world)


def test_the_sender_learns_the_mtu(cable):
    world, impairment = cable
    impairment.set("out", mtu=1400)
    ping(world, "-s", "1372", "-M", "do")
    assert " 0 received" in ping(world, "-s", "1373", "-M", "do")
    assert "1400" in netns.run("ip", "-n", world.ns("client"), "route", "get", t.PORTAL4)


def test_it_carries_twenty_thousand_packets_a_second(cable):
    """Sent in bursts no socket buffer on the way overflows at; what counts is that none is missing."""
    world, impairment = cable
    impairment.set(delay_ms=5, jitter_ms=2)
    with netns.entered(world.ns("portal")):
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
    sink.bind((t.PORTAL4, 9999))
    sink.setblocking(False)
    with netns.entered(world.ns("client")):
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    source.connect((t.PORTAL4, 9999))
    got, rate, seconds = 0, 20_000, 2
    started = time.monotonic()
    for burst in range(100 * seconds):
        for _ in range(rate // 100):
            source.send(bytes(1200))
        got += drained(sink)
        time.sleep(max(0.0, started + (burst + 1) / 100 - time.monotonic()))
    took = time.monotonic() - started
    deadline = time.monotonic() + 10
    while got < rate * seconds and time.monotonic() < deadline:
        got += drained(sink)
        time.sleep(0.01)
    print(f"{got} of {rate * seconds} arrived, offered in {took:.2f} s, all within {time.monotonic() - started:.2f} s")
    assert got == rate * seconds, impairment.counts()
    sink.close()
    source.close()


def drained(s):
    count = 0
    while True:
        try:
            s.recv(2048)
            count += 1
        except BlockingIOError:
            return count


def test_a_command_that_makes_no_sense_is_answered_and_ends_nothing(cable):
    world, impairment = cable
    for wrong in ({"loss": 7}, {"colour": 1}):
        with pytest.raises(ValueError):
            impairment.set(**wrong)
    assert " 5 received" in ping(world)
