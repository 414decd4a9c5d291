"""Both portals speak the protocol of every generation to gateways, clients and relays (spec/portal.md)."""
import json
import os
import time

import pytest

from lab import topology as t
from lab.lab import NET4, NET6, resources
from lab.services import Portal
from lab.world import World
from portal import derive
from portal_peer import Loop, Peer

URL = f"ws://{t.PORTAL4}:{t.PORTAL_PORT}"
CANDIDATE = "candidate:fffeff7e41d3c2b1a0f9e8d7 1 udp 2130706175 192.0.2.44 52625 typ host"


class Bench:
    """A portal and peers that speak to it."""

    def __init__(self, generation, kind, **scenario):
        self.generation, self.world = generation, World(t.Shape()).up()
        base = {"generation": generation, "resources": resources(), "rate_limit": False}
        self.portal = Portal(self.world, base | scenario, kind).start()
        self.loop, self.peers = Loop(self.world.ns("client")), []

    def peer(self, kind, **more):
        more.setdefault("ident", f"{kind}-1")
        peer = Peer(self.loop, URL, self.generation, kind, **more)
        self.peers.append(peer)
        return peer

    def joined(self, kind, **more):
        return self.peer(kind, **more).join()

    def relay(self, secret="relay-stamp-secret-example"):
        return self.peer("relay").join({"stamp_secret": secret})

    def pair(self):
        gateway, client = self.joined("gateway"), self.joined("client")
        return gateway, gateway.expect("init")["payload"], client, client.expect("init")["payload"]

    def close(self):
        for peer in self.peers:
            try:
                peer.close()
            except Exception:           # a peer the portal has cut already
                pass
        self.loop.close()
        self.world.down()


@pytest.fixture
def bench(generation, portal_kind):
    made = []

    def make(**scenario):
        made.append(Bench(generation, portal_kind, **scenario))
        return made[-1]

    yield make
    for b in made:
        b.close()


@pytest.fixture
def ours(generation):
    """Our portal alone: stricter than the second one."""
    made = []

    def make(**scenario):
        made.append(Bench(generation, "ours", **scenario))
        return made[-1]

    yield make
    for b in made:
        b.close()


