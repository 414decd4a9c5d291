"""What the demonstration does in each lab, row by row."""
import json
import os
import time
from dataclasses import dataclass

from lab import netns, site_names, topology as t
from lab.client import Client
from lab.lab import NAMES, NET4, NET6, Lab, resources
from lab.names import announce, datagrams_in, proxies, spoofed
from lab.probes import Answer, Probes, refused_quickly, until_ok
from lab.process import wait_for
from lab.traffic import Stream, data_ways, outcome_of

ASK = {"A": ("request_connection", "allow_access"), "B": ("authorize_flow",), "C": ("create_authorization",)}
BULK = 3_000_000


@dataclass
class Row:
    generation: str
    path: str
    what: str
    sent: str
    received: str
    first_ms: float | None
    ok: bool
    notes: str = ""


class Show:
    """One lab and the rows it yields."""

    def __init__(self, lab, title):
        self.lab, self.title, self.probes = lab, title, lab.probes

    def row(self, what, answer, ok=None):
        return Row(self.lab.generation, self.title, what, answer.sent, answer.received, answer.first_ms,
                   answer.ok if ok is None else ok)

    def path_row(self, wanted, host):
        """The path both ends settled on; asked after traffic has flowed."""
        try:
            kind, remote = self.lab.client.wait_path(wanted, 15)
        except TimeoutError:
            kind, remote = self.lab.client.path()
        searched = "probes" if self.lab.client.gateways()[0].get("ice") == "none" else "ICE checks"
        fits = kind == wanted and host in (remote or "")
        return Row(self.lab.generation, self.title, "path", searched, f"{kind} via {remote}", None, fits)

    def first_contact(self):
        """The first packet of a session: it starts authorization, ICE and handshake, and is not lost."""
        return self.row("first page (TCP)", self.probes.get(t.RESOURCE4, "/whoami", seconds=15))

    def traffic(self):
        yield self.row("TCP, IPv6 inside", until_ok(lambda: self.probes.get(t.RESOURCE6, "/whoami", seconds=5)))
        yield self.row("UDP", self.probes.udp(t.RESOURCE4, b"x" * 1200))
        yield self.row("ICMP", self.probes.ping(t.RESOURCE4))
        yield self.row("3 MB to the client", self.probes.download(t.RESOURCE4, BULK))
        yield self.row("3 MB to the resource", self.probes.upload(t.RESOURCE4, BULK))
        if os.environ.get("FG_BACKEND") == "xdp":
            yield self.share_by_xdp()

    def share_by_xdp(self):
        """Of the tunnel packets that come in during an upload."""
        with data_ways(self.lab) as ways:
            answer = self.probes.upload(t.RESOURCE4, BULK)
        received = f"{ways.share:.2%} of {ways.xdp + ways.socket}"
        return self.row("tunnel packets by AF_XDP", Answer(answer.ok and ways.share > 0.99, answer.sent, received, None))

    def flow_record(self):
        """One page, and what the gateway wrote about it."""
        page = self.probes.get(t.RESOURCE4, "/whoami", seconds=5)

        def look():
            path = self.lab.world.path("flows.json")
            if not os.path.exists(path):
                return []               # of generation B only what has ended is recorded
            with open(path, encoding="utf-8") as f:
                records = [json.loads(line) for line in f if line.endswith("\n")]
            done = [r for r in records if r["message"] == "TCP flow completed" and r["inner_dst_ip"] == t.RESOURCE4]
            return done[-1:]
        record = wait_for("flow record", look, 10)[0]
        received = f"{record['message']}: tx {record['tx_bytes']} B, rx {record['rx_bytes']} B"
        fits = page.ok and record["tx_bytes"] > 0 and record["rx_bytes"] > len(page.body)
        return Row(self.lab.generation, self.title, "flow record written", page.sent, received, None, fits)

    def refusals(self):
        for what, address, port in (("forbidden port", t.RESOURCE4, t.WEB_ALT),
                                    ("forbidden address", t.FORBIDDEN4, t.WEB)):
            answer = self.probes.get(address, port=port, seconds=4)
            answer.sent = f"GET {address}:{port}"
            if refused_quickly(answer):
                answer.received = f"ICMP prohibited ({answer.error})"
            yield self.row(what, answer, refused_quickly(answer) and answer.error != "ECONNREFUSED")

    def explained(self):
        """What `firegate explain` says of a permitted and of a refused packet, and what they met."""
        client = self.lab.gateway.ask("peers")["peers"][0]["ipv4"]
        said, met = [], []
        for address, port in ((t.RESOURCE4, t.WEB), (t.RESOURCE4, t.WEB_ALT), (t.FORBIDDEN4, t.WEB)):
            of = self.lab.gateway.ask("explain", client, address, str(port))["explanation"]
            said.append(f"{address}:{port} " + (f"passes by '{of['resource']['name']}'" if of["passes"] else of["reason"]))
            met.append(of["passes"] == self.probes.get(address, port=port, seconds=4).ok)
        return self.row("explain agrees", Answer(all(met), "firegate explain", "; ".join(said), None))

    def names(self):
        """DNS resources: the gateway resolves and translates."""
        lab, probes = self.lab, self.probes
        wiki = proxies(lab, "wiki.lab.test")
        for what, address in (("page by name, IPv4", wiki[0]), ("page by name, IPv6", wiki[1]),
                              ("IPv4-only name", proxies(lab, "v4only.lab.test")[0]),
                              ("IPv6-only name", proxies(lab, "v6only.lab.test")[1])):
            yield self.row(what, until_ok(lambda a=address: probes.get(a, "/where", seconds=5)))
        yield self.row("ping by name", until_ok(lambda: probes.ping(wiki[0])))
        closed = probes.udp(wiki[0], port=t.CLOSED)
        yield self.row("closed UDP port of a name", closed, closed.error == "ECONNREFUSED")
        before = datagrams_in(lab)
        for _ in range(5):
            lab.client.inner(spoofed(wiki[0]))
        fine = probes.udp(wiki[0])
        arrived = datagrams_in(lab) - before
        yield self.row("spoofed source", Answer(fine.ok, "5 spoofed, 1 honest", f"{arrived} arrived", fine.first_ms),
                       fine.ok and arrived <= 3)
        if lab.generation != "A":               # which says its proxies to the portal
            status = announce(lab, NAMES, "wiki.lab.test", [t.FORBIDDEN4])
            answer = Answer(status == "Inactive", f"AssignedIps {t.FORBIDDEN4}", status, None)
            yield self.row("foreign proxy address", answer)

    def two_clients(self):
        """Two clients use one name from the same source port at the same time."""
        lab = self.lab
        other = Client(lab.world, lab.generation, name="other", host="portal").start()
        users = [(lab.client, self.probes), (other, Probes(lab.world, "portal"))]
        addresses = [client.resolve("wiki.lab.test")["v4"][0] for client, _ in users]
        for (_, probes), address in zip(users, addresses):
            until_ok(lambda p=probes, a=address: p.get(a, seconds=5))
        began, back = time.monotonic(), []
        sockets = [probes.echo_from(address, 40_407, client.name.encode())
                   for (client, probes), address in zip(users, addresses)]
        for s in sockets:
            with s:
                back.append(s.recv(100).decode())
        other.stop()
        answer = Answer(back == ["client", "other"], "a datagram each, port 40407", "each its own: " + ", ".join(back),
                        (time.monotonic() - began) * 1000)
        return self.row("two clients, one source port", answer)

    def dns_service(self):
        """What clients of B and C ask the gateway for: its site's name server answers."""
        found, began = [], time.monotonic()
        for address in site_names.gateway_addresses(self.lab):
            for name, kind in (("_web._tcp.lab.test", "SRV"), ("lab.test", "TXT")):
                for transport in ("+notcp", "+tcp"):
                    reply = site_names.dig(self.lab.world, address, name, kind, transport)
                    found.append(" ".join(reply.answers) or reply.status)
        ok = found == (["0 0 80 wiki.lab.test."] * 2 + ['"of the lab"'] * 2) * 2
        answer = Answer(ok, "UDP, TCP, both families", "; ".join(dict.fromkeys(found)), (time.monotonic() - began) * 1000)
        return self.row("SRV and TXT answered", answer)

    def out_of_order(self):
        """A client that starts anew; the portal delivers its two grants in the wrong order."""
        lab = self.lab
        lab.client.stop()
        lab.client.start()
        before = self._asked()
        lab.portal.ask("hold", events=list(ASK[lab.generation]))
        lab.client.connect(NET4)
        wait_for("first grant", lambda: self._asked() > before, 10)
        lab.client.connect(NET6)
        wait_for("second grant", lambda: self._asked() > before + 1, 10)
        lab.portal.ask("release", reverse=True)
        four, six = (until_ok(lambda a=a: self.probes.get(a, seconds=5)) for a in (t.RESOURCE4, t.RESOURCE6))
        events = " before ".join(reversed(ASK["A"])) if lab.generation == "A" else "second before first"
        answer = Answer(four.ok and six.ok, events, f"{four.received}; {six.received}", four.first_ms)
        return self.row("out-of-order grants", answer)

    def _asked(self):
        return sum(e["event"] in ASK[self.lab.generation] for e in self.lab.portal.log("to_gateway"))

    def portal_dropped(self):
        return self._portal_gone("portal connection dropped", lambda: self.lab.portal.ask("reset", who="gateway"))

    def portal_restarted(self):
        return self._portal_gone("portal restarted", self.lab.portal.restart)

    def portal_busy(self):
        def refuse():
            self.lab.portal.ask("set", scenario={"statuses": {"gateway": [
                {"status": 503, "headers": {"Retry-After": "2"}}, 101]}})
            self.lab.portal.ask("reset", who="gateway")
        return self._portal_gone("portal: 503, Retry-After 2", refuse)

    def _portal_gone(self, what, act):
        """Traffic while the portal's connection goes and comes; the time until the portal has the gateway again."""
        lab = self.lab

        def joins():
            return lab.portal.state()["counts"].get("gateway:phx_join", 0)

        stream = Stream(lab.world)
        stream.start()
        time.sleep(0.5)
        before, process = joins(), lab.portal.process
        started = time.monotonic()
        act()
        wait_for("gateway back", lambda: joins() > (before if lab.portal.process is process else 0), 20, 0.05)
        back = (time.monotonic() - started) * 1000
        time.sleep(0.5)
        outcome = stream.stop()
        return self.row(what, Answer(not outcome.lost and outcome.sent > 100, f"{outcome.sent} datagrams",
                                     f"{outcome}; portal again", back))

    def gap(self, what, limit, act):
        """A row of the longest time without an answer at 50 requests a second, and its limit."""
        outcome = outcome_of(self.lab.world, act, limit + 10)
        gap = max(outcome.gap, outcome.silence)
        return self.row(f"{what} (≤ {limit} s)", Answer(gap <= limit, "50 datagrams/s", f"longest gap {gap:.2f} s",
                                                        gap * 1000))

    def client_moves(self):
        def act():
            netns.ip([f"addr del {t.CLIENT4}/24 dev eth0", f"addr add {t.WAN4}22/24 dev eth0",
                      f"route replace default via {t.SINK4}"], self.lab.world.ns("client"))
            self.lab.client.ask("reset")
        return self.gap("client changes address", 2, act)

    def client_restarted(self):
        def act():
            self.lab.client.kill()
            self.lab.client.start()
        return self.gap("client restarts, new key", 5, act)

    def gateway_restarted(self):
        def act():
            self.lab.gateway.stop()
            self.lab.gateway.start()
        return self.gap("gateway restarted", 15, act)


