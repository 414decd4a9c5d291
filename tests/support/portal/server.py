"""The portal as a server: upgrades, who enters and leaves, presence of relays (spec portal 1.5, 3.1, 3.7)."""
import asyncio
import http
import json
import time
import uuid

import websockets

from portal import derive
from portal.dialect import Refusal, admit, kind_of
from portal.routes import Routes
from portal.session import Session
from portal.world import World

PRESENCE_DEBOUNCE_SECONDS = 1.0         # spec portal 3.7, B and C
FLOW_LOGS = {"api_url": "https://flows.portal.test/", "upload_interval_secs": 0, "upload_batch_size": 1000}


class Portal:
    def __init__(self, scenario, stream, database=None):
        self.scenario, self.stream = scenario, stream
        self.world = World(scenario, database)
        self.routes = Routes(self)
        self.counts = {}
        self.admitted = {}               # id of the connection object -> Upgrade
        self.last_connect = {}           # (source, token) -> time
        self.presence_timer = None

    def log(self, what, **members):
        print(json.dumps({"t": round(time.time(), 3), "what": what, **members}), file=self.stream, flush=True)

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    # -- upgrade -----------------------------------------------------------------------------------------------
    def upgrade(self, path, headers, source):
        """None to go on with 101, or (status, headers, body)."""
        self.log("upgrade", path=path, headers=dict(headers.raw_items()), source=source)
        kind = (kind_of(path) or ("unknown", False))[0]
        self.count(kind + ":upgrade")
        try:
            self._scripted(kind)
            admitted = admit(self.world.generation, path, headers, self.scenario)
            self._limit_rate(source, admitted.token)
            self._already_connected(admitted)
            return None, admitted
        except Refusal as refusal:
            status, more, body = refusal.render(self.world.generation)
            self.log("refused", kind=kind, status=status, detail=refusal.detail)
            return (http.HTTPStatus(status), list(more.items()), body), None

    def _scripted(self, kind):
        script = self.scenario.get("statuses", {}).get(kind)
        if not script:
            return
        step = script.pop(0)
        step = {"status": step} if isinstance(step, int) else step
        if step["status"] != 101:
            raise Refusal(step["status"], "scripted", step.get("code"), step.get("headers", {}), step.get("body"))

    def _limit_rate(self, source, token):
        """B, C: one connect a second for the same source and token (spec portal 1.5)."""
        if self.world.generation == "A" or not self.scenario.get("rate_limit", True):
            return
        now, key = time.monotonic(), (source, token)
        if now - self.last_connect.get(key, -10.0) < 1.0:
            raise Refusal(503, "Too many connection attempts", "rate_limit", {"Retry-After": "1"})
        self.last_connect[key] = now

    def _already_connected(self, admitted):
        if self.world.generation != "C" or admitted.kind != "gateway":
            return
        if self.world.of("gateway", self.world.device("gateway", admitted.external).id):
            raise Refusal(409, "Gateway is already connected", "gateway_already_connected")

    # -- sessions ------------------------------------------------------------------------------------------------
    async def serve(self, ws, admitted):
        session = Session(self, ws, admitted)
        try:
            await session.run()
        finally:
            self.left(session)
            self.log("gone", kind=session.kind, id=session.id, code=ws.close_code)

    def relay_id(self, session):
        if self.world.generation == "A":     # a database id: the same record for the same address
            return str(uuid.uuid5(uuid.NAMESPACE_URL, f"relay/{session.upgrade.ipv4}/{session.upgrade.ipv6}"))
        return derive.relay_id(session.secret)

    async def entered(self, session):
        peers = self.world.sessions[session.kind].setdefault(session.id, [])
        others = [p for p in peers if p is not session]
        if session not in peers:
            peers.append(session)       # before anything is awaited: the last of the others to leave takes the list along
        if session.kind == "gateway" and self.world.generation != "A":
            # Two of one id: B disconnects the older one, C the newer one (spec portal 3.1).
            for loser in others if self.world.generation == "B" else [session] * bool(others):
                await loser.send("disconnect", {"reason": "token_expired"})
        if session.kind == "relay":
            await session.send("init", {})
            await self.presence_changed()
        else:
            await self.init(session)

    def left(self, session):
        peers = self.world.sessions[session.kind].get(session.id, [])
        if session in peers:
            peers.remove(session)
            if not peers:
                del self.world.sessions[session.kind][session.id]
            if session.kind == "relay":
                asyncio.ensure_future(self.presence_changed())

    async def init(self, session):
        device = session.device
        payload = {"interface": {"ipv4": device.ipv4, "ipv6": device.ipv6},
                   "relays": self.world.relay_entries(session)}
        if session.kind == "gateway":
            payload["config"] = {"ipv4_masquerade_enabled": True, "ipv6_masquerade_enabled": True}
            if self.world.generation != "A":
                payload |= {"account_slug": "firegate-lab", "authorizations": self.world.authorizations()}
        else:
            self._client_dns(payload["interface"])
            payload["resources"] = [self.world.client_view(r, session) for r in self.world.resources.values()]
            if session.v2:
                payload["authorizations"] = []
        if session.v2:
            payload["flow_logs"] = FLOW_LOGS | self.scenario.get("flow_logs", {})
        self.log("init", to=session.kind, id=session.id, payload=payload)
        await session.send("init", payload)

    def _client_dns(self, interface):
        servers = self.scenario.get("upstream_dns", [])
        interface["upstream_dns"] = [{"protocol": "ip_port", "address": a} for a in servers]
        if self.world.generation != "A":
            hosts = [a.rsplit(":", 1)[0].strip("[]") for a in servers if a.endswith(":53")]
            interface |= {"upstream_do53": [{"ip": h} for h in hosts], "upstream_doh": [], "search_domain": None}

    # -- presence --------------------------------------------------------------------------------------------------
    async def presence_changed(self):
        if self.world.generation == "A":
            await self.push_presence()
        elif self.presence_timer is None:
            loop = asyncio.get_running_loop()
            self.presence_timer = loop.call_later(
                PRESENCE_DEBOUNCE_SECONDS, lambda: asyncio.ensure_future(self._debounced()))

    async def _debounced(self):
        self.presence_timer = None
        await self.push_presence()

    async def push_presence(self, everybody=False):
        online = self.world.relays_online()
        for session in self.world.connected("gateway") + self.world.connected("client"):
            gone = session.given - online
            limit = self.scenario.get("relay_limit_" + session.kind, self.scenario.get("relay_limit", 2))
            few = len(session.given) < (1 if self.world.generation == "A" else min(2, limit))
            new = bool(online - session.given)
            if everybody or gone or (few and new):
                await session.send("relays_presence", {
                    "disconnected_ids": sorted(gone), "connected": self.world.relay_entries(session)})

    async def listen(self, addresses):
        """Serves on (host, port) pairs until cancelled."""
        def factory(*args, **kwargs):
            return _Protocol(self, *args, **kwargs)

        async def handler(ws):
            await self.serve(ws, ws.admitted)

        servers = [await websockets.serve(handler, host, port, create_protocol=factory, ping_interval=None,
                                          compression=None, max_size=None, max_queue=None)
                   for host, port in addresses]
        self.log("listening", at=[f"{h}:{p}" for h, p in addresses])
        await asyncio.Future()
        del servers


class _Protocol(websockets.WebSocketServerProtocol):
    """Asks the portal before 101 and keeps what it found in the request."""

    def __init__(self, portal, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.portal, self.admitted = portal, None

    async def process_request(self, path, headers):
        refused, self.admitted = self.portal.upgrade(path, headers, self.remote_address[0])
        return refused
