"""Flow logs (spec/policy.md 6): what a client did is told to the log, a file and the ingest server, once and rightly."""
import base64
import json
import os
import re
import socket
import stat
import subprocess

import pytest

from lab import netns, topology as t
from lab.gateway import Gateway
from lab.lab import NET4, Lab
from lab.process import wait_for
from lab.world import PYTHON, SUPPORT
from steps import healed

DATAGRAM = b"x" * 900
REPORT = re.compile(r"\d{10}-[0-9a-f]{16}\.(start|end)\.json")


class Flows(Lab):
    """A lab whose gateway tells of flows in every way there is."""

    def __init__(self, generation, script="", interval=1):
        settings = {"api_url": f"https://{t.PORTAL4}/", "upload_interval_secs": interval, "upload_batch_size": 0}
        super().__init__(generation, scenario={"uploads": True, "flow_logs": settings})
        self.script, self.uploads = script, self.world.path("uploads")
        self.spool, self.file = self.world.path("flow_logs"), self.world.path("flows.json")
        self.gateway = Gateway(self.world, env={
            "FIREZONE_FLOW_LOGS": "true", "FIREGATE_FLOW_LOG_FILE": self.file, "FIREZONE_LOG_FORMAT": "json",
            "FIREGATE_CA_FILE": self.world.path("ca.pem")})

    def base(self):
        super().base()
        for command in (
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=lab-ca"
                " -keyout ca.key -out ca.pem",
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ingest"
                f" -addext subjectAltName=IP:{t.PORTAL4} -addext basicConstraints=critical,CA:FALSE -CA ca.pem"
                " -CAkey ca.key -keyout leaf.key -out leaf.pem"):
            subprocess.run(["openssl", *command.split()], cwd=self.world.dir, check=True, capture_output=True)
        server = self.world.start("ingest", "portal", [
            PYTHON, f"{SUPPORT}/ingest.py", "--listen", f"{t.PORTAL4}:443", "--log", self.uploads, "--script", self.script,
            "--tls", self.world.path("leaf.pem"), self.world.path("leaf.key")])
        server.wait_log("listening", 20)
        return self

    def lines(self, path):
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def requests(self):
        return self.lines(self.uploads)

    def stored(self):
        return [record for request in self.requests() if request["status"] == 200 for record in request["records"]]

    def logged(self):
        entries = (json.loads(line) for line in self.gateway.process.log_text().splitlines() if line.startswith("{"))
        return [e for e in entries if e["target"].split("::")[0] == "flow_logs"]

    def spooled(self):
        return [os.path.join(d, f) for d, _, files in os.walk(self.spool) for f in files]

    def reports(self):
        """Whole ones: what is being written has another name."""
        return [path for path in self.spooled() if REPORT.fullmatch(os.path.basename(path))]

    def told(self):
        """What `firegate status` says of them."""
        return self.gateway.ask("status")["status"]["flow_logs"]

    def refuse(self, on):
        path = self.uploads + ".refuse"
        open(path, "w", encoding="utf-8").close() if on else os.unlink(path)

    def page(self):
        """A TCP flow: (bytes sent, bytes received, the client's address and port)."""
        connection = self.probes.connect(t.RESOURCE4, t.WEB)
        request = b"GET /whoami HTTP/1.0\r\nConnection: close\r\n\r\n"
        with connection:
            source = connection.getsockname()
            connection.sendall(request)
            received = b""
            while part := connection.recv(65536):
                received += part
        assert received.startswith(b"HTTP/1."), received[:100]
        return len(request), len(received), source

    def datagrams(self, count):
        """A UDP flow of so many datagrams there and back."""
        with netns.entered(self.world.ns("client")):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with s:
            s.settimeout(5)
            s.connect((t.RESOURCE4, t.ECHO))
            for _ in range(count):
                s.send(DATAGRAM)
                assert s.recv(2000) == DATAGRAM
            return s.getsockname()


def of(source, records):
    return [r for r in records if (r["inner_src_ip"], r["inner_src_port"]) == source]


