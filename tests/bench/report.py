"""A result as tables and pictures."""
import loads
import plots

WAYS = {"up": "-> resource", "down": "-> client"}
OFFERED = {"64 many": "64 B, 100 clients in turn", "64 one": "64 B, one flow", "1252 many": "1252 B, 100 clients in turn",
           "1252 one": "1252 B, one flow"}


def line(number, part, case, name, run):
    """One run, as it happens."""
    out = f"run {number + 1} {part:9} {case:15} {name:13}"
    if "ns" in run:
        out += f" {run['ns']:8.0f} ns ({run['own_ns']:.0f}), {run['kpps']:.1f} kpps, {100 * run['delivered']:.1f} % delivered"
    if run.get("late", 0) > 0.01:
        out += f", {100 * run['late']:.0f} % never offered"
    if run.get("rtt_ms"):
        out += f", rtt {run['rtt_ms']:.2f} ms"
    if "median_us" in run:
        out += f" {run['median_us']:.0f} us, 99 % below {run['p99_us']:.0f}"
    return out


def title(case):
    load, _, way = case.partition("/")
    return f"{loads.TITLES.get(load) or OFFERED.get(load) or load}{', ' + WAYS[way] if way else ''}"


def cell(found):
    return f"{found['ns']:.0f} ({found['own_ns']:.0f})" if found and "ns" in found else "-"


def costs(head, found, tested, cases):
    """One line a load: each contender's nanoseconds, and the tested one's against wireguard-go."""
    names = list(found)
    lines = ["", f"{head:40}" + "".join(f"{n:>17}" for n in names)
             + (f"{'of wireguard-go':>17}" if "wireguard-go" in names else "")]
    for case in cases:
        ours, go = found.get(tested, {}).get(case), found.get("wireguard-go", {}).get(case)
        ratio = f"{ours['ns'] / go['ns']:>16.2f}x" if ours and go else ""
        lines.append(f"{title(case):40}" + "".join(f"{cell(found[n].get(case)):>17}" for n in names) + ratio)
    short = [f"{n}: {case} {100 * v['delivered']:.1f} %" for n in names for case, v in found[n].items()
             if v.get("delivered", 1) < 0.99]
    late = [f"{n}: {case} {100 * v['late']:.0f} %" for n in names for case, v in found[n].items() if v.get("late", 0) > 0.01]
    return (lines + ([f"delivered less than was sent: {', '.join(short)}"] if short else [])
            + ([f"never offered, the generator was late: {', '.join(late)}"] if late else []))


def cases_of(found):
    return list(dict.fromkeys(case for cases in found.values() for case in cases))


def iperf3(found, tested, wanted):
    from targets import added
    cases = [case for case in cases_of(found) if case != "ping"]
    lines = costs("iperf3: ns per inner packet (own)", found, tested, cases)
    for case in cases:
        ratio = added({"iperf3": found}, tested, case)
        if ratio is not None:
            lines.append(f"{title(case) + ': added, of what C adds':57}{ratio:.2f}")
    if "flooded" in found and "elsewhere" in found:
        for load, way in wanted:
            quiet, loud = (found[n][f"{load}/{way}"] for n in ("elsewhere", "flooded"))
            lines.append(f"{f'arrives of {load} {way} beside the flood':40}{loud['kpps'] / quiet['kpps']:>7.1%}")
    for case in ["ping", *(c for c in cases if not c.startswith("tcp"))]:
        what = "round trip at rest, ms" if case == "ping" else f"round trip under {case}, ms"
        lines.append(f"{what:40}" + "".join(f"{found[n].get(case, {}).get('rtt_ms', 0):>17.3f}" for n in found))
    return lines


