"""The DNS service on the gateway's tunnel addresses: whom it answers, with what, and what it outlives."""
import re
import signal
import socket
import struct
import threading

import pytest

from lab import netns, site_names, topology as t
from lab.gateway import TUN
from lab.lab import Lab, resources
from lab.process import wait_for
from lab.site_names import BIG, BIG_BYTES, MISSING, PORT, SRV, TXT, dig, query, wait_answered
from lab.probes import refused_quickly

SCENARIO = {"resources": resources() + site_names.TUNNEL}


def serve_site(lab):
    """The site's name server on the resource host becomes the gateway's; its client may ask."""
    server = site_names.start(lab.world)
    netns.resolver(lab.world.ns("gateway"), t.RESOURCE4)
    for address in site_names.gateway_addresses(lab):
        assert wait_answered(lab.world, address).answers == ['"from the site"']
    return server


@pytest.fixture(scope="module", params=("A", "B", "C"))
def site(request):
    with Lab(request.param, scenario=SCENARIO) as lab:
        lab.names = serve_site(lab)
        yield lab


@pytest.fixture
def faulty(make_lab):
    """A lab of the test's own whose name server it may harm."""
    lab = make_lab("C", scenario=SCENARIO)
    lab.names = serve_site(lab)
    return lab


def connect(lab, address, seconds=8):
    return lab.probes.connect(address, PORT, seconds)


def framed(message):
    return struct.pack("!H", len(message)) + message


def read_framed(stream):
    """One message; empty: the connection is over."""
    file = stream.makefile("rb")
    length = file.read(2)
    return file.read(struct.unpack("!H", length)[0]) if len(length) == 2 else b""


@pytest.mark.parametrize("options", [(), ("+tcp",)], ids=["udp", "tcp"])
def test_srv_and_txt_are_answered_by_the_sites_name_server(site, options):
    for address in site_names.gateway_addresses(site):
        srv, txt = dig(site.world, address, SRV, "SRV", *options), dig(site.world, address, TXT, "TXT", *options)
        print(f"{address}: SRV {srv.seconds * 1000:.0f} ms, TXT {txt.seconds * 1000:.0f} ms")
        assert (srv.status, srv.answers) == ("NOERROR", ["5 7 389 dc.site.test."]), srv
        assert (txt.status, txt.answers) == ("NOERROR", ['"from the site"']), txt


def test_a_missing_name_is_passed_on_as_missing(site):
    v4, _ = site_names.gateway_addresses(site)
    for options in ((), ("+tcp",)):
        assert dig(site.world, v4, MISSING, "TXT", *options).status == "NXDOMAIN"
    assert dig(site.world, v4, "elsewhere.example", "TXT").status == "REFUSED"


def test_a_large_answer_is_cut_over_udp_and_whole_over_tcp(site):
    for address in site_names.gateway_addresses(site):
        cut = dig(site.world, address, BIG, "TXT", "+ignore", "+bufsize=4096")
        assert "tc" in cut.flags and not cut.answers and cut.size < 100, cut
        whole = dig(site.world, address, BIG, "TXT", "+bufsize=4096")
        assert sum(map(len, re.findall(r"x+", whole.answers[0]))) == BIG_BYTES and "tc" not in whole.flags, whole


def test_queries_on_one_connection_are_answered_in_order(site):
    for address in site_names.gateway_addresses(site):
        with connect(site, address) as stream:
            stream.sendall(b"".join(framed(query(n, BIG if n % 2 else TXT)) for n in range(1, 11)))
            file = stream.makefile("rb")
            for n in range(1, 11):
                reply = file.read(struct.unpack("!H", file.read(2))[0])
                assert struct.unpack("!H", reply[:2])[0] == n
                assert (len(reply) > BIG_BYTES) == bool(n % 2)


