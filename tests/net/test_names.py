"""DNS resources: names that clients hand proxy addresses out for, resolved and translated by the gateway (spec policy 4, 5)."""
import pytest

from lab import topology as t
from lab.client import Client
from lab.lab import OPEN_PORTS, Lab, port, resources
from lab.names import datagrams_in, proxies, spoofed, status_of
from lab.probes import Probes, refused_quickly
from lab.process import wait_for
from steps import failed, healed, hold_grants

PING, OPEN, MARK, ALT = (f"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b{n}" for n in (36, 37, 38, 39))
UNREACHABLE = ("ENETUNREACH", "EHOSTUNREACH")


def named(ident, pattern, filters):
    return {"id": ident, "type": "dns", "name": pattern, "address": pattern, "filters": filters}


EXTRA = [named(PING, "ping.icmp.test", [{"protocol": "icmp"}]), named(OPEN, "**.open.test", []),
         named(MARK, "?.mark.test", OPEN_PORTS), named(ALT, "both.lab.test", [port("tcp", t.WEB_ALT)])]


@pytest.fixture(scope="module")
def lab(generation):
    with Lab(generation, scenario={"resources": resources() + EXTRA}) as raised:
        yield raised


def page(lab, address, **how):
    return healed(lambda: lab.probes.get(address, "/where", seconds=3, **how), 15).body.decode().strip()


def test_a_page_by_name_comes_over_both_families(lab):
    v4, v6 = proxies(lab, "wiki.lab.test")
    assert page(lab, v4) == t.RESOURCE4
    assert page(lab, v6) == t.RESOURCE6


def test_all_proxies_of_a_name_lead_to_it(lab):
    answer = lab.client.resolve("wiki.lab.test")
    assert {page(lab, a) for a in answer["v4"]} == {t.RESOURCE4}
    assert {page(lab, a) for a in answer["v6"]} == {t.RESOURCE6}


def test_an_alias_leads_where_its_name_does(lab):
    assert page(lab, proxies(lab, "alias.lab.test")[0]) == t.RESOURCE4


@pytest.mark.parametrize("name, lives, other", [("v4only.lab.test", 0, 1), ("v6only.lab.test", 1, 0)])
def test_a_name_of_one_family_is_unreachable_by_the_other_or_translated(lab, name, lives, other):
    addresses = proxies(lab, name)
    real = (t.RESOURCE4, t.RESOURCE6)[lives]
    assert page(lab, addresses[lives]) == real
    if lab.generation == "A":                    # NAT64, NAT46
        assert page(lab, addresses[other]) == real
        return
    answer = failed(lambda: lab.probes.get(addresses[other], seconds=3), 5)
    assert answer.error in UNREACHABLE and refused_quickly(answer), answer


def test_wildcards_grant_what_they_cover(lab):
    for name in ("open.test", "a.open.test", "a.b.open.test", "x.mark.test"):
        assert page(lab, proxies(lab, name)[0]) == t.RESOURCE4, name


def test_a_name_answers_pings(lab):
    for address in proxies(lab, "wiki.lab.test"):
        assert healed(lambda a=address: lab.probes.ping(a), 15).ok


def test_a_closed_udp_port_of_a_name_is_refused_by_the_resource(lab):
    for address in proxies(lab, "open.test"):
        page(lab, address)
        answer = lab.probes.udp(address, port=4444)
        assert answer.error == "ECONNREFUSED", answer


def test_filters_hold_at_the_proxy_address(lab):
    for address in proxies(lab, "wiki.lab.test"):
        page(lab, address)
        answer = lab.probes.get(address, port=t.WEB_ALT, seconds=3)
        assert refused_quickly(answer) and answer.error != "ECONNREFUSED", answer
    for address in proxies(lab, "ping.icmp.test"):
        assert healed(lambda a=address: lab.probes.ping(a), 15).ok
        answer = lab.probes.get(address, seconds=3)
        assert refused_quickly(answer), answer


def test_two_names_of_one_address_from_one_port_get_their_own_answers(lab):
    for i in (0, 1):
        one, two = proxies(lab, "wiki.lab.test")[i], proxies(lab, "twin.lab.test")[i]
        page(lab, one), page(lab, two)
        sockets = [(lab.probes.echo_from(a, 40_404, a.encode()), a) for a in (one, two)]
        for s, address in sockets:
            with s:
                assert s.recv(100) == address.encode()


def test_two_hundred_connections_by_name(lab):
    address = proxies(lab, "wiki.lab.test")[0]
    page(lab, address)
    sockets = []
    for _ in range(200):
        sockets.append(lab.probes.connect(address, t.WEB, 5))
    for s in sockets:
        s.sendall(b"GET /where HTTP/1.0\r\n\r\n")
    good = sum(t.RESOURCE4.encode() in s.makefile("rb").read() for s in sockets)
    for s in sockets:
        s.close()
    assert good == 200


