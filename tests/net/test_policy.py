"""Grants come, change, expire and go; what is taken away is refused, what stays keeps working."""
import time

from lab import topology as t
from lab.lab import NET4, NET6, OPEN_PORTS, narrowed, port
from lab.probes import refused_quickly
from lab.process import wait_for
from steps import asked, failed, healed, hold_grants, refused_since, wait_asked


def page4(lab):
    return lambda: lab.probes.get(t.RESOURCE4, seconds=3)


def page6(lab):
    return lambda: lab.probes.get(t.RESOURCE6, seconds=3)


def test_grants_may_arrive_in_the_wrong_order(fresh):
    """A: allow_access before request_connection; later: the second authorization before the first."""
    hold_grants(fresh)
    fresh.client.connect(NET4)
    wait_asked(fresh, 1)
    fresh.client.connect(NET6)
    wait_asked(fresh, 2)
    fresh.portal.ask("release", reverse=True)
    for page in (page4(fresh), page6(fresh)):
        answer = healed(page, 15)
        assert answer.ok
    assert len(asked(fresh)) >= 2


def test_a_rejected_grant_is_refused_and_the_other_one_stays(fresh):
    healed(page4(fresh), 15)
    healed(page6(fresh), 15)
    hold_grants(fresh)
    fresh.portal.ask("reject", resource=NET4)
    answer = failed(page4(fresh), 5)
    assert refused_quickly(answer), answer
    assert page6(fresh)().ok
    fresh.portal.ask("release")
    if fresh.generation != "A":                   # newer clients ask again when they are told "prohibited"
        healed(page4(fresh), 15)


def test_the_last_grant_gone_ends_the_connection_and_the_next_packet_asks_anew(fresh):
    healed(page4(fresh), 15)
    before = len(asked(fresh))
    fresh.portal.ask("reject", resource=NET4)
    if fresh.generation == "A":
        failed(page4(fresh), 5)
        return

    def is_asked_anew():
        page4(fresh)()                          # the first may overtake the rejection
        return len(asked(fresh)) > before
    wait_for("another request for access", is_asked_anew, 20)
    healed(page4(fresh), 20)


def test_changed_filters_hold_at_once_for_live_clients(fresh):
    healed(page4(fresh), 15)
    v4 = narrowed()[0]
    only_ping = [{"protocol": "icmp"}, port("tcp", t.WEB_ALT)]
    fresh.portal.ask("update", resource=v4 | {"filters": only_ping}, quiet=True)
    answer = failed(page4(fresh), 5)
    assert refused_quickly(answer), answer
    assert fresh.probes.ping(t.RESOURCE4).ok
    assert fresh.probes.get(t.RESOURCE4, port=t.WEB_ALT).ok
    fresh.portal.ask("update", resource=v4 | {"filters": OPEN_PORTS}, quiet=True)
    healed(page4(fresh), 5)


def test_a_grant_ends_when_it_expires_without_the_portal_saying_so(make_lab, generation, portal_kind):
    lab = make_lab(generation, portal_kind, scenario={"expires_in": 5})
    healed(page4(lab), 15)
    granted = time.time()
    hold_grants(lab)
    assert refused_since(page4(lab), 9) - granted < 7
    lab.portal.ask("set", scenario={"expires_in": None})
    lab.portal.ask("release")
    if generation != "A":
        healed(page4(lab), 20)


def test_an_init_without_the_grant_takes_it_away(fresh):
    healed(page4(fresh), 15)
    hold_grants(fresh)
    fresh.portal.ask("forget")
    fresh.portal.ask("reinit")
    if fresh.generation == "A":                   # A's init lists no authorizations and revokes nothing
        time.sleep(1.5)
        assert page4(fresh)().ok
        return
    failed(page4(fresh), 6)
    fresh.portal.ask("release")
    healed(page4(fresh), 20)


def test_an_init_that_lists_the_grant_changes_nothing(fresh):
    healed(page4(fresh), 15)
    before = len(asked(fresh))
    for _ in range(3):
        fresh.portal.ask("reinit")
    assert all(page4(fresh)().ok for _ in range(5))
    assert len(asked(fresh)) == before


def test_repeated_authorizations_are_each_answered_and_disturb_nothing(fresh):
    if fresh.generation == "A":
        return
    healed(page4(fresh), 15)
    before = len(fresh.portal.state()["authorized"])
    fresh.portal.ask("reauthorize", resource=NET4, times=5)
    deadline = time.monotonic() + 5
    while len(fresh.portal.state()["authorized"]) < before + 5 and time.monotonic() < deadline:
        assert page4(fresh)().ok
    assert len(fresh.portal.state()["authorized"]) == before + 5
