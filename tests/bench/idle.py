"""What silent clients cost the gateway, by thread and by cause: run times of its threads, shared out by samples of their
stacks."""
import re
import subprocess
import tempfile
import time

import charge
import where
from lab import netns

FREQUENCY = 5000
SETTLE = 45                         # seconds until clients have fallen silent, before anyone shakes hands again
OTHER = "elsewhere in the program"
# The first cause whose pattern is found in a stack is charged with the sample.
WORKER = [("worker: sleeping and waking", r"epoll|poll_schedule|futex|eventfd|schedule|finish_task_switch"),
          ("worker: receives datagrams", r"receive|recvmmsg"),
          ("worker: sends answers (sendmmsg)", r"KernelPort::send|sendmmsg"),
          ("worker: answers checks", r"StandingAnswers|answer_check"),
          ("worker: hands them to the control thread", r"reserve_punt|publish|punt|wake"),
          ("worker: everything else", r"")]
CONTROL = [("sends datagrams (sendmmsg)", r"UdpSender::send"),
           ("WireGuard: handshakes, keepalives", r"wireguard::|handshake|Handshake|x25519|curve"),
           ("refreshes its relays", r"turn::(Allocation|RelaySet|Channels)[^ ]*(on_timeout|on_datagram|refresh|wakeup)"),
           ("hears of checks", r"on_check_answered|on_repeated"),
           ("answers checks", r"Agent::(on_request|reply|send_success|authenticate)"),
           ("sends checks, reads answers", r"Agent::(on_timeout|send_check|on_response|on_message|poll_|settle)|pump_agent"),
           ("finds whose datagram it is, parses it", r"on_stun|on_datagram|on_punt|stun::Message|Dispatch"),
           ("timers of connections", r"Controller::(on_timeout|on_connection_timeout|reschedule|wakeup)|deadline"),
           ("takes datagrams from the worker", r"poll_punt|poll_event|WorkerPool"),
           ("portal", r"portal::|PortalClient|WebSocket|PortalStream"),
           ("sleeps and wakes", r"epoll|timerfd|eventfd|BootTimer|finish_task_switch|schedule|hrtimer"),
           ("its loop", r"Gateway::turn|Loop::run|scheduler::"),
           (OTHER, r"")]


def threads_of(contender):
    """{thread: name} of the gateway's own."""
    out = {}
    for pid in contender.pids():
        for thread in charge.threads_of(pid):
            with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii", errors="replace") as f:
                out[thread] = f.read().strip()
    return out


def _look(contender, threads):
    switches = {}
    for thread in threads:
        with open(f"/proc/{thread}/status", encoding="ascii", errors="replace") as f:
            switches[thread] = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M)[1])
    with netns.entered(contender.world.ns("gateway")), open("/proc/thread-self/net/snmp", encoding="ascii") as f:
        udp = [line.split() for line in f if line.startswith("Udp:")][1]
    return {t: charge.run_time(t) for t in threads}, switches, int(udp[1]), int(udp[4]), time.monotonic()


def measure(contender, clients, seconds):
    """Microseconds a client and second: by thread, by cause; and how often what happened."""
    contender.connect(clients)
    time.sleep(SETTLE)
    threads = threads_of(contender)
    with tempfile.NamedTemporaryFile(suffix=".perf") as samples:
        before = _look(contender, threads)
        time.sleep(seconds)
        after = _look(contender, threads)
        if where.available():           # afterwards, and for shares alone: sampling costs as much as an idle gateway
            subprocess.run(["perf", "record", "--quiet", "-g", "--event", "cpu-clock", "--freq", str(FREQUENCY), "--output",
                            samples.name, "--tid", ",".join(map(str, threads)), "sleep", str(seconds)], check=True)
            stacks = subprocess.run(["perf", "script", "--input", samples.name, "-F", "comm,ip,sym"], capture_output=True,
                                    text=True, check=True).stdout
        else:
            stacks = ""
    took = after[4] - before[4]
    each = {t: (after[0][t] - before[0][t]) / 1e3 / took / clients for t in threads}
    by_thread = {}
    for thread, name in threads.items():
        by_thread[name] = by_thread.get(name, 0) + each[thread]
    return {"clients": clients, "us": sum(each.values()), "threads": by_thread, "causes": causes(stacks, by_thread),
            "a second": {"datagrams in": (after[2] - before[2]) / took, "datagrams out": (after[3] - before[3]) / took,
                         **{f"{name} sleeps": (after[1][t] - before[1][t]) / took for t, name in threads.items()}}}


def causes(stacks, by_thread):
    """Each thread's microseconds, shared out among causes as its samples are."""
    counted = {}
    for stack in stacks.split("\n\n"):
        lines = stack.strip().splitlines()
        if len(lines) < 2:
            continue
        name, text = lines[0].strip(), "\n".join(lines[1:])
        kinds = WORKER if "worker" in name else CONTROL
        cause = next(cause for cause, pattern in kinds if re.search(pattern, text))
        counted.setdefault(name, {}).setdefault(cause, 0)
        counted[name][cause] += 1
    out = {}
    for name, found in counted.items():
        total = sum(found.values())
        for cause, n in found.items():
            out[cause] = out.get(cause, 0) + by_thread.get(name, 0) * n / total
    return dict(sorted(out.items(), key=lambda i: -i[1]))
