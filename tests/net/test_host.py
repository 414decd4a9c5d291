"""What hosts are like when the gateway starts: who it runs as, what the kernel offers, what other programs left there."""
import os
import re
import signal
import subprocess
import time

import pytest

from lab import netns, topology as t
from lab.gateway import TUN, Gateway
from lab.lab import Lab
from lab.process import wait_for
from lab.services import TOKENS
from steps import healed

AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
UFW = """
table ip filter {
  chain ufw-before-forward { ct state related,established counter accept; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump ufw-before-forward
  }
}
"""


@pytest.fixture(scope="module")
def lab():
    """Everything but the gateway."""
    with Lab("C") as running:
        running.gateway.stop()
        yield running


class Started:
    """A gateway started in some way; ended, with what it left, at the end of the block."""

    def __init__(self, lab, before=(), env=None, arguments=(), backend=None):
        self.lab = lab
        self.gateway = Gateway(lab.world, env=env, backend=backend)
        self.gateway.env = {k: v for k, v in self.gateway.env.items() if v is not None}
        self.gateway.command = [*before, *self.gateway.command, *arguments]

    def __enter__(self):
        self.lab.portal.wait_gone("gateway")
        self.gateway.start()
        return self

    def __exit__(self, *_):
        self.gateway.process.stop()

    def ready(self, seconds=15):
        """Until it serves, and does."""
        self.gateway.wait_joined(self.lab.portal)
        wait_for("ready", lambda: self.health(200), seconds)
        healed(lambda: self.lab.probes.get(t.RESOURCE4, seconds=3), 20)
        return self

    def health(self, status):
        try:
            return self.gateway.health()[0] == status
        except OSError:
            return False

    def log(self):
        return self.gateway.process.log_text()

    def says(self, *words, seconds=5.0):
        def look():
            return [line for line in self.log().splitlines() if all(w in line for w in words)]
        return wait_for(f"gateway says {words}", look, seconds)[0]


def in_gateway(lab, *command, check=True):
    return netns.execute(lab.world.ns("gateway"), *command, check=check)


@pytest.mark.parametrize("backend, capabilities", [
    ("kernel", "net_admin"), ("kernel", "net_admin bpf"), ("xdp", "net_admin bpf perfmon net_raw ipc_lock")])
def test_an_ordinary_user_with_the_ambient_capabilities_needs_no_more(lab, backend, capabilities):
    """ipc_lock stands for a high enough limit of locked memory."""
    state = lab.world.path(f"with {capabilities}")
    os.makedirs(state)
    os.chown(state, 65534, 65534)
    os.chmod(lab.world.dir, 0o755)
    node = ["unshare", "--mount", "sh", "-c",       # as devtmpfs makes it: for everyone
            "mount -t tmpfs none /dev/net && mknod -m 0666 /dev/net/tun c 10 200 && exec \"$@\"", "sh"]
    sets = ",".join(["-all", *(f"+{name}" for name in capabilities.split())])
    only = [f"--{kind}={sets}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    with Started(lab, [*node, *AS_NOBODY, *only], {"FIREGATE_STATE_DIRECTORY": state, "FIREGATE_WORKERS": "2"},
                 backend=backend) as started:
        started.ready()
        assert started.says("backend chosen", f"backend={backend}")
        assert started.says("TUN device", f"steering={'true' if 'bpf' in capabilities else 'false'}")
        with open(f"/proc/{started.gateway.process.pid}/status", encoding="ascii") as f:
            assert re.search(r"^Uid:\s+65534\s+65534", f.read(), re.MULTILINE)
        assert started.log().count("Failed to increase `core.rmem_max`") == 1
        assert "receive_buffer=16777216" in started.log(), "forced, whatever the limit"


def test_a_device_node_for_root_alone_is_named_with_the_command_that_opens_it(lab):
    node = ["unshare", "--mount", "sh", "-c",
            "mount -t tmpfs none /dev/net && mknod -m 0600 /dev/net/tun c 10 200 && exec \"$@\"", "sh"]
    caps = [*AS_NOBODY, "--inh-caps=+net_admin", "--ambient-caps=+net_admin"]
    with Started(lab, [*node, *caps]) as started:
        assert started.gateway.process.wait(10) == 1
        assert "chmod 0666 /dev/net/tun" in started.says("ERROR")


