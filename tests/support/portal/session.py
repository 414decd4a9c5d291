"""One WebSocket: frames in, Phoenix channel rules, replies (spec portal 1.7-1.12)."""
import asyncio
import json
import socket
import struct

import websockets

from portal.dialect import SILENCE_SECONDS

FRAME_KEYS = ("topic", "event", "payload", "ref")
DRAINED = 1012


class Crash(Exception):
    """The socket process of the real portal would die: the connection drops without a Close frame."""


class Session:
    def __init__(self, portal, ws, upgrade):
        self.portal, self.ws, self.upgrade = portal, ws, upgrade
        self.kind, self.key, self.v2 = upgrade.kind, upgrade.key, upgrade.v2
        self.joined, self.join_ref, self.capabilities = False, None, {}
        self.given = set()               # ids of the relays this session was told about
        self.asked_about = set()         # resources it was asked about on this connection (A: resource_updated)
        self.secret = self.id = self.device = None
        self.remote = ws.remote_address[0]
        if self.kind != "relay":
            self.device = portal.world.device(self.kind, upgrade.external)
            self.id = self.device.id

    # -- out ------------------------------------------------------------------------------------------------
    async def send(self, event, payload, ref=None, topic=None):
        message = {"topic": topic or self.kind, "event": event, "ref": ref, "payload": payload}
        if not self.ws.open:        # else waits for the end of a closing handshake, and its caller with it
            self.portal.log("not_delivered", kind=self.kind, id=self.id, event=event)
            return
        try:
            await self.ws.send(json.dumps(message))
        except websockets.ConnectionClosed:
            self.portal.log("not_delivered", kind=self.kind, id=self.id, event=event)

    async def ok(self, ref, response=None, topic=None):
        await self.send("phx_reply", {"status": "ok", "response": response or {}}, ref, topic)

    async def error(self, ref, reason, topic=None, **more):
        await self.send("phx_reply", {"status": "error", "response": {"reason": reason, **more}}, ref, topic)

    def abort(self):
        """TCP reset, no Close frame."""
        raw = self.ws.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.ws.transport.abort()

    def cut(self):
        """End of the TCP stream, no Close frame."""
        self.ws.transport.close()

    async def crash_channel(self):
        """What Phoenix tells when the channel process died; newer portals drain the socket too (1.11)."""
        await self.send("phx_error", {}, self.join_ref)
        self.portal.left(self)
        self.joined = False
        if self.portal.world.generation != "A":
            await self.ws.close(DRAINED)

    # -- in --------------------------------------------------------------------------------------------------
    async def run(self):
        silence = SILENCE_SECONDS[self.portal.world.generation][self.kind]
        try:
            while True:
                frame = await asyncio.wait_for(self.ws.recv(), silence)
                await self._frame(frame)
        except asyncio.TimeoutError:
            self.portal.log("silent", kind=self.kind, id=self.id, seconds=silence)
            await self.ws.close(1000)
        except websockets.ConnectionClosed:
            pass
        except Crash as why:
            self.portal.log("socket_crash", kind=self.kind, id=self.id, why=str(why))
            self.cut()

    async def _frame(self, frame):
        try:
            message = json.loads(frame)
        except (ValueError, UnicodeDecodeError):
            raise Crash("not JSON") from None
        if not isinstance(message, dict) or any(k not in message for k in FRAME_KEYS):
            raise Crash("a key of the frame is missing")
        topic, event, payload, ref = (message[k] for k in FRAME_KEYS)
        self.portal.count(f"{self.kind}:{event}")
        if event != "heartbeat":
            self.portal.log("from", kind=self.kind, id=self.id, event=event, ref=ref, payload=payload)
        if f"{self.kind}:{event}" in self.portal.scenario.get("withhold", ()):
            return
        if topic == "phoenix" and event == "heartbeat":
            await self.ok(ref, topic="phoenix")
        elif event == "phx_join" and topic == self.kind:
            await self._join(payload, ref)
        elif topic != self.kind or not self.joined:
            await self.error(ref, "unmatched topic", topic)
        elif event == "phx_leave":
            self.portal.left(self)
            self.joined = False
            await self.ok(ref)
            await self.send("phx_close", {}, self.join_ref)
        else:
            await self._deliver(event, payload, ref)

    async def _deliver(self, event, payload, ref):
        try:
            await self.portal.routes.dispatch(self, event, payload, ref)
        except (KeyError, TypeError, AttributeError) as why:
            # No clause of the channel matches such a payload: the channel process dies.
            self.portal.log("channel_crash", kind=self.kind, id=self.id, event=event, why=repr(why))
            await self.crash_channel()

    async def _join(self, payload, ref):
        if self.kind == "relay":
            if not isinstance(payload, dict) or not isinstance(payload.get("stamp_secret"), str):
                await self.error(ref, "join crashed")
                return
            self.secret = payload["stamp_secret"]
            self.id = self.portal.relay_id(self)
        if self.kind == "client" and self.portal.world.generation == "A" and self.upgrade.version is None:
            await self.error(ref, "invalid_version")
            return
        scripted = self.portal.scenario.get("join_error", {}).get(self.kind)
        if scripted:
            await self.error(ref, scripted)
            return
        self.joined, self.join_ref = True, ref
        await self.ok(ref)
        await self.portal.entered(self)

    def describe(self):
        return {"id": self.id, "agent": self.upgrade.agent, "v2": self.v2, "caps": self.capabilities,
                "key": self.key, "name": self.upgrade.name, "remote": self.remote}


