"""The AF_XDP backend on the internet side: the main scenarios as with the kernel's sockets, and what becomes of a running
gateway's interface. Packets change their way in; tunnels stay."""
import json
import signal
import time

import pytest

from lab import netns, topology as t
from lab.process import wait_for
from lab.traffic import Stream, data_ways
from steps import gap_of, healed, page

BULK = 1_000_000
NO_ATTEMPT = "veth has no zero copy: asked of the kernel, nothing attached"
OPEN = {"shape": t.Shape(outer=("v4",)), "backend": "xdp"}


def backend(lab):
    return lab.gateway.ask("status")["status"]["backend"]


def on_interface(lab, name="eth0"):
    """What `ip` knows of XDP on the gateway's interface."""
    [link] = json.loads(netns.run("ip", "-n", lab.world.ns("gateway"), "-details", "-json", "link", "show", "dev", name))
    return link.get("xdp")


def wait_way(lab, name, seconds=15):
    wait_for(f"backend {name}", lambda: backend(lab)["name"] == name, seconds)


def carries_by_xdp(lab):
    """Bulk in both directions; all but a few tunnel packets came by AF_XDP."""
    with data_ways(lab) as ways:
        for answer in (lab.probes.upload(t.RESOURCE4, BULK), lab.probes.download(t.RESOURCE4, BULK)):
            assert answer.ok, answer.received
    print(f"{lab.generation}: {ways.share:.2%} of {ways.xdp + ways.socket} tunnel packets by AF_XDP")
    assert ways.xdp > 500 and ways.share > 0.99, ways


@pytest.mark.parametrize("shape, wanted", [
    ({"outer": ("v4",)}, "direct"), ({"outer": ("v6",)}, "direct"),
    ({"client_nat": "random", "gateway_nat": "random"}, "relayed")])
def test_traffic_of_every_path_comes_by_af_xdp(make_lab, generation, shape, wanted):
    lab = make_lab(generation, shape=t.Shape(**shape), backend="xdp")
    healed(page(lab), 20)
    lab.client.wait_path(wanted)
    healed(page(lab, t.RESOURCE6), 15)
    assert lab.probes.udp(t.RESOURCE6).ok and lab.probes.ping(t.RESOURCE4).ok
    carries_by_xdp(lab)
    assert on_interface(lab), "nothing is attached"
    assert "% of tunnel packets by AF_XDP" in lab.gateway.show("status").stdout
    assert lab.gateway.stop() == 0
    assert not on_interface(lab), "the program was left behind"


def test_a_client_moves(make_lab, generation):
    lab = make_lab(generation, **OPEN)
    healed(page(lab), 15)

    def act():
        netns.ip([f"addr del {t.CLIENT4}/24 dev eth0", f"addr add {t.WAN4}22/24 dev eth0",
                  f"route replace default via {t.SINK4}"], lab.world.ns("client"))
        lab.client.ask("reset")
    gap_of(lab, act, 5, "client moves, xdp")
    carries_by_xdp(lab)


def test_the_interface_goes_down_and_comes_back(make_lab, generation):
    lab = make_lab(generation, **OPEN)
    gateway = lab.world.ns("gateway")
    healed(page(lab), 15)

    def act():
        netns.ip(["link set eth0 down"], gateway)
        time.sleep(1)
        netns.ip(["link set eth0 up", f"neigh replace {t.SINK4} lladdr {t.SINK_MAC} dev eth0 nud permanent",
                  f"route add default via {t.SINK4}"], gateway)
    gap_of(lab, act, 20, "interface down and up, xdp")
    wait_way(lab, "xdp")
    carries_by_xdp(lab)


def test_whoever_detaches_the_program_ends_no_tunnel(make_lab):
    lab = make_lab("B", **OPEN)
    healed(page(lab), 15)
    program = on_interface(lab)["prog"]["id"]
    stream = Stream(lab.world, rate=50)
    stream.start()
    stream.wait_again(10)
    links = json.loads(netns.run("bpftool", "--json", "link", "show"))
    [ours] = [link["id"] for link in links if link.get("prog_id") == program]
    netns.run("bpftool", "link", "detach", "id", str(ours))
    lab.gateway.process.wait_log("detached by another program", 5)
    wait_for("a new program", lambda: (on_interface(lab) or {}).get("prog", {}).get("id") not in (None, program), 10)
    stream.wait_again(10)
    outcome = stream.stop()
    print(f"detached: {outcome}")
    assert outcome.gap <= 1, outcome
    carries_by_xdp(lab)


