"""A whole lab: namespaces, portal, relay, resource, gateway and client, raised in one call."""
from lab import topology as t
from lab.client import Client
from lab.gateway import Gateway
from lab.impair import Impairment
from lab.probes import Probes
from lab.services import Portal, Relay, start_dns, start_resource
from lab.world import World

NET4, NET6, NAMES = ("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04", "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab06",
                     "5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35")


def port(protocol, first, last=None):
    return {"protocol": protocol, "port_range_start": first, "port_range_end": last or first}


# Everything the resource offers except its second web port.
OPEN_PORTS = [port("tcp", t.WEB), port("udp", t.ECHO), port("tcp", t.IPERF), port("udp", t.IPERF),
              port("tcp", t.CLOSED), port("udp", t.CLOSED), {"protocol": "icmp"}]


def resources(filters=None):
    """The networks as clients see them."""
    filters = OPEN_PORTS if filters is None else filters
    return [{"id": NET4, "type": "cidr", "name": "lab", "address": "10.20.0.0/24", "filters": filters},
            {"id": NET6, "type": "cidr", "name": "lab6", "address": "fd20::/64", "filters": filters},
            {"id": NAMES, "type": "dns", "name": "wiki", "address": "*.lab.test", "filters": filters}]


def narrowed(filters=None):
    """The networks as gateways are told: one address each, so the other one of the resource host is forbidden."""
    by_id = {r["id"]: r for r in resources(filters)}
    return [by_id[NET4] | {"address": f"{t.RESOURCE4}/32"}, by_id[NET6] | {"address": f"{t.RESOURCE6}/128"}]


class Lab:
    def __init__(self, generation, portal="ours", shape=None, scenario=None, keep=False, relay_generation=None,
                 narrow=True, client=None, backend=None):
        self.generation, self.narrow = generation, narrow
        self.world = World(shape or t.Shape(), keep)
        base = {"generation": generation, "resources": resources(), "upstream_dns": [f"{t.PORTAL4}:53"],
                "expires_in": None}
        self.portal = Portal(self.world, base | (scenario or {}), portal)
        self.gateway = Gateway(self.world, backend=backend)
        self.client = client(self.world) if client else Client(self.world, generation)
        self.probes, self.impairment, self.dns = Probes(self.world), None, None
        self.relays = [Relay(self.world, relay_generation or generation, h) for h in self.world.shape.relay_hosts]

    def __enter__(self):
        try:
            return self.up()
        except BaseException:
            self.world.failed = True
            self.world.down()
            raise

    def __exit__(self, kind, *_):
        self.world.failed = self.world.failed or kind is not None
        self.world.down()

    def up(self):
        """Everything runs, gateway and client have joined; no connection yet."""
        self.base()
        self.gateway.start()
        self.gateway.wait_joined(self.portal)
        self.gateway.wait_tun()
        self.client.start()
        if self.narrow:
            self.narrow_grants()
        return self

    def base(self):
        """Everything but gateway and client."""
        self.world.up()
        if self.world.shape.impair:
            self.impairment = Impairment(self.world)
        self.portal.start()
        self.dns = start_dns(self.world)
        for relay in self.relays:
            relay.start()
        start_resource(self.world)
        self.portal.wait_joined("relay", len(self.relays))
        return self

    def narrow_grants(self):
        """From here on grants name one address of each network; the client still routes the whole network."""
        for resource in narrowed():
            self.portal.ask("update", resource=resource, quiet=True)

    @property
    def relay(self):
        """The first relay's program."""
        return self.relays[0].process

    def relays_in_use(self):
        """(the gateway's, the client's) of a connection relayed on both sides."""
        gateway = next(g for g in self.client.gateways() if g.get("state") == "connected")
        return tuple(next(r for r in self.relays if gateway[end].startswith((f"{r.v4}:", f"[{r.v6}]:")))
                     for end in ("remote", "local"))

    def restart_relay(self):
        self.relays[0].restart()
        return self.relay
