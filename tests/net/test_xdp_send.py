"""Sending by AF_XDP on the internet side: what leaves, by which way, and what becomes of it when neighbours, links and
routes change under a running gateway. Packets change their way out; tunnels stay."""
import time

import pytest

from lab import netns, topology as t
from lab.process import wait_for
from lab.traffic import Stream, send_ways
from steps import healed, page

BULK = 1_000_000
NEW_MAC = "02:00:00:00:77:01"
FIREWALL = """
table inet somebodys {
  chain out {
    type filter hook output priority filter
    udp dport 9999 drop
  }
}
"""


def backend(lab):
    return lab.gateway.ask("status")["status"]["backend"]


def sending(make_lab, send="on", shape=None, prepare=lambda lab: None, **env):
    """A lab whose gateway has begun with that choice."""
    lab = make_lab("B", shape=shape or t.Shape(outer=("v4",)), backend="xdp")
    lab.gateway.stop()
    prepare(lab)
    lab.gateway.env |= {"FIREGATE_XDP_SEND": send, **env}
    lab.gateway.start()
    healed(page(lab), 40)
    return lab


def bulk(lab):
    for answer in (lab.probes.upload(t.RESOURCE4, BULK), lab.probes.download(t.RESOURCE4, BULK)):
        assert answer.ok, answer.received


def carries_by_xdp(lab, what):
    """Bulk in both directions: all but a few packets left by AF_XDP."""
    wait_for("sending by AF_XDP", lambda: leaves_by_xdp(lab), 20)
    with send_ways(lab) as left:
        bulk(lab)
    print(f"{what}: {left.share:.2%} of {left.xdp + left.socket} left by AF_XDP")
    assert left.xdp > 500 and left.share > 0.95, left


def leaves_by_xdp(lab):
    with send_ways(lab) as left:
        page(lab)()
    return left.xdp > left.socket


def endured(lab, act, limit, what):
    """50 requests a second while `act` happens."""
    stream = Stream(lab.world, rate=50)
    stream.start()
    stream.wait_again(10)
    act()
    stream.wait_again(30)
    outcome = stream.stop()
    print(f"{what}: {outcome}")
    assert outcome.gap <= limit and outcome.duplicates == 0, outcome


@pytest.mark.parametrize("shape, wanted", [
    ({"outer": ("v4",)}, "direct"), ({"outer": ("v6",)}, "direct"),
    ({"client_nat": "random", "gateway_nat": "random"}, "relayed")])
def test_traffic_of_every_path_leaves_by_af_xdp(make_lab, shape, wanted):
    lab = sending(make_lab, shape=t.Shape(**shape))
    lab.client.wait_path(wanted)
    healed(page(lab, t.RESOURCE6), 15)
    assert lab.probes.udp(t.RESOURCE6).ok and lab.probes.ping(t.RESOURCE4).ok
    carries_by_xdp(lab, f"{wanted} {shape}")
    shown = lab.gateway.show("status").stdout
    assert "% of what left by AF_XDP" in shown and "sends by AF_XDP" in shown, shown
    drops = lab.gateway.ask("status")["status"]["drops"]
    assert "xdp_unsent" not in drops and "udp_send_failed" not in drops, drops


def test_a_neighbour_that_changes_its_address_is_followed(make_lab):
    lab = sending(make_lab)
    gateway, client = lab.world.ns("gateway"), lab.world.ns("client")
    carries_by_xdp(lab, "before")

    def act():
        netns.ip([f"link set eth0 address {NEW_MAC}"], client)
        netns.ip([f"neigh replace {t.CLIENT4} lladdr {NEW_MAC} dev eth0 nud reachable"], gateway)
    endured(lab, act, 1, "neighbour's new address")
    carries_by_xdp(lab, "after")


def test_a_neighbour_that_fails_is_left_to_the_kernel(make_lab):
    """Whose entry is gone is resolved by what the socket sends."""
    lab = sending(make_lab)
    carries_by_xdp(lab, "before")
    endured(lab, lambda: netns.ip([f"neigh flush dev eth0 to {t.CLIENT4}"], lab.world.ns("gateway")), 1, "flushed")
    carries_by_xdp(lab, "after")


