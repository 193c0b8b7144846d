"""Hosts on one machine, for what is tried on several: network namespaces, each with an address, joined by a bridge.

Made by root on Linux with the command `ip`. What runs in one reaches the others by their addresses alone.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path


def can_be_apart() -> bool:
    """Whether namespaces can be made here."""
    return sys.platform == "linux" and os.geteuid() == 0 and bool(shutil.which("ip"))


def children(pid: int) -> list[int]:
    """A process and all that it started, itself first."""
    try:
        inner = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in inner for one in children(int(child)))]


def title(pid: int) -> bytes:
    """The command line of a process, its words ended by zeros; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


class Network:
    """So many addresses: of namespaces that a bridge joins, or if they are not to be apart, all this machine's."""

    def __init__(self, count: int, apart: bool) -> None:
        self.count, self.apart, self.mark = count, apart, f"dp{os.getpid() % 10000}"
        # Two of them at once do not share a network.
        self.net = f"10.77.{os.getpid() % 250}"
        if not apart:
            return
        _run("ip", "link", "add", f"{self.mark}br", "type", "bridge")
        _run("ip", "link", "set", f"{self.mark}br", "up")
        _run("ip", "addr", "add", f"{self.net}.254/24", "dev", f"{self.mark}br")
        for number in range(count):
            self._add(number)

    def _add(self, number: int) -> None:
        name, inside = f"{self.mark}n{number}", f"{self.mark}v{number}"
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", inside, "type", "veth", "peer", "name", f"{inside}p")
        _run("ip", "link", "set", inside, "netns", name)
        _run("ip", "link", "set", f"{inside}p", "master", f"{self.mark}br", "up")
        for words in (["addr", "add", f"{self.address(number)}/24", "dev", inside], ["link", "set", inside, "up"]):
            _run("ip", "-n", name, *words)
        _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", name, "route", "add", "default", "via", f"{self.net}.254")  # by which Ray finds its address

    def address(self, number: int) -> str:
        return f"{self.net}.{number + 1}" if self.apart else "127.0.0.1"

    @property
    def bridge(self) -> str:
        """An address of this machine that all of them reach."""
        return f"{self.net}.254" if self.apart else "127.0.0.1"

    def inside(self, number: int) -> list[str]:
        """What a command begins with that is to run there."""
        return ["ip", "netns", "exec", f"{self.mark}n{number}"] if self.apart else []

    def cut(self, number: int) -> None:
        """Pull the cable: nothing is closed, and nothing arrives."""
        _run("ip", "link", "set", f"{self.mark}v{number}p", "down")

    def mend(self, number: int) -> None:
        _run("ip", "link", "set", f"{self.mark}v{number}p", "up")

    def close(self) -> None:
        if not self.apart:
            return
        for number in range(self.count):
            _run("ip", "netns", "del", f"{self.mark}n{number}")
        _run("ip", "link", "del", f"{self.mark}br")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
