"""The loads and the round-trip time, from the client's host."""
import json
import re
import subprocess

from lab import topology as t

# name -> iperf3's arguments, upwards (client -> resource); UDP at a fixed rate of bits of payload.
LOADS = {"tcp": ["--time", "{seconds}"],
         "udp1200": ["--udp", "--length", "1200", "--bitrate", "400M", "--time", "{seconds}"],    # 41.7 kpps
         "udp64": ["--udp", "--length", "64", "--bitrate", "25M", "--time", "{seconds}"]}         # 48.8 kpps
WAYS = {"up": [], "down": ["--reverse"]}
TITLES = {"tcp": "TCP bulk", "udp1200": "UDP 1200 B at 41 kpps", "udp64": "UDP 64 B at 49 kpps"}
SEGMENT = 1280 - 52                     # TCP payload of an inner packet, with timestamps
PING = re.compile(r"= [\d.]+/([\d.]+)/([\d.]+)/")


def iperf_command(world, load, way, seconds):
    arguments = [a.format(seconds=seconds) for a in LOADS[load]]
    return ["ip", "netns", "exec", world.ns("client"), "iperf3", "--client", t.RESOURCE4, "--port", str(t.IPERF), "--json",
            *arguments, *WAYS[way]]


def delivered(report, load):
    """(inner packets delivered, offered; Gbit/s delivered) of an iperf3 report."""
    if "error" in report:
        raise RuntimeError(f"iperf3: {report['error']}")
    end = report["end"]
    if load == "tcp":
        got = end["sum_received"]
        packets = got["bytes"] / SEGMENT
        return packets, packets, got["bits_per_second"] / 1e9
    streams = end["sum"]
    packets = streams["packets"] - streams["lost_packets"]
    length = int(LOADS[load][LOADS[load].index("--length") + 1])
    return packets, streams["packets"], packets * length * 8 / streams["seconds"] / 1e9


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
    meter.start()
    done = subprocess.run(iperf_command(world, load, way, seconds), capture_output=True, text=True, timeout=60 + seconds,
                          check=False)
    own, kernel = meter.stop()
    rtt = average_ms(probe) if probe else None
    packets, offered, gbit = delivered(json.loads(done.stdout), load)
    return {"ns": (own + kernel) / packets, "own_ns": own / packets, "delivered": packets / offered, "gbit_s": gbit,
            "packets": packets, "rtt_ms": rtt}
