"""Other programs change the host under a running gateway: it notices, puts back what is its own, and names the rest."""
import re
import signal
import time

import pytest

from lab import netns, topology as t
from lab.gateway import TUN
from lab.lab import Lab
from lab.process import wait_for
from lab.traffic import Stream

RATE = 50
DOCKER = """
table ip filter {
  chain DOCKER-USER { counter return; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    oifname "docker0" ct state related,established counter accept
  }
}
"""


@pytest.fixture(scope="module")
def lab():
    with Lab("C") as running:
        assert running.probes.get(t.RESOURCE4).ok
        yield running


def on_gateway(lab, *command, check=True):
    return netns.execute(lab.world.ns("gateway"), *command, check=check)


def lines(lab, pattern):
    return re.findall(rf".*{pattern}.*", lab.gateway.process.log_text())


def wait_line(lab, pattern, after, seconds=5.0):
    """A line beyond the `after` that were there before."""
    return wait_for(f"gateway says {pattern!r}", lambda: lines(lab, pattern)[after:], seconds)[0]


def survived(lab, change, said, most):
    """Traffic of an established client over a change; the change is said once it was mended."""
    before = len(lines(lab, said))
    stream = Stream(lab.world, rate=RATE)
    stream.start()
    time.sleep(0.5)
    change()
    line = wait_line(lab, said, before)
    time.sleep(0.5 + most)
    outcome = stream.stop()
    print(f"{said}: {outcome}")
    assert outcome.gap < most, outcome
    assert outcome.answered > 0
    wait_for("ready", lambda: lab.gateway.health()[0] == 200, 5)
    assert lab.gateway.process.alive()
    return line


def test_the_tun_device_is_deleted_and_made_again_with_all_that_belongs_to_it(lab):
    line = survived(lab, lambda: on_gateway(lab, "ip", "link", "delete", TUN), "device was deleted; made again", 2.0)
    assert TUN in line
    shown = on_gateway(lab, "ip", "addr", "show", "dev", TUN)
    assert re.search(r"inet 100\.\d+\.\d+\.\d+/32", shown) and "inet6 fd00:2021:1111" in shown and "mtu 1280" in shown, shown
    assert lab.probes.get(t.RESOURCE6).ok
    survived(lab, lambda: on_gateway(lab, "ip", "link", "delete", TUN), "device was deleted; made again", 3.0)


@pytest.mark.parametrize("command, what", [
    (["ip", "link", "set", TUN, "down"], "up state"),
    (["ip", "addr", "flush", "dev", TUN], "address"),
    (["ip", "route", "flush", "table", "539098368"], "route 100.64.0.0/11"),
    (["ip", "rule", "delete", "priority", "100"], "rule 100"),
])
def test_what_was_taken_from_the_device_is_put_back(lab, command, what):
    line = survived(lab, lambda: on_gateway(lab, *command), "by another program; put back what=", 2.5)
    assert what in line


def test_a_renamed_device_gets_its_name_back(lab):
    def rename():
        for words in (f"{TUN} down", f"{TUN} name other0"):
            on_gateway(lab, "ip", "link", "set", *words.split())
        on_gateway(lab, "ip", "link", "set", "other0", "up", check=False)  # it may have its name back by now
    line = survived(lab, rename, "renamed back", 2.5)
    assert "other0" in line


def test_a_firewall_tool_that_reloads_everything_costs_nothing(lab):
    line = survived(lab, lambda: on_gateway(lab, "nft", "flush", "ruleset"), "nftables tables were changed", 2.5)
    assert "put back" in line
    assert "masquerade" in on_gateway(lab, "nft", "list", "table", "ip", "firegate")
    assert lab.probes.get(t.RESOURCE4).ok, "a new flow is translated"


def test_docker_coming_up_is_named_with_the_commands_that_mend(lab):
    before = len(lines(lab, "does not forward"))
    netns.nft(lab.world.ns("gateway"), DOCKER)
    line = wait_line(lab, "does not forward clients' packets", before)
    assert not lab.probes.get(t.RESOURCE4, seconds=1.5).ok, "else the warning is untrue"
    commands = re.findall(r"'iptables (-I [^']*)'", line)
    assert len(commands) == 2, line
    for command in commands:
        chain, way = re.fullmatch(rf"-I (\S+) (-i|-o) {TUN} -j ACCEPT", command).groups()
        netns.nft(lab.world.ns("gateway"), f"insert rule ip filter {chain} {'iifname' if way == '-i' else 'oifname'} "
                                           f"{TUN} counter accept\n")
    wait_line(lab, "no longer the case", 0)
    assert lab.probes.get(t.RESOURCE4).ok
    on_gateway(lab, "nft", "delete", "table", "ip", "filter")


def test_a_vpn_whose_rules_come_first_is_named_and_makes_the_gateway_unready(lab):
    for command in ("link add wg0 type veth peer name wg1", "link set wg0 up", "link set wg1 up",
                    "route add 100.64.0.0/10 dev wg0 table 51820", "rule add priority 50 lookup 51820"):
        on_gateway(lab, "ip", *command.split())
    line = wait_line(lab, "instead of 'tun-firezone'", 0)
    assert "priority 50 (table 51820)" in line, line
    status, body = lab.gateway.health()
    assert status == 503 and "leave by 'wg0'" in body and "run 'ip rule add priority 49" in body, body
    assert not lab.probes.get(t.RESOURCE4, seconds=1.5).ok
    on_gateway(lab, *re.search(r"run '(ip rule add [^']*)'", line).group(1).split())
    wait_for("ready", lambda: lab.gateway.health()[0] == 200, 5)
    assert lab.probes.get(t.RESOURCE4).ok
    for command in ("rule del priority 50", "rule del priority 49", "link del wg0"):
        on_gateway(lab, "ip", *command.split())


def test_the_gateways_name_taken_by_another_device_is_said_and_ends_when_it_is_free(lab):
    lab.gateway.process.signal(signal.SIGSTOP)      # else it is faster
    on_gateway(lab, "sh", "-c", f"ip link delete {TUN} && ip link add {TUN} type veth peer name veth9")
    lab.gateway.process.signal(signal.SIGCONT)
    wait_for("not ready", lambda: lab.gateway.health()[0] == 503, 5)
    assert "remove what has its name" in lab.gateway.health()[1]
    on_gateway(lab, "ip", "link", "delete", TUN)
    wait_for("ready", lambda: lab.gateway.health()[0] == 200, 10)
    wait_for("traffic", lambda: lab.probes.get(t.RESOURCE4, seconds=1).ok, 5)


def test_an_output_firewall_that_refuses_udp_is_said_in_the_words_of_the_originals(lab):
    assert lab.probes.get(t.RESOURCE4).ok
    stream = Stream(lab.world, rate=20)
    stream.start()
    netns.nft(lab.world.ns("gateway"), f"table ip mine {{ chain out {{ type filter hook output priority 0; "
                                       f"ip daddr {t.CLIENT4} meta l4proto udp drop; }}; }}\n")
    wait_line(lab, "Encountered `PermissionDenied` IO error", 0, 25)
    stream.stop()
    on_gateway(lab, "nft", "delete", "table", "ip", "mine")
