"""Whatever becomes of the portal's connection, packets of connected clients do not notice (spec/portal.md 1.14, 7.53)."""
import contextlib
import json
import time

import pytest

from fault import Traffic
from lab import topology as t
from lab.lab import Lab
from lab.process import wait_for
from steps import healed

@pytest.fixture(scope="module")
def lab(generation):
    with Lab(generation, scenario={"rate_limit": False}) as made:
        healed(lambda: made.probes.get(t.RESOURCE4, seconds=3), 15)
        yield made


@pytest.mark.parametrize("how", [
    {"do": "reset", "who": "gateway"}, {"do": "cut", "who": "gateway"},
    {"do": "drop", "who": "gateway", "code": 1012, "reason": "restart"}, {"do": "drop", "who": "gateway", "code": 1000},
    {"do": "push", "to": "gateway", "event": "phx_close", "payload": {}},
    {"do": "frame", "to": "gateway", "op": "text", "data": '{"topic":'}, {"do": "frame", "to": "gateway", "op": "text"},
    {"do": "frame", "to": "gateway", "op": "text", "data": "/wD+", "base64": True},
], ids=["reset", "end-of-stream", "close-1012", "close-1000", "phx_close", "truncated", "empty", "no-utf8"])
def test_a_lost_connection_is_made_anew(lab, how):
    with Traffic(lab, rejoins=1):
        lab.portal.ask(**how)


def envelope(event, payload, **more):
    return json.dumps({"topic": "gateway", "event": event, "ref": None, "payload": payload, **more})


@pytest.mark.parametrize("texts", [
    ["hello", "[]", "7", "{}", "null", envelope("phx_close", {}) + "x"],
    [envelope("unheard_of", {}), envelope("init", None), envelope("init", {"interface": 5})],
    [envelope("disconnect", {"reason": "certificate_revoked"}), envelope("disconnect", {})],
    [envelope("phx_error", {}), envelope("phx_error", {"reason": "channel_crash"})],
    [envelope("phx_close", None), envelope("phx_close", {"a": 1})],
    [envelope("phx_reply", {"status": "error", "response": {"reason": "unknown_message"}}, ref=77)],
    [envelope("unheard_of", "x" * 10_000_000)],
], ids=["garbage", "unknown", "disconnect-other", "phx_error", "phx_close-payload", "error-reply", "ten-megabytes"])
def test_what_means_nothing_is_ignored(lab, texts):
    with Traffic(lab, rejoins=0):
        for text in texts:
            lab.portal.ask("raw", to="gateway", text=text)


def test_a_frame_over_its_limit_ends_the_connection_and_is_counted(lab):
    with Traffic(lab, rejoins=1), contextlib.suppress(RuntimeError):  # closed before all of it is written
        lab.portal.ask("raw", to="gateway", text="x" * ((16 << 20) + 1))
    drops = {d["reason"]: d["count"] for d in lab.gateway.ask("status")["status"]["drops"]}
    assert drops.get("oversized_portal_message") == 1, drops


def test_binary_and_control_frames_are_ignored_also_by_the_thousand(lab):
    with Traffic(lab, rejoins=0):
        lab.portal.ask("frame", to="gateway", op="binary", data='{"topic":')
        lab.portal.ask("frame", to="gateway", op="pong", data="{")
        lab.portal.ask("frame", to="gateway", op="ping", data="x" * 125, count=5000)


def test_fragmented_messages_are_put_together(lab):
    text = envelope("phx_close", {})
    with Traffic(lab, rejoins=1):
        lab.portal.ask("fragments", to="gateway", parts=list(text))


@pytest.mark.parametrize("later", ("B", "C"))
def test_a_crashed_channel_is_joined_again(make_lab, later):
    """Not A: there the socket stays up and nothing more is said; the originals ignore phx_error as well."""
    made = make_lab(later, scenario={"rate_limit": False})
    healed(lambda: made.probes.get(t.RESOURCE4, seconds=3), 15)
    with Traffic(made, rejoins=1):
        made.portal.ask("crash", who="gateway")