def refused(peer):
    """(status, headers, body) of a refused upgrade."""
    import http.client
    from urllib.parse import urlsplit
    from lab import netns
    url = urlsplit(peer.url)
    with netns.entered(peer.loop_ns):
        c = http.client.HTTPConnection(url.hostname, url.port, timeout=5)
        c.connect()
    c.request("GET", f"{url.path}?{url.query}", headers=peer.headers | {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="})
    answer = c.getresponse()
    return answer.status, answer.headers, answer.read() if answer.status != 101 else b""


def status(b, kind, **more):
    peer = b.peer(kind, **more)
    peer.loop_ns = b.world.ns("client")
    b.peers.remove(peer)
    return refused(peer)


# -- joining ------------------------------------------------------------------------------------------------------
def test_a_gateway_joins_and_gets_what_its_generation_needs(bench, generation):
    b = bench()
    b.relay()
    b.portal.wait_joined("relay")
    init = b.joined("gateway").expect("init")["payload"]
    assert set(init["interface"]) == {"ipv4", "ipv6"} and init["config"]["ipv4_masquerade_enabled"] is True
    assert [r["addr"] for r in init["relays"]] == [f"{t.RELAY4}:3478", f"[{t.RELAY6}]:3478"]
    assert len({r["id"] for r in init["relays"]}) == 1
    assert ("authorizations" in init) == (generation != "A")
    assert ("flow_logs" in init) == (generation == "C")


def test_a_client_joins_and_gets_its_resources(bench, generation):
    b = bench()
    init = b.joined("client").expect("init")["payload"]
    assert {r["id"] for r in init["resources"]} >= {NET4, NET6}
    assert all("gateway_groups" in r or "sites" in r for r in init["resources"])
    assert ("flow_logs" in init) == (generation == "C")


def test_heartbeats_are_answered_before_and_after_the_join(bench):
    b = bench()
    gateway = b.peer("gateway").connect()
    for _ in range(2):
        ref = gateway.send("heartbeat", {}, "phoenix")
        answer = gateway.expect("phx_reply")
        assert answer["topic"] == "phoenix" and answer["ref"] == ref
        assert answer["payload"] == {"status": "ok", "response": {}}
        if gateway.ref == 1:
            gateway.send("phx_join", None)
            gateway.expect("phx_reply")


def test_a_message_before_the_join_is_for_an_unmatched_topic(bench):
    b = bench()
    gateway = b.peer("gateway").connect()
    ref = gateway.send("broadcast_ice_candidates", {"client_ids": [], "candidates": []})
    assert gateway.reply(ref) == {"status": "error", "response": {"reason": "unmatched topic"}}


def test_identity_and_addresses_survive_a_reconnect(bench):
    b = bench()
    first = b.joined("gateway")
    address = first.expect("init")["payload"]["interface"]
    first.close()
    b.portal.wait_gone("gateway")
    assert b.joined("gateway").expect("init")["payload"]["interface"] == address


# -- refusals -----------------------------------------------------------------------------------------------------
def test_a_missing_token_is_told_in_the_shape_of_the_generation(ours, generation):
    code, headers, body = status(ours(), "gateway", token="")
    assert code == 401
    if generation == "A":
        assert headers["Content-Type"].startswith("text/plain") and body == b"Missing token"
    else:
        assert headers["Content-Type"] == "application/problem+json"
        problem = json.loads(body)
        assert problem["status"] == 401 and problem["type"] == "about:blank" and problem["title"] == "Unauthorized"
        assert problem.get("code") == ("missing_token" if generation == "C" else None)


@pytest.mark.parametrize("token", ["nonsense", "n.gateway", "."])
def test_a_token_of_the_wrong_shape_is_invalid(ours, generation, token):
    code, _, body = status(ours(), "gateway", token=token)
    assert code == 401 and b"Invalid token" in body
    assert generation != "C" or json.loads(body)["code"] == "invalid_token"


def test_tokens_travel_where_the_generation_looks(ours, generation):
    b = ours()
    header = {"X-Authorization": "Bearer .gateway"}
    key = derive.b64(os.urandom(32))
    in_header = {"external_id": "x", "name": "x", "public_key": key}
    code, _, _ = status(b, "gateway", token="", headers=header, query=in_header)
    assert code == (401 if generation == "A" else 101)
    code, _, _ = status(b, "gateway", token="", query=in_header | {"external_id": "y", "token": ".gateway"})
    assert code == 101


def test_an_agent_without_a_known_component(ours, generation):
    b = ours()
    assert status(b, "client", agent="curl/8")[0] == (422 if generation == "A" else 400)
    assert status(b, "gateway", agent="curl/8")[0] == (422 if generation == "A" else 101)
    ours_agent = "Debian/12 connlib/1.3.0 gateway/1.6.1 (x86_64; 6.1)"
    assert status(b, "gateway", agent=ours_agent, ident="other")[0] == 101


def test_paths_a_generation_does_not_serve_are_not_found(bench, generation):
    b = bench()
    assert status(b, "gateway", v2=True)[0] == (101 if generation == "C" else 404)
    b.portal.wait_gone("gateway")
    assert status(b, "gateway", v2=False, ident="v1")[0] == 101


@pytest.mark.parametrize("key", ["", "short", "!" * 44])
def test_a_bad_public_key_is_a_bad_parameter(ours, generation, key):
    query = {"external_id": "x", "name": "x", "public_key": key, "token": ".gateway"}
    code, _, body = status(ours(), "gateway", query=query)
    assert code == (422 if generation == "A" else 400)
    assert generation != "C" or json.loads(body)["code"] == "invalid_connect_params"


def test_scripted_statuses_come_first_then_service_is_normal(bench):
    b = bench(statuses={"gateway": [503, {"status": 429, "headers": {"Retry-After": "2"}, "body": "x"}, 101]})
    assert status(b, "gateway")[0] == 503
    code, headers, body = status(b, "gateway")
    assert (code, headers["Retry-After"], body) == (429, "2", b"x")
    b.joined("gateway").expect("init")


def test_a_second_connect_within_a_second_is_limited(ours, generation):
    b = ours(rate_limit=True)
    b.joined("gateway")
    code, headers, body = status(b, "gateway", ident="other")
    assert code == (101 if generation == "A" else 503)
    assert generation == "A" or headers["Retry-After"] == "1"
    assert generation != "C" or json.loads(body)["code"] == "rate_limit"


def test_two_connections_with_one_gateway_id(ours, generation):
    b = ours()
    first = b.joined("gateway")
    first.expect("init")
    if generation == "C":
        code, _, body = status(b, "gateway")
        assert code == 409 and json.loads(body)["code"] == "gateway_already_connected"
        return
    second = b.joined("gateway")
    second.expect("init")
    if generation == "B":
        assert first.expect("disconnect")["payload"] == {"reason": "token_expired"}
    else:
        assert len(b.portal.state()["gateways"]) == 2


# -- broken peers -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["{", "[]", '{"topic":"gateway","event":"x","ref":1}',
                                  '{"topic":"gateway","payload":{},"ref":1}'])