def direct4(show):
    yield show.first_contact()
    yield show.path_row("direct", t.GATEWAY4)
    yield from show.traffic()
    yield from show.refusals()
    if "FG_GATEWAY" not in os.environ:
        yield show.explained()
        if show.lab.generation != "A":
            yield show.flow_record()
    yield from show.names()
    yield show.two_clients()
    if show.lab.generation != "A":
        yield show.dns_service()
    yield show.portal_dropped()
    if show.lab.portal.kind == "ours":          # the second portal forgets its grants
        yield show.portal_restarted()
    yield show.portal_busy()
    yield show.out_of_order()
    yield show.client_restarted()
    yield show.gateway_restarted()
    yield show.client_moves()


def direct6(show):
    yield show.first_contact()
    yield show.path_row("direct", t.GATEWAY6)
    yield from show.traffic()


def relayed(show):
    yield show.first_contact()
    yield show.path_row("relayed", "")
    yield from show.traffic()
    yield from show.refusals()


def relays_fail(show):
    lab = show.lab
    yield show.first_contact()
    lab.client.wait_path("relayed")
    dying, _ = lab.relays_in_use()
    staying = next(r for r in lab.relays if r is not dying)
    yield show.gap("one of two relays dies", 5, dying.kill)
    yield show.gap("only relay restarts", 5, staying.restart)


