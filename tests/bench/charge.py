"""What a gateway's CPU is charged for: its own threads, the NAPI threads of its links, its CPU's softirq thread."""
import glob
import os
import subprocess

from lab import netns
from lab.process import wait_for

WORKER = "fg-worker"                    # of firegate; others' threads all move packets, for what we know


def run_time(thread):
    """Nanoseconds a thread has run; 0 when it is gone."""
    try:
        with open(f"/proc/{thread}/schedstat", encoding="ascii") as f:
            return int(f.read().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def threads_of(pid):
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}
    except FileNotFoundError:
        return set()


def name_of(thread):
    try:
        with open(f"/proc/{thread}/comm", encoding="ascii", errors="replace") as f:
            return f.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def pin(thread, cpu):
    os.sched_setaffinity(thread, {cpu})


def _kernel_threads(prefix):
    found = {}
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path, encoding="ascii", errors="replace") as f:
                name = f.read().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith(prefix):
            found[int(path.split("/")[2])] = name
    return found


def threaded_napi(namespace, device, cpu):
    """GRO on, and the device's receive work in a thread of its own on that CPU. Returns the threads: those that come up
    under its name. Devices of other namespaces may have the same one, so only one benchmark runs at a time (run)."""
    before = set(_kernel_threads("napi/"))
    netns.execute(namespace, "ethtool", "-K", device, "gro", "on")
    netns.execute(namespace, "sh", "-c", f"echo 1 >/sys/class/net/{device}/threaded")

    def new():
        return [p for p, name in _kernel_threads(f"napi/{device[:8]}").items() if p not in before]
    threads = wait_for(f"NAPI thread of {device}", new, 3)
    for thread in threads:
        pin(thread, cpu)
    return threads


def softirq_thread(cpu):
    return next(iter(_kernel_threads(f"ksoftirqd/{cpu}")))


def descendants(pid):
    """A process and its children, whatever wraps the program under test."""
    out, rest = [], [pid]
    while rest:
        pid = rest.pop()
        out.append(pid)
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
        rest += [int(line) for line in listed.stdout.split()]
    return out


class Meter:
    """Run time of groups of threads between start() and stop()."""

    def __init__(self, pids, kernel_threads):
        self.pids, self.kernel_threads = pids, kernel_threads
        self.before, self.beside = {}, 0

    def _read(self):
        own = {t: run_time(f"{p}/task/{t}") for p in self.pids for t in threads_of(p)}
        return own, {t: run_time(t) for t in self.kernel_threads}

    def start(self):
        self.before = self._read()

    def stop(self):
        """(the gateway's own threads, the kernel's), nanoseconds. `beside` are those of the former that move no packets."""
        now = self._read()
        names = {t: name_of(f"{p}/task/{t}") for p in self.pids for t in threads_of(p)}
        workers = any(name.startswith(WORKER) for name in names.values())
        self.beside = sum(at - self.before[0].get(t, 0) for t, at in now[0].items()
                          if workers and not names.get(t, "").startswith(WORKER))
        return tuple(sum(at - old.get(t, 0) for t, at in new.items()) for old, new in zip(self.before, now))