def test_what_is_no_query_is_ignored_over_udp_and_ends_a_connection(site):
    v4, _ = site_names.gateway_addresses(site)
    response = bytearray(query(1))
    response[2] |= 0x80
    two = bytearray(query(1) + query(1)[12:])
    two[5] = 2
    bad = [b"", b"x", query(1)[:-1], bytes(response), bytes(two), b"\xff" * 1200]
    with netns.entered(site.world.ns("client")):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        s.settimeout(8)
        s.connect((v4, PORT))
        for message in bad:
            s.send(message)
        s.send(query(77))
        assert s.recv(2048)[:2] == struct.pack("!H", 77)
    for message in bad:
        with connect(site, v4) as stream:
            stream.sendall(framed(message))
            assert read_framed(stream) == b""
    assert dig(site.world, v4, TXT, "TXT").status == "NOERROR"


def test_a_client_has_sixteen_connections_and_others_are_closed(site):
    v4, _ = site_names.gateway_addresses(site)
    kept = [connect(site, v4) for _ in range(16)]
    for n, stream in enumerate(kept):
        stream.sendall(framed(query(n)))
        assert read_framed(stream)
    with connect(site, v4) as stream:
        try:
            stream.sendall(framed(query(1)))
            assert read_framed(stream) == b""
        except ConnectionError:
            pass
    for stream in kept:
        stream.close()
    wait_answered(site.world, v4)
    wait_for("connections again", lambda: dig(site.world, v4, TXT, "TXT", "+tcp").status == "NOERROR", 5, 0.1)


def test_other_services_of_the_gateway_are_prohibited(site):
    for address in site_names.gateway_addresses(site):
        assert site.probes.ping(address).ok
        for answer in (site.probes.get(address, port=22, seconds=4), site.probes.udp(address, port=53),
                       site.probes.get(address, port=8080, seconds=4)):
            assert refused_quickly(answer) and answer.error != "ECONNREFUSED", answer


def test_neither_the_hosts_programs_nor_its_neighbours_are_answered(site):
    """A neighbour may route the tunnel's addresses to the gateway and call itself a client: it gets nothing, and nobody is
    asked for it."""
    v4, v6 = site_names.gateway_addresses(site)
    secret, spoofed = "secret.site.test", "100.64.200.200"
    netns.ip([f"route replace {v4}/32 via {t.RESOURCE_GATEWAY4}", f"route replace {v6}/128 via {t.RESOURCE_GATEWAY6}",
              f"addr replace {spoofed}/32 dev lo"], site.world.ns("resource"))
    for address in (v4, v6):
        netns.execute(site.world.ns("resource"), "ping", "-c", "1", "-W", "2", address)      # the way is there
    for host, address, options in (("gateway", v4, ()), ("gateway", v6, ()), ("resource", v4, ()), ("resource", v6, ()),
                                   ("resource", v4, ("-b", spoofed))):
        for transport in ((), ("+tcp",)):
            reply = dig(site.world, address, secret, "TXT", *options, *transport, host=host, seconds=1)
            assert reply.status in ("timeout", "refused"), (host, options, reply)
    assert dig(site.world, v4, MISSING, "TXT").status == "NXDOMAIN"
    asked = site.names.log_text()
    assert MISSING in asked and secret not in asked


def test_a_restart_of_the_portal_loses_no_query(site):
    v4, v6 = site_names.gateway_addresses(site)
    ended, lost, asked = threading.Event(), [], [0]
    stream = connect(site, v6)

    def ask():
        while not ended.is_set():
            asked[0] += 1
            if dig(site.world, v4, TXT, "TXT", seconds=3).status != "NOERROR":
                lost.append(asked[0])
            stream.sendall(framed(query(asked[0] & 0xFFFF)))
            if not read_framed(stream):
                lost.append(-asked[0])
                return
    asker = threading.Thread(target=ask)
    asker.start()
    try:
        before = site.gateway.process.log_text().count("tunnel addresses set")
        site.portal.restart()
        wait_for("init again", lambda: site.gateway.process.log_text().count("tunnel addresses set") > before, 20)
        reached = asked[0]
        wait_for("queries after it", lambda: asked[0] > reached + 5 or not asker.is_alive(), 10)
    finally:
        ended.set()
        asker.join()
        stream.close()
    print(f"portal restarted: {asked[0]} queries, lost {lost}")
    assert not lost and asked[0] > 10


