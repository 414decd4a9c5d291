"""A relay that shares no code with ours: coturn, which the gateway can use when it is told to be lenient."""
import time

from lab import topology as t
from lab.services import coturn_entries, start_coturn
from relays import flowing



def test_coturn_carries_the_gateways_end(make_lab):
    """An allocation of 30 s is refreshed at 15 s; at 25 s the nonce is stale and the next REFRESH meets a 438."""
    lab = make_lab("C", shape=t.Shape(relays=2, client_nat="random", gateway_nat="random"))
    lab.relays[1].stop()
    lab.gateway.stop()
    lab.gateway.env["FIREGATE_LENIENT_TURN"] = "true"
    lab.portal.wait_gone("gateway")
    coturn = start_coturn(lab.world, "relay2", **{"max-allocate-lifetime": 30, "stale-nonce": 20})
    lab.gateway.start().wait_joined(lab.portal)
    lab.portal.ask("push", to="gateway", event="relays_presence", payload={
        "disconnected_ids": lab.portal.state()["relays"], "connected": coturn_entries("relay2")})
    stream = flowing(lab)
    _, remote = lab.client.wait_path("relayed")
    assert remote.startswith((t.RELAY2_4, f"[{t.RELAY2_6}]")), remote
    time.sleep(25)
    lab.portal.ask("push", to="gateway", event="relays_presence", payload={"disconnected_ids": [], "connected": []})
    time.sleep(15)
    outcome = stream.stop()
    log = coturn.log_text()
    refreshed, stale = log.count("refreshed"), log.count("438")
    print(f"coturn: {outcome}; {refreshed} refreshes, {stale} stale nonces")
    assert refreshed >= 2 and stale >= 1, "one in time, one asked for by the list"
    assert not outcome.lost
