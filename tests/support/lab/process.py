"""Programs of the lab: started in a namespace, logged to a file, ended by their own pid."""
import ctypes
import os
import re
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
# Programs built from here, and how many times slower than a release build they are (sanitizers).
BIN = os.environ.get("FG_BIN", os.path.join(ROOT, "build", "release", "bin"))
SLOWDOWN = float(os.environ.get("FG_SLOWDOWN", "1"))
_libc = ctypes.CDLL(None, use_errno=True)


def wait_for(what, condition, seconds, step=0.02):
    """The first true value of condition(). Raises TimeoutError naming what did not happen."""
    seconds *= SLOWDOWN
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds} s")
        time.sleep(step)


def die_with_parent(number=signal.SIGKILL):
    """Between fork and exec: the kernel sends this signal when the parent's thread ends."""
    _libc.prctl(PR_SET_PDEATHSIG, number)


class Process:
    """One program. `keep` lets it outlive the lab's own process (demo --keep)."""

    def __init__(self, name, netns, command, log, env=None, keep=False):
        self.name, self.netns, self.log_path = name, netns, log
        self._log = open(log, "ab")
        full = ["ip", "netns", "exec", netns, *command] if netns else list(command)
        self._popen = subprocess.Popen(
            full, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})}, start_new_session=True,
            preexec_fn=None if keep else die_with_parent)
        self.pid = self._popen.pid

    def returncode(self):
        return self._popen.poll()

    def alive(self):
        return self._popen.poll() is None

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def wait(self, seconds):
        return self._popen.wait(seconds)

    def stop(self, seconds=3.0):
        """SIGTERM, then SIGKILL. Returns the exit status."""
        self.signal(signal.SIGTERM)
        try:
            status = self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._popen.returncode
        self._log.close()
        return status

    def kill(self):
        self.signal(signal.SIGKILL)
        self._popen.wait(5)
        self._log.close()

    def log_text(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode(errors="replace")

    def wait_log(self, pattern, seconds=5.0):
        """The match of a pattern in the log so far or to come."""
        def look():
            found = re.search(pattern, self.log_text())
            if not found and not self.alive():
                raise RuntimeError(f"{self.name} ended with {self.returncode()}:\n{self.tail()}")
            return found
        return wait_for(f"{self.name}: {pattern!r}", look, seconds)

    def tail(self, lines=15):
        return "\n".join(self.log_text().splitlines()[-lines:])
