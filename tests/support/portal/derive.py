"""Values the portal derives: identities, PSK, ICE credentials, relay credentials, tokens (spec portal 3.5-3.7, A)."""
import base64
import hashlib
import hmac
import json
import os
import time
import uuid

GATEWAY_RELAY_EXPIRY = 2145916800            # spec portal 3.7: B and C gateways, 2038-01-01
DAY = 86400


def b64(data):
    return base64.b64encode(data).decode()


def b64_bare(data):
    return b64(data).rstrip("=")


def url64_bare(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def relay_id(secret):
    """B, C: bits 0-31, 32-47, 52-63 and 66-127 of SHA-256(secret) with version 4 and variant 2 in the gaps."""
    digest = bytearray(hashlib.sha256(secret.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def ice_credentials(initiator_id, initiator_key, receiver_id, receiver_key):
    """(initiator's, receiver's) credentials of B and C (spec portal 3.6)."""
    text = f"{initiator_id}:{initiator_key}:{receiver_id}:{receiver_key}"
    h = base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower().rstrip("=")
    return ({"username": h[0:4], "password": h[4:26]}, {"username": h[26:30], "password": h[30:52]})


def preshared_key(client_base, gateway_base, client_id, gateway_id, client_key, gateway_key):
    salt = f"WG_PSK|C_ID:{client_id}|G_ID:{gateway_id}|C_PK:{client_key}|G_PK:{gateway_key}"
    return b64(hashlib.pbkdf2_hmac("sha256", client_base + gateway_base, salt.encode(), 1, 32))


def relay_credentials(generation, kind, key, secret, now=None):
    """(username, password, expiry) for one requester and one relay (spec portal 3.7)."""
    now = int(time.time() if now is None else now)
    if generation == "A":
        expiry = now + (14 * DAY if kind == "gateway" else 30 * DAY)
        salt = url64_bare(os.urandom(16))
    else:
        expiry = GATEWAY_RELAY_EXPIRY if kind == "gateway" else now - now % DAY + 30 * DAY
        salt = b64_bare(hashlib.sha256(key.encode()).digest())
    password = b64_bare(hashlib.sha256(f"{expiry}:{secret}:{salt}".encode()).digest())
    return f"{expiry}:{salt}", password, expiry


def reference():
    """An opaque reference of the length real portals use: a signed term, some hundred bytes."""
    return "SFMyNTY." + url64_bare(os.urandom(150)) + "." + url64_bare(os.urandom(32))


def ingest_token(role, initiator, responder, resource, expires_at, uploads=False):
    """A structurally valid flow-log token (spec portal A.4); its signature is nobody's to verify."""
    now = int(time.time())
    expiry = int(expires_at or now + DAY)
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    claims = {
        "account_id": str(uuid.uuid4()), "initiator_device_id": initiator, "responder_device_id": responder,
        "policy_authorization_id": str(uuid.uuid4()), "policy_id": str(uuid.uuid4()), "resource_id": resource["id"],
        "resource_name": resource.get("name") or "internet", "initiator_actor_id": str(uuid.uuid4()),
        "initiator_actor_name": "Lab User", "authorized_at": time.strftime(stamp, time.gmtime(now)),
        "authorization_expires_at": time.strftime(stamp, time.gmtime(expiry)), "iat": now,
        "exp": expiry + 30 * DAY, "uploads_enabled": uploads, "role": role}
    head = url64_bare(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = url64_bare(json.dumps(claims).encode())
    signature = hmac.new(b"lab-portal", f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{url64_bare(signature)}"
