"""Commands of the control socket: one JSON object a line in, one a line out (same set as the second portal)."""
import asyncio
import base64
import json

CLOSE_SECONDS = 3           # a peer that is gone does not answer a Close; the command is answered all the same


class ControlSocket:
    def __init__(self, portal):
        self.portal, self.world, self.routes = portal, portal.world, portal.routes

    async def listen(self, path):
        await asyncio.start_unix_server(self._serve, path, limit=1 << 26)

    async def _serve(self, reader, writer):
        async for line in reader:
            try:
                command = json.loads(line)
                handler = getattr(self, "do_" + command["do"], None)
                answer = await handler(command) if handler else {"error": "unknown command"}
            except Exception as e:                      # a bad command must not end the portal
                answer = {"error": repr(e)}
            writer.write((json.dumps(answer or {"ok": True}) + "\n").encode())
            await writer.drain()
        writer.close()

    def _gateways(self):
        """One session of each gateway; `to_gateway` reaches its other sessions."""
        return [sessions[-1] for sessions in self.world.sessions["gateway"].values()]

    async def do_state(self, m):
        return {"gateways": [s.describe() for s in self.world.connected("gateway")],
                "clients": [s.describe() for s in self.world.connected("client")],
                "relays": [s.id for s in self.world.connected("relay")],
                "grants": [[*k, v] for k, v in self.world.grants.items()],
                "counts": self.portal.counts, "authorized": self.routes.authorized,
                "pending": self.routes.waiting(), "held": len(self.routes.held),
                "devices": [{"kind": k, "id": d.id, "ipv4": d.ipv4, "ipv6": d.ipv6}
                            for (k, _), d in self.world.devices.items()]}

    async def do_push(self, m):
        for session in self.world.connected(m["to"]):
            await session.send(m["event"], m["payload"])

    async def do_raw(self, m):
        for session in self.world.connected(m["to"]):
            await session.ws.send(m["text"])

    async def do_frame(self, m):
        data = base64.b64decode(m["data"]) if m.get("base64") else m.get("data", "").encode()
        for session in self.world.connected(m["to"]):
            if m["op"] == "ping":
                for _ in range(m.get("count", 1)):
                    await session.ws.write_frame(True, 9, data)
            elif m["op"] == "pong":
                await session.ws.pong(data)
            elif m["op"] == "binary":
                await session.ws.send(data)
            else:
                await session.ws.write_frame(True, 1, data)      # text that need not be UTF-8

    async def do_fragments(self, m):
        for session in self.world.connected(m["to"]):
            await session.ws.send(list(m["parts"]))

    async def do_reset(self, m):
        for session in self.world.connected(m["who"]):
            session.abort()

    async def do_cut(self, m):
        for session in self.world.connected(m["who"]):
            session.cut()

    async def do_drop(self, m):
        closing = [asyncio.ensure_future(s.ws.close(m.get("code", 1012), m.get("reason", "")))
                   for s in self.world.connected(m["who"])]
        if closing:
            await asyncio.wait(closing, timeout=CLOSE_SECONDS)

    async def do_crash(self, m):
        """The channel process dies: phx_error, and the socket is drained where the generation does so."""
        for session in self.world.connected(m["who"]):
            await session.crash_channel()

    async def do_reauthorize(self, m):
        await self.routes.reauthorize(m["resource"], m.get("times", 1))

    async def do_presence(self, m):
        await self.portal.push_presence(everybody=True)

    async def do_reject(self, m):
        for client, resource in [k for k in self.world.grants if k[1] == m["resource"]]:
            del self.world.grants[(client, resource)]
            self.world.save()
            for gateway in self._gateways():
                await self.routes.to_gateway(gateway, "reject_access",
                                             {"client_id": client, "resource_id": resource})

    async def do_update(self, m):
        """An edited resource. `quiet`: clients are not told and grants stay, as when the edit is still on its way."""
        new = m["resource"]
        old = self.world.resources.get(new["id"])
        self.world.resources[new["id"]] = new
        moved = old is not None and any(old.get(k) != new.get(k) for k in ("address", "type"))
        if moved and self.world.generation != "A" and not m.get("quiet"):
            await self.do_reject({"resource": new["id"]})
        self.world.save()
        for gateway in self._gateways():
            if self.world.generation != "A" or new["id"] in gateway.asked_about:
                await self.routes.to_gateway(gateway, "resource_updated", self.world.gateway_view(new))
        if not m.get("quiet") and moved:
            for client in self.world.connected("client"):
                await client.send("resource_created_or_updated", self.world.client_view(new, client))

    async def do_reinit(self, m):
        for gateway in self.world.connected("gateway"):
            await self.portal.init(gateway)

    async def do_forget(self, m):
        """Grants are gone without a word to anybody: all, or those of one resource."""
        for pair in [k for k in self.world.grants if m.get("resource") in (None, k[1])]:
            del self.world.grants[pair]
        self.world.save()

    async def do_set(self, m):
        self.portal.scenario.update(m["scenario"])

    async def do_hold(self, m):
        self.routes.hold_events = set(m["events"])

    async def do_release(self, m):
        await self.routes.release(bool(m.get("reverse")))