def test_503_with_retry_after_is_obeyed(lab):
    lab.portal.ask("set", scenario={"statuses": {"gateway": [
        {"status": 503, "headers": {"Retry-After": "3"}}, {"status": 503, "headers": {"Retry-After": "1"}},
        {"status": 429}, 101]}})
    with Traffic(lab, rejoins=1, seconds=20) as traffic:
        began = time.monotonic()
        lab.portal.ask("reset", who="gateway")
        wait_for("gateway joined again", traffic.joined, 20)
        took = time.monotonic() - began
        print(f"joined again after {took:.1f} s")
        assert took > 4.5


def test_inits_of_ten_thousand_grants_delay_no_packet(lab):
    """A lists none: there it is three ordinary ones."""
    lab.portal.ask("set", scenario={"extra_authorizations": 10_000})
    with Traffic(lab, rejoins=0, more=2):
        for _ in range(3):
            lab.portal.ask("reinit")
    lab.portal.ask("set", scenario={"extra_authorizations": 0})
    lab.portal.ask("reinit")


# -- the end -----------------------------------------------------------------------------------------------------------
def invalid(generation, code, kind="application/problem+json"):
    """Portals before C first say that they have no v2 path."""
    body = json.dumps({"type": "about:blank", "title": "Unauthorized", "status": 401, "detail": "Not you", "code": code})
    answer = {"status": 401, "code": code, "headers": {"Content-Type": kind}, "body": body}
    return {"statuses": {"gateway": [answer] if generation == "C" else [404, answer]}}


INVALID, OTHER = "Authentication token invalid", "Failed to authenticate with portal: "
ENDS = {
    "token_expired": (None, {"A": INVALID, "B": INVALID, "C": INVALID}),
    "invalid_token": (("invalid_token",), {"A": INVALID, "B": INVALID, "C": INVALID}),
    "other-code": (("banned",), {"A": INVALID, "B": INVALID, "C": OTHER + "Not you"}),
    "html": (("invalid_token", "text/html"), {"A": INVALID, "B": INVALID, "C": OTHER + "no reason provided"}),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_refused_token_ends_the_process_with_its_text_and_a_goodbye(lab, generation, how):
    refusal, texts = ENDS[how]
    assert lab.client.wait_path()
    if refusal is None:
        lab.portal.ask("push", to="gateway", event="disconnect", payload={"reason": "token_expired", "x": None})
    else:
        lab.portal.ask("set", scenario=invalid(generation, *refusal))
        lab.portal.ask("reset", who="gateway")
    assert lab.gateway.process.wait(10) == 1
    if generation != "A":               # A clients know none
        wait_for("goodbye reached the client", lambda: lab.client.path() == (None, None), 2)
    line = next(x for x in lab.gateway.process.log_text().splitlines() if "Eventloop failed" in x)
    assert f"Eventloop failed: Failed to login to portal: {texts[generation]}" in line, line
    lab.portal.ask("set", scenario={"statuses": {}})
    lab.portal.wait_gone("gateway")
    back(lab)


def back(lab):
    """A gateway and a client that begin anew, so that an A client need not find out by itself."""
    lab.gateway.start().wait_joined(lab.portal)
    lab.gateway.wait_tun()
    if lab.generation == "A":
        lab.client.stop()
        lab.client.start()
    healed(lambda: lab.probes.get(t.RESOURCE4, seconds=3), 30)


def test_a_refused_join_ends_the_process(lab):
    lab.portal.ask("set", scenario={"join_error": {"gateway": "disabled"}})
    lab.portal.ask("reset", who="gateway")
    assert lab.gateway.process.wait(10) == 1
    assert "Failed to login to portal: Failed to login with portal: disabled" in lab.gateway.process.log_text()
    lab.portal.ask("set", scenario={"join_error": {}})
    back(lab)
