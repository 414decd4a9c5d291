"""What clients of generations B and C announce inside their tunnel, and what a gateway must not believe (spec policy 4.5)."""
import pytest

from lab import topology as t
from lab.lab import NAMES, Lab
from lab.names import announce, control, proxies, status_of
from lab.probes import refused_quickly
from steps import healed

UNREACHABLE = ("ENETUNREACH", "EHOSTUNREACH")


@pytest.fixture(scope="module", params=("B", "C"))
def lab(request):
    with Lab(request.param) as raised:
        page(raised, proxies(raised, "wiki.lab.test")[0])
        yield raised


def page(lab, address):
    return healed(lambda: lab.probes.get(address, "/where", seconds=3), 15).body.decode().strip()


def test_a_name_no_server_answers_for_is_refused(lab):
    address = proxies(lab, "deaf.lab.test")[0]
    answer = lab.probes.get(address, seconds=15)
    assert answer.error in ("EACCES", "EHOSTUNREACH"), answer
    assert status_of(lab, "deaf.lab.test") == "Inactive"


def test_foreign_proxy_addresses_are_refused(lab):
    for foreign in (t.FORBIDDEN4, "100.100.111.1", "100.64.0.1", "fd00:2021:1111::1", "10.99.0.1"):
        assert announce(lab, NAMES, "wiki.lab.test", [foreign]) == "Inactive", foreign
    assert announce(lab, NAMES, "wiki.lab.test", []) == "Inactive"
    answer = lab.probes.get(t.FORBIDDEN4, seconds=3)
    assert refused_quickly(answer), answer


def test_names_without_a_grant_or_outside_their_pattern_are_refused(lab):
    nobody = "00000000-0000-4000-8000-000000000001"
    assert announce(lab, nobody, "wiki.lab.test", ["100.97.0.1"]) == "Inactive"
    assert announce(lab, NAMES, "wiki.other.test", ["100.97.0.1"]) == "Inactive"
    assert announce(lab, NAMES, "Wiki.lab.TEST", proxies(lab, "wiki.lab.test")) == "Active"


def test_malformed_announcements_disturb_nothing(lab):
    for payload in (b"", b"{", b"[]", b"\xff\xfe", b'{"resource":"x","domain":"y","proxy_ips":[]}', b"{" * 1200):
        lab.client.inner(control(0, payload))
    lab.client.inner(control(77, b"{}"))
    lab.client.inner(control(0, b"")[:44])
    assert page(lab, proxies(lab, "wiki.lab.test")[0]) == t.RESOURCE4


def test_renumbered_proxies_lead_to_the_new_name_and_old_names_are_forgotten(lab):
    v4, v6 = proxies(lab, "wiki.lab.test")
    twin = proxies(lab, "v4only.lab.test")[0]
    page(lab, twin)
    assert announce(lab, NAMES, "v6only.lab.test", [v4, v6]) == "Active"
    assert page(lab, v6) == t.RESOURCE6
    answer = lab.probes.get(v4, seconds=3)
    assert answer.error in UNREACHABLE, answer
    lab.client.stop()                            # forgets what it handed out
    lab.client.start()
    assert page(lab, proxies(lab, "wiki.lab.test")[0]) == t.RESOURCE4
