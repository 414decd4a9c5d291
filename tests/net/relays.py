"""Steps of the scenarios about relays."""
import time

from lab import topology as t
from lab.traffic import Stream
from steps import healed


def page(lab):
    return lab.probes.get(t.RESOURCE4, seconds=3)


def meet(lab, same):
    """Connects anew until both ends have chosen the same relay, or different ones."""
    for _ in range(20):
        healed(lambda: page(lab), 20)
        lab.client.wait_path("relayed")
        gateway, client = lab.relays_in_use()
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


def recovered(lab, stream, what):
    """Once traffic flows again: the outcome, printed."""
    stream.wait_again()
    result = stream.stop()
    print(f"{lab.generation}: {what}: {result}")
    return result
