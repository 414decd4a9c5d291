"""Source translation of what clients send: its exceptions, its upkeep, and other programs' rules in its way."""
import re

import pytest

from lab import netns, topology as t
from lab.gateway import TUN, Gateway
from lab.lab import Lab
from lab.process import wait_for
from steps import healed

ORIGINALS = """
table ip script { chain post { type nat hook postrouting priority srcnat; oifname "eth*" masquerade; }; }
table ip6 script { chain post { type nat hook postrouting priority srcnat; oifname "eth*" masquerade; }; }
"""


@pytest.fixture(scope="module")
def lab():
    with Lab("C") as running:
        running.gateway.stop()
        yield running


class Started:
    """A gateway with some settings, serving; stopped at the end of the block."""

    def __init__(self, lab, **env):
        self.lab, self.gateway = lab, Gateway(lab.world, env=env)

    def __enter__(self):
        self.lab.portal.wait_gone("gateway")
        self.gateway.start()
        self.gateway.wait_joined(self.lab.portal)
        return self

    def __exit__(self, *_):
        self.gateway.stop()

    def seen(self, address):
        """Whom the resource sees."""
        answer = healed(lambda: self.lab.probes.get(address, "/whoami", seconds=3), 20)
        return answer.body.decode().strip()

    def lines(self, pattern):
        return re.findall(rf".*{pattern}.*", self.gateway.process.log_text())


def in_gateway(lab, *command, check=True):
    return netns.execute(lab.world.ns("gateway"), *command, check=check)


def test_sources_are_translated_but_towards_the_listed_networks_whatever_others_would_do(lab):
    resource = lab.world.ns("resource")
    for route in (f"route add 100.64.0.0/11 via {t.RESOURCE_GATEWAY4}",
                  f"-6 route add fd00:2021:1111::/107 via {t.RESOURCE_GATEWAY6}"):
        netns.execute(resource, "ip", *route.split())
    netns.nft(lab.world.ns("gateway"), ORIGINALS)       # as the originals' script leaves them, registered first
    try:
        with Started(lab, FIREGATE_PRESERVE_SOURCE=f"{t.RESOURCE4}/32,192.0.2.0/24") as started:
            v4, v6 = started.seen(t.RESOURCE4), started.seen(t.RESOURCE6)
            print(f"preserved {v4}, translated {v6}")
            peer = started.gateway.ask("peers")["peers"][0]
            assert (v4, v6) == (peer["ipv4"], t.RESOURCE_GATEWAY6)
            assert lab.probes.udp(t.RESOURCE4).ok and lab.probes.ping(t.RESOURCE4).ok
    finally:
        for family in ("ip", "ip6"):
            in_gateway(lab, "nft", "delete", "table", family, "script")
    with Started(lab) as started:
        assert started.seen(t.RESOURCE4) == t.RESOURCE_GATEWAY4


def test_a_rule_somebody_puts_into_our_table_is_taken_out_and_said_once(lab):
    with Started(lab) as started:
        assert started.seen(t.RESOURCE4)
        before = in_gateway(lab, "nft", "-s", "list", "table", "ip", "firegate")
        for _ in range(3):
            in_gateway(lab, "nft", "insert", "rule", "ip", "firegate", "postrouting", "counter", "accept")
            wait_for("taken out", lambda: in_gateway(lab, "nft", "-s", "list", "table", "ip", "firegate") == before, 5)
        assert len(started.lines("nftables tables were changed by another program; put back")) == 1
        assert started.lab.probes.get(t.RESOURCE4).ok


def test_a_legacy_table_that_forwards_nothing_is_named_with_its_mend_and_when_it_is_over(lab):
    in_gateway(lab, "iptables-legacy", "-P", "FORWARD", "DROP")
    try:
        with Started(lab) as started:
            line = wait_for("the line", lambda: started.lines("'FORWARD' of iptables-legacy has policy drop"), 10)[0]
            assert not lab.probes.get(t.RESOURCE4, seconds=2).ok
            warnings = started.gateway.ask("status")["status"]["warnings"]
            assert len(warnings) == 1 and warnings[0] in line, warnings
            for command in re.findall(r"'(iptables-legacy -I [^']*)'", line):
                assert TUN in command
                in_gateway(lab, *command.split())
            healed(lambda: lab.probes.get(t.RESOURCE4, seconds=2), 20)
            in_gateway(lab, "nft", "add", "table", "ip", "mine")        # legacy tables announce nothing themselves
            wait_for("it is over", lambda: started.lines("no longer the case.*iptables-legacy"), 10)
            assert not started.gateway.ask("status")["status"]["warnings"]
    finally:
        in_gateway(lab, "nft", "delete", "table", "ip", "mine", check=False)
        in_gateway(lab, "iptables-legacy", "-F", "FORWARD")
        in_gateway(lab, "iptables-legacy", "-P", "FORWARD", "ACCEPT")
