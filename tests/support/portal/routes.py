"""Messages between clients and gateways (spec portal 2, 3.1, 3.2, 5.3, 5.4)."""
import asyncio
import uuid

from portal import derive

REPLY_SECONDS = 15                      # spec portal 3.2, B and C
GRANTED = {"create_flow": "flow_created", "request_authorization": "authorization_created"}
FAILED = {"create_flow": "flow_creation_failed", "request_authorization": "authorization_creation_failed"}


class Pending:
    """An authorization handed to a gateway whose reply the client waits for."""

    def __init__(self, client, gateway, resource, event, expires_at=None, reply=None, silent=False):
        self.client, self.gateway, self.resource, self.event = client, gateway, resource, event
        self.expires_at, self.reply, self.silent = expires_at, reply, silent
        self.use_iceless, self.timer, self.state = False, None, "waiting"


class Routes:
    def __init__(self, portal):
        self.portal, self.world = portal, portal.world
        self.pending = {}                # ref -> Pending; answered ones stay, a second answer is no error
        self.last = {}                   # resource id -> (gateway id, event, message) for `reauthorize`
        self.authorized = []
        self.held, self.hold_events = [], set()

    def waiting(self):
        return sum(p.state == "waiting" for p in self.pending.values())

    # -- dispatch --------------------------------------------------------------------------------------------
    async def dispatch(self, session, event, payload, ref):
        table = {"gateway": self._gateway_events, "client": self._client_events, "relay": lambda _: {}}[session.kind]
        handler = table(session).get(event)
        if handler:
            await handler(session, payload, ref, event)
        elif self.world.generation == "A":
            raise KeyError(event)        # A channels have no catch-all clause (spec portal 2.4)
        else:
            await session.error(ref, "unknown_message")

    def _gateway_events(self, session):
        events = {"broadcast_ice_candidates": self._from_gateway_candidates,
                  "broadcast_invalidated_ice_candidates": self._from_gateway_candidates,
                  "connection_ready": self._connection_ready}
        generation = self.world.generation
        if generation == "A":
            return events | {"metrics": self._nothing}
        events |= {"no_relays": self._no_relays}
        events |= {"authorization_created": self._authorized} if session.v2 else {"flow_authorized": self._authorized}
        return events | ({"set_snownet_capabilities": self._capabilities} if generation == "C" else {})

    def _client_events(self, session):
        legacy = {"prepare_connection": self._prepare, "request_connection": self._request_connection,
                  "reuse_connection": self._reuse_connection, "broadcast_ice_candidates": self._from_client_broadcast,
                  "broadcast_invalidated_ice_candidates": self._from_client_broadcast}
        if self.world.generation == "A":
            return legacy
        events = {"new_gateway_ice_candidates": self._from_client_candidates,
                  "invalidate_gateway_ice_candidates": self._from_client_candidates,
                  "new_client_ice_candidates": self._nothing, "invalidate_client_ice_candidates": self._nothing,
                  "resolve_device_pool_domain": self._nothing, "no_relays": self._no_relays}
        events |= {"request_authorization": self._authorize} if session.v2 else {"create_flow": self._authorize}
        if self.world.generation == "C":
            events["set_snownet_capabilities"] = self._capabilities
        return legacy | events

    async def _nothing(self, session, payload, ref, event):
        pass

    async def _capabilities(self, session, payload, ref, event):
        session.capabilities = dict(payload)

    async def _no_relays(self, session, payload, ref, event):
        await session.send("relays_presence", {"disconnected_ids": [], "connected": self.world.relay_entries(session)})

    # -- towards gateways ------------------------------------------------------------------------------------
    async def to_gateway(self, gateway, event, payload):
        """To every session of that gateway, unless a test holds such messages back."""
        self.portal.log("to_gateway", id=gateway.id, event=event, payload=payload)
        if event in self.hold_events:
            self.held.append((gateway, event, payload))
            return
        for session in self.world.of("gateway", gateway.id):
            await session.send(event, payload)

    async def release(self, reverse):
        self.hold_events = set()
        held, self.held = self.held, []
        for gateway, event, payload in reversed(held) if reverse else held:
            for session in self.world.of("gateway", gateway.id):
                await session.send(event, payload)

    def _open(self, pending):
        ref = derive.reference()
        self.pending[ref] = pending
        pending.gateway.asked_about.add(pending.resource["id"])
        self.world.grants[(pending.client.id, pending.resource["id"])] = pending.expires_at
        self.world.save()
        return ref

    # -- generation A ------------------------------------------------------------------------------------------
    async def _prepare(self, client, payload, ref, event):
        resource = self._permitted(payload["resource_id"])
        if resource is None:
            await client.error(ref, "not_found")
            return
        gateway, reason = self.world.choose_gateway(client, resource, payload.get("connected_gateway_ids"))
        if gateway is None:
            await client.error(ref, reason)
            return
        key = "gateway_group_id" if self.world.generation == "A" else "site_id"
        await client.ok(ref, {"resource_id": resource["id"], "gateway_id": gateway.id,
                              "gateway_remote_ip": gateway.remote, key: self.world.site})

    async def _legacy(self, client, payload, ref):
        resource = self._permitted(payload["resource_id"])
        sessions = self.world.of("gateway", payload["gateway_id"])
        if resource is None:
            await client.error(ref, "not_found")
        elif payload["resource_id"] in self.portal.scenario.get("forbidden", ()):
            await client.error(ref, "forbidden", violated_properties=["provider_id"])
        elif not sessions:
            await client.error(ref, "offline")
        else:
            return resource, sessions[-1]
        return None, None

    async def _request_connection(self, client, payload, ref, event):
        resource, gateway = await self._legacy(client, payload, ref)
        if gateway is None:
            return
        expires_at, device = self.world.expiry(), client.device
        x = self._open(Pending(client, gateway, resource, event, expires_at, ref))
        peer = {"persistent_keepalive": 25, "public_key": client.key, "ipv4": device.ipv4, "ipv6": device.ipv6,
                "preshared_key": payload["client_preshared_key"]}
        await self.to_gateway(gateway, "request_connection", {
            "ref": x, "flow_id": str(uuid.uuid4()), "actor": {"id": str(uuid.uuid4())}, "expires_at": expires_at,
            "resource": self.world.gateway_view(resource),
            "client": {"id": client.id, "payload": payload["client_payload"], "peer": peer}})

    async def _reuse_connection(self, client, payload, ref, event):
        resource, gateway = await self._legacy(client, payload, ref)
        if gateway is None:
            return
        expires_at, device = self.world.expiry(), client.device
        x = self._open(Pending(client, gateway, resource, event, expires_at, ref))
        await self.to_gateway(gateway, "allow_access", {
            "ref": x, "client_id": client.id, "client_ipv4": device.ipv4, "client_ipv6": device.ipv6,
            "resource": self.world.gateway_view(resource), "expires_at": expires_at,
            "payload": payload.get("payload"), "flow_id": str(uuid.uuid4())})

    async def _connection_ready(self, gateway, payload, ref, event):
        pending = self.pending.get(payload["ref"])
        if pending is None:
            await gateway.error(ref, "invalid_ref")
            return
        pending.state = "answered"
        self.authorized.append(payload["ref"])
        await gateway.ok(ref)
        await pending.client.ok(pending.reply, {
            "resource_id": pending.resource["id"], "gateway_public_key": gateway.key, "persistent_keepalive": 25,
            "gateway_payload": payload["gateway_payload"]})

    # -- generations B and C ----------------------------------------------------------------------------------
    async def _authorize(self, client, payload, ref, event):
        resource = self._permitted(payload["resource_id"])
        if resource is None:
            await self._fail(client, event, payload["resource_id"], "not_found")
            return
        if resource["id"] in self.portal.scenario.get("forbidden", ()):
            await self._fail(client, event, resource["id"], "forbidden", ["provider_id"])
            return
        gateway, reason = self.world.choose_gateway(client, resource, payload.get("connected_gateway_ids"))
        if gateway is None:
            await self._fail(client, event, resource["id"], reason)
            return
        pending = Pending(client, gateway, resource, event, self.world.expiry())
        pending.use_iceless = bool(client.capabilities.get("iceless") and gateway.capabilities.get("iceless")
                                   and self.portal.scenario.get("iceless", False))
        self._arm(pending)
        x = self._open(pending)
        name, message = self._authorization(pending, x)
        self.last[resource["id"]] = (gateway.id, name, message)
        await self.to_gateway(gateway, name, message)

    def _permitted(self, resource_id):
        return self.world.resources.get(resource_id)

    def _authorization(self, pending, ref):
        client, gateway, device = pending.client, pending.gateway, pending.client.device
        psk, for_client, for_gateway = self.world.secrets_of(client, gateway)
        version = ".".join(map(str, client.upgrade.version or ()))
        message = {
            "ref": ref, "resource": self.world.gateway_view(pending.resource), "expires_at": pending.expires_at,
            "client": {"id": client.id, "public_key": client.key, "preshared_key": psk, "ipv4": device.ipv4,
                       "ipv6": device.ipv6, "version": version, "device_os_name": "Debian",
                       "device_os_version": "12.0.0", "device_serial": None, "device_uuid": None,
                       "identifier_for_vendor": None, "firebase_installation_id": None},
            "client_ice_credentials": for_client, "gateway_ice_credentials": for_gateway,
            "subject": {"actor_id": str(uuid.uuid4()), "actor_name": "Lab User", "actor_email": None,
                        "auth_provider_id": None, "actor_type": "service_account", "ip": client.remote,
                        "user_agent": client.upgrade.agent}}
        if not gateway.v2:
            return "authorize_flow", message
        message["use_iceless"] = pending.use_iceless
        message["flow_logs_ingest_token"] = derive.ingest_token(
            "responder", client.id, gateway.id, pending.resource, pending.expires_at,
            self.portal.scenario.get("uploads", False))
        return "create_authorization", message

    def _arm(self, pending):
        """15 s for the gateway. C: a newer request for the same resource restarts the clock; B: it does not."""
        if self.world.generation == "C":
            for other in self.pending.values():
                if other.state == "waiting" and other.client is pending.client and other.timer and \
                        other.resource["id"] == pending.resource["id"]:
                    other.timer.cancel()
        pending.timer = asyncio.get_running_loop().call_later(REPLY_SECONDS, self._expire, pending)

    def _expire(self, pending):
        if pending.state == "waiting":
            pending.state = "given up"
            asyncio.ensure_future(self._fail(pending.client, pending.event, pending.resource["id"], "offline"))

    async def _fail(self, client, event, resource_id, reason, violated=()):
        await client.send(FAILED[event], {"resource_id": resource_id, "reason": reason,
                                          "violated_properties": list(violated)})

    async def _authorized(self, gateway, payload, ref, event):
        pending = self.pending.get(payload["ref"])
        if pending is None:
            await gateway.error(ref, "invalid_ref")
            return
        self.authorized.append(payload["ref"])
        await gateway.ok(ref)
        if pending.timer:
            pending.timer.cancel()
        if pending.state != "waiting" or pending.silent:
            return
        pending.state = "answered"
        client, resource, device = pending.client, pending.resource, gateway.device
        psk, for_client, for_gateway = self.world.secrets_of(client, gateway)
        grant = {"resource_id": resource["id"], "gateway_id": gateway.id, "site_id": self.world.site,
                 "gateway_public_key": gateway.key, "gateway_ipv4": device.ipv4, "gateway_ipv6": device.ipv6,
                 "preshared_key": psk, "client_ice_credentials": for_client, "gateway_ice_credentials": for_gateway}
        if pending.event == "request_authorization":
            grant["use_iceless"] = pending.use_iceless
            grant["flow_logs_ingest_token"] = derive.ingest_token(
                "initiator", client.id, gateway.id, resource, pending.expires_at)
        await client.send(GRANTED[pending.event], grant)

    async def reauthorize(self, resource_id, times):
        """The last authorization again, each with a fresh ref; replies are counted, not passed on."""
        gateway_id, name, message = self.last[resource_id]
        gateway = self.world.of("gateway", gateway_id)[-1]
        for _ in range(times):
            ref = derive.reference()
            self.pending[ref] = Pending(None, gateway, self.world.resources[resource_id], name, silent=True)
            await self.to_gateway(gateway, name, {**message, "ref": ref})

    # -- candidates ---------------------------------------------------------------------------------------------
    async def _from_gateway_candidates(self, gateway, payload, ref, event):
        name = "invalidate_ice_candidates" if "invalid" in event else "ice_candidates"
        for client_id in payload["client_ids"]:
            for client in self.world.of("client", client_id):
                await client.send(name, {"gateway_id": gateway.id, "candidates": payload["candidates"]})

    async def _from_client_broadcast(self, client, payload, ref, event):
        await self._candidates(client, payload["gateway_ids"], payload["candidates"], "invalid" in event)

    async def _from_client_candidates(self, client, payload, ref, event):
        await self._candidates(client, [payload["gateway_id"]], payload["candidates"], "invalid" in event)

    async def _candidates(self, client, gateway_ids, candidates, invalid):
        name = "invalidate_ice_candidates" if invalid else "ice_candidates"
        for gateway_id in gateway_ids:
            for gateway in self.world.of("gateway", gateway_id)[-1:]:
                await self.to_gateway(gateway, name, {"client_id": client.id, "candidates": candidates})
