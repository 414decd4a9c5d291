"""Steps that several scenarios share."""
import time

from lab import topology as t
from lab.process import wait_for
from lab.traffic import outcome_of

ASK = {"A": ("request_connection", "allow_access"), "B": ("authorize_flow",), "C": ("create_authorization",)}


def page(lab, address=t.RESOURCE4):
    return lambda: lab.probes.get(address, seconds=3)


def gap_of(lab, act, limit, what):
    """50 requests a second while `act` happens: neither loss nor silence may last longer than `limit` seconds."""
    outcome = outcome_of(lab.world, act, limit + 10)
    print(f"{what} {lab.generation}: {outcome}")
    assert outcome.gap <= limit and outcome.silence <= limit, outcome


def hold_grants(lab):
    """From here on the gateway hears of no new authorization."""
    lab.portal.ask("hold", events=list(ASK[lab.generation]))


def asked(lab):
    """Authorizations the portal has addressed to the gateway, held ones included."""
    return [e for e in lab.portal.log("to_gateway") if e["event"] in ASK[lab.generation]]


def wait_asked(lab, count, seconds=10):
    wait_for(f"{count} authorization requests", lambda: len(asked(lab)) >= count, seconds)


def healed(probe, seconds, what="traffic"):
    """Repeats a probe until it succeeds; the successful answer."""
    def once():
        answer = probe()
        return answer if answer.ok else None
    return wait_for(f"{what} healed", once, seconds, 0.1)


def failed(probe, seconds, what="traffic"):
    """Repeats a probe until it fails, then once more; that answer. The first to fail may have been under way when
    the rules changed: an established TCP connection does not end at an ICMP error, a new one does."""
    wait_for(f"{what} refused", lambda: not probe().ok, seconds, 0.1)
    answer = probe()
    assert not answer.ok, f"{what} was refused once and then allowed again"
    return answer


def refused_since(probe, seconds, what="traffic"):
    """Repeats a probe until it fails; when the failing one began (unix time)."""
    def once():
        began = time.time()
        return None if probe().ok else began
    return wait_for(f"{what} refused", once, seconds, 0.1)