def claims(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@pytest.fixture
def flows(request):
    made = request.node.worlds = []

    def make(*arguments, **more):
        lab = Flows(*arguments, **more)
        made.append(lab.world)
        return lab.__enter__()
    yield make
    for world in made:
        world.down()


def test_a_flow_of_generation_c_is_told_everywhere_with_what_the_client_did(flows):
    lab = flows("C", script="503,429:1,307,413")
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 20)
    sent, received, source = lab.page()
    udp = lab.datagrams(5)
    page = [wait_for("the page's record", lambda: [r for r in of(source, lab.stored()) if "flow_end" in r], 30)[0]]
    opened = wait_for("the beginning of the UDP flow", lambda: of(udp, lab.stored()), 30)
    assert page[0]["protocol"] == "tcp" and page[0]["inner_dst_ip"] == t.RESOURCE4 and page[0]["inner_dst_port"] == t.WEB
    assert (page[0]["tx_bytes"], page[0]["rx_bytes"]) == (sent, received)
    assert page[0]["flow_start"] <= page[0]["last_packet"] <= page[0]["flow_end"]
    assert page[0]["outers"][0]["dst_ip"] in (t.GATEWAY4, t.GATEWAY6)
    assert opened[0]["protocol"] == "udp" and "flow_end" not in opened[0]

    in_file = of(source, lab.lines(lab.file))
    assert [r["message"] for r in in_file] == ["TCP flow started", "TCP flow completed"]
    assert in_file[1]["outers"] == page[0]["outers"] and in_file[1]["rx_bytes"] == received
    in_log = of(source, lab.logged())
    assert [(e["level"], e["message"]) for e in in_log] == [("TRACE", "TCP flow started"), ("TRACE", "TCP flow completed")]
    assert in_log[0]["resource_id"] == NET4 and json.loads(in_log[0]["outers"]) == page[0]["outers"]

    requests = lab.requests()
    statuses = [r["status"] for r in requests]
    print(f"{len(requests)} requests: {statuses}")
    assert {503, 429, 307} <= set(statuses) and {r["path"] for r in requests} == {"/ingestion/flow_logs", "/moved/flow_logs"}
    for request in requests:
        told = claims(request["token"])
        assert told["uploads_enabled"] and told["role"] == "responder"
    tokens = {r["token"] for r in requests}
    for path in (lab.gateway.process.log_path, lab.file):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        assert not any(token in text for token in tokens)
    for directory, _, files in os.walk(lab.spool):
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
        for name in files:
            assert stat.S_IMODE(os.stat(os.path.join(directory, name)).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(lab.file).st_mode) == 0o600

    lab.gateway.stop()
    ended = of(udp, lab.lines(lab.file))
    assert [r["message"] for r in ended] == ["UDP flow started", "UDP flow completed"]
    assert (ended[1]["tx_bytes"], ended[1]["rx_bytes"]) == (5 * len(DATAGRAM),) * 2
    assert (ended[1]["tx_packets"], ended[1]["rx_packets"]) == (5, 5)
    print(f"UDP flow: {ended[1]['tx_packets']} datagrams, {ended[1]['tx_bytes']} bytes each way; TCP {sent} and {received}")


def test_what_a_killed_gateway_left_is_uploaded_by_the_next_one(flows):
    lab = flows("C", interval=1)
    lab.refuse(True)
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 20)
    _, _, source = lab.page()
    wait_for("reports in the spool", lambda: any(r.endswith(".end.json") for r in lab.reports()), 20)
    told = wait_for("the refusal is told", lambda: lab.told() if lab.told()["upload_error"] else None, 20)
    assert "status 503" in told["upload_error"]["reason"] and told["uploaded"] == 0 and told["spooled"] > 0, told
    assert "upload failed" in lab.gateway.show("status").stdout
    lab.gateway.process.kill()
    left = lab.reports()
    assert lab.stored() == [] and left
    for path in left:
        with open(path, encoding="utf-8") as f:
            assert set(json.load(f)) == {"checksum", "payload"}, "a report is whole or not there"
    lab.refuse(False)
    lab.gateway.start()
    record = wait_for("the page's record", lambda: [r for r in of(source, lab.stored()) if "flow_end" in r], 40)
    wait_for("an empty spool", lambda: not set(left) & set(lab.reports()), 20)
    wait_for("no half a file", lambda: not [f for f in lab.spooled() if os.path.basename(f).startswith(".new-")], 20)
    flows_left = {path.rsplit(".", 2)[0] for path in left}     # a start goes with its end
    wait_for("success is told", lambda: lab.told()["uploaded"] >= len(flows_left), 20)
    told = lab.told()
    assert told["enabled"] and told["last_upload"] and not told["upload_error"] and told["lost"] == 0, told
    print(f"{len(left)} reports left behind, {len(lab.stored())} stored; TCP {record[0]['tx_bytes']} bytes sent")


def test_generation_b_tells_the_log_and_spools_nothing(flows):
    lab = flows("B")
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 20)
    sent, received, source = lab.page()
    entry = wait_for("the record", lambda: of(source, lab.logged()), 15)[0]
    assert (entry["target"], entry["level"], entry["message"]) == ("flow_logs::tcp", "TRACE", "TCP flow completed")
    assert (entry["tx_bytes"], entry["rx_bytes"]) == (sent, received)
    assert entry["actor_name"] == "Lab User" and entry["device_os_name"] == "Debian" and entry["resource_name"] == "lab"
    assert entry["outer_dst_ip"] in (t.GATEWAY4, t.GATEWAY6)
    assert not os.path.exists(lab.spool) and not os.path.exists(lab.uploads)
