"""Whatever is wrong with the configuration or the host, one line names the key, the value and what to do."""
import os
import re
import subprocess

import pytest

from lab import netns, topology as t
from lab.gateway import Gateway
from lab.services import Portal
from lab.world import World

GONE = object()
MEND = re.compile(r"\b(set|use|give|run|grant|load|enable|install|check|add|create|choose|remove|stop|replace|write|expected|"
                  r"must|should|needs?|try|put|make|allow|start)\b", re.IGNORECASE)


class Attempt:
    """A start of the gateway that is expected to fail."""

    def __init__(self, world, changes, before=(), seconds=15):
        gateway = Gateway(world)
        env = {k: v for k, v in ({**os.environ, **gateway.env} | changes).items() if v is not GONE}
        done = subprocess.run(["ip", "netns", "exec", world.ns("gateway"), *before, *gateway.command], env=env,
                              capture_output=True, text=True, timeout=seconds, check=False)
        self.status = done.returncode
        self.lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]

    def line_about(self, *words):
        """The one line that names all these words. Raises AssertionError with everything that was said."""
        found = [line for line in self.lines if all(w.lower() in line.lower() for w in words)]
        assert found, f"no line names {words}; exit {self.status}:\n" + "\n".join(self.lines)
        assert any(MEND.search(line) for line in found), f"nothing to do is said: {found}"
        return found[0]


@pytest.fixture(scope="module")
def world():
    w = World(t.Shape()).up()
    yield w
    w.down()


@pytest.fixture(scope="module")
def portal(world):
    p = Portal(world, {"generation": "C", "resources": [], "rate_limit": False}).start()
    yield p
    p.stop()


@pytest.mark.parametrize("changes, words", [
    ({"FIREZONE_TOKEN": GONE, "CREDENTIALS_DIRECTORY": GONE}, ["FIREZONE_TOKEN"]),
    ({"FIREZONE_TOKEN": "/etc"}, ["FIREZONE_TOKEN", "/etc"]),       # what docker -v makes of a file that is missing
    ({"FIREGATE_CA_FILE": "/none.pem"}, ["FIREGATE_CA_FILE", "/none.pem"]),
    ({"FIREZONE_API_URL": "ftp://portal.test"}, ["FIREZONE_API_URL", "ftp"]),
    ({"FIREZONE_API_URL": "not a url"}, ["FIREZONE_API_URL", "not a url"]),
    ({"HEALTH_CHECK_ADDR": "8080"}, ["HEALTH_CHECK_ADDR", "8080"]),
    ({"FIREZONE_MAX_PARTITION_TIME": "soon"}, ["FIREZONE_MAX_PARTITION_TIME", "soon"]),
    ({"FIREZONE_NO_TELEMETRY": "1"}, ["FIREZONE_NO_TELEMETRY", "1"]),
    ({"FIREZONE_LOG_FORMAT": "xml"}, ["FIREZONE_LOG_FORMAT", "xml"]),
])
def test_a_bad_value_is_named_with_its_key_and_a_way_out(world, changes, words):
    attempt = Attempt(world, changes)
    assert attempt.status not in (0, 139, 134), attempt.lines
    attempt.line_about(*words)


def test_a_token_the_portal_refuses_ends_the_process(world, portal):
    attempt = Attempt(world, {"FIREZONE_TOKEN": "nonsense"})
    assert attempt.status == 1
    line = attempt.line_about("token")
    assert "nonsense" not in "\n".join(attempt.lines), line


def test_a_portal_that_is_not_there_ends_the_process_after_the_first_budget(world):
    attempt = Attempt(world, {"FIREZONE_API_URL": "ws://127.0.0.1:1"}, seconds=40)
    assert attempt.status == 1, attempt.lines
    attempt.line_about("Eventloop failed", "max-retry limit", "FIREZONE_API_URL")


def test_without_an_id_and_a_place_to_keep_one(world):
    before = ["unshare", "--mount", "sh", "-c",
              "mount -t tmpfs none /var/lib && mount -o remount,ro /var/lib; "
              "mount --bind /nonexistent /etc/machine-id 2>/dev/null || mount --bind /proc/1/mem /etc/machine-id; "
              'exec "$@"', "sh"]
    attempt = Attempt(world, {"FIREZONE_ID": GONE, "FIREGATE_STATE_DIRECTORY": GONE}, before)
    assert attempt.status == 1
    attempt.line_about("FIREZONE_ID")


def test_without_the_capability(world):
    attempt = Attempt(world, {}, ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                  "--bounding-set=-all", "--inh-caps=-all"])
    assert attempt.status == 1
    attempt.line_about("CAP_NET_ADMIN")


def test_without_the_tun_device(world):
    before = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /dev/net/tun; exec "$@"', "sh"]
    attempt = Attempt(world, {}, before)
    assert attempt.status == 1
    attempt.line_about("/dev/net/tun")


def test_with_the_interface_taken(world):
    hold = ("import fcntl,os,struct,time; f=os.open('/dev/net/tun',os.O_RDWR); "
            "fcntl.ioctl(f,0x400454ca,struct.pack('16sH22x',b'tun-firezone',0x1001|0x8000)); "
            "print('held',flush=True); time.sleep(60)")
    with subprocess.Popen(["ip", "netns", "exec", world.ns("gateway"), "/usr/bin/python3", "-c", hold],
                          stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            attempt = Attempt(world, {})
        finally:
            holder.kill()
    assert attempt.status == 1
    attempt.line_about("tun-firezone")


def test_without_forwarding(world):
    ns = world.ns("gateway")
    netns.sysctls(ns, {"net/ipv4/ip_forward": 0})
    try:
        attempt = Attempt(world, {})
    finally:
        netns.sysctls(ns, {"net/ipv4/ip_forward": 1})
    assert attempt.status == 1
    attempt.line_about("net.ipv4.ip_forward", "=0")


def test_without_the_right_to_make_firewall_tables(world):
    """A user namespace has every capability but none over this network namespace: nftables refuses the table."""
    attempt = Attempt(world, {}, ["unshare", "--user", "--map-root-user"])
    assert attempt.status == 1
    assert any(MEND.search(line) for line in attempt.lines), attempt.lines