def test_root_without_the_capability_is_told_which_one(lab):
    with Started(lab, ["setpriv", "--bounding-set=-net_admin"]) as started:
        assert started.gateway.process.wait(10) == 1
        assert "CAP_NET_ADMIN" in started.says("ERROR")
    with Started(lab, ["setpriv", "--bounding-set=-net_admin"], arguments=["--no-check"]) as started:
        assert started.gateway.process.wait(10) == 1, "--no-check goes as far as the device"
        assert "CAP_NET_ADMIN" in started.says("ERROR")


def test_a_missing_tun_node_is_made_and_proc_sys_may_be_read_only(lab):
    script = ("mount -t tmpfs none /dev/net && mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && "
              'exec "$@"')
    with Started(lab, ["unshare", "--mount", "sh", "-c", script, "sh"]) as started:
        started.ready()
        assert "sysctl -w net.core.rmem_max=16777216" in started.says("Failed to increase `core.rmem_max`")


def test_buffers_are_left_alone_when_asked_and_as_large_as_asked(lab):
    env = {"FIREZONE_NO_INC_BUF": "true", "FIREZONE_UDP_RECV_BUFFER_SIZE": "1000000"}
    with Started(lab, env=env) as started:
        started.ready()
        assert "core.rmem_max" not in started.log()
        assert "receive_buffer=1000000" in started.log()


def test_a_host_without_ipv6_is_served_over_ipv4(lab):
    netns.sysctls(lab.world.ns("gateway"), {"net/ipv6/conf/all/disable_ipv6": 1, "net/ipv6/conf/default/disable_ipv6": 1})
    try:
        with Started(lab) as started:
            started.ready()
            started.says("tunnel works without IPv6")
    finally:
        netns.sysctls(lab.world.ns("gateway"),
                      {"net/ipv6/conf/all/disable_ipv6": 0, "net/ipv6/conf/default/disable_ipv6": 0})
        for cable in t.links(lab.world.shape):
            for host, name, addresses in ((cable.a, cable.a_name, cable.a_addresses),
                                          (cable.b, cable.b_name, cable.b_addresses)):
                if host == "gateway":
                    netns.ip([f"addr replace {a} dev {name} nodad" for a in addresses if ":" in a],
                             lab.world.ns("gateway"))


def test_a_persistent_device_of_the_name_is_used(lab):
    in_gateway(lab, "ip", "tuntap", "add", TUN, "mode", "tun", "vnet_hdr")
    try:
        with Started(lab, env={"FIREGATE_WORKERS": "1"}) as started:
            started.ready()
        with Started(lab, env={"FIREGATE_WORKERS": "2"}) as started:
            assert started.gateway.process.wait(10) == 1
            assert f"ip link delete {TUN}" in started.says("ERROR")
    finally:
        in_gateway(lab, "ip", "link", "delete", TUN)


def test_a_second_gateway_on_the_host_is_told_why_it_cannot_serve(lab):
    with Started(lab) as first:
        first.ready()
        second = Gateway(lab.world, env={"HEALTH_CHECK_ADDR": "127.0.0.1:8081"}).start()
        assert second.process.wait(10) == 1
        assert "stop the other gateway" in second.process.tail()
        other = Gateway(lab.world, env={"HEALTH_CHECK_ADDR": "127.0.0.1:8080", "FIREGATE_TUN_NAME": "tun-other",
                                        "FIREZONE_ID": "other"}, backend="kernel").start()
        wait_for("the other says so", lambda: "is another gateway running? Stop it" in other.process.log_text(), 10)
        assert re.search(r"ERROR gateway: health endpoint is not offered.*127.0.0.1:8080", other.process.log_text())
        assert lab.probes.get(t.RESOURCE4).ok, "the first one works on"
        other.stop()
        wait_for("the rule is put back", lambda: first.health(200) and lab.probes.get(t.RESOURCE4, seconds=1).ok, 10)
        assert "by another program; put back what=rule 100" in first.log()


def test_the_health_endpoint_is_offered_as_soon_as_its_address_is_free(lab):
    hold = "import socket; s=socket.create_server(('127.0.0.1', 8080)); print('held', flush=True); import time; time.sleep(60)"
    with subprocess.Popen(["ip", "netns", "exec", lab.world.ns("gateway"), "/usr/bin/python3", "-c", hold],
                          stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            with Started(lab) as started:
                assert "HEALTH_CHECK_ADDR" in started.says("ERROR", "health endpoint is not offered")
                healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 20)
                holder.kill()
                holder.wait()
                wait_for("ready", lambda: started.health(200), 15)
        finally:
            holder.kill()


