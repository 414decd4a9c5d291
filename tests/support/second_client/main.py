#!/usr/bin/python3
"""A Firezone client of generation B made of other people's parts: aioice for ICE and TURN, wireguard-go for the tunnel.

    main.py CONFIG.json       api_url, token, id, device, and optionally turn, nomination ("regular" or "aggressive")

Written from spec portal 5 and connectivity 8. This folder imports nothing of the project, so that where it and the gateway
disagree one of them has misread. One JSON object a line tells what happens. Left out: DNS resources, several gateways at once,
invalidated candidates (aioice keeps them; their checks fail).
"""
import asyncio
import base64
import ipaddress
import json
import signal
import sys
import time

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from path import Demultiplexer, Path, identity_of
from session import Session
from tunnel import Tap, Tunnel

REQUEST_SECONDS = 2                     # spec portal 5.4: repeated at most this often while packets wait


def log(what, **members):
    print(json.dumps({"t": round(time.time(), 3), "what": what, **members}), flush=True)


class Client:
    def __init__(self, config):
        self.config = config
        key = X25519PrivateKey.generate()
        public = base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
        self.tunnel = Tunnel(config["device"], key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
        self.session = Session(config["api_url"], config["token"], {"external_id": config["id"], "name": "second client",
                               "public_key": public}, self.on_message, log)
        self.resources, self.relays, self.own = {}, [], set()
        self.requested, self.granted, self.path, self.demultiplexer = {}, set(), None, None
        self.tasks = set()

    async def run(self):
        self.demultiplexer = await Demultiplexer.open(self.tunnel.port)
        Tap(self.tunnel.name, self.on_outbound, self.on_prohibited, self.on_goodbye)
        await self.session.run()

    async def stop(self):
        if self.path:
            await self.path.close()
        if self.session.socket:
            await self.session.socket.close()
        self.tunnel.close()

    # -- from the portal -----------------------------------------------------------------------------------------
    async def on_message(self, event, payload):
        handler = {"init": self._init, "flow_created": self._flow_created, "flow_creation_failed": self._flow_failed,
                   "ice_candidates": self._candidates, "gateway_ice_candidates": self._candidates,
                   "relays_presence": self._relays, "resource_created_or_updated": self._resource,
                   "resource_deleted": self._deleted, "reject_access": self._rejected}.get(event)
        if handler:
            await handler(payload)
        else:
            log("ignored", event=event)

    async def _init(self, m):
        interface = m["interface"]
        self.own = {interface["ipv4"], interface["ipv6"]}
        self.tunnel.addresses(interface["ipv4"], interface["ipv6"])
        self.relays = m.get("relays", [])
        self.resources = {}
        for resource in m.get("resources", []):
            await self._resource(resource)
        log("init", resources=len(self.resources), relays=len(self.relays))

    async def _resource(self, resource):
        if resource["type"] == "cidr":
            network = ipaddress.ip_network(resource["address"])
            self.resources[resource["id"]] = network
            self.tunnel.route(network)

    async def _deleted(self, resource):
        self.resources.pop(resource, None)

    async def _relays(self, m):
        gone = set(m["disconnected_ids"]) | {r["id"] for r in m["connected"]}
        self.relays = [r for r in self.relays if r["id"] not in gone] + m["connected"]

    async def _rejected(self, m):
        self.granted.discard(m.get("resource_id"))

    async def _flow_failed(self, m):
        log("refused", resource=m["resource_id"], reason=m["reason"])

    async def _flow_created(self, grant):
        if grant["resource_id"] not in self.requested:
            return
        self.granted.add(grant["resource_id"])
        if self.path and self.path.alive and self.path.identity == identity_of(grant):
            log("granted", resource=grant["resource_id"], path="kept")
            await self.path.signal()
            return
        log("granted", resource=grant["resource_id"], path="new")
        if self.path:
            await self.path.close()
        self.granted = {grant["resource_id"]}
        self.tunnel.replace_peer(grant["gateway_public_key"], grant["preshared_key"], self.demultiplexer.port)
        self.path = Path(grant, self.relays, self.config, self.own, self.demultiplexer, self.session.send, log)
        self._spawn(self._follow(self.path))

    async def _follow(self, path):
        await path.run()
        if path is self.path:
            self._forget()

    async def _candidates(self, m):
        if self.path and self.path.alive and m["gateway_id"] == self.path.gateway:
            await self.path.add(m["candidates"])

    # -- from the tunnel -------------------------------------------------------------------------------------------
    def on_outbound(self, address):
        resource = self._resource_of(address)
        if resource and resource not in self.granted:
            self._request(resource)

    def on_prohibited(self, address):
        resource = self._resource_of(address)
        log("prohibited", address=address)
        if resource:
            self._request(resource)

    def on_goodbye(self):
        log("goodbye")
        if self.path:
            self._spawn(self.path.close())
            self._forget()

    def _forget(self):
        """Nothing is left of the gateway; the next packet asks for it again."""
        self.path, self.granted = None, set()
        self.demultiplexer.attach(None)
        self.tunnel.remove_peer()

    def _resource_of(self, address):
        address = ipaddress.ip_address(address)
        return next((r for r, network in self.resources.items() if address in network), None)

    def _request(self, resource):
        now = time.monotonic()
        if now - self.requested.get(resource, -REQUEST_SECONDS) >= REQUEST_SECONDS:
            self.requested[resource] = now
            connected = [self.path.gateway] if self.path and self.path.alive else []
            self._spawn(self.session.send("create_flow", {"resource_id": resource, "connected_gateway_ids": connected}))

    def _spawn(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            log("failed", why=repr(task.exception()))


async def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        client = Client(json.load(f))
    run, ended = asyncio.ensure_future(client.run()), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await asyncio.wait([run, asyncio.ensure_future(ended.wait())], return_when=asyncio.FIRST_COMPLETED)
    await client.stop()
    if run.done():
        run.result()


if __name__ == "__main__":
    asyncio.run(main())