def iceless(path):
    def steps(show):
        yield show.first_contact()
        yield show.path_row(path, "")
        yield from show.traffic()
    return steps


NATS = {"client_nat": "random", "gateway_nat": "random"}


@dataclass
class Plan:
    title: str
    shape: dict
    steps: object
    is_iceless: bool = False

    def fits(self, generation):
        return generation == "C" or not self.is_iceless


PLANS = {"direct4": Plan("direct IPv4", {"outer": ("v4",)}, direct4),
         "direct6": Plan("direct IPv6", {"outer": ("v6",)}, direct6),
         "relays": Plan("relayed, NATs", {"relays": 2, **NATS}, relays_fail),
         "relayed": Plan("relayed, NATs", NATS, relayed),
         "iceless": Plan("direct, no ICE", {}, iceless("direct"), True),
         "iceless-relayed": Plan("relayed, no ICE", NATS, iceless("relayed"), True)}


def run_plan(plan, generation, portal, keep):
    """Rows of one lab as they come; with `keep`, a last row says how to look around."""
    plan = PLANS[plan]
    lab = Lab(generation, portal, t.Shape(**plan.shape),
              {"iceless": plan.is_iceless, "resources": resources() + site_names.TUNNEL}, keep=keep)
    lab.gateway.env["FIREGATE_FLOW_LOG_FILE"] = lab.world.path("flows.json")
    with lab:
        lab.world.failed = True             # until the end is reached, logs stay
        yield from plan.steps(Show(lab, plan.title))
        lab.world.failed = False
        if keep:
            notes = _notes(lab)
            lab.world.leave_up(notes)
            yield Row(generation, plan.title, "lab", "", "", None, True, notes)


def _notes(lab):
    client, gateway = lab.world.ns("client"), lab.world.ns("gateway")
    return "\n".join(f"    {line}" for line in (
        f"sudo ip netns exec {client} curl http://{t.RESOURCE4}/whoami",
        f"sudo ip netns exec {client} ping {t.RESOURCE6}",
        f"sudo ip netns exec {gateway} ip -br addr; sudo ip netns exec {gateway} nft list ruleset",
        f"sudo ip netns exec {gateway} curl -s http://127.0.0.1:8080/readyz -i",
        f"echo '{{\"do\":\"state\"}}' | sudo nc -U -q1 {lab.portal.control}",
        f"logs: {lab.world.dir}"))
