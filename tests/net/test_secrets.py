"""A whole session at the most talkative level leaves no secret where somebody else could read it."""
import base64
import glob
import os
import signal
import stat

import pytest

from lab import topology as t
from lab.gateway import Gateway
from lab.lab import Lab
from lab.services import TOKENS
from steps import healed

SECRET_KEYS = {"preshared_key", "client_preshared_key", "password", "ingest_token", "flow_logs_ingest_token"}
SHAPES = {"direct": t.Shape(), "relayed": t.Shape(client_nat="random", gateway_nat="random")}


def secrets_in(value, key=""):
    """Every text under a secret's key, at any depth."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield from secrets_in(v, k)
    elif isinstance(value, list):
        for v in value:
            yield from secrets_in(v, key)
    elif key in SECRET_KEYS and isinstance(value, str) and len(value) >= 8:
        yield value


def forms(secret):
    """As told, decoded, and encoded once more: bytes to look for."""
    raw = secret.encode()
    out = {raw, base64.b64encode(raw).rstrip(b"="), raw.hex().encode()}
    try:
        decoded = base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True)
        out |= {decoded, decoded.hex().encode(), base64.urlsafe_b64encode(decoded).rstrip(b"=")}
    except ValueError:
        pass
    return {form for form in out if len(form) >= 8}


def told(lab):
    """What portal and gateway told each other in confidence."""
    found = {TOKENS["gateway"]}
    for entry in lab.portal.log():
        if entry["what"] == "to_gateway" or entry.get("to") == "gateway" or entry.get("kind") == "gateway":
            found |= set(secrets_in(entry.get("payload")))
    return found


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def places(lab, state):
    """Name -> bytes of everything the gateway leaves behind or shows while it runs."""
    pid = lab.gateway.process.pid
    found = {name: read(f"/proc/{pid}/{name}") for name in ("cmdline", "environ", "comm", "status")}
    found["log"] = read(lab.gateway.process.log_path)
    found["health"] = "".join(lab.gateway.health(path)[1] for path in ("/healthz", "/readyz")).encode()
    client = lab.gateway.ask("peers")["peers"][0]["client"]
    for words in (["status"], ["peers"], ["peers", client], ["explain", client, t.RESOURCE4]):
        found["firegate " + " ".join(words)] = lab.gateway.show(*words, "--json").stdout.encode()
    for path in glob.glob(f"{state}/**", recursive=True):
        if os.path.isfile(path):
            found[path] = read(path)
    return found


class Talkative(Gateway):
    def __init__(self, world, log_format):
        self.state, self.home = world.path("state"), world.path("home")
        for directory in (self.state, self.home):
            os.makedirs(directory)
        super().__init__(world, env={"RUST_LOG": "trace", "FIREZONE_LOG_FORMAT": log_format,
                                     "FIREGATE_STATE_DIRECTORY": self.state})
        self.command = ["prlimit", "--core=unlimited", "env", "-C", self.home, *self.command]


@pytest.mark.parametrize("path", SHAPES)
def test_no_secret_is_in_the_log_the_process_list_files_or_a_core(request, generation, path):
    lab = Lab(generation, shape=SHAPES[path])
    request.node.worlds = [lab.world]
    lab.gateway = Talkative(lab.world, "json" if path == "direct" else "human")
    with lab:
        healed(lambda: lab.probes.get(t.RESOURCE4, seconds=5), 20)
        lab.client.wait_path(path)
        lab.portal.ask("drop", who="gateway")
        lab.portal.wait_joined("gateway")
        secrets = told(lab)
        assert len(secrets) >= 4, secrets            # token, relay, pre-shared key, ICE
        pid = lab.gateway.process.pid
        found = places(lab, lab.gateway.state)
        assert b"client connected" in found["log"] and found["status"] and found["firegate status"], "else there is nothing to look at"
        for opened in glob.glob(f"/proc/{pid}/fd/*"):
            target = os.readlink(opened)
            if target.startswith("/") and os.path.isfile(target) and target != lab.gateway.process.log_path:
                found[target] = read(target)
        for name in glob.glob(f"{lab.gateway.state}/**", recursive=True):
            assert not os.stat(name).st_mode & stat.S_IROTH or os.path.isdir(name), f"{name} is for everyone"
        lab.gateway.process.signal(signal.SIGABRT)
        status = lab.gateway.process.wait(10)
        found["log"] = read(lab.gateway.process.log_path)
        found |= {name: read(name) for name in glob.glob(f"{lab.gateway.home}/*")}
        for secret in secrets:
            for form in forms(secret):
                for name, content in found.items():
                    assert form not in content, f"{name} holds a form of {secret!r}: {form!r}"
        assert status == -signal.SIGABRT
        assert os.listdir(lab.gateway.home) == [], "a core file"
        print(f"{len(secrets)} secrets, {sum(map(len, found.values()))} bytes in {len(found)} places")