def test_a_frame_that_does_not_decode_drops_the_socket_without_a_close(ours, text):
    gateway = ours().joined("gateway")
    gateway.text(text)
    assert gateway.closed() == 1006


def test_an_unknown_event_crashes_a_channels_and_is_refused_later(ours, generation):
    gateway = ours().joined("gateway")
    gateway.expect("init")
    ref = gateway.send("set_snownet_capabilities" if generation != "C" else "unheard_of", {})
    if generation != "A":
        assert gateway.reply(ref) == {"status": "error", "response": {"reason": "unknown_message"}}
        return
    assert gateway.expect("phx_error")["payload"] == {}
    ref = gateway.send("broadcast_ice_candidates", {"client_ids": [], "candidates": []})
    assert gateway.reply(ref)["response"] == {"reason": "unmatched topic"}
    gateway.send("phx_join", None)
    gateway.expect("init")


def test_an_answer_to_nothing_is_an_invalid_ref(bench, generation):
    gateway = bench().joined("gateway")
    event = {"A": "connection_ready", "B": "flow_authorized", "C": "authorization_created"}[generation]
    ref = gateway.send(event, {"ref": "none", "gateway_payload": {}})
    assert gateway.reply(ref) == {"status": "error", "response": {"reason": "invalid_ref"}}


def test_the_other_generations_reply_name_is_unknown(ours, generation):
    if generation == "A":
        gateway = ours().joined("gateway")
        gateway.send("flow_authorized", {"ref": "x"})
        gateway.expect("phx_error")
        return
    b = ours()
    gateway = b.joined("gateway", v2=False)
    ref = gateway.send("authorization_created", {"ref": "x"})
    assert gateway.reply(ref)["response"] == {"reason": "unknown_message"}


# -- authorizations --------------------------------------------------------------------------------------------
def legacy_request(client, gateway, resource, ref=...):
    prepared = client.reply(client.send("prepare_connection", {"resource_id": resource, "connected_gateway_ids": []}))
    chosen = prepared["response"]["gateway_id"]
    ref = client.send("request_connection", {
        "gateway_id": chosen, "resource_id": resource, "client_preshared_key": derive.b64(bytes(32)),
        "client_payload": {"ice_parameters": {"username": "abcd", "password": "p" * 22}, "domain": None}})
    return ref, gateway.expect("request_connection")["payload"]


