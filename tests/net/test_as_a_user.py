"""Programs of a user's machine that know names only: its resolver asks the client, and the page comes through the gateway."""
import subprocess

import pytest

from lab import topology as t
from lab.lab import Lab
from lab.process import wait_for
from lab.stub_dns import StubDns


@pytest.fixture(scope="module")
def lab(generation):
    with Lab(generation) as raised:
        stub = StubDns(raised)
        yield raised
        stub.stop()


def run(lab, *command):
    return subprocess.run(["ip", "netns", "exec", lab.world.ns("client"), *command], capture_output=True, text=True,
                          timeout=40, check=False)


def curl(lab, *words):
    """What the page says. A generation-A client's first connection may be refused before its grant is heard of."""
    def once():
        done = run(lab, "curl", "-sS", "--max-time", "10", *words)
        return done.stdout.strip() if done.returncode == 0 else None
    return wait_for(f"curl {words}", once, 25, 0.2)


def test_curl_by_name_over_both_families(lab):
    assert curl(lab, "-4", "http://wiki.lab.test/where") == t.RESOURCE4
    assert curl(lab, "-6", "http://wiki.lab.test/where") == t.RESOURCE6
    assert curl(lab, "http://alias.lab.test/where") in (t.RESOURCE4, t.RESOURCE6)


def test_curl_finds_the_family_a_name_has(lab):
    assert curl(lab, "http://v4only.lab.test/where") == t.RESOURCE4
    assert curl(lab, "http://v6only.lab.test/where") == t.RESOURCE6


def test_getaddrinfo_gives_proxy_addresses_and_no_others(lab):
    shown = run(lab, "getent", "ahosts", "wiki.lab.test")
    addresses = {line.split()[0] for line in shown.stdout.splitlines()}
    assert len(addresses) == 8 and all(a.startswith(("100.9", "100.1", "fd00:2021:1111:8000:")) for a in addresses), shown
    assert run(lab, "getent", "hosts", "nowhere.other.test").returncode == 2
