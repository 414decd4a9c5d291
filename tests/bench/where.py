"""Where the nanoseconds go: samples of the charged threads by `perf` software events, sorted into what they were spent on."""
import os
import re
import shutil
import subprocess
import tempfile

FREQUENCY = 4000
# First match wins; a symbol of the kernel otherwise counts as "kernel, other", one of the program as "program, other".
KINDS = [
    ("AEAD", r"(?i)chacha|poly1305|aead|gcry_|_gcry|EVP_|crypto_"),
    ("pipeline", r"^fg::(pipeline|packet|filter|nat|flow|wireguard)::|packet::|pipeline::"),
    ("copies", r"copy_(from|to)_(user|iter)|_copy_(from|to)_iter|rep_movs|memcpy|memmove|csum_(and_copy|partial)|check_object_size"),
    ("connection tracking, NAT", r"conntrack|^nf_|^nft_|nat_|^ipt_|icmp_manip|l4proto"),
    ("TUN device", r"^tun_"),
    ("buffers", r"skb|kmem_cache|slab|kmalloc|kfree|page_frag|__alloc|free_|build_skb|napi_alloc|memcg|consume"),
    ("UDP and IP", r"^(__)?udp|^(__)?ip_|^ip4|^fib_|^dst_|route|^inet_|sock|recvmmsg|sendmmsg|recvmsg|sendmsg|^sys_|arp|neigh"),
    ("links", r"veth|^dev_|^__dev|netif|napi|gro_|xdp|bpf|eth_|qdisc|sch_|net_rx"),
    ("waking and sleeping", r"sched|schedule|wake|futex|epoll|poll|timer|hrtimer|clock|idle|switch|dequeue|enqueue|pick_|update_|ktime"),
    ("system calls", r"syscall|entry_|do_syscall|fdget|fget|fput|exit_to_user|irqentry"),
]


def available():
    return shutil.which("perf") is not None


class Recorder:
    """perf on these threads for as long as the meter it wraps runs."""

    def __init__(self, meter, threads):
        self.meter, self.threads = meter, threads
        self.file = tempfile.NamedTemporaryFile(suffix=".perf")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["perf", "record", "--quiet", "--event", "cpu-clock", "--freq", str(FREQUENCY), "--output", self.file.name,
             "--tid", ",".join(str(t) for t in self.threads)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.meter.start()

    def stop(self):
        charged = self.meter.stop()
        self.process.send_signal(2)
        self.process.wait(20)
        return charged

    def shares(self):
        """{kind: share of the samples}, and the heaviest symbols."""
        shown = subprocess.run(["perf", "report", "--input", self.file.name, "--stdio", "--no-children", "--percent-limit", "0",
                                "--sort", "dso,symbol", "--field-separator", "\t"], capture_output=True, text=True, check=True,
                               env={**os.environ, "LC_ALL": "C"}).stdout
        self.file.close()
        kinds, symbols = {}, []
        for line in shown.splitlines():
            found = re.match(r"\s*([\d.]+)%?\s*\t(\S+)\s*\t\s*\[(.)\]\s+(\S.*?)\s*(\t|$)", line)
            if not found:
                continue
            share, program, ring, symbol = float(found[1]) / 100, found[2], found[3], found[4].strip()
            kind = next((name for name, pattern in KINDS if re.search(pattern, symbol)),
                        "kernel, other" if ring == "k" else "program, other")
            if "IPSec" in program or "gcrypt" in program:
                kind = "AEAD"
            kinds[kind] = kinds.get(kind, 0) + share
            symbols.append((symbol, share))
        total = sum(kinds.values()) or 1
        return {k: v / total for k, v in sorted(kinds.items(), key=lambda i: -i[1])}, symbols[:12]


def of(contender, **words):
    """One load with perf beside it: {kind: nanoseconds a packet}. None without perf."""
    if not available():
        return None
    import charge
    threads = [t for p in contender.pids() for t in charge.threads_of(p)] + list(contender.threads)
    contender.connect(words["clients"])
    recorder = Recorder(contender.meter(), threads)
    told, (own, kernel) = contender.generator.load(recorder, **words)
    arrived = max(1, told["up"]["arrived"] + told["down"]["arrived"])
    shares, symbols = recorder.shares()
    each = (own + kernel) / arrived
    return {"ns": each, "kinds": {k: v * each for k, v in shares.items()}, "symbols": {n: v * each for n, v in symbols}}