def test_queues_that_change_are_taken_up(make_lab):
    lab = make_lab("B", **OPEN)
    healed(page(lab), 15)
    netns.execute(lab.world.ns("gateway"), "ethtool", "-L", "eth0", "rx", "2")
    lab.gateway.process.wait_log("number of its receive queues changed", 5)
    wait_for("two queues", lambda: "2 queues" in backend(lab)["detail"], 10)
    carries_by_xdp(lab)


def test_a_killed_gateway_leaves_nothing_and_the_next_one_starts(make_lab):
    lab = make_lab("B", **OPEN)
    healed(page(lab), 15)
    lab.gateway.process.signal(signal.SIGKILL)
    lab.gateway.process.wait(5)
    assert not on_interface(lab)
    lab.gateway.start()
    healed(page(lab), 40)
    assert backend(lab)["name"] == "xdp"
    carries_by_xdp(lab)


@pytest.mark.parametrize("changes, before, words", [
    ({"FIREGATE_XDP_INTERFACES": "wan7"}, (), ["there is no interface wan7", "ip link"]),
    ({"FIREGATE_XDP_INTERFACES": "lo"}, (), ["not an Ethernet device"]),
    ({}, ("setpriv", "--bounding-set", "-bpf,-sys_admin"), ["CAP_BPF"]),
    ({}, ("prlimit", "--memlock=4194304", "setpriv", "--bounding-set", "-ipc_lock"),
     ["frames found no memory", "limited to 4096 KiB", "LimitMEMLOCK=infinity"]),
    ({}, ("occupied",), ["shares with nobody", "xdp-loader"])])
def test_what_cannot_be_had_is_said_with_the_mend(make_lab, changes, before, words):
    """Demanded, it ends the gateway. Left to itself it tries nothing on a device that would give copies: neither without
    the right to load a program nor beside another one is there anything else to say of it."""
    lab = make_lab("B", shape=t.Shape(outer=("v4",)))
    gateway = lab.gateway
    gateway.stop()
    if before == ("occupied",):
        occupy(lab)
    else:
        gateway.command = [*before, *gateway.command]
    gateway.env |= changes | {"FIREGATE_BACKEND": "xdp"}
    gateway.start()
    assert gateway.process.wait(15) == 1
    text = gateway.process.log_text()
    assert all(word in text for word in ["backend xdp cannot be had", *words]), gateway.process.tail()
    gateway.env["FIREGATE_BACKEND"] = "auto"
    gateway.start()
    line = gateway.process.wait_log(r"backend chosen backend=kernel.*", 10).group()
    assert all(word in line for word in (words if changes else [NO_ATTEMPT])), line
    healed(page(lab), 40)


def test_generic_mode_is_for_who_demands_it(make_lab):
    """A veth whose peer sends on more queues than it receives on takes no program in native mode."""
    lab = make_lab("B", shape=t.Shape(outer=("v4",)))
    lab.gateway.stop()
    netns.execute(lab.world.ns("inet"), "ethtool", "-L", "to-gateway", "tx", "2")
    lab.gateway.env["FIREGATE_BACKEND"] = "xdp"
    line = lab.gateway.start().process.wait_log(r"backend chosen backend=xdp.*", 10).group()
    assert "eth0 generic, copies, 1 queue" in line and "ethtool -L eth0" in line, line
    healed(page(lab), 40)
    for answer in (lab.probes.upload(t.RESOURCE4, BULK), lab.probes.download(t.RESOURCE4, BULK)):
        assert answer.ok, answer.received


def occupy(lab):
    """A program without libxdp's dispatcher: two instructions that pass everything on."""
    code = lab.world.path("pass.c")
    with open(code, "w", encoding="utf-8") as f:
        f.write('__attribute__((section("xdp"), used)) int all(void* c) { return 2; }\n'
                'char text[] __attribute__((section("license"), used)) = "GPL";\n')
    netns.run("clang-19", "-O2", "-target", "bpf", "-c", code, "-o", lab.world.path("pass.o"))
    netns.execute(lab.world.ns("gateway"), "ip", "link", "set", "dev", "eth0", "xdpdrv", "obj", lab.world.path("pass.o"),
                  "sec", "xdp")


def test_left_to_itself_it_takes_no_copies(make_lab):
    lab = make_lab("B", shape=t.Shape(outer=("v4",)), backend="auto")
    line = lab.gateway.process.wait_log(r"backend chosen.*", 5).group()
    assert "backend=kernel" in line and "without copying" in line and NO_ATTEMPT in line, line
    healed(page(lab), 15)
    assert not on_interface(lab)
