"""The client's side of the portal's channel, generation B (spec portal 1 and 5)."""
import asyncio
import json
import random
from urllib.parse import urlencode

import websockets

HEARTBEAT_SECONDS = 10              # spec portal 1.9
UNANSWERED_MAX = 3                  # the fourth unanswered heartbeat ends the connection
JOIN_SECONDS = 5                    # spec portal 1.8
FIRST_RETRY_SECONDS, RETRY_FACTOR, RETRY_SECONDS_MAX = 0.5, 1.5, 60     # spec portal 1.6
AGENT = "Debian/12.0.0 headless-client/1.5.9 (x86_64; 6.1.0)"


class Lost(Exception):
    """This connection is of no use any more; the next one may be."""


class Session:
    """One way in each direction: `send` towards the portal, `on_message(event, payload)` from it. Connects again for
    ever; what is sent meanwhile is dropped, as originals do (spec portal 1.12)."""

    def __init__(self, url, token, query, on_message, log):
        self.url = f"{url.rstrip('/')}/client/websocket?{urlencode(query)}"
        self.token, self.on_message, self.log = token, on_message, log
        self.socket, self.ref, self.unanswered = None, 0, set()

    async def run(self):
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                await self._connection()
                delay = FIRST_RETRY_SECONDS
            except (OSError, websockets.WebSocketException, asyncio.TimeoutError, Lost) as e:
                self.log("portal lost", why=repr(e))
            self.socket = None
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * RETRY_FACTOR, RETRY_SECONDS_MAX)

    async def send(self, event, payload):
        if self.socket is not None:
            await self._write("client", event, payload)

    async def _connection(self):
        headers = {"X-Authorization": f"Bearer {self.token}", "User-Agent": AGENT}
        async with websockets.connect(self.url, extra_headers=headers, compression=None, ping_interval=None,
                                      open_timeout=15, close_timeout=1) as socket:
            self.socket, self.ref, self.unanswered = socket, 0, set()
            join = await self._write("client", "phx_join", None)
            while not await self._joined(json.loads(await asyncio.wait_for(socket.recv(), JOIN_SECONDS)), join):
                pass
            self.log("joined")
            beat = asyncio.create_task(self._heartbeat())
            try:
                async for text in socket:
                    await self._read(json.loads(text))
            finally:
                beat.cancel()

    async def _joined(self, message, join):
        if message["event"] != "phx_reply" or message.get("ref") != join:
            await self._read(message)
            return False
        if message["payload"] != {"status": "ok", "response": {}}:
            raise Lost(f"join refused: {message['payload']}")
        return True

    async def _read(self, message):
        event, payload = message["event"], message.get("payload")
        if event == "phx_reply":
            self.unanswered.discard(message.get("ref"))
            if payload.get("status") == "error":
                self.log("error reply", reason=payload["response"].get("reason"))
        elif event == "phx_close":
            raise Lost("phx_close")
        else:
            await self.on_message(event, payload)

    async def _heartbeat(self):
        while len(self.unanswered) <= UNANSWERED_MAX:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self.unanswered.add(await self._write("phoenix", "heartbeat", {}))
        await self.socket.close()

    async def _write(self, topic, event, payload):
        ref, self.ref = self.ref, self.ref + 1
        await self.socket.send(json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref}))
        return ref
