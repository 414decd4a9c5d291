"""Gateway, client and relay roles against a portal: Phoenix frames over a WebSocket, nothing else."""
import asyncio
import json
import os
import threading
from urllib.parse import urlencode

import websockets

from lab import netns
from portal.derive import b64

AGENTS = {
    ("A", "gateway"): "Debian/12.0.0 connlib/1.3.0 (x86_64; 6.1)", ("A", "client"): "Debian/12.0.0 connlib/1.2.1 (x86_64)",
    ("B", "gateway"): "Debian/12.0.0 gateway/1.5.3 (x86_64)", ("B", "client"): "Debian/12 headless-client/1.5.9 (x86_64)",
    ("C", "gateway"): "Debian/12.0.0 gateway/1.6.1 (x86_64)", ("C", "client"): "Debian/12 headless-client/1.5.12 (x86_64)"}
TOKENS = {"gateway": ".gateway", "client": "n.client", "relay": ".relay"}


class Loop:
    """An event loop in a thread that lives in a namespace, so that tests stay plain functions."""

    def __init__(self, ns):
        self.loop, ready = asyncio.new_event_loop(), threading.Event()

        def main():
            with netns.entered(ns):
                ready.set()
                self.loop.run_forever()
        self.thread = threading.Thread(target=main, daemon=True)
        self.thread.start()
        ready.wait()

    def __call__(self, coroutine, seconds=10):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)


class Peer:
    """One socket. `expect` waits for an event; everything else that came stays for later."""

    def __init__(self, loop, url, generation, kind, ident="peer", v2=None, agent=None, token=None, key=None,
                 headers=None, query=None):
        self.loop, self.generation, self.kind = loop, generation, kind
        v2 = (generation == "C" and kind != "relay") if v2 is None else v2
        self.key = key or b64(os.urandom(32))
        token = TOKENS[kind] if token is None else token
        parameters = {"external_id": ident, "name": "a peer", "public_key": self.key}
        head = {}
        if kind == "relay":
            parameters = {"ipv4": "198.51.100.30", "ipv6": "2001:db8:51::30", "port": 3478}
        if generation == "A" and kind != "relay":
            parameters = {"token": token} | parameters
        elif token:
            head["X-Authorization"] = f"Bearer {token}"
        agent = AGENTS.get((generation, kind), "Debian/12 relay/0.1.0") if agent is None else agent
        self.url = f"{url}/{kind}{'/v2' if v2 else ''}/websocket?{urlencode(query or parameters)}"
        self.headers = head | {"User-Agent": agent} | (headers or {})
        self.ws, self.ref, self.inbox = None, 0, []

    def connect(self):
        self.ws = self.loop(self._connect())
        return self

    async def _connect(self):
        return await websockets.connect(self.url, extra_headers=self.headers, compression=None,
                                        ping_interval=None, max_size=None)

    def join(self, payload=None):
        self.connect()
        ref = self.send("phx_join", payload)
        reply = self.expect("phx_reply")
        assert reply["ref"] == ref and reply["topic"] == self.kind
        assert reply["payload"] == {"status": "ok", "response": {}}, reply
        return self

    def send(self, event, payload, topic=None, ref=...):
        ref = self.ref if ref is ... else ref
        self.ref += 1
        self.text(json.dumps({"topic": topic or self.kind, "event": event, "payload": payload, "ref": ref}))
        return ref

    def text(self, text):
        self.loop(self.ws.send(text))

    def expect(self, event, seconds=5, where=lambda payload: True):
        for at, message in enumerate(self.inbox):
            if message["event"] == event and where(message["payload"]):
                return self.inbox.pop(at)
        while True:
            message = json.loads(self.loop(asyncio.wait_for(self.ws.recv(), seconds), seconds + 1))
            if message["event"] == event and where(message["payload"]):
                return message
            self.inbox.append(message)

    def reply(self, ref, seconds=5):
        while True:
            message = self.expect("phx_reply", seconds)
            if message["ref"] == ref:
                return message["payload"]

    def nothing(self, event, seconds=0.3):
        """Whether no such event arrives in that time."""
        try:
            self.expect(event, seconds)
            return False
        except asyncio.TimeoutError:
            return True

    def closed(self, seconds=5):
        """The close code, once the portal has ended the connection."""
        self.loop(asyncio.wait_for(self.ws.wait_closed(), seconds), seconds + 1)
        return self.ws.close_code

    def close(self):
        if self.ws:
            self.loop(self.ws.close())
