"""The relay as a member of a portal (spec portal 3.7): joins, announces its secret, keeps the heartbeat."""
import asyncio
import json
import threading
from urllib.parse import urlencode

import websockets

HEARTBEAT_SECONDS = 10
RETRY_SECONDS = 0.5
AGENT = "Debian/12.0.0 relay/0.1.0 (x86_64)"


class Membership(threading.Thread):
    """Runs beside the data loop, so that a slow portal never delays a packet."""

    def __init__(self, url, token, secret, addresses, log, port=3478):
        super().__init__(daemon=True)
        query = {f: a for f, a in addresses.items() if a} | {"port": port}
        self.url = f"{url.rstrip('/')}/relay/websocket?{urlencode(query)}"
        self.token, self.secret, self.log = token, secret, log

    def run(self):
        asyncio.run(self._forever())

    async def _forever(self):
        while True:
            try:
                await self._session()
            except (OSError, websockets.WebSocketException, asyncio.TimeoutError) as e:
                self.log("portal", state="lost", why=repr(e))
            await asyncio.sleep(RETRY_SECONDS)

    async def _session(self):
        headers = {"X-Authorization": f"Bearer {self.token}", "User-Agent": AGENT}
        async with websockets.connect(self.url, extra_headers=headers, compression=None, ping_interval=None,
                                      open_timeout=5) as ws:
            await self._send(ws, "relay", "phx_join", {"stamp_secret": self.secret}, 0)
            beat = asyncio.create_task(self._heartbeat(ws))
            try:
                async for text in ws:
                    message = json.loads(text)
                    if message["event"] == "phx_reply" and message.get("ref") == 0:
                        self.log("portal", state="joined")
            finally:
                beat.cancel()

    async def _heartbeat(self, ws):
        ref = 1
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await self._send(ws, "phoenix", "heartbeat", {}, ref)
            ref += 1

    @staticmethod
    async def _send(ws, topic, event, payload, ref):
        await ws.send(json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref}))
