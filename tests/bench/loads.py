"""The loads and the round-trip time, from the client's host."""
import json
import re
import subprocess

from lab import netns, topology as t

# name -> iperf3's arguments, upwards (client -> resource); UDP at a fixed rate of bits of payload.
LOADS = {"tcp": ["--time", "{seconds}"],
         "udp1200": ["--udp", "--length", "1200", "--bitrate", "400M", "--time", "{seconds}"],    # 41.7 kpps
         "udp64": ["--udp", "--length", "64", "--bitrate", "25M", "--time", "{seconds}"]}         # 48.8 kpps
WAYS = {"up": [], "down": ["--reverse"]}
TITLES = {"tcp": "TCP bulk", "udp1200": "UDP 1200 B at 41 kpps", "udp64": "UDP 64 B at 49 kpps"}
LENGTHS = {"udp1200": 1200, "udp64": 64}
UDP_HEADERS = 28
SEGMENT = 1280 - 52                     # TCP payload of an inner packet, with timestamps
PING = re.compile(r"= [\d.]+/([\d.]+)/([\d.]+)/")


def iperf_command(world, load, way, seconds):
    arguments = [a.format(seconds=seconds) for a in LOADS[load]]
    return ["ip", "netns", "exec", world.ns("client"), "iperf3", "--client", t.RESOURCE4, "--port", str(t.IPERF), "--json",
            *arguments, *WAYS[way]]


def count_arrivals(world):
    """Counts the load's datagrams where they arrive, before a receiver that is too slow drops them."""
    for host, port in (("resource", "dport"), ("client", "sport")):
        netns.nft(world.ns(host), f"""
table inet bench {{
  counter arrived {{}}
  chain in {{
    type filter hook input priority filter
    udp {port} {t.IPERF} counter name arrived
  }}
}}
""")


def arrived(world, way, length):
    """Datagrams so far. A super-packet has its headers once, so they follow from packets and bytes."""
    listed = netns.execute(world.ns("resource" if way == "up" else "client"), "nft", "-j", "list", "counter", "inet", "bench",
                           "arrived")
    counter = next(c["counter"] for c in json.loads(listed)["nftables"] if "counter" in c)
    return (counter["bytes"] - counter["packets"] * UDP_HEADERS) // length


def ping(world, seconds, interval=0.1):
    """A running ping from the client to the resource."""
    command = ["ip", "netns", "exec", world.ns("client"), "ping", "-q", "-i", str(interval), "-w", str(max(1, seconds)),
               t.RESOURCE4]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def average_ms(process):
    """Average round-trip time it found; None when nothing came back."""
    out, _ = process.communicate()
    found = PING.search(out)
    return float(found.group(1)) if found else None


def run(world, load, way, seconds, meter):
    """One run: nanoseconds per delivered packet of the gateway's side, and what was delivered."""
    probe = ping(world, seconds) if load != "tcp" else None
    length = LENGTHS.get(load)
    before = arrived(world, way, length) if length else 0
    meter.start()
    done = subprocess.run(iperf_command(world, load, way, seconds), capture_output=True, text=True, timeout=60 + seconds,
                          check=False)
    own, kernel = meter.stop()
    rtt = average_ms(probe) if probe else None
    report = json.loads(done.stdout)
    if "error" in report:
        raise RuntimeError(f"iperf3: {report['error']}")
    if length:
        packets, offered = arrived(world, way, length) - before, report["end"]["sum"]["packets"]
    else:
        packets = offered = report["end"]["sum_received"]["bytes"] / SEGMENT
    took = report["end"]["sum_received" if load == "tcp" else "sum"]["seconds"]
    return {"ns": (own + kernel) / packets, "own_ns": own / packets, "delivered": packets / offered,
            "kpps": packets / took / 1e3, "rtt_ms": rtt}
