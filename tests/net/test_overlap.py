"""Resources that hold the same address: what any of them permits passes, and goes with it alone (spec policy 3.4)."""
import pytest

from lab import topology as t
from lab.lab import NAMES, NET4, Lab, port, resources
from lab.names import proxies
from lab.probes import refused_quickly
from lab.process import wait_for
from steps import failed, healed, hold_grants

WIDE = "5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b41"
OVERLAPPING = [
    resources()[0] | {"filters": [port("tcp", t.WEB)]},
    {"id": WIDE, "type": "cidr", "name": "wide", "address": "10.20.0.0/16", "filters": [port("udp", t.ECHO)]},
    {"id": NAMES, "type": "dns", "name": "wiki", "address": "*.lab.test", "filters": [port("tcp", t.WEB_ALT)]}]


@pytest.fixture(scope="module")
def lab(generation):
    with Lab(generation, scenario={"resources": OVERLAPPING}, narrow=False) as raised:
        yield granted(raised)


def granted(lab):
    """A client picks one resource for an address: it is told to ask for both."""
    for resource in (NET4, WIDE):
        lab.client.connect(resource)
        wait_for("the grant", lambda r=resource: r in {g[1] for g in lab.portal.state()["grants"]}, 15)
    return lab


def web(lab, address=t.RESOURCE4, at=t.WEB):
    return lambda: lab.probes.get(address, port=at, seconds=3)


def echo(lab, address=t.RESOURCE4):
    return lambda: lab.probes.udp(address, seconds=1, attempts=3)


def test_an_address_may_what_any_of_its_resources_may(lab):
    assert healed(web(lab), 20).ok and healed(echo(lab), 20).ok
    assert healed(echo(lab, t.FORBIDDEN4), 5).ok, "in the wider network as well"
    if lab.generation != "A":
        assert refused_quickly(web(lab, at=t.WEB_ALT)())


def test_a_name_may_what_its_resource_may_and_not_what_its_address_may(lab):
    wiki = proxies(lab, "wiki.lab.test")[0]
    assert healed(web(lab, wiki, t.WEB_ALT), 20).ok
    for answer in (web(lab, wiki)(), echo(lab, wiki)()):
        assert refused_quickly(answer), answer
    # Of generation A a name's real addresses belong to its resource, too (3.3).
    assert web(lab, at=t.WEB_ALT)().ok == (lab.generation == "A")


@pytest.mark.parametrize("gone", ["wide", "narrow"])
def test_one_that_is_taken_away_takes_only_what_it_alone_permitted(lab, gone):
    wiki = proxies(lab, "wiki.lab.test")[0]
    ends, stays = (echo(lab), web(lab)) if gone == "wide" else (web(lab), echo(lab))
    assert healed(ends, 20).ok and healed(stays, 20).ok and healed(web(lab, wiki, t.WEB_ALT), 20).ok
    hold_grants(lab)
    lab.portal.ask("reject", resource=WIDE if gone == "wide" else NET4)
    answer = failed(ends, 5)
    assert refused_quickly(answer), answer
    assert stays().ok and web(lab, wiki, t.WEB_ALT)().ok
    lab.portal.ask("release")
    lab.client.stop()
    lab.client.start()
    granted(lab)
    assert healed(ends, 20).ok, "and comes back with its grant"
