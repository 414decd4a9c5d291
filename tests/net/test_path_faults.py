"""A path fails under a running connection, or was never there: how long nobody answers 50 requests a second."""
import time

import pytest

from lab import netns, topology as t
from lab.process import wait_for
from lab.traffic import Stream
from steps import gap_of, healed, page


def remapped(lab):
    """The client's NAT forgets what it translated and gives other ports and another address from here on."""
    nat = lab.world.ns("natc")
    netns.ip([f"addr add {t.WAN4}23/24 dev eth0"], nat)
    netns.nft(nat, "flush chain ip lab_nat post\n"
                   f"add rule ip lab_nat post oifname \"eth0\" meta l4proto udp snat to {t.WAN4}23:20000-30000 random\n"
                   "add rule ip lab_nat post oifname \"eth0\" masquerade\n")
    netns.execute(nat, "conntrack", "-F")


def lost_between(lab, *rules):
    """What the rules name is lost on the way. A rule at either end would hold for what its kernel sees."""
    netns.nft(lab.world.ns("inet"), "table bridge lab_cut {\nchain between {\ntype filter hook forward priority 0\n"
                                    + "\n".join(f"{rule} drop" for rule in rules) + "\n}\n}\n")


def cut(lab, families=("v4", "v6")):
    """What client and gateway send each other directly is lost; the relay reaches both."""
    ends = {"v4": ("ip", t.CLIENT4, t.GATEWAY4), "v6": ("ip6", t.CLIENT6, t.GATEWAY6)}
    lost_between(lab, *(f"{ip} saddr {a} {ip} daddr {b}" for ip, *pair in (ends[f] for f in families)
                        for a, b in (pair, pair[::-1])))


def test_the_clients_nat_changes_its_mapping(make_lab, generation):
    lab = make_lab(generation, shape=t.Shape(client_nat="preserving"))
    healed(page(lab), 15)
    lab.client.wait_path("direct")
    gap_of(lab, lambda: remapped(lab), 3, "client's NAT changes its mapping")
    healed(page(lab, t.RESOURCE6), 10)


def test_only_the_direct_path_dies(make_lab, generation):
    """Left alone the client gives it up after 12 or 18 s of unanswered checks (spec connectivity 2.18)."""
    lab = make_lab(generation)
    healed(page(lab), 15)
    lab.client.wait_path("direct")
    gap_of(lab, lambda: cut(lab), 15, "direct path dies")
    lab.client.wait_path("relayed")


def candidates_told(lab):
    """(what the client said, its lines from the best on); None: a path may stand before it has said all."""
    told = [e["payload"] for e in lab.portal.log("to_gateway") if e["event"] == "ice_candidates"]
    lines = {line for payload in told for line in payload["candidates"]}
    if any(" typ relay" in line for line in lines):
        return told, sorted(lines, key=lambda line: -int(line.split()[3]))
    return None


def test_half_of_the_clients_candidates_are_void(make_lab, generation):
    """The better half, the path in use among them; the client believes in all of them."""
    lab = make_lab(generation)
    healed(page(lab), 15)
    lab.client.wait_path("direct")
    told, lines = wait_for("the client's candidates, relayed ones too", lambda: candidates_told(lab), 10)
    stream = Stream(lab.world, rate=50)
    stream.start()
    time.sleep(1)
    lab.portal.ask("push", to="gateway", event="invalidate_ice_candidates",
                   payload={"client_id": told[0]["client_id"], "candidates": lines[:len(lines) // 2]})
    lab.client.wait_path("relayed", 25)
    time.sleep(1)
    outcome = stream.stop()
    print(f"{len(lines) // 2} of {len(lines)} candidates void {generation}: {outcome}")
    assert outcome.gap < 2, outcome


def one_family(lab, host, family):
    """The other family's datagrams never reach that host from the internet."""
    other = {"v4": "ip6", "v6": "ip"}[family]
    lost_between(lab, f"oifname \"to-{host}\" ether type {other} meta l4proto udp")


@pytest.mark.parametrize("family, remote", [("v4", t.GATEWAY4), ("v6", t.GATEWAY6)])
def test_the_other_family_is_blocked_between_the_peers(make_lab, generation, family, remote):
    lab = make_lab(generation)
    cut(lab, ("v6",) if family == "v4" else ("v4",))
    healed(page(lab), 15)
    assert remote in lab.client.wait_path("direct")[1]
    assert lab.probes.get(t.RESOURCE6, seconds=3).ok


@pytest.mark.parametrize("host", ["client", "gateway"])
@pytest.mark.parametrize("family, remote", [("v4", t.GATEWAY4), ("v6", t.GATEWAY6)])
def test_one_side_has_datagrams_over_one_family_only(make_lab, generation, host, family, remote):
    """Relays included."""
    lab = make_lab(generation)
    one_family(lab, host, family)
    healed(page(lab), 15)
    assert remote in lab.client.wait_path("direct")[1]
    assert lab.probes.get(t.RESOURCE6, seconds=3).ok
