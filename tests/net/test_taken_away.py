"""Access that ends in the middle of a flow, by its expiry or as the portal's list has it no more: what it carried stops, at
the moment, by address and by name; what other grants carry does not (spec policy 2.5, 2.6)."""
import time

import pytest

from lab import topology as t
from lab.lab import NAMES, NET4, OPEN_PORTS, Lab, resources
from lab.names import proxies
from lab.process import wait_for
from lab.traffic import Stream
from steps import healed, hold_grants

# Of a host of its own: a client of generation A may use the real addresses of its names.
STAYS = {"id": "5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b40", "type": "dns", "name": "stays", "address": "stays.mark.test",
         "filters": OPEN_PORTS}
LIFE = 8
PROHIBITED = {"v4": "EHOSTUNREACH", "v6": "EACCES"}         # what Linux makes of the ICMP answers
HEAD = b"HEAD / HTTP/1.1\r\nHost: lab\r\n\r\n"
PORTALS = [("A", "ours"), ("B", "ours"), ("C", "ours"), ("A", "oracle"), ("C", "oracle")]


def raised(generation, portal="ours"):
    return Lab(generation, portal, scenario={"resources": resources() + [STAYS]})


def is_answered(connection):
    """One more request on an open connection."""
    try:
        connection.sendall(HEAD)
        return b"200 OK" in connection.recv(4096)
    except OSError:
        return False


class Traffic:
    """A datagram flow and an open connection to each address, of those that are to end and of those that are to stay."""

    def __init__(self, lab, ending, staying):
        self.lab, self.ending, self.staying = lab, ending, staying
        self.streams = {a: Stream(lab.world, a, rate=20) for a in ending + staying}
        self.connections = {a: lab.probes.connect(a, t.WEB, 3) for a in ending + staying}
        assert all(is_answered(c) for c in self.connections.values())
        for stream in self.streams.values():
            stream.start()

    def end(self):
        """When each flow that was to end was answered last (unix time). What was to stay must not have suffered."""
        offset = time.time() - time.monotonic()
        for stream in self.streams.values():
            stream.ended.set()
        outcomes = {a: s.stop() for a, s in self.streams.items()}
        for address in self.ending:
            self.connections[address].settimeout(0.7)
        alive = {a: is_answered(c) for a, c in self.connections.items()}
        for connection in self.connections.values():
            connection.close()
        for address in self.staying:
            assert alive[address] and outcomes[address].gap < 1.5, (address, outcomes[address])
        assert not any(alive[a] for a in self.ending), alive
        return {a: self.streams[a].at[max(self.streams[a].answered)] + offset for a in self.ending}


def begin(lab, ending_expires_in=None):
    """The addresses whose grants are to end, and those whose are to stay; all have been used."""
    lab.dns.set("stays.mark.test", t.FORBIDDEN4, t.FORBIDDEN6)
    staying = [t.RESOURCE6, *proxies(lab, "stays.mark.test")]
    for address in staying:
        healed(lambda a=address: lab.probes.get(a, seconds=3), 20)
    lab.portal.ask("set", scenario={"expires_in": ending_expires_in})
    ending = [t.RESOURCE4, *proxies(lab, "wiki.lab.test")]
    for address in ending:
        healed(lambda a=address: lab.probes.get(a, seconds=3), 20)
    hold_grants(lab)
    return ending, staying


def assert_prohibited(lab, ending):
    for address in ending:
        answer = lab.probes.udp(address, seconds=1, attempts=5)
        assert answer.error == PROHIBITED["v6" if ":" in address else "v4"], (address, answer)


def explained(lab, destination):
    client = lab.gateway.ask("peers")["peers"][0]["client"]
    shown = lab.gateway.show("explain", client, destination, str(t.WEB))
    assert shown.returncode == 3, shown
    return shown.stdout


@pytest.mark.parametrize("generation, portal", PORTALS)
def test_flows_end_at_their_expiry_and_the_others_go_on(generation, portal):
    with raised(generation, portal) as lab:
        ending, staying = begin(lab, LIFE)
        ends = {resource: at for _, resource, at in lab.portal.state()["grants"]}
        traffic = Traffic(lab, ending, staying)
        before = lab.gateway.drops().get("not_allowed", 0)
        last = max(ends[NET4], ends[NAMES])
        wait_for("expiry", lambda: time.time() > last + 1.5, LIFE + 3)
        late = {a: at - ends[NET4 if a == t.RESOURCE4 else NAMES] for a, at in traffic.end().items()}
        print(f"{generation} {portal}: last answers after expiry", {a: round(s, 2) for a, s in late.items()})
        assert all(-1.5 < s < 1 for s in late.values()), late
        assert_prohibited(lab, ending)
        assert lab.gateway.drops()["not_allowed"] - before > 20
        assert " expired " in explained(lab, t.RESOURCE4) and " expired " in explained(lab, ending[1])


@pytest.mark.parametrize("generation", ["A", "B", "C"])
def test_a_portal_that_comes_back_with_a_shorter_list_ends_what_is_not_on_it(generation):
    with raised(generation) as lab:
        ending, staying = begin(lab)
        nothing_ends = generation == "A"            # whose init has no list
        traffic = Traffic(lab, *(([], ending + staying) if nothing_ends else (ending, staying)))
        joins = lab.portal.state()["counts"]["gateway:phx_join"]
        for resource in (NET4, NAMES):
            lab.portal.ask("forget", resource=resource)
        time.sleep(0.5)
        began = time.time()
        lab.portal.ask("reset", who="gateway")
        wait_for("gateway back", lambda: lab.portal.state()["counts"]["gateway:phx_join"] > joins, 20)
        back = time.time()
        time.sleep(1.5)
        stopped = traffic.end()
        if nothing_ends:
            return
        print(f"{generation}: back after {back - began:.2f} s; last answers since then",
              {a: round(at - back, 2) for a, at in stopped.items()})
        assert all(began - 0.2 < at < back + 1 for at in stopped.values()), (stopped, began, back)
        assert_prohibited(lab, ending)
        assert "no longer in the portal's list" in explained(lab, t.RESOURCE4)
        assert "no longer in the portal's list" in explained(lab, ending[1])
