"""An ICE connection to one gateway by aioice, and the loopback socket that joins wireguard-go to it."""
import asyncio
import collections
import ipaddress

from aioice import Candidate, Connection, ice

PREFIX = "candidate:"
# An original client gives a silent path up after 16.5 s (spec connectivity 2.18); consent checks wait 0.5 s each.
ice.CONSENT_INTERVAL, ice.CONSENT_FAILURES = 1.5, 8
BUFFERED_MAX = 128                      # WireGuard messages before nomination (spec connectivity 2.17)
CONNECT_SECONDS = 20


class _Agent(Connection):
    """Leaves the tunnel's own addresses out: a path inside the tunnel leads nowhere."""

    def __init__(self, without, **options):
        super().__init__(ice_controlling=True, **options)
        self.without = without

    async def get_component_candidates(self, component, addresses, timeout=5):
        usable = [a for a in addresses if a not in self.without and not ipaddress.ip_address(a).is_link_local]
        return await super().get_component_candidates(component, usable, timeout)


class Demultiplexer(asyncio.DatagramProtocol):
    """wireguard-go's only peer address. Before a path exists a bounded number of its messages wait."""

    def __init__(self, wireguard_port):
        self.wireguard, self.send, self.waiting = ("127.0.0.1", wireguard_port), None, collections.deque(maxlen=BUFFERED_MAX)

    @classmethod
    async def open(cls, wireguard_port):
        _, self = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: cls(wireguard_port), local_addr=("127.0.0.1", 0))
        return self

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, _):
        if self.send:
            self.send(data)
        else:
            self.waiting.append(data)

    def deliver(self, data):
        self.transport.sendto(data, self.wireguard)

    def attach(self, send):
        self.send = send
        while send and self.waiting:
            send(self.waiting.popleft())


class Path:
    """From grant to loss. `identity` tells whether a later grant is about the same connection (spec connectivity 4.8)."""

    def __init__(self, grant, relays, options, without, demultiplexer, tell, log):
        self.identity = identity_of(grant)
        self.gateway, self.demultiplexer, self.tell, self.log = grant["gateway_id"], demultiplexer, tell, log
        mine, theirs = grant["client_ice_credentials"], grant["gateway_ice_credentials"]
        self.ufrag, self.their_ufrag = mine["username"], theirs["username"]
        self.relay_addresses = {r["addr"].rpartition(":")[0].strip("[]") for r in relays}
        self.agent = _Agent(without, **_servers(relays, options.get("turn")))
        self.agent.remote_is_lite = options.get("nomination") == "regular"     # then aioice checks first, nominates later
        self.agent.local_username, self.agent.local_password = mine["username"], mine["password"]
        self.agent.remote_username, self.agent.remote_password = theirs["username"], theirs["password"]
        self.alive, self.signalled = True, []

    async def run(self):
        """Ends when the path does."""
        try:
            await self.agent.gather_candidates()
            self.signalled = [f"{PREFIX}{c.to_sdp()} ufrag {self.ufrag}" for c in self.agent.local_candidates]
            await self.signal()
            await asyncio.wait_for(self.agent.connect(), CONNECT_SECONDS)
            self.report()
            self.demultiplexer.attach(self._send)
            while True:
                self.demultiplexer.deliver(await self.agent.recv())
        except (OSError, asyncio.TimeoutError) as e:        # ConnectionError of aioice among them
            self.log("path lost", why=repr(e))
        finally:
            self.alive = False
            self.demultiplexer.attach(None)

    async def signal(self):
        """All our candidates, at first and again for a renewed grant."""
        if self.signalled:
            await self.tell("new_gateway_ice_candidates", {"gateway_id": self.gateway, "candidates": self.signalled})

    async def add(self, texts):
        for text in texts:
            candidate = parse(text, self.their_ufrag)
            if candidate and not any(c.host == candidate.host and c.port == candidate.port
                                     for c in self.agent.remote_candidates):
                await self.agent.add_remote_candidate(candidate)

    def report(self):
        pair = self.agent._nominated[1]                     # aioice tells nobody which pair it uses
        remote = pair.remote_addr
        relayed = pair.local_candidate.type == "relay" or remote[0] in self.relay_addresses
        self.log("path", kind="relayed" if relayed else "direct", local=pair.local_candidate.type,
                 remote=f"[{remote[0]}]:{remote[1]}" if ":" in remote[0] else f"{remote[0]}:{remote[1]}",
                 remote_type=pair.remote_candidate.type)

    async def close(self):
        self.alive = False
        await self.agent.close()

    def _send(self, data):
        asyncio.ensure_future(self._forward(data))

    async def _forward(self, data):
        try:
            await self.agent.send(data)
        except ConnectionError:
            pass                                            # the path is being closed


def identity_of(grant):
    return tuple(str(grant[k]) for k in ("gateway_id", "gateway_public_key", "preshared_key", "client_ice_credentials",
                                         "gateway_ice_credentials"))


def parse(text, ufrag):
    """A candidate of theirs, or None: of another session, another transport, or not one (spec connectivity 2.8)."""
    words = text.removeprefix(PREFIX).split()
    pairs = dict(zip(words[8::2], words[9::2]))
    if not text.startswith(PREFIX) or pairs.get("ufrag", ufrag) != ufrag:
        return None
    try:
        candidate = Candidate.from_sdp(text.removeprefix(PREFIX))
    except ValueError:
        return None
    return candidate if candidate.component == 1 and candidate.transport.lower() == "udp" else None


def _servers(relays, turn):
    """aioice speaks to one server, over IPv4."""
    for relay in relays:
        host, _, port = relay["addr"].rpartition(":")
        if relay["type"] == "turn" and ":" not in host:
            server = (host, int(port))
            if turn:
                return {"stun_server": server, "turn_server": server, "turn_username": relay["username"],
                        "turn_password": relay["password"]}
            return {"stun_server": server}
    return {}