def tables(result, tested, wanted):
    lines = []
    if "iperf3" in result:
        lines += iperf3(result["iperf3"], tested, wanted)
    for part, head in (("offered", "generator, 40 kpps: ns (own)"), ("sizes", "generator, 40 kpps, 100 clients: ns (own)")):
        if part in result:
            lines += costs(head, result[part], tested, cases_of(result[part]))
    if "highest" in result:
        found = result["highest"]
        lines += ["", f"{'highest rate, < 0.1 % lost: kpps':40}" + "".join(f"{n:>17}" for n in found)]
        for case in cases_of(found):
            lines.append(f"{title(case):40}" + "".join(
                f"{f'>= {v:.0f}' if found[n][case]['limit'] == 'generator' else f'{v:.0f}':>17}"
                if (v := found[n].get(case, {}).get("kpps")) else f"{'-':>17}" for n in found))
    if "growth" in result:
        lines += ["", f"{'clients, 16 packets each in turn: ns (own)':44}{'-> resource':>17}{'-> client':>17}"
                  f"{'control thread alone':>28}"]
        for clients in dict.fromkeys(case.split("/")[0] for case in result["growth"]):
            both = [result["growth"].get(f"{clients}/{way}", {}) for way in WAYS]
            lines.append(f"{clients:44}" + "".join(f"{cell(found):>17}" for found in both)
                         + "".join(f"{found.get('beside_ns', 0):>14.0f}" for found in both))
    if "sink" in result:
        lines += [""] + [f"{'64 B, wire to plaintext: ns (own), ' + n:57}{cell(v)}" for n, v in result["sink"].items()]
    if "ping" in result:
        lines += ["", f"{'one packet in flight: us (99 %)':40}" + "".join(f"{n:>17}" for n in result["ping"]),
                  f"{'':40}" + "".join(f"{v['median_us']:.0f} ({v['p99_us']:.0f})".rjust(17) for v in result["ping"].values())]
    for name, cases in result.get("profile", {}).items():
        lines += ["", f"{f'{name}: ns a packet goes to':40}" + "".join(f"{c:>17}" for c in cases)]
        for kind in dict.fromkeys(k for case in cases.values() for k in case["kinds"]):
            lines.append(f"{kind:40}" + "".join(f"{case['kinds'].get(kind, 0):>17.0f}" for case in cases.values()))
        for case, found in cases.items():
            lines.append(f"  {case}: " + ", ".join(f"{n} {v:.0f}" for n, v in list(found["symbols"].items())[:8]))
    if result.get("memory"):
        lines += ["", "pipeline between memory and memory"]
        lines += [f"  {what:62}{row['median']:>9.{2 if row['unit'] == 'x' else 1}f} {row['unit']:3}{row['target']}"
                  for what, row in result["memory"].items()]
    return lines + idle(result.get("idle"))


def idle(found):
    if not found:
        return []
    head = f"{found['clients']} silent clients: us a client and second"
    lines = ["", f"{head:57}{found['us']:.2f}"]
    for part in ("threads", "causes"):
        lines += [f"  {name:55}{value:.2f}" for name, value in found[part].items()]
    return lines + ["  a second: " + ", ".join(f"{name} {value:.0f}" for name, value in found["a second"].items())]


def targets(rows):
    return ["", f"{'target':56}{'wanted':>9}{'measured':>11}  verdict"] + [
        f"{what:56}{wanted:>9}{'-' if value is None else f'{value:.2f}' if value < 10 else f'{value:.0f}':>11}  {verdict}"
        for what, wanted, value, verdict in rows] + [""]


def pictures(result, tested, stem):
    """Writes what there are figures for; the paths."""
    made = {}

    def bars(found):
        return {title(case): {n: found[n].get(case, {}).get("ns") for n in found} for case in cases_of(found) if case != "ping"}

    for part, text in (("iperf3", "What a packet costs, iperf3"), ("offered", "What a packet costs, load generator at 40 kpps"),
                       ("sizes", "What a packet costs by its size, 100 clients")):
        if result.get(part):
            made[part] = plots.side_by_side(text, "ns a packet", bars(result[part]))
    if result.get("growth"):
        made["clients"] = plots.side_by_side("What a packet costs by the number of clients", "ns a packet", {
            f"{n} clients": {WAYS[w]: result["growth"].get(f"{n}/{w}", {}).get("ns") for w in WAYS}
            for n in dict.fromkeys(case.split("/")[0] for case in result["growth"])})
    backends = {n: v for n, v in result.get("offered", {}).items() if n == tested or n.startswith("firegate")}
    if len(backends) > 1:
        made["backends"] = plots.side_by_side("What a packet costs by backend", "ns a packet", bars(backends))
    for name, cases in result.get("profile", {}).items():
        made[f"profile-{name.replace(' ', '-')}"] = plots.layered(
            f"Where a packet's nanoseconds go, {name}", "ns a packet", {title(c): v["kinds"] for c, v in cases.items()})
    paths = []
    for name, picture in made.items():
        paths.append(f"{stem}-{name}.svg")
        with open(paths[-1], "w", encoding="utf-8") as f:
            f.write(picture)
    return paths
