"""Namespaces, links and firewall tables through `ip` and `nft`; nothing here touches the machine's own interfaces."""
import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import threading

CLONE_NEWNET = 0x40000000
ETC = "/etc/netns"
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(RuntimeError):
    pass


def run(*command, feed=None, check=True):
    """Output of a command; its complaint becomes the exception."""
    done = subprocess.run(command, input=feed, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise CommandFailed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}\n{feed or ''}")
    return done.stdout


def ip(lines, netns=None):
    """A batch of ip commands, one a line."""
    text = "\n".join(lines) + "\n"
    run("ip", *(["-n", netns] if netns else []), "-batch", "-", feed=text)


def nft(netns, text):
    run("ip", "netns", "exec", netns, "nft", "-f", "-", feed=text)


def execute(netns, *command, check=True, feed=None):
    return run("ip", "netns", "exec", netns, *command, check=check, feed=feed)


def sysctls(netns, settings):
    """Writes /proc/sys of a namespace. A name that this kernel lacks is skipped."""
    with entered(netns):
        for name, value in settings.items():
            with contextlib.suppress(FileNotFoundError):
                with open("/proc/sys/" + name, "w", encoding="ascii") as f:
                    f.write(str(value))


@contextlib.contextmanager
def entered(netns):
    """This thread inside a namespace: sockets made here belong to it."""
    home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    try:
        _setns(there)
        yield
    finally:
        _setns(home)
        os.close(there)
        os.close(home)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def existing(prefix):
    out = run("ip", "-json", "netns", "list")
    return [n["name"] for n in json.loads(out or "[]") if n["name"].startswith(prefix)]


def delete(name):
    run("ip", "netns", "del", name, check=False)
    shutil.rmtree(f"{ETC}/{name}", ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(ETC)


def resolver(netns, address):
    """resolv.conf for what runs in that namespace. The parent is shared: another lab may remove it at this moment."""
    while True:
        try:
            os.makedirs(f"{ETC}/{netns}", exist_ok=True)
            break
        except FileNotFoundError:
            continue
    with open(f"{ETC}/{netns}/resolv.conf", "w", encoding="ascii") as f:
        f.write(f"nameserver {address}\noptions timeout:1 attempts:2\n")