def test_the_interface_goes_down_and_comes_back(make_lab):
    lab = sending(make_lab)
    gateway = lab.world.ns("gateway")

    def act():
        netns.ip(["link set eth0 down"], gateway)
        time.sleep(1)
        netns.ip(["link set eth0 up", f"neigh replace {t.SINK4} lladdr {t.SINK_MAC} dev eth0 nud permanent",
                  f"route add default via {t.SINK4}"], gateway)
    endured(lab, act, 20, "interface down and up")
    carries_by_xdp(lab, "after")


def test_queues_that_change_are_taken_up(make_lab):
    """Of two queues that receive one can send: the device has no more."""
    lab = sending(make_lab)
    carries_by_xdp(lab, "before")

    def act():
        netns.execute(lab.world.ns("gateway"), "ethtool", "-L", "eth0", "rx", "2")
        wait_for("two queues", lambda: "2 queues" in backend(lab)["detail"], 10)
    endured(lab, act, 1, "queues change")
    carries_by_xdp(lab, "after")


@pytest.mark.parametrize("interfaces, by_xdp", [("eth0,eth2", True), ("eth0", False)])
def test_a_route_that_moves_takes_the_packets_along(make_lab, interfaces, by_xdp):
    """To another interface that AF_XDP is on, and to one where it is not."""
    def second_cable(lab):
        inet = lab.world.ns("inet")
        netns.ip([f"link add eth2 type veth peer name to-gateway2 netns {inet}", "link set eth2 up"],
                 lab.world.ns("gateway"))
        bridge = netns.run("ip", "-n", inet, "-o", "link", "show", "dev", "to-gateway").split(" master ")[1].split()[0]
        netns.ip([f"link set to-gateway2 master {bridge} up"], inet)

    lab = sending(make_lab, prepare=second_cable, FIREGATE_XDP_INTERFACES=interfaces)
    gateway = lab.world.ns("gateway")

    def left_there():
        return int(netns.execute(gateway, "cat", "/sys/class/net/eth2/statistics/tx_bytes"))
    carries_by_xdp(lab, "first")
    before = left_there()
    endured(lab, lambda: netns.ip([f"route add {t.CLIENT4}/32 dev eth2 src {t.GATEWAY4}"], gateway), 2, "route moves")
    if by_xdp:
        carries_by_xdp(lab, "there")
    else:
        with send_ways(lab) as left:
            bulk(lab)
        assert left.xdp < 20, left
    assert left_there() > before + BULK
    endured(lab, lambda: netns.ip([f"route del {t.CLIENT4}/32 dev eth2"], gateway), 2, "route moves back")
    carries_by_xdp(lab, "back")


def test_measured_it_says_what_it_found_and_keeps_to_it(make_lab):
    lab = sending(make_lab, send="auto")
    stream = Stream(lab.world, rate=200)
    stream.start()
    line = lab.gateway.process.wait_log(r"sending measured.*single datagrams.*", 30).group()
    outcome = stream.stop()
    print(line)
    print(outcome)
    assert outcome.gap <= 1, outcome
    wait_for("figures", lambda: "single datagrams by" in backend(lab)["detail"], 5)
    bulk(lab)


def test_left_to_itself_it_sends_nothing_past_a_firewall(make_lab):
    lab = sending(make_lab, send="auto")
    netns.nft(lab.world.ns("gateway"), FIREWALL)
    stream = Stream(lab.world, rate=200)
    stream.start()
    wait_for("the reason", lambda: "table inet somebodys, chain out has rules" in backend(lab)["detail"], 10)
    with send_ways(lab) as left:
        time.sleep(2)
    assert stream.stop().gap <= 1 and left.xdp == 0 and left.socket > 0, left
    netns.execute(lab.world.ns("gateway"), "nft", "delete", "table", "inet", "somebodys")
    netns.execute(lab.world.ns("gateway"), "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", "1gbit",
                  "burst", "1mb", "latency", "50ms")
    stream = Stream(lab.world, rate=200)
    stream.start()
    wait_for("the other reason", lambda: "tc has tbf on eth0" in backend(lab)["detail"], 40)
    stream.stop()
