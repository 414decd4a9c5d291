"""Steps of the scenarios about relays."""
import time

from lab import topology as t
from lab.process import wait_for
from lab.traffic import Stream
from steps import healed


def page(lab):
    return lab.probes.get(t.RESOURCE4, seconds=3)


def ends(lab):
    """(the gateway's relay, the client's) of a connection relayed on both sides."""
    gateway = next(g for g in lab.client.gateways() if g.get("state") == "connected")
    return tuple(next(r for r in lab.relays if gateway[end].startswith((r.v4 + ":", f"[{r.v6}]:")))
                 for end in ("remote", "local"))


def meet(lab, same):
    """Connects anew until both ends have chosen the same relay, or different ones."""
    for _ in range(20):
        healed(lambda: page(lab), 20)
        lab.client.wait_path("relayed")
        gateway, client = ends(lab)
        if (gateway is client) == same:
            return gateway, client
        lab.client.stop()
        lab.client.start()
    raise AssertionError("twenty times the same choice")


def flowing(lab, path="relayed"):
    """Fifty requests a second over a path that has settled."""
    healed(lambda: page(lab), 20)
    lab.client.wait_path(path)
    stream = Stream(lab.world, rate=50)
    stream.start()
    time.sleep(1)
    return stream


def recovered(lab, stream, what, seconds=60):
    """Once half a second was answered without a miss: the outcome, printed."""
    from_here = stream.sent
    wait_for(f"{what}: traffic again", lambda: stream.sent > from_here + 50 and all(
        n in stream.answered for n in range(stream.sent - 30, stream.sent - 5)), seconds, 0.05)
    result = stream.stop()
    print(f"{lab.generation}: {what}: {result}")
    return result