def test_generation_a_connects_a_client(bench, generation):
    if generation != "A":
        return
    gateway, _, client, init = bench().pair()
    ref, request = legacy_request(client, gateway, NET4)
    assert request["client"]["peer"]["public_key"] == client.key
    assert request["client"]["peer"]["ipv4"] == init["interface"]["ipv4"]
    assert request["resource"]["address"] == "10.20.0.0/24" and request["expires_at"] is None
    accepted = {"ConnectionAccepted": {"ice_parameters": {"username": "mQ1x", "password": "z" * 22},
                                       "domain_response": None}}
    answer = gateway.send("connection_ready", {"ref": request["ref"], "gateway_payload": accepted})
    assert gateway.reply(answer) == {"status": "ok", "response": {}}
    told = client.reply(ref)["response"]
    assert told == {"resource_id": NET4, "gateway_public_key": gateway.key, "persistent_keepalive": 25,
                    "gateway_payload": accepted}


def test_generation_a_reuses_a_connection_and_orders_can_be_swapped(bench, generation):
    if generation != "A":
        return
    b = bench()
    gateway, _, client, _ = b.pair()
    b.portal.ask("hold", events=["request_connection", "allow_access"])
    prepared = client.reply(client.send("prepare_connection", {"resource_id": NET4, "connected_gateway_ids": []}))
    g = prepared["response"]["gateway_id"]
    client.send("request_connection", {
        "gateway_id": g, "resource_id": NET4, "client_preshared_key": derive.b64(bytes(32)),
        "client_payload": {"ice_parameters": {"username": "abcd", "password": "p" * 22}, "domain": None}})
    client.send("reuse_connection", {"gateway_id": g, "resource_id": NET6, "payload": None})
    assert gateway.nothing("request_connection")
    b.portal.ask("release", reverse=True)
    grant = gateway.expect("allow_access")["payload"]
    assert [m["event"] for m in gateway.inbox] in ([], ["init"])
    assert grant["resource"]["id"] == NET6 and grant["client_ipv4"] and "payload" in grant
    assert gateway.expect("request_connection")["payload"]["resource"]["id"] == NET4


def authorization(b, client, gateway, resource=NET4):
    wanted = {"B": ("create_flow", "authorize_flow", "flow_authorized", "flow_created"),
              "C": ("request_authorization", "create_authorization", "authorization_created",
                    "authorization_created")}[b.generation]
    client.send(wanted[0], {"resource_id": resource, "connected_gateway_ids": []})
    return gateway.expect(wanted[1])["payload"], wanted


def test_later_generations_authorize_and_derive_the_same_secrets_for_both(bench, generation):
    if generation == "A":
        return
    b = bench()
    gateway, _, client, init = b.pair()
    asked, names = authorization(b, client, gateway)
    assert asked["client"]["public_key"] == client.key and asked["client"]["ipv4"] == init["interface"]["ipv4"]
    assert client.nothing(names[3])                      # nothing before the gateway's answer
    gateway.send(names[2], {"ref": asked["ref"]})
    gateway.send("broadcast_ice_candidates", {"client_ids": [asked["client"]["id"]], "candidates": [CANDIDATE]})
    told = client.expect(names[3])["payload"]
    assert told["preshared_key"] == asked["client"]["preshared_key"] and told["gateway_public_key"] == gateway.key
    for side in ("client_ice_credentials", "gateway_ice_credentials"):
        assert told[side] == asked[side]
    ice = derive.ice_credentials(asked["client"]["id"], client.key, told["gateway_id"], gateway.key)
    assert list(ice) == [told["client_ice_credentials"], told["gateway_ice_credentials"]]
    assert ("flow_logs_ingest_token" in asked) == (generation == "C") == ("use_iceless" in asked)
    assert client.expect("ice_candidates")["payload"] == {"gateway_id": told["gateway_id"], "candidates": [CANDIDATE]}


def test_a_repeated_authorization_reproduces_its_secrets(bench, generation):
    if generation == "A":
        return
    b = bench()
    gateway, _, client, _ = b.pair()
    (first, _), (second, _) = (authorization(b, client, gateway) for _ in range(2))
    stable = ("client_ice_credentials", "gateway_ice_credentials")
    assert [first[k] for k in stable] == [second[k] for k in stable] and first["ref"] != second["ref"]
    assert first["client"]["preshared_key"] == second["client"]["preshared_key"]


