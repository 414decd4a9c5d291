"""What the portal knows: devices, resources, grants, who is connected and which relays were given to whom."""
import base64
import ipaddress
import json
import os
import random
import time
import uuid

from portal import derive
from portal.dialect import compatible

IPV4_POOL = ipaddress.ip_network("100.64.0.0/11")           # spec portal 3.5
IPV6_POOL = ipaddress.ip_network("fd00:2021:1111::/107")
RELAYS_MAX = 2                                              # spec portal 3.7
SITE = "90c3d1f4-2a6b-4e87-a5d9-7b14e8f60c23"


class Device:
    def __init__(self, ident, ipv4, ipv6, psk_base=None):
        self.id, self.ipv4, self.ipv6, self.psk_base = ident, ipv4, ipv6, psk_base or os.urandom(32)


class World:
    """`database` names a file that devices, grants and resources survive a restart of the portal in."""

    def __init__(self, scenario, database=None):
        self.scenario, self.database = scenario, database
        self.generation = scenario.get("generation", "B")
        self.resources = {r["id"]: dict(r) for r in scenario.get("resources", [])}
        self.devices = {}                # (kind, external id) -> Device
        self.grants = {}                 # (client id, resource id) -> expires_at | None
        self.sessions = {"gateway": {}, "client": {}, "relay": {}}     # id -> [Session], newest last
        self.site = scenario.get("site", SITE)
        if database and os.path.exists(database):
            self._load()

    # -- records that outlive the process -------------------------------------------------------------------
    def save(self):
        if not self.database:
            return
        records = {"resources": list(self.resources.values()),
                   "grants": [[*pair, expiry] for pair, expiry in self.grants.items()],
                   "devices": [[*key, d.id, d.ipv4, d.ipv6, base64.b64encode(d.psk_base).decode()]
                               for key, d in self.devices.items()]}
        with open(self.database + ".new", "w", encoding="utf-8") as f:
            json.dump(records, f)
        os.replace(self.database + ".new", self.database)

    def _load(self):
        with open(self.database, encoding="utf-8") as f:
            records = json.load(f)
        self.resources = {r["id"]: r for r in records["resources"]}
        self.grants = {(c, r): e for c, r, e in records["grants"]}
        self.devices = {(kind, external): Device(ident, ipv4, ipv6, base64.b64decode(base))
                        for kind, external, ident, ipv4, ipv6, base in records["devices"]}

    # -- devices ---------------------------------------------------------------------------------------------
    def device(self, kind, external):
        """The record of a device: id and tunnel addresses stay for the life of the record."""
        found = self.devices.get((kind, external))
        if found is None:
            fixed = self.scenario.get("addresses", {}).get(external, {})
            used = {a for d in self.devices.values() for a in (d.ipv4, d.ipv6)}
            found = Device(str(uuid.uuid5(uuid.NAMESPACE_URL, kind + "/" + external)),
                           fixed.get("ipv4") or _free(IPV4_POOL, used), fixed.get("ipv6") or _free(IPV6_POOL, used))
            self.devices[(kind, external)] = found
            self.save()
        return found

    def connected(self, kind):
        """All sessions of a kind that have joined."""
        return [s for sessions in self.sessions[kind].values() for s in sessions]

    def of(self, kind, ident):
        return list(self.sessions[kind].get(ident, []))

    # -- secrets ---------------------------------------------------------------------------------------------
    def secrets_of(self, client, gateway):
        ice = derive.ice_credentials(client.id, client.key, gateway.id, gateway.key)
        psk = derive.preshared_key(client.device.psk_base, gateway.device.psk_base, client.id, gateway.id,
                                   client.key, gateway.key)
        return psk, *ice

    # -- relays ----------------------------------------------------------------------------------------------
    def relay_entries(self, session):
        """Entries for one requester; remembers which relays it was given."""
        limit = self.scenario.get("relay_limit_" + session.kind, self.scenario.get("relay_limit", RELAYS_MAX))
        online = self.connected("relay")
        kept = [r for r in online if r.id in session.given]
        fresh = [r for r in online if r.id not in session.given]
        random.shuffle(fresh)
        chosen = (kept + fresh)[:limit]
        session.given = {r.id for r in chosen}
        entries = []
        for relay in chosen:
            user, password, expiry = derive.relay_credentials(self.generation, session.kind, session.key, relay.secret)
            for address in (relay.upgrade.ipv4, relay.upgrade.ipv6):
                if address:
                    host = f"[{address}]" if ":" in address else address
                    entries.append({"id": relay.id, "type": "turn", "addr": f"{host}:{relay.upgrade.port}",
                                    "username": user, "password": password, "expires_at": expiry})
        return entries + list(self.scenario.get("static_relays", []))

    def relays_online(self):
        return {r.id for r in self.connected("relay")}

    # -- resources ----------------------------------------------------------------------------------------------
    def gateway_view(self, resource):
        if resource["type"] == "internet":
            return {"type": "internet", "id": resource["id"]}
        return {"type": resource["type"], "id": resource["id"], "name": resource.get("name", "resource"),
                "address": resource["address"], "filters": resource.get("filters", [])}

    def client_view(self, resource, session):
        view = {k: v for k, v in resource.items() if k != "filters"}
        if resource["type"] != "internet":
            view.setdefault("name", "resource")
            view.setdefault("address_description", None)
        if self.generation != "A":
            view["filters"] = resource.get("filters", [])
        # spec portal 5.2: the key changed with headless client 1.5.6
        sites = self.generation != "A" and (session.upgrade.version or (0, 0, 0)) >= (1, 5, 6)
        view["sites" if sites else "gateway_groups"] = [{"id": self.site, "name": "site"}]
        return view

    def choose_gateway(self, client, resource, preferred):
        """(session, None) or (None, reason) (spec portal 3.4)."""
        online = self.connected("gateway")
        fit = [g for g in online
               if compatible(self.generation, client.upgrade.version, g.upgrade.version, resource)]
        if not fit:
            if not online:
                return None, "offline"
            return None, "not_found" if self.generation == "A" else "version_mismatch"
        wanted = [g for g in fit if g.id in (preferred or ())]
        best = max(str(g.upgrade.version) for g in wanted or fit)
        return random.choice([g for g in wanted or fit if str(g.upgrade.version) == best]), None

    def expiry(self):
        seconds = self.scenario.get("expires_in")
        return None if seconds is None else int(time.time() + seconds)

    def authorizations(self):
        never = int(time.time()) + 14 * derive.DAY
        listed = [{"client_id": c, "resource_id": r, "expires_at": int(e or never)}
                  for (c, r), e in self.grants.items() if e is None or e > time.time()]
        return listed + [{"client_id": str(uuid.uuid4()), "resource_id": str(uuid.uuid4()), "expires_at": never}
                         for _ in range(self.scenario.get("extra_authorizations", 0))]


def _free(pool, used):
    """A random offset, then the next free address; never the first nor the last (spec portal 3.5)."""
    size = pool.num_addresses
    at = random.randrange(2, size - 1)
    while True:
        candidate = str(pool[at])
        if candidate not in used:
            return candidate
        at = at + 1 if at + 2 < size else 2
