"""Programs beside client and gateway: portals, relays, coturn, dnsmasq, nginx, iperf3, echo."""
import hashlib
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import time

from lab import netns, topology as t
from lab.process import wait_for
from lab.world import PYTHON, ROOT, SUPPORT
from relay.control import password

SIZES = (1, 2, 63, 64, 500, 1231, 1232, 1233, 1280, 1500, 4096, 65535, 65536, 100_000, 1_000_000, 2_000_000,
         3_000_000)
TOKENS = {"gateway": ".gateway", "relay": ".relay", "client": "n.client"}


def content(size):
    """The file of that size that nginx serves: random bytes, the same everywhere."""
    return random.Random(size).randbytes(size)


def content_sha(size):
    return hashlib.sha256(content(size)).hexdigest()


# -- portals -----------------------------------------------------------------------------------------------------
def oracle_path():
    shared = os.environ.get("FG_SHARED", os.path.join(ROOT, "..", "shared"))
    return os.path.join(shared, "oracle", "portal.py")


def oracle_python():
    """An interpreter with websockets >= 13; `./dev setup` makes it."""
    return os.path.join(os.environ.get("FG_VENV", os.path.join(ROOT, "build", "venv")), "bin", "python")


class Portal:
    """Ours or the second one, driven through the same control commands."""

    def __init__(self, world, scenario, kind="ours", name="portal"):
        self.world, self.kind, self.name = world, kind, name
        self.scenario = dict(scenario)
        self.control, self._file = world.path(f"{name}.sock"), None
        self.process = None

    def start(self):
        path = self.world.path(f"{self.name}.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(self.scenario, f)
        listen = f":{t.PORTAL_PORT}"
        log = self.world.path(f"{self.name}.jsonl")
        if self.kind == "oracle":
            command = [oracle_python(), oracle_path(), path, "--listen", "0.0.0.0" + listen]
        else:
            command = [PYTHON, f"{SUPPORT}/portal.py", path, "--listen", "0.0.0.0" + listen, "--listen", "[::]" + listen,
                       "--database", self.world.path(f"{self.name}.db")]
        command += ["--control", self.control, "--log", log]
        self.process = self.world.start(self.name, "portal", command)
        wait_for("portal listens", self._listening, 10)
        return self

    def _listening(self):
        if not self.process.alive():
            raise RuntimeError("portal ended:\n" + self.process.tail())
        with open(self.log_path(), encoding="utf-8") as f:
            return '"listening"' in f.read()

    def log_path(self):
        path = self.world.path(f"{self.name}.jsonl")
        if not os.path.exists(path):
            open(path, "a", encoding="utf-8").close()
        return path

    def stop(self):
        if self._file:
            self._file.close()
            self._file = None
        self.process.stop()

    def restart(self):
        self.stop()
        open(self.log_path(), "w", encoding="utf-8").close()
        return self.start()

    def ask(self, do, **members):
        """One control command. Raises on an error answer."""
        if self._file is None:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(10)
            s.connect(self.control)
            self._file = s.makefile("rwb")
            s.close()
        try:
            self._file.write((json.dumps({"do": do, **members}) + "\n").encode())
            self._file.flush()
            answer = json.loads(self._file.readline())
        except TimeoutError:
            self._file = None
            raise
        if "error" in answer:
            raise RuntimeError(f"portal refused {do}: {answer['error']}")
        return answer

    def state(self):
        return self.ask("state")

    def log(self, what=None):
        """Entries of the transcript, oldest first."""
        with open(self.log_path(), encoding="utf-8") as f:
            entries = [json.loads(line) for line in f if line.endswith("\n")]
        return [e for e in entries if what in (None, e["what"])]

    def wait_joined(self, kind, count=1, seconds=20):
        table = {"gateway": "gateways", "client": "clients", "relay": "relays"}[kind]
        return wait_for(f"{kind} at the portal", lambda: len(self.state()[table]) >= count and self.state()[table],
                        seconds)

    def wait_gone(self, kind, seconds=10):
        table = {"gateway": "gateways", "client": "clients", "relay": "relays"}[kind]
        wait_for(f"{kind} gone", lambda: not self.state()[table], seconds)


# -- relays ------------------------------------------------------------------------------------------------------
class Relay:
    """One relay host: its program, and what can happen to it. After a restart its secret is another, so the credentials
    handed out before are void (spec connectivity 7.1)."""

    def __init__(self, world, generation, host="relay", join=True):
        self.world, self.generation, self.host, self.join = world, generation, host, join
        self.v4, self.v6 = t.RELAYS[host]
        self.process = None
        self.renew()

    def renew(self):
        self.secret = secrets.token_hex(32)

    def entries(self, ident, salt):
        """What a portal tells of this relay: credentials of that salt (spec portal 3.7)."""
        expiry = 2145916800
        return [{"id": ident, "type": "turn", "addr": a, "username": f"{expiry}:{salt}", "expires_at": expiry,
                 "password": password(expiry, self.secret, salt)} for a in (f"{self.v4}:3478", f"[{self.v6}]:3478")]

    def start(self):
        command = [PYTHON, f"{SUPPORT}/relay.py", "--ipv4", self.v4, "--ipv6", self.v6, "--generation", self.generation,
                   "--secret", self.secret]
        if self.join:
            command += ["--portal", f"ws://{t.PORTAL4}:{t.PORTAL_PORT}", "--token", TOKENS["relay"]]
        self.process = self.world.start(self.host, self.host, command)
        self.process.wait_log('"listening"')
        return self

    def stop(self):
        return self.process.stop()

    def kill(self):
        """Gone without a word; its host resets the connection to the portal."""
        self.process.kill()

    def restart(self):
        self.kill()
        self.renew()
        return self.start()

    def counts(self):
        return relay_counts(self.process)

    def deafen(self):
        """All UDP is dropped, both ways; the portal goes on believing in the relay."""
        self._drop("deaf", ["meta l4proto udp"], ["meta l4proto udp"])

    def cut(self, host):
        """Nothing passes between this relay and the client or the gateway."""
        v4, nat, v6 = {"gateway": (t.GATEWAY4, t.GATEWAY_NAT4, t.GATEWAY6),
                       "client": (t.CLIENT4, t.CLIENT_NAT4, t.CLIENT6)}[host]
        self._drop("cut", *([f"ip {end} {{ {v4}, {nat} }}", f"ip6 {end} {v6}"] for end in ("saddr", "daddr")))

    def mend(self):
        """Takes back deafen() and cut()."""
        ns = self.world.ns(self.host)
        for table in [line.split()[-1] for line in netns.execute(ns, "nft", "list", "tables").splitlines()]:
            netns.execute(ns, "nft", "delete", "table", "inet", table)

    def _drop(self, name, arriving, leaving):
        chains = "\n".join(f"chain {hook} {{ type filter hook {hook} priority filter; {' drop; '.join(rules)} drop; }}"
                           for hook, rules in (("input", arriving), ("output", leaving)))
        netns.nft(self.world.ns(self.host), f"table inet lab_{name} {{\n{chains}\n}}\n")


def relay_counts(process):
    """The relay's counters, asked for now."""
    before = process.log_text().count('"counts"')
    process.signal(signal.SIGUSR1)
    wait_for("relay counters", lambda: process.log_text().count('"counts"') > before, 3)
    lines = [line for line in process.log_text().splitlines() if '"counts"' in line]
    return json.loads(lines[-1])


def start_coturn(world, host="relay", **settings):
    """coturn in a relay's place (spec connectivity 7.5): user u, password p, realm firezone; further settings by name."""
    v4, v6 = t.RELAYS[host]
    config = world.path("turnserver.conf")
    with open(config, "w", encoding="ascii") as f:
        f.write("\n".join([f"listening-ip={v4}", f"listening-ip={v6}", f"relay-ip={v4}", f"relay-ip={v6}",
                           "listening-port=3478", "min-port=49152", "max-port=65535", "lt-cred-mech", "user=u:p",
                           "realm=firezone", "no-tls", "no-dtls", "no-cli", "log-file=stdout", "simple-log",
                           "verbose", "allow-loopback-peers", *(f"{k}={v}" for k, v in settings.items()), f"pidfile={world.path('turnserver.pid')}",
                           f"userdb={world.path('turndb')}"]) + "\n")
    process = world.start("coturn", host, ["turnserver", "-c", config])
    process.wait_log("SQLite DB connection success", 10)       # the last thing it says before it serves
    return process


def coturn_entries(host="relay"):
    v4, v6 = t.RELAYS[host]
    return [{"id": "0c07a4e0-0000-4000-8000-000000000001", "type": "turn", "addr": a, "username": "u",
             "password": "p", "expires_at": 2145916800} for a in (f"{v4}:3478", f"[{v6}]:3478")]


# -- resources and names -------------------------------------------------------------------------------------------
NGINX = """
daemon off; master_process off; pid {dir}/nginx.pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log {dir}/nginx-access.log; default_type application/octet-stream; sendfile on;
  client_max_body_size 32m; client_body_temp_path {dir}/nginx-body; proxy_temp_path {dir}/nginx-proxy;
  fastcgi_temp_path {dir}/nginx-f; uwsgi_temp_path {dir}/nginx-u; scgi_temp_path {dir}/nginx-s;
  keepalive_timeout 65;
  server {{
    listen {web}; listen [::]:{web}; listen {alt}; listen [::]:{alt};
    location = / {{ return 200 "firegate lab resource\\n"; }}
    location = /whoami {{ return 200 "$remote_addr\\n"; }}
    location = /where {{ return 200 "$server_addr\\n"; }}
    location /size/ {{ alias {dir}/sizes/; }}
    location = /upload {{ proxy_pass http://127.0.0.1:{upload}; proxy_request_buffering off; }}
  }}
}}
"""


def start_resource(world):
    """nginx, the echo service and iperf3 on the resource host."""
    os.makedirs(world.path("sizes"))
    for size in SIZES:
        with open(world.path(f"sizes/{size}"), "wb") as f:
            f.write(content(size))
    os.chmod(world.dir, 0o755)
    config = world.path("nginx.conf")
    with open(config, "w", encoding="ascii") as f:
        f.write(NGINX.format(dir=world.dir, web=t.WEB, alt=t.WEB_ALT, upload=t.UPLOAD))
    world.start("nginx", "resource", ["nginx", "-e", "stderr", "-c", config])
    echo = world.start("echo", "resource", [PYTHON, f"{SUPPORT}/echo.py", str(t.ECHO), str(t.UPLOAD)])
    world.start("iperf3", "resource", ["iperf3", "-s", "-p", str(t.IPERF)])
    echo.wait_log("ready")


class Dns:
    """The name server the gateway asks. Unknown names under .test do not exist, others are refused."""

    def __init__(self, world):
        self.world, self.hosts, self.process = world, world.path("dnsmasq.hosts"), None
        self.names = {}

    def start(self):
        self._write()
        both = f"{t.RESOURCE4},{t.RESOURCE6}"
        self.process = self.world.start("dnsmasq", "portal", [
            "dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
            f"--listen-address={t.PORTAL4}", "--local=/test/", "--local-ttl=1", "--user=root",
            f"--pid-file={self.world.path('dnsmasq.pid')}", f"--addn-hosts={self.hosts}",
            *(f"--host-record={name},{both}" for name in ("wiki.lab.test", "twin.lab.test", "both.lab.test",
                                                          "x.mark.test", "ping.icmp.test")),
            f"--host-record=v4only.lab.test,{t.RESOURCE4}", f"--host-record=v6only.lab.test,{t.RESOURCE6}",
            f"--host-record=portal.lab.test,{t.PORTAL4}", f"--address=/open.test/{t.RESOURCE4}",
            f"--address=/open.test/{t.RESOURCE6}", "--cname=alias.lab.test,wiki.lab.test",
            "--srv-host=_web._tcp.lab.test,wiki.lab.test,80", "--txt-record=lab.test,of the lab",
            f"--server=/deaf.lab.test/{t.SINK4}"])      # the sink answers nothing
        return self

    def set(self, name, *addresses):
        """The name has these addresses from now on; none: it does not exist."""
        self.names[name] = addresses
        self._write()
        self.process.signal(signal.SIGHUP)

    def _write(self):
        with open(self.hosts, "w", encoding="ascii") as f:
            f.writelines(f"{address} {name}\n" for name, addresses in self.names.items() for address in addresses)


def start_dns(world):
    """Names of the resources, for gateways that resolve them (spec operations 11)."""
    return Dns(world).start()


def iperf(world, *arguments, attempts=5):
    """An iperf3 client run from the client host; its JSON report. Its server is not ready again at once."""
    command = ["ip", "netns", "exec", world.ns("client"), "iperf3", "-p", str(t.IPERF), "--json", *arguments]
    for left in reversed(range(attempts)):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        report = json.loads(done.stdout)
        if "error" not in report or not left:
            return report
        time.sleep(0.3)
    return None
