"""What a gateway holds on its host, sampled; and whether it gave back what it took."""
import collections
import os
import re
import statistics

from lab import netns
from lab.process import SLOWDOWN

# A gateway that has seen every kind of fault once has grown its buffers and tables to their size.
RSS_SLACK_KB = 8 << 10
RSS_GROWTH_KB = 2 << 10                 # between the second and the last quarter of a run
LOG_BYTES_MINUTE_MAX = 64 << 10
EXACT = ("fds", "sockets", "timers", "threads", "nft lines", "rules", "routes")
TICKS = os.sysconf("SC_CLK_TCK")


def sample(lab, at):
    """One row: numbers only."""
    process, ns = lab.gateway.process, lab.world.ns("gateway")
    proc = f"/proc/{process.pid}"
    with open(f"{proc}/status", encoding="ascii") as f:
        status = dict(line.split(":", 1) for line in f if ":" in line)
    with open(f"{proc}/stat", encoding="ascii") as f:
        ticks = f.read().rpartition(")")[2].split()
    kinds = collections.Counter()
    for fd in os.listdir(f"{proc}/fd"):
        try:
            kinds[re.sub(r":?\[?\d*\]?$", "", os.readlink(f"{proc}/fd/{fd}"))] += 1
        except FileNotFoundError:
            continue
    with netns.entered(ns), open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as f:
        tracked = int(f.read())
    return {
        "at": round(at, 1), "rss kB": int(status["VmRSS"].split()[0]), "threads": int(status["Threads"]),
        "fds": sum(kinds.values()), "sockets": kinds["socket"], "timers": kinds["anon_inode:[timerfd"],
        "cpu s": round((int(ticks[11]) + int(ticks[12])) / TICKS, 2), "conntrack": tracked,
        "nft lines": len(netns.execute(ns, "nft", "list", "ruleset").splitlines()),
        "rules": sum(len(netns.execute(ns, "ip", family, "rule").splitlines()) for family in ("-4", "-6")),
        "routes": sum(len(netns.execute(ns, "ip", family, "route", "show", "table", "all").splitlines())
                      for family in ("-4", "-6")),
        "log kB": round(os.path.getsize(process.log_path) / 1024, 1)}


def returned(start, now):
    """Which of the countable things are not what they were."""
    return [f"{name}: {start[name]} at the start, {now[name]} now" for name in EXACT if start[name] != now[name]]


def memory(samples):
    """Complaints about memory. The first sample is taken when everything has been used once."""
    if SLOWDOWN > 1:
        return []                       # sanitizers hold back what is freed
    values = [s["rss kB"] for s in samples]
    found = []
    if values[-1] > values[0] + RSS_SLACK_KB:
        found.append(f"memory: {values[0]} kB at the start, {values[-1]} kB at the end")
    quarter = len(values) // 4
    if quarter >= 10:
        early, late = statistics.median(values[quarter:2 * quarter]), statistics.median(values[-quarter:])
        if late > early + RSS_GROWTH_KB:
            found.append(f"memory grows: median {early:.0f} kB in the second quarter, {late:.0f} kB in the last")
    return found


def log(text, minutes):
    """Complaints about a gateway's log."""
    errors = [line for line in text.splitlines() if re.match(r"\S+ +ERROR ", line)]
    found = [f"log says: {line[:200]}" for line in errors[:5]]
    if len(text) > LOG_BYTES_MINUTE_MAX * max(1.0, minutes):
        found.append(f"log: {len(text)} bytes in {minutes:.0f} minutes")
    return found


def left_behind(lab):
    """What a gateway that has ended leaves on its host."""
    ns = lab.world.ns("gateway")
    found = [f"left behind: {line.strip()}" for line in netns.execute(ns, "nft", "list", "tables").splitlines()
             if "firegate" in line]
    found += [f"left behind: rule {line.strip()}" for family in ("-4", "-6")
              for line in netns.execute(ns, "ip", family, "rule").splitlines() if line.startswith("100:")]
    return found + [f"left behind: {line.strip()}" for line in netns.execute(ns, "ip", "-o", "link").splitlines()
                    if "tun-firezone" in line]
