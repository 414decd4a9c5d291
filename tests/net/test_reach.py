"""How a gateway finds its portal: names, both families, TLS, proxies (spec/portal.md 1.2, 1.4)."""
import subprocess
import time

import pytest

from lab import netns, topology as t
from lab.gateway import Gateway
from lab.services import Portal
from lab.world import PYTHON, SUPPORT, World
from portal_peer import Loop, Peer

PROXY_PORT, TLS_PORT = 3128, 8443
NAME = "portal.lab.test"


class Way:
    """A portal and what leads to it; no client."""

    def __init__(self):
        self.world = World(t.Shape()).up()
        self.portal = Portal(self.world, {"generation": "C", "resources": [], "rate_limit": False}).start()
        self.gateway = None

    def name(self, *addresses, ttl=0):
        """Serves the portal's name with these addresses."""
        records = [f"--host-record={NAME},{a}" for a in addresses]
        return self.world.start("dnsmasq", "portal", [
            "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
            f"--listen-address={t.PORTAL4}", "--local=/test/", f"--local-ttl={ttl}", "--user=root",
            f"--pid-file={self.world.path('dnsmasq.pid')}", *records])

    def front(self, *arguments, host="relay", port=PROXY_PORT):
        address = {"relay": t.RELAY4, "portal": t.PORTAL4}[host]
        process = self.world.start("front", host, [PYTHON, f"{SUPPORT}/front.py", "--listen", f"{address}:{port}",
                                                   *arguments])
        process.wait_log("listening")
        return process

    def tls_front(self):
        """A TLS end for the portal's name before it; the file of the authority that signed."""
        for command in (
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=lab-ca"
                " -keyout ca.key -out ca.pem",
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=portal"
                f" -addext subjectAltName=DNS:{NAME} -addext basicConstraints=critical,CA:FALSE -CA ca.pem"
                " -CAkey ca.key -keyout leaf.key -out leaf.pem"):
            subprocess.run(["openssl", *command.split()], cwd=self.world.dir, check=True, capture_output=True)
        self.front("--tls", self.world.path("leaf.pem"), self.world.path("leaf.key"), "--to",
                   f"{t.PORTAL4}:{t.PORTAL_PORT}", host="portal", port=TLS_PORT)
        return self.world.path("ca.pem")

    def no_direct_way(self):
        """Only the relay host, where the proxy is, and the name server are reached over TCP."""
        netns.nft(self.world.ns("gateway"), f"""
table ip lab_way {{
  chain out {{
    type filter hook output priority filter
    ip daddr {t.PORTAL4} meta l4proto tcp drop
  }}
}}
""")

    def start(self, url, **env):
        self.gateway = Gateway(self.world, env={"FIREZONE_API_URL": url, **env})
        return self.gateway.start()

    def joined(self, seconds=10):
        """Seconds until the portal has the gateway."""
        began = time.monotonic()
        self.gateway.wait_joined(self.portal, seconds)
        return time.monotonic() - began

    def hiccup(self, pattern, seconds=10):
        return self.gateway.process.wait_log(f"Hiccup in portal connection.*{pattern}", seconds)


@pytest.fixture
def way():
    made = Way()
    yield made
    made.world.down()


def test_a_black_holed_ipv6_address_costs_nothing(way):
    way.name("2001:db8:51::99", t.PORTAL4)
    netns.ip([f"neigh add 2001:db8:51::99 lladdr {t.SINK_MAC} dev eth0 nud permanent"], way.world.ns("gateway"))
    way.start(f"ws://{NAME}:{t.PORTAL_PORT}")
    took = way.joined()
    print(f"joined after {took:.2f} s")
    assert took < 3


def test_ipv6_literals_in_the_url(way):
    way.start(f"ws://[{t.PORTAL6}]:{t.PORTAL_PORT}")
    way.joined()


def test_a_name_that_vanishes_and_comes_back_elsewhere(way):
    """TTL 0: every attempt asks anew."""
    dns = way.name(t.PORTAL4)
    way.start(f"ws://{NAME}:{t.PORTAL_PORT}")
    way.joined()
    dns.stop()
    dns = way.name("192.0.2.1")
    way.portal.ask("reset", who="gateway")
    way.hiccup("failed to connect|timed out", 15)
    dns.stop()
    way.name(t.PORTAL6)
    way.joined(30)
    assert way.portal.state()["gateways"][0]["remote"].endswith(t.GATEWAY6)


def test_an_authority_of_ones_own_is_trusted_when_named_and_refused_with_its_reason_otherwise(way):
    way.name(t.PORTAL4)
    ca_file, url = way.tls_front(), f"wss://{NAME}:{TLS_PORT}"
    way.start(url)
    way.hiccup("certificate is refused")
    way.gateway.process.kill()
    way.start(url, FIREGATE_CA_FILE=ca_file)
    way.joined()
    way.gateway.process.kill()
    way.portal.wait_gone("gateway")
    way.start(url, SSL_CERT_FILE=ca_file)            # the host's store, as OpenSSL finds it
    way.joined()


