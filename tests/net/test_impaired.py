"""Faults on the gateway's way to the internet: loss, duplicates, reordering, delay, a small MTU, silence for seconds."""
import time

import pytest

from lab import netns, topology as t
from lab.lab import Lab
from lab.traffic import Stream
from steps import asked, healed

IMPAIRED = {"impair": "gateway"}
BOTH = [t.RESOURCE4, t.RESOURCE6]


def page(lab, address=t.RESOURCE4):
    return lambda: lab.probes.get(address, seconds=5)


@pytest.fixture(scope="module")
def warm(generation):
    """One lab for all faults of a generation; TCP that does not take loss for congestion."""
    with Lab(generation, shape=t.Shape(**IMPAIRED)) as lab:
        for host in ("client", "resource"):
            netns.sysctls(lab.world.ns(host), {"net/ipv4/tcp_congestion_control": "bbr"})
        for address in BOTH:
            healed(page(lab, address), 20)
        yield lab


@pytest.fixture
def lab(warm):
    healed(page(warm), 20)
    yield warm
    warm.impairment.clear()


def connections(lab):
    return lab.client.state()["counters"]["connections"]


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_three_megabytes_arrive_through_loss(lab, loss):
    """A TCP connection that loses one packet eight times waits for a minute by its own timers and is tried anew; the
    stream beside it shows that the tunnel does not stop."""
    lab.impairment.set(loss=loss)
    before = lab.impairment.counts()
    stream = Stream(lab.world, rate=50)
    stream.start()
    for probe in (lab.probes.download, lab.probes.upload):
        answers = [probe(t.RESOURCE4, 3_000_000, seconds=30)]
        while not answers[-1].ok and len(answers) < 3:
            answers.append(probe(t.RESOURCE4, 3_000_000, seconds=30))
        assert answers[-1].ok, answers
    outcome = stream.stop()
    assert outcome.gap < 5, outcome
    after = lab.impairment.counts()
    for way in ("in", "out"):
        lost = after[way]["lost"] - before[way]["lost"]
        assert lost > 2000 * loss, (way, lost)


@pytest.mark.parametrize("address", BOTH)
def test_duplicated_and_reordered_datagrams_arrive_once(lab, address):
    """The replay window: what came twice is delivered once, what came late is delivered."""
    lab.impairment.set(duplicate=0.02, jitter_ms=15)
    before = lab.impairment.counts()
    stream = Stream(lab.world, address, rate=400)
    stream.start()
    time.sleep(3)
    outcome = stream.stop()
    after = lab.impairment.counts()
    assert all(after[way]["duplicated"] - before[way]["duplicated"] > 5 for way in ("in", "out"))
    assert outcome.sent > 600 and not outcome.lost and not outcome.duplicates, (outcome, outcome.duplicates)


def test_everything_doubled_is_delivered_once(lab):
    lab.impairment.set(duplicate=1, jitter_ms=15)
    stream = Stream(lab.world, rate=200)
    stream.start()
    time.sleep(2)
    outcome = stream.stop()
    assert not outcome.lost and not outcome.duplicates, (outcome, outcome.duplicates)


@pytest.mark.parametrize("icmp", [True, False])
def test_an_outer_path_of_1400_bytes_carries_the_largest_packets(lab, icmp):
    """The largest outer packet has 1364 bytes (spec connectivity 6), so nobody needs to learn the MTU."""
    lab.impairment.set(mtu=1400, icmp=icmp)
    for address, size in ((t.RESOURCE4, 1252), (t.RESOURCE6, 1232)):
        for answer in (lab.probes.ping(address, size=size), lab.probes.download(address, 1_000_000),
                       lab.probes.upload(address, 1_000_000)):
            assert answer.ok, answer


@pytest.mark.parametrize("direction", ["both", "in", "out"])
def test_after_three_seconds_of_silence_traffic_goes_on_in_the_same_session(lab, direction):
    made, authorized = connections(lab), len(asked(lab))
    stream = Stream(lab.world, rate=50)
    stream.start()
    time.sleep(0.5)
    lab.impairment.blackout(3, direction)
    time.sleep(3)
    over = time.monotonic()
    answered = len(stream.answered)
    while len(stream.answered) == answered and time.monotonic() < over + 10:
        time.sleep(0.005)
    resumed = time.monotonic() - over
    time.sleep(1)
    outcome = stream.stop()
    print(f"{lab.generation} {direction}: resumed {resumed:.2f} s after the silence, {outcome}")
    assert 2.5 < outcome.gap < 5 and resumed < 2
    assert connections(lab) == made and len(asked(lab)) == authorized


def test_the_first_page_comes_over_150_ms_each_way(make_lab, generation):
    lab = make_lab(generation, shape=t.Shape(**IMPAIRED))
    lab.impairment.set(delay_ms=150)
    answer = healed(lambda: lab.probes.get(t.RESOURCE4, seconds=15), 30)
    print(f"{generation}: first page after {answer.first_ms / 1000:.2f} s")
    again = lab.probes.get(t.RESOURCE4)
    assert again.ok and again.first_ms > 600


def test_the_first_page_comes_through_a_tenth_lost(make_lab, generation):
    lab = make_lab(generation, shape=t.Shape(**IMPAIRED))
    lab.impairment.set(loss=0.1)
    answer = healed(lambda: lab.probes.get(t.RESOURCE4, seconds=15), 45)
    print(f"{generation}: first page after {answer.first_ms / 1000:.2f} s")
