"""What filters, fragments and half a connection look like to whoever uses them (spec policy 3.2, 3.8, 5.4)."""
import socket
import threading
import time

import pytest

from lab import netns, topology as t
from lab.client import Client
from lab.lab import Lab, port, resources
from lab.names import proxies
from lab.probes import Probes, refused_quickly
from lab.process import wait_for
from steps import healed

EDGES = [port("tcp", 100, 200), port("tcp", 65535), {"protocol": "tcp", "port_range_end": 10}, port("udp", 300),
         {"protocol": "udp", "port_range_start": 65000}]
REACHED = {"tcp": (1, 10, 100, 200, 65535), "udp": (300, 65000, 65535)}
REFUSED = {"tcp": (11, 99, 201, 300, 65534), "udp": (1, 100, 299, 301, 64999)}
ECHO_ONLY = [{"protocol": "icmp"}]


def resource(last, kind, address, filters):
    return {"id": f"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b{last}", "type": kind, "name": address, "address": address,
            "filters": filters}


EXTRA = [resource(50, "cidr", f"{t.FORBIDDEN4}/32", EDGES), resource(51, "dns", "edge.mark.test", EDGES),
         resource(52, "cidr", f"{t.FORBIDDEN6}/128", ECHO_ONLY), resource(53, "dns", "ping.icmp.test", ECHO_ONLY)]


@pytest.fixture(scope="module")
def lab(generation):
    with Lab(generation, scenario={"resources": resources() + EXTRA}) as raised:
        raised.dns.set("edge.mark.test", t.RESOURCE4, t.RESOURCE6)
        yield raised


def test_a_filter_holds_at_its_first_and_last_port_by_address_and_by_name(lab):
    for address in (t.FORBIDDEN4, *proxies(lab, "edge.mark.test")):
        wait_for("access", lambda a=address: lab.probes.get(a, port=100, seconds=2).error == "ECONNREFUSED", 20)
        for number in REACHED["tcp"]:
            answer = lab.probes.get(address, port=number, seconds=3)
            assert answer.error == "ECONNREFUSED", (address, number, answer)      # nobody listens, but it came there
        for number in REFUSED["tcp"]:
            answer = lab.probes.get(address, port=number, seconds=3)
            assert refused_quickly(answer) and answer.error != "ECONNREFUSED", (address, number, answer)
        for number in REACHED["udp"]:
            answer = lab.probes.udp(address, port=number, seconds=1.5)
            assert answer.error == "ECONNREFUSED", (address, number, answer)
        for number in REFUSED["udp"]:
            answer = lab.probes.udp(address, port=number, seconds=1.5)
            assert refused_quickly(answer) and answer.error != "ECONNREFUSED", (address, number, answer)
        assert refused_quickly(lab.probes.ping(address))


def test_where_only_pings_are_allowed_nothing_else_is(lab):
    for address in (t.FORBIDDEN6, *proxies(lab, "ping.icmp.test")):
        assert healed(lambda a=address: lab.probes.ping(a, seconds=1), 20).ok
        for answer in (lab.probes.get(address, seconds=3), lab.probes.udp(address)):
            assert refused_quickly(answer) and answer.error != "ECONNREFUSED", (address, answer)


def snmp(lab, host, field):
    lines = netns.execute(lab.world.ns(host), "cat", "/proc/net/snmp").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Ip:"))
    return int(dict(zip(names, values))[field])


def test_small_packets_that_come_in_fragments_are_put_together(lab):
    addresses = (t.RESOURCE4, proxies(lab, "wiki.lab.test")[0])
    for address in addresses:
        healed(lambda a=address: lab.probes.udp(a), 20)
    route = (f"{t.RESOURCE_GATEWAY4}/32", "dev", "eth0", "mtu", "lock", "600")
    netns.execute(lab.world.ns("resource"), "ip", "route", "add", *route)
    try:
        before = snmp(lab, "gateway", "FragCreates")
        for address in addresses:
            assert lab.probes.udp(address, b"f" * 1000).ok
        assert snmp(lab, "gateway", "FragCreates") - before >= 4, "they came to the tunnel in pieces"
    finally:
        netns.execute(lab.world.ns("resource"), "ip", "route", "del", *route)


def test_fragments_of_clients_are_dropped_and_counted(lab):
    healed(lambda: lab.probes.udp(t.RESOURCE4), 20)
    before = lab.gateway.drops().get("fragmented", 0)
    answer = lab.probes.udp(t.RESOURCE4, b"f" * 3000, seconds=0.5, attempts=2)
    assert answer.error == "timeout", answer
    assert lab.gateway.drops()["fragmented"] - before == 6           # three of each
    assert lab.probes.udp(t.RESOURCE4).ok


class Halves(threading.Thread):
    """A server of the resource's host. Told "late": answers after the client has ended its side. Told "early": ends its
    own side at once and counts what still comes."""
    WAIT, BULK = 6.0, 200_000           # longer than a flow is kept when both sides have ended theirs

    def __init__(self, lab):
        super().__init__(daemon=True)
        with netns.entered(lab.world.ns("resource")):
            self.socket = socket.create_server(("::", t.CLOSED), family=socket.AF_INET6, dualstack_ipv6=True)
        self.counted = []
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            if connection.recv(5) == b"early":
                connection.shutdown(socket.SHUT_WR)
                self.counted.append(len(everything(connection)))
                return
            everything(connection)
            time.sleep(self.WAIT)
            connection.sendall(bytes(self.BULK))

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.join(5)


def everything(connection):
    received = b""
    connection.settimeout(20)
    while part := connection.recv(65536):
        received += part
    return received


def test_a_connection_of_which_one_side_has_ended_carries_the_other_side(lab):
    addresses = (t.RESOURCE4, t.RESOURCE6, *proxies(lab, "wiki.lab.test"))
    for address in addresses:
        healed(lambda a=address: lab.probes.get(a, seconds=3), 20)
    server = Halves(lab)
    try:
        late = [lab.probes.connect(a, t.CLOSED, 5) for a in addresses]
        for connection in late:
            connection.sendall(b"late.")
            connection.shutdown(socket.SHUT_WR)
        early = [lab.probes.connect(a, t.CLOSED, 5) for a in addresses]
        for connection in early:
            connection.sendall(b"early")
            assert everything(connection) == b""
        time.sleep(Halves.WAIT)
        for connection in early:
            connection.sendall(bytes(Halves.BULK))
            connection.close()
        assert [len(everything(c)) for c in late] == [Halves.BULK] * len(addresses)
        wait_for("all that was sent late", lambda: len(server.counted) == len(addresses), 10)
        assert server.counted == [Halves.BULK] * len(addresses)
        for connection in late:
            connection.close()
    finally:
        server.stop()


def test_two_clients_from_one_port_to_one_address(lab):
    other = Client(lab.world, lab.generation, name="other", host="portal").start()
    try:
        sockets = []
        for client, probes in ((lab.client, lab.probes), (other, Probes(lab.world, "portal"))):
            assert healed(lambda p=probes: p.get(t.RESOURCE4, seconds=3), 20).ok
            sockets.append((probes.echo_from(t.RESOURCE4, 40_406, client.name.encode()), client.name))
        for s, name in sockets:
            with s:
                assert s.recv(100) == name.encode()
    finally:
        other.stop()
