"""What a result says about the targets, and against the committed baseline. Ratios only: nanoseconds do not travel."""
import json
import os

# ns/packet beyond plain routing of original C, and what wireguard-go cost on the machine where that was measured.
ORIGINAL_C_ADDS = {"tcp/up": 4740, "tcp/down": 5160, "udp1200/up": 4470, "udp1200/down": 3440, "udp64/up": 2470,
                   "udp64/down": 3530}
GO_THEN = {"tcp/up": 7360, "tcp/down": 5910, "udp1200/up": 15_900, "udp1200/down": 20_200, "udp64/up": 26_500,
           "udp64/down": 21_100}
BASELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "baseline.json")
WORSE = 1.15                        # of the baseline's ratio: told
NOT_MEASURED = "not measured"


def added(result, tested, load):
    """What the gateway adds above plain routing over what original C adds here, carried over by wireguard-go."""
    found = result.get("iperf3", {})
    ours, go, floor = (found.get(name, {}).get(load, {}).get("ns") for name in (tested, "wireguard-go", "routing"))
    if not ours or not go or not floor:
        return None
    return (ours - floor) / (ORIGINAL_C_ADDS[load] * go / GO_THEN[load])


def of_go(result, section, tested, load):
    found = result.get(section, {})
    ours, go = (found.get(name, {}).get(load, {}).get("ns") for name in (tested, "wireguard-go"))
    return ours / go if ours and go else None


def over_kernel(found, tested, load):
    xdp, kernel = (found.get(name, {}).get(load, {}).get("ns") for name in ("firegate xdp", tested))
    return xdp / kernel if xdp and kernel else None


def ratios(result, tested):
    """Everything that may be compared with another day's or machine's."""
    out = {}
    for load in ORIGINAL_C_ADDS:
        out[f"{load}: added, of what original C adds"] = added(result, tested, load)
        out[f"{load}: of wireguard-go"] = of_go(result, "iperf3", tested, load)
    for load in result.get("offered", {}).get(tested, {}):
        out[f"offered {load}: of wireguard-go"] = of_go(result, "offered", tested, load)
        out[f"offered {load}: xdp of kernel"] = over_kernel(result["offered"], tested, load)
    for load, best in result.get("highest", {}).get(tested, {}).items():
        go = result["highest"].get("wireguard-go", {}).get(load)
        out[f"highest rate {load}: wireguard-go's of ours"] = go["kpps"] / best["kpps"] if go and best else None
    if tested in result.get("sink", {}) and "firegate xdp" in result["sink"]:
        out["wire to plaintext: xdp of kernel"] = result["sink"]["firegate xdp"]["ns"] / result["sink"][tested]["ns"]
    growth = result.get("growth", {})
    for way in ("up", "down"):
        first, last = growth.get(f"1/{way}"), growth.get(f"4000/{way}")
        out[f"1 to 4000 clients {way}"] = last["ns"] / first["ns"] if first and last else None
    return {k: round(v, 3) for k, v in out.items() if v is not None}


def _worst(values):
    values = [v for v in values if v is not None]
    return max(values) if values else None


def _memory(result, *names):
    found = result.get("memory", {})
    return [found[n]["median"] for n in names if n in found]


def judged(result, tested):
    """[(what, wanted, measured, verdict)] of everything that was wanted."""
    bare = _worst(_memory(result, "client -> resource, 1280 B, without AEAD"))
    shares = _memory(result, *(f"AEAD's share, {way}, 1280 B" for way in ("client -> resource", "resource -> client")))
    crowd = _worst(_memory(result, *(f"1 -> 4000 clients, {way}" for way in ("client -> resource", "resource -> client"))))
    workers = _worst(_memory(result, "1 -> 2 workers, 1000 clients, without AEAD"))
    growth = ratios(result, tested)
    sink, pings = result.get("sink", {}), result.get("ping", {})
    xdp, kernel = sink.get("firegate xdp"), sink.get(tested)
    bulk = _worst(over_kernel(result.get("offered", {}), tested, f"1252 one/{w}") for w in ("up", "down"))
    rtt = (pings[tested]["median_us"] - pings["routing"]["median_us"]) if tested in pings and "routing" in pings else None
    rows = [
        ("TCP bulk: added above routing, of what C adds", "<= 0.33", _worst(added(result, tested, f"tcp/{w}")
                                                                        for w in ("up", "down")), lambda v: v <= 1 / 3),
        ("fixed low rates: the same", "<= 0.50", _worst(added(result, tested, f"{u}/{w}") for u in ("udp64", "udp1200")
                                                        for w in ("up", "down")), lambda v: v <= 0.5),
        ("64 B, many flows, load generator: of wireguard-go", "<= 0.33",
         _worst(of_go(result, "offered", tested, f"64 many/{w}") for w in ("up", "down")), lambda v: v <= 1 / 3),
        ("64 B, wire to plaintext: kernel backend over xdp", ">= 1.30", kernel["ns"] / xdp["ns"] if xdp and kernel else None,
         lambda v: v >= 1.3),
        ("1280 B bulk: xdp over kernel backend", "<= 1.00",
         bulk, lambda v: v <= 1),
        ("pipeline without AEAD and OS, in, 1280 B: ns", "<= 150", bare, lambda v: v <= 150),
        ("AEAD's share of the user-space cost, 1280 B", ">= 0.70", min(shares) / 100 if shares else None,
         lambda v: v >= 0.7),
        ("pipeline in memory: packets of two workers over one", ">= 1.80", workers, lambda v: v >= 1.8),
        ("4000 clients over one: cost a packet in the pipeline", "<= 1.15", None if crowd is None else 1 + crowd / 100,
         lambda v: v <= 1.15),
        ("4000 clients over one: all of the gateway's cost", "<= 1.15", _worst(growth.get(f"1 to 4000 clients {w}") for w in ("up", "down")),
         lambda v: v <= 1.15),
        ("round trip at rest added above routing: us", "<= 150", rtt, lambda v: v <= 150),
        ("a silent client: us of processor time a second", "<= 2.00", result.get("idle", {}).get("us"), lambda v: v <= 2),
    ]
    return [(what, wanted, value, NOT_MEASURED if value is None else "met" if good(value) else "missed")
            for what, wanted, value, good in rows]


def machine(facts):
    return {k: facts[k] for k in ("cpu", "cpus", "kernel")}


def read_baseline():
    try:
        with open(BASELINE, encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def write_baseline(facts, found):
    with open(BASELINE, "w", encoding="utf-8") as f:
        json.dump({"machine": machine(facts), "load_average": round(facts["load_average"], 1), "ratios": found}, f, indent=1)
        f.write("\n")


def compared(facts, found):
    """Lines: what is dearer than in the baseline, and how much was compared."""
    baseline = read_baseline()
    if not baseline:
        return ["no baseline to compare with"]
    same = "the same kind of machine" if baseline["machine"] == machine(facts) else f"another machine: {baseline['machine']}"
    lines = [f"against the baseline ({same}), ratios that are more than {WORSE - 1:.0%} apart:"]
    both = [k for k in found if k in baseline["ratios"]]
    for name in both:
        then, now = baseline["ratios"][name], found[name]
        if now > then * WORSE or now * WORSE < then:
            lines.append(f"  {'dearer ' if now > then else 'cheaper'} {name}: {now:.2f}, was {then:.2f}")
    return lines + [f"  {len(both)} compared, {len(found) - len(both)} new, {len(baseline['ratios']) - len(both)} not measured"]
