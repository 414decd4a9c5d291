"""What happens to a lab every ten seconds. A fault begins, lasts, and is undone; both are called by the thread that raised
the lab, since a program ends with the thread that started it."""
from lab import netns


class Fault:
    """`begin(trial, chance)` returns after how many seconds `end(trial)` is due. `host` must be there. A `slow` one is
    noticed by a keepalive of 25 s that goes unanswered for 8 s (spec connectivity 3.5, 3.7)."""

    def __init__(self, name, begin, end=lambda trial: None, host="client", slow=False):
        self.name, self.begin, self.end, self.host, self.slow = name, begin, end, host, slow


def after(seconds, action):
    """A beginning whose end is due some seconds later."""
    def begin(trial, chance):
        action(trial, chance)
        return chance.uniform(*seconds)
    return begin


def _refuse(trial):
    """The next upgrades of everybody meet a portal that is overloaded."""
    trial.lab.portal.ask("set", scenario={"statuses": {kind: [{"status": 503}] * 3 for kind in ("gateway", "client")}})
    for who in ("gateway", "client"):
        trial.lab.portal.ask("drop", who=who)


def _link(trial, state):
    netns.ip([f"link set inside {state}"], trial.lab.world.ns("impair"))


def _forget_mappings(trial, host):
    netns.execute(trial.lab.world.ns(host), "conntrack", "-F")


def _relay(trial, chance):
    trial.relay = chance.choice(trial.lab.relays)
    return trial.relay


def _restart_client(trial):
    trial.lab.client.kill()
    trial.lab.client.start()


def _silence(direction):
    def begin(trial, chance):
        seconds = chance.uniform(1, 5)
        trial.lab.impairment.blackout(seconds, direction)
        return seconds
    return begin


FAULTS = [
    Fault("portal drops its connections", after((0, 0), lambda t, c: t.drop(c.choice(("gateway", "client", None))))),
    Fault("portal restarts", after((1, 6), lambda t, c: t.lab.portal.stop()), lambda t: t.lab.portal.restart()),
    Fault("portal answers 503", after((3, 3), lambda t, c: _refuse(t)),
          lambda t: t.lab.portal.ask("set", scenario={"statuses": {}})),
    Fault("relay killed", after((1, 6), lambda t, c: _relay(t, c).kill()), lambda t: t.relay.start()),
    Fault("relay restarts", after((0, 0), lambda t, c: _relay(t, c).restart())),
    Fault("relay deaf", after((3, 8), lambda t, c: _relay(t, c).deafen()), lambda t: t.relay.mend()),
    Fault("link down", after((1, 4), lambda t, c: _link(t, "down")), lambda t: _link(t, "up")),
    Fault("client's NAT forgets", after((0, 0), lambda t, c: _forget_mappings(t, "natc")), host="natc", slow=True),
    Fault("gateway's NAT forgets", after((0, 0), lambda t, c: _forget_mappings(t, "natg")), host="natg", slow=True),
    Fault("client leaves and returns", after((2, 6), lambda t, c: t.lab.client.stop()), lambda t: t.lab.client.start()),
    Fault("client killed and restarted", after((0, 0), lambda t, c: _restart_client(t))),
    Fault("guest joins", after((6, 8), lambda t, c: t.guest_joins()), lambda t: t.guest_leaves()),
    Fault("silence", _silence("both")),
    Fault("silence towards the gateway", _silence("in")),
    Fault("silence from the gateway", _silence("out")),
    Fault("loss, duplicates and jitter",
          after((5, 8), lambda t, c: t.lab.impairment.set(loss=0.05, duplicate=0.02, jitter_ms=15, delay_ms=10)),
          lambda t: t.lab.impairment.clear()),
]


def deck(hosts, chance, slow=True):
    """Every fault that fits once, in a drawn order."""
    fitting = [fault for fault in FAULTS if fault.host in hosts and (slow or not fault.slow)]
    return chance.sample(fitting, len(fitting))