def test_candidates_travel_both_ways_with_the_senders_id(bench, generation):
    b = bench()
    gateway, _, client, _ = b.pair()
    devices = {d["kind"]: d["id"] for d in b.portal.state()["devices"]}
    gateway.send("broadcast_invalidated_ice_candidates", {"client_ids": [devices["client"]], "candidates": [CANDIDATE]})
    got = client.expect("invalidate_ice_candidates")["payload"]
    assert got == {"gateway_id": devices["gateway"], "candidates": [CANDIDATE]}
    if generation == "A":
        client.send("broadcast_ice_candidates", {"gateway_ids": [devices["gateway"]], "candidates": [CANDIDATE]})
    else:
        client.send("new_gateway_ice_candidates", {"gateway_id": devices["gateway"], "candidates": [CANDIDATE]})
    got = gateway.expect("ice_candidates")["payload"]
    assert got == {"client_id": devices["client"], "candidates": [CANDIDATE]}


def test_without_a_gateway_the_client_is_told_offline(bench, generation):
    client = bench().joined("client")
    if generation == "A":
        ref = client.send("prepare_connection", {"resource_id": NET4, "connected_gateway_ids": []})
        assert client.reply(ref) == {"status": "error", "response": {"reason": "offline"}}
        return
    client.send({"B": "create_flow", "C": "request_authorization"}[generation],
                {"resource_id": NET4, "connected_gateway_ids": []})
    failed = client.expect({"B": "flow_creation_failed", "C": "authorization_creation_failed"}[generation])["payload"]
    assert failed["resource_id"] == NET4 and failed["reason"] == "offline"


@pytest.mark.parametrize("version, fits", [("1.3.9", False), ("1.4.0", True), ("1.6.9", True), ("1.7.0", False)])
def test_only_compatible_gateways_are_chosen(ours, generation, version, fits):
    if generation == "A":
        return
    b = ours()
    gateway, client = b.joined("gateway", agent=f"Debian/12 gateway/{version} (x86_64)"), b.joined("client")
    if fits:
        authorization(b, client, gateway)
        return
    client.send({"B": "create_flow", "C": "request_authorization"}[generation],
                {"resource_id": NET4, "connected_gateway_ids": []})
    failed = client.expect({"B": "flow_creation_failed", "C": "authorization_creation_failed"}[generation])["payload"]
    assert failed["reason"] == "version_mismatch"


def test_a_silent_gateway_makes_the_request_fail_offline(ours, generation):
    if generation == "A":
        return
    b = ours()
    gateway, _, client, _ = b.pair()
    asked, names = authorization(b, client, gateway)
    started = time.monotonic()
    failed = client.expect({"B": "flow_creation_failed", "C": "authorization_creation_failed"}[generation], 17)
    assert failed["payload"]["reason"] == "offline" and 14 < time.monotonic() - started < 17
    answer = gateway.send(names[2], {"ref": asked["ref"]})
    assert gateway.reply(answer)["status"] == "ok" and client.nothing(names[3])


# -- policy, control and presence ------------------------------------------------------------------------------------
def test_rejected_grants_are_told_and_no_longer_listed(bench, generation):
    b = bench(expires_in=3600)
    gateway, _, client, _ = b.pair()
    if generation == "A":
        legacy_request(client, gateway, NET4)
    else:
        authorization(b, client, gateway)
    client_id = next(d["id"] for d in b.portal.state()["devices"] if d["kind"] == "client")
    b.portal.ask("reinit")
    if generation != "A":
        listed = gateway.expect("init")["payload"]["authorizations"]
        assert [(a["client_id"], a["resource_id"]) for a in listed] == [(client_id, NET4)]
        assert abs(listed[0]["expires_at"] - time.time() - 3600) < 10
    b.portal.ask("reject", resource=NET4)
    assert gateway.expect("reject_access")["payload"] == {"client_id": client_id, "resource_id": NET4}
    assert b.portal.state()["grants"] == []


