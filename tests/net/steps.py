"""Steps that several scenarios share."""
from lab.process import wait_for

ASK = {"A": ("request_connection", "allow_access"), "B": ("authorize_flow",), "C": ("create_authorization",)}


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
    """Repeats a probe until it fails; the failing answer."""
    def once():
        answer = probe()
        return None if answer.ok else answer
    return wait_for(f"{what} refused", once, seconds, 0.1)