def test_two_clients_from_one_port_to_one_name(lab):
    other = Client(lab.world, lab.generation, name="other", host="portal").start()
    try:
        sockets = []
        for client, probes in ((lab.client, lab.probes), (other, Probes(lab.world, "portal"))):
            address = client.resolve("wiki.lab.test")["v4"][0]
            assert healed(lambda p=probes, a=address: p.get(a, seconds=3), 20).ok
            sockets.append((probes.echo_from(address, 40_405, client.name.encode()), client.name))
        for s, name in sockets:
            with s:
                assert s.recv(100) == name.encode()
    finally:
        other.stop()


def test_a_name_that_moves_takes_new_flows_along_and_leaves_old_ones(lab):
    lab.dns.set("moving.lab.test", t.RESOURCE4)
    address = proxies(lab, "moving.lab.test")[0]
    assert page(lab, address) == t.RESOURCE4
    old = lab.probes.connect(address, t.WEB, 5)
    lab.dns.set("moving.lab.test", t.FORBIDDEN4)
    if lab.generation != "A":                    # A asks again only when nothing answers
        def has_moved():
            proxies(lab, "moving.lab.test")      # each query of an application is an announcement
            return page(lab, address) == t.FORBIDDEN4
        wait_for("the new address", has_moved, 15)
    with old:
        old.sendall(b"GET /where HTTP/1.0\r\n\r\n")
        assert t.RESOURCE4.encode() in old.makefile("rb").read()


def test_a_name_that_ceases_to_exist_leads_nowhere(lab):
    lab.dns.set("ceasing.lab.test", t.RESOURCE4)
    address = proxies(lab, "ceasing.lab.test")[0]
    assert page(lab, address) == t.RESOURCE4
    lab.dns.set("ceasing.lab.test")
    if lab.generation == "A":
        assert page(lab, address) == t.RESOURCE4
        return

    def is_gone():
        proxies(lab, "ceasing.lab.test")
        return lab.probes.get(address, seconds=3).error in UNREACHABLE
    wait_for("unreachable", is_gone, 15)


def test_a_name_with_hundreds_of_addresses_is_cut_and_works(lab):
    lab.dns.set("many.lab.test", *(f"10.20.0.{i}" for i in range(2, 250)))
    first = proxies(lab, "many.lab.test")[0]
    lab.probes.ping(first, seconds=1, attempts=2)          # whichever it leads to: most are nobody
    if lab.generation != "A":
        assert status_of(lab, "many.lab.test") == "Active"
    assert page(lab, proxies(lab, "wiki.lab.test")[0]) == t.RESOURCE4


def test_a_rejected_name_is_refused_until_it_is_granted_anew(lab):
    address = proxies(lab, "x.mark.test")[0]
    page(lab, address)
    hold_grants(lab)
    lab.portal.ask("reject", resource=MARK)
    answer = failed(lambda: lab.probes.get(address, seconds=3), 5)
    assert refused_quickly(answer), answer
    lab.portal.ask("release")
    if lab.generation != "A":                    # newer clients ask again when they are told "prohibited"
        page(lab, address)


def explained(lab, destination, where=str(t.WEB)):
    peer = next(p for p in lab.gateway.ask("peers")["peers"] if p["state"] == "connected")
    shown = lab.gateway.show("explain", peer["client"], destination, where)
    print(shown.stdout)
    return shown.returncode, shown.stdout


def test_explain_of_a_name_agrees_with_what_its_packets_meet(lab):
    wiki = proxies(lab, "wiki.lab.test")
    page(lab, wiki[0])
    code, text = explained(lab, "wiki.lab.test")
    assert code == 0 and f"wiki.lab.test, translated to {t.RESOURCE4}" in text and "'wiki'" in text
    for address, number in ((wiki[0], t.WEB_ALT), (wiki[1], t.WEB_ALT)):
        answer = lab.probes.get(address, port=number, seconds=3)
        code, text = explained(lab, address, str(number))
        assert code == 3 and refused_quickly(answer) and "prohibited" in text and "not_allowed" in text, (answer, text)
        assert "'wiki'" in text and "holds it and allows" in text
    one_family = proxies(lab, "v4only.lab.test")
    page(lab, one_family[0])
    if lab.generation != "A":
        answer = lab.probes.get(one_family[1], seconds=3)
        code, text = explained(lab, one_family[1])
        assert code == 3 and answer.error in UNREACHABLE and "proxy_without_address" in text, (answer, text)
    else:
        assert explained(lab, one_family[1])[0] == 0
    assert explained(lab, "nowhere.lab.test")[0] == 1           # not a name of the client's
    answer = lab.probes.get("100.127.0.1", seconds=3)           # a proxy address nobody gave a name
    code, text = explained(lab, "100.127.0.1")
    assert code == 3 and not answer.ok and "not_allowed" in text, (answer, text)


def test_a_spoofed_source_never_leaves_the_gateway(lab):
    address = proxies(lab, "wiki.lab.test")[0]
    page(lab, address)
    before = datagrams_in(lab)
    for _ in range(5):
        lab.client.inner(spoofed(address))
    assert lab.probes.udp(address).ok            # comes after them, on the same way
    assert datagrams_in(lab) - before <= 3