def test_a_silent_name_server_is_a_server_failure_within_five_seconds(faulty):
    v4, v6 = site_names.gateway_addresses(faulty)
    faulty.names.signal(signal.SIGSTOP)
    replies = [dig(faulty.world, v4, TXT, "TXT"), dig(faulty.world, v6, SRV, "SRV", "+tcp")]
    faulty.names.signal(signal.SIGCONT)
    for reply in replies:
        print(f"{reply.status} after {reply.seconds:.1f} s")
        assert reply.status == "SERVFAIL" and reply.seconds < 6, reply
    wait_answered(faulty.world, v4)
    faulty.names.kill()
    for transport in ((), ("+tcp",)):
        reply = dig(faulty.world, v4, TXT, "TXT", *transport)
        assert reply.status == "SERVFAIL" and reply.seconds < 6, reply


def test_the_name_server_that_answers_is_used_whichever_comes_first(faulty):
    v4, _ = site_names.gateway_addresses(faulty)
    second = site_names.start(faulty.world, "from the second", t.FORBIDDEN4)
    ns = faulty.world.ns("gateway")
    with open(f"{netns.ETC}/{ns}/resolv.conf", "w", encoding="ascii") as f:
        f.write(f"nameserver {t.RESOURCE4}\nnameserver {t.FORBIDDEN4}\n")
    faulty.names.kill()

    def answered():
        return dig(faulty.world, v4, TXT, "TXT", seconds=6).answers
    assert wait_for("the second answers", answered, 20) == ['"from the second"']
    # Without anybody who knows firezone.dev it is the first one of the file.
    second.kill()
    site_names.start(faulty.world, "third", t.FORBIDDEN4, knows_firezone=False)
    site_names.start(faulty.world, "first", t.RESOURCE4, knows_firezone=False)
    assert wait_for("the first answers", lambda: answered() == ['"first"'], 20, 0.5)


def test_the_service_comes_back_with_a_tunnel_that_was_deleted(faulty):
    v4, v6 = site_names.gateway_addresses(faulty)
    netns.execute(faulty.world.ns("gateway"), "ip", "link", "delete", TUN)
    for address in (v4, v6):
        for transport in ("+notcp", "+tcp"):
            reply = wait_for("answered again", lambda a=address, o=transport: dig(faulty.world, a, TXT, "TXT", o, seconds=2).answers, 10)
            assert reply == ['"from the site"']
    netns.execute(faulty.world.ns("gateway"), "ip", "addr", "flush", "dev", TUN)
    for address in (v4, v6):
        wait_answered(faulty.world, address)


def test_a_taken_port_ends_the_start_with_the_mend(faulty):
    faulty.gateway.stop()
    faulty.portal.wait_gone("gateway")
    with netns.entered(faulty.world.ns("gateway")):
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with other:
        other.bind(("0.0.0.0", PORT))
        faulty.gateway.start()
        assert faulty.gateway.process.wait(20) == 1
    line = re.search(r".*Failed to bind DNS servers on TUN interface.*", faulty.gateway.process.log_text())[0]
    print(line)
    assert "ERROR" in line and "Address already in use" in line and "ss -tulpn" in line
    # A second later it is free, and a host without IPv6 serves IPv4.
    netns.sysctls(faulty.world.ns("gateway"), {"net/ipv6/conf/all/disable_ipv6": 1, "net/ipv6/conf/default/disable_ipv6": 1})
    faulty.gateway.start()
    faulty.gateway.wait_joined(faulty.portal)
    faulty.gateway.process.wait_log("DNS service listens")
    v4 = re.search(r"DNS service listens addresses=\"?([0-9.]+):53535\"?$", faulty.gateway.process.log_text(), re.M)[1]
    wait_answered(faulty.world, v4)