@pytest.mark.parametrize("variable", ["https_proxy", "ALL_PROXY"])
def test_wss_goes_through_the_proxy_that_the_variables_name(way, variable):
    way.name(t.PORTAL4)
    ca_file = way.tls_front()
    netns.resolver(way.world.ns("relay"), t.PORTAL4)
    proxy = way.front()
    way.no_direct_way()
    way.start(f"wss://{NAME}:{TLS_PORT}", FIREGATE_CA_FILE=ca_file, **{variable: f"http://{t.RELAY4}:{PROXY_PORT}"})
    way.joined()
    assert f"CONNECT {NAME}:{TLS_PORT} 200" in proxy.log_text()


def test_ws_goes_through_http_proxy_with_credentials_that_nobody_sees(way):
    way.no_direct_way()
    way.front("--user", "gate:s3cret word")
    way.start(f"ws://{t.PORTAL4}:{t.PORTAL_PORT}", http_proxy=f"http://gate:s3cret%20word@{t.RELAY4}:{PROXY_PORT}")
    way.joined()
    process = way.gateway.process
    for file in ("cmdline", "environ"):
        with open(f"/proc/{process.pid}/{file}", "rb") as f:
            assert b"s3cret" not in f.read()
    assert "s3cret" not in process.log_text()


def test_a_proxy_that_refuses_says_why_and_how_to_mend_it(way):
    proxy = way.front("--user", "gate:secret")
    way.start(f"ws://{t.PORTAL4}:{t.PORTAL_PORT}", http_proxy=f"http://gate:wrong@{t.RELAY4}:{PROXY_PORT}")
    line = way.hiccup("407").string
    assert "set them in the proxy's URL" in line and "wrong" not in line
    way.gateway.process.kill()
    proxy.kill()
    way.start(f"ws://{t.PORTAL4}:{t.PORTAL_PORT}", http_proxy=f"http://{t.RELAY4}:{PROXY_PORT}")
    way.hiccup(f"failed to connect to proxy {t.RELAY4}:{PROXY_PORT}")
    way.gateway.process.kill()
    way.front()
    way.start(f"ws://{t.PORTAL4}:1", http_proxy=f"http://{t.RELAY4}:{PROXY_PORT}")
    way.hiccup(f"does not connect to {t.PORTAL4}:1: HTTP status 502")


@pytest.mark.parametrize("exceptions", ["198.51.100.0/24", f"other.test,{t.PORTAL4}:{t.PORTAL_PORT}"])
def test_no_proxy_leads_past_the_proxy(way, exceptions):
    way.start(f"ws://{t.PORTAL4}:{t.PORTAL_PORT}", http_proxy=f"http://{t.RELAY4}:1", no_proxy=exceptions)
    way.joined()


@pytest.mark.parametrize("scheme, env", [
    ("ws", {}), ("wss", {}), ("ws", {"http_proxy": f"http://{t.RELAY4}:{PROXY_PORT}"})], ids=["upgrade", "TLS", "proxy"])
def test_what_accepts_tcp_and_is_silent_is_given_up_after_15_seconds(way, scheme, env):
    script = ("import socket, time; s = socket.create_server(('" + t.RELAY4 + f"', {PROXY_PORT})); "
              "print('listening', flush=True); time.sleep(60)")
    way.world.start("mute", "relay", [PYTHON, "-c", script]).wait_log("listening")
    way.start(f"{scheme}://{t.RELAY4}:{PROXY_PORT}", **env)
    began = time.monotonic()
    way.hiccup("upgrade timed out", 20)
    took = time.monotonic() - began
    print(f"given up after {took:.1f} s")
    assert 13 < took < 18


def test_a_slot_that_is_taken_is_asked_for_until_it_is_free(way):
    """409 of a C portal while the old socket of the same gateway lives."""
    loop = Loop(way.world.ns("client"))
    old = Peer(loop, f"ws://{t.PORTAL4}:{t.PORTAL_PORT}", "C", "gateway", ident="lab-gateway").join()
    way.start(f"ws://{t.PORTAL4}:{t.PORTAL_PORT}")
    way.hiccup("409")
    old.close()
    loop.close()
    way.gateway.process.wait_log("Connected to portal", 10)


def test_shutdown_while_dialling_exits_at_once(way):
    netns.nft(way.world.ns("gateway"), f"""
table ip lab_way {{
  chain out {{
    type filter hook output priority filter
    ip daddr {t.PORTAL4} drop
  }}
}}
""")
    way.start(f"ws://{t.PORTAL4}:{t.PORTAL_PORT}")
    way.gateway.process.wait_log("workers started")
    time.sleep(1)
    began = time.monotonic()
    assert way.gateway.stop() == 0
    took = time.monotonic() - began
    print(f"exit after {took:.2f} s")
    assert took < 2


def test_shutdown_while_joined_sends_close_1000_that_frees_the_slot_of_a_c_portal(way):
    way.start(f"ws://{t.PORTAL4}:{t.PORTAL_PORT}")
    way.joined()
    assert way.gateway.stop() == 0
    way.portal.wait_gone("gateway", 2)
    assert [e["code"] for e in way.portal.log("gone") if e["kind"] == "gateway"] == [1000]
    way.start(f"ws://{t.PORTAL4}:{t.PORTAL_PORT}")
    way.joined()
    assert not [e for e in way.portal.log("refused") if e["status"] == 409]