def test_relays_are_announced_and_withdrawn(bench, generation):
    b = bench()
    gateway, init, client, _ = b.pair()
    assert init["relays"] == []
    relay = b.relay("one")
    for peer in (gateway, client):
        told = peer.expect("relays_presence", where=lambda p: p["connected"])["payload"]
        assert [r["addr"] for r in told["connected"]] == [f"{t.RELAY4}:3478", f"[{t.RELAY6}]:3478"]
        assert all(r["type"] == "turn" and r["expires_at"] for r in told["connected"])
    ident = told["connected"][0]["id"]
    relay.close()
    told = gateway.expect("relays_presence", where=lambda p: p["disconnected_ids"])["payload"]
    assert told == {"disconnected_ids": [ident], "connected": []}


def test_relay_credentials_fit_the_relays_secret(bench, generation):
    b = bench()
    b.relay("one")
    b.portal.wait_joined("relay")
    entry = b.joined("gateway").expect("init")["payload"]["relays"][0]
    expiry, salt = entry["username"].split(":")
    from relay.control import password
    assert entry["password"] == password(int(expiry), "one", salt) and int(expiry) == entry["expires_at"]
    assert generation == "A" or int(expiry) == 2145916800


def test_no_relays_is_answered_with_a_fresh_selection(bench, generation):
    if generation == "A":
        return
    gateway, _, _, _ = bench().pair()
    gateway.send("no_relays", {})
    told = gateway.expect("relays_presence")["payload"]
    assert told == {"disconnected_ids": [], "connected": []}


def test_scripts_push_drop_and_reset(bench):
    b = bench()
    gateway, _, client, _ = b.pair()
    b.portal.ask("push", to="gateway", event="phx_close", payload={})
    assert gateway.expect("phx_close")["payload"] == {}
    b.portal.ask("frame", to="gateway", op="text", data="{")
    with pytest.raises(json.JSONDecodeError):
        gateway.expect("anything")
    b.portal.ask("drop", who="gateway", code=1012)
    assert gateway.closed() == 1012
    b.portal.ask("reset", who="client")
    assert client.closed() == 1006


def test_withheld_replies_never_come(bench):
    b = bench(withhold=["gateway:phx_join"])
    gateway = b.peer("gateway").connect()
    gateway.send("phx_join", None)
    assert gateway.nothing("phx_reply", 0.5)
    assert b.portal.state()["counts"]["gateway:phx_join"] == 1


def test_vectors_of_the_spec():
    """spec portal A.1, A.2; connectivity 10.1, 10.3."""
    client, gateway = "7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11", "1e6b2a90-4f7d-4d0c-9c35-6a8f2b7c4d20"
    keys = "pVQ+CPF+kfKjnnWfZlovWSnIF8yEIGHxfGSkBILSkQQ=", "M6jq1REt2rfnR5vUYLlRrjNItdB/ttSeqXqOBSqkEb0="
    assert derive.ice_credentials(client, keys[0], gateway, keys[1]) == (
        {"username": "277o", "password": "b6fvcn2h22ah436p3el3zr"},
        {"username": "6pya", "password": "vvzsh3aql5cprilhk5hpja"})
    assert derive.preshared_key(bytes(range(32)), bytes(range(32, 64)), client, gateway, *keys) == \
        "s7QEoxMQTq4dGqRw5SlNIwoENs4tksnt/A7zNoFJ9cU="
    secret = "relay-stamp-secret-example"
    assert derive.relay_id(secret) == "1c3e57de-5bc2-478b-8998-68e0c1320faa"
    user, word, _ = derive.relay_credentials("C", "gateway", keys[1], secret)
    assert user == "2145916800:R2PH1sRa/OFMAMg9/MR4w17/owIWUKOJkMAT1p/HonE"
    assert word == "a6VjrVr4rhJfHQTm1z+u0xGg9OITTzDdrBXWWWdhplw"


def test_the_limits_of_silence_are_those_of_the_spec():
    """spec portal 1.9, typed again."""
    from portal.dialect import SILENCE_SECONDS
    assert [SILENCE_SECONDS[g]["client"] for g in "ABC"] == [307, 37, 37]
    assert {SILENCE_SECONDS[g]["gateway"] for g in "ABC"} == {37}