def test_a_firewall_that_forwards_nothing_is_named_at_the_start(lab):
    netns.nft(lab.world.ns("gateway"), UFW)
    try:
        with Started(lab) as started:
            line = started.says("WARN", "does not forward clients' packets")
            assert f"run 'ufw route allow in on {TUN}' and 'ufw route allow out on {TUN}'" in line
    finally:
        in_gateway(lab, "nft", "delete", "table", "ip", "filter")


def test_readyz_names_what_is_missing_and_head_has_no_body(lab):
    with Started(lab, env={"FIREZONE_API_URL": f"ws://{t.PORTAL4}:9"}) as started:
        wait_for("health", lambda: started.health(503), 10)
        status, body = started.gateway.health()
        assert status == 503 and "the portal is not joined" in body and "TCP to FIREZONE_API_URL" in body, body
        assert "none of 0 relays answers" in body, body
        assert started.gateway.health("/healthz") == (200, "")
        head = in_gateway(lab, "curl", "-sI", "http://127.0.0.1:8080/readyz")
        assert head.startswith("HTTP/1.1 503"), head
    with Started(lab) as started:
        started.ready()
        lab.relay.signal(signal.SIGSTOP)
        wait_for("not ready", lambda: started.health(503), 60)
        assert "relays answers: allow UDP" in started.gateway.health()[1]
        lab.relay.signal(signal.SIGCONT)
        wait_for("ready", lambda: started.health(200), 60)


def test_a_stopped_gateway_takes_its_changes_back_within_a_second_and_a_killed_ones_are_found(lab):
    with Started(lab) as started:
        started.ready()
        began = time.monotonic()
        assert started.gateway.process.stop(10) == 0
        took = time.monotonic() - began
        print(f"stopped within {took:.2f} s")
        assert took < 2.0
        assert "fwmark" not in in_gateway(lab, "ip", "rule") and "firegate" not in in_gateway(lab, "nft", "list", "tables")
        assert lab.portal.log("gone")[-1].get("code") == 1000, lab.portal.log("gone")[-1]
    with Started(lab) as started:
        started.ready()
        started.gateway.process.kill()
        assert "firegate" in in_gateway(lab, "nft", "list", "tables"), "else nothing was left behind"
        started.gateway.start()
        started.ready(30)
        assert in_gateway(lab, "ip", "rule").count("fwmark") == 1
        assert in_gateway(lab, "nft", "list", "table", "ip", "firegate").count("masquerade\n") == 1


def test_a_second_signal_ends_at_once_while_a_goodbye_waits(lab):
    with Started(lab) as started:
        started.ready()
        lab.portal.process.signal(signal.SIGSTOP)       # answers no Close
        try:
            started.gateway.process.signal(signal.SIGTERM)
            started.says("Received SIGINT/SIGTERM")
            started.gateway.process.signal(signal.SIGINT)
            assert started.gateway.process.wait(5) == 0
        finally:
            lab.portal.process.signal(signal.SIGCONT)


def test_a_filter_that_does_not_parse_is_named(lab):
    with Started(lab, env={"RUST_LOG": "gateway=loud"}) as started:
        assert started.gateway.process.wait(5) == 1
        assert "RUST_LOG='gateway=loud' is not a log filter: set" in started.log()


def test_a_token_given_as_an_argument_is_not_in_the_process_list(lab):
    with Started(lab, env={"FIREZONE_TOKEN": None}, arguments=[TOKENS["gateway"]]) as started:
        started.ready()
        with open(f"/proc/{started.gateway.process.pid}/cmdline", "rb") as f:
            assert TOKENS["gateway"].encode() not in f.read()
        started.says("token was an argument")


def test_a_double_of_the_gateway_is_named_with_the_mend(lab):
    with Started(lab) as started:
        started.ready()
        state = lab.world.path("of-the-double")
        os.makedirs(state)
        gateway = Gateway(lab.world, env={"FIREGATE_STATE_DIRECTORY": state})
        double = lab.world.start("double", "portal", [*gateway.command, "--no-check"], gateway.env)
        wait_for("the double says so", lambda: "a value of its own on each host" in double.log_text(), 20)
        double.stop()
        lab.portal.ask("push", to="gateway", event="disconnect", payload={"reason": "token_expired"})
        assert started.gateway.process.wait(10) == 1
        assert "set FIREZONE_ID to a value of its own on each host" in started.says("ERROR", "Eventloop failed")
