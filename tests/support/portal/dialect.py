"""What differs between the generations before a socket exists: paths, tokens, agents, refusals (spec portal 1)."""
import json
import re
import string
from urllib.parse import parse_qs, urlsplit

TOPICS = ("gateway", "client", "relay")
COMPONENTS = {                                              # spec portal 1.3
    "A": ("relay", "connlib"),
    "B": ("relay", "connlib", "headless-client", "gui-client", "apple-client", "android-client", "gateway"),
}
COMPONENTS["C"] = COMPONENTS["B"]
SILENCE_SECONDS = {                                         # spec portal 1.9: closed after this much silence
    "A": {"gateway": 37, "client": 307, "relay": 41},
    "B": {"gateway": 37, "client": 37, "relay": 41},
    "C": {"gateway": 37, "client": 37, "relay": 41},
}
NAME_MAX = 255
TITLES = {400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
          409: "Conflict", 422: "Unprocessable Entity", 429: "Too Many Requests", 500: "Internal Server Error",
          503: "Service Unavailable"}


class Refusal(Exception):
    """An upgrade request that is answered with an HTTP error instead of 101."""

    def __init__(self, status, detail, code=None, headers=(), body=None):
        super().__init__(detail)
        self.status, self.detail, self.code, self.headers, self.body = status, detail, code, dict(headers), body

    def render(self, generation):
        """(status, headers, body) in the shape of the generation (spec portal 1.5)."""
        if self.body is not None or generation == "A" or self.status == 404:
            body = self.detail if self.body is None else self.body
            headers = {"Content-Type": "text/plain; charset=utf-8"}
        else:
            problem = {"type": "about:blank", "title": TITLES.get(self.status, "Error"), "status": self.status,
                       "detail": self.detail}
            if generation == "C" and self.code:
                problem["code"] = self.code
            body, headers = json.dumps(problem), {"Content-Type": "application/problem+json"}
        return self.status, headers | self.headers, body.encode()


class Upgrade:
    """A parsed and admitted upgrade request."""

    def __init__(self, kind, v2, query, agent, version, token):
        self.kind, self.v2, self.agent, self.version, self.token = kind, v2, agent, version, token
        first = {k: v[0] for k, v in query.items()}
        self.key, self.external = first.get("public_key", ""), first.get("external_id", "")
        self.name = first.get("name", "")
        self.ipv4, self.ipv6, self.port = first.get("ipv4"), first.get("ipv6"), first.get("port", "3478")


def kind_of(path):
    """(kind, v2) for a path that some generation serves, else None. A base path may precede it."""
    parts = [p for p in urlsplit(path).path.split("/") if p]
    if len(parts) >= 3 and parts[-1] == "websocket" and parts[-2] == "v2" and parts[-3] in ("gateway", "client"):
        return parts[-3], True
    if len(parts) >= 2 and parts[-1] == "websocket" and parts[-2] in TOPICS:
        return parts[-2], False
    return None


def admit(generation, path, headers, scenario):
    """The admitted request. Raises Refusal."""
    found = kind_of(path)
    if found is None or (found[1] and generation != "C"):
        raise Refusal(404, "not found")
    kind, v2 = found
    query = parse_qs(urlsplit(path).query, keep_blank_values=True)
    token = _token(generation, kind, query, headers, scenario)
    agent = headers.get("User-Agent", "")
    component, version = agent_version(generation, agent)
    if component is None and (generation == "A" or kind == "client"):
        raise _bad_parameters(generation, "unknown user agent")
    if kind != "relay":
        _check_parameters(generation, query)
    return Upgrade(kind, v2, query, agent, version, token)


def _token(generation, kind, query, headers, scenario):
    token = query.get("token", [""])[0]
    if generation != "A" or kind == "relay":     # an A portal never looks at headers for gateways and clients
        bearer = headers.get("X-Authorization", "")
        token = bearer.removeprefix("Bearer ") if bearer.startswith("Bearer ") else token
    if not token:
        raise Refusal(401, "Missing token", "missing_token")
    nonce, dot, signed = token.partition(".")
    # spec portal 1.1: <nonce>.<signed>; only clients have a nonce
    shaped = dot and signed and bool(nonce) == (kind == "client")
    known = scenario.get("tokens", {}).get(kind)
    if not shaped or (known is not None and token not in known):
        raise Refusal(401, "Invalid token", "invalid_token")
    return token


def agent_version(generation, agent):
    """(component, version) of the first piece with a known prefix."""
    for piece in agent.split(" "):
        component, slash, version = piece.partition("/")
        if slash and component in COMPONENTS[generation]:
            return component, semver(version)
    return None, None


def semver(text):
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(?:[-+].*)?", text or "")
    return tuple(int(n) for n in match.groups()) if match else None


def _check_parameters(generation, query):
    key = query.get("public_key", [""])[0]
    alphabet = set(string.ascii_letters + string.digits + "+/=")
    if len(key) != 44 or not set(key) <= alphabet:
        raise _bad_parameters(generation, "public_key is invalid")
    if not query.get("external_id", [""])[0]:
        raise _bad_parameters(generation, "external_id can't be blank")
    if not 1 <= len(query.get("name", ["x"])[0]) <= NAME_MAX:
        raise _bad_parameters(generation, "name is invalid")


def _bad_parameters(generation, detail):
    return Refusal(422 if generation == "A" else 400, detail, "invalid_connect_params")


def compatible(generation, client, gateway, resource):
    """spec portal 3.4: whether a client of that version may be sent to a gateway of that version."""
    if gateway is None or client is None:
        return False
    if resource["type"] == "internet" and gateway < (1, 3, 0):
        return False
    if generation == "A":
        if client >= (1, 1, 0) and gateway < (1, 1, 0):
            return False
        return not (_new_pattern(resource) and gateway < (1, 2, 0))
    return (client[0], client[1] - 1, 0) <= gateway < (client[0], client[1] + 2, 0)


def _new_pattern(resource):
    address = resource.get("address", "")
    return resource["type"] == "dns" and ("**" in address or "?" in address or "*" in address.lstrip("*"))
