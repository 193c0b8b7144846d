"""How many threads compute, and how they wait for one another, depending on what else the machine does.

PyTorch's threads wait for the slowest of them in a busy loop. Where another program occupies that one's core, the
others waste theirs: beside two busy programs, a picture took eight times as long in two threads as in one. Therefore
the command waits in that loop only briefly, and uses no more threads than cores are idle, which it checks before each
picture. What the user set in the environment is kept, and programs that import dualpix are left alone.
"""

import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import NamedTuple

from dualpix.machine import limits

SPIN = "3000"
"""Iterations of the waiting loop, a few microseconds: enough between two operations of a network, and short otherwise.
"""

CHOSEN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC")
WAITS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")

LEAST_S = 0.2
"""Seconds below which the system's clock, which ticks every 10 ms, is too coarse to measure the load."""

STAT = Path("/proc/stat")


class Load(NamedTuple):
    """A reading of the clocks, in seconds: `moment`, idle time of this process's cores, its own computing time."""

    moment: float
    idle: float
    own: float


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Choose how threads wait, unless the user did; call it before PyTorch is loaded, which reads it at its start."""
    if not any(name in environment for name in WAITS):
        environment["GOMP_SPINCOUNT"] = SPIN


def chosen(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the environment variable by which the user chose the number of threads; None if there is none."""
    return next((name for name in CHOSEN if name in environment), None)


def look() -> Load | None:
    """Return a reading of the load on this process's cores; None where the system does not report it."""
    try:
        lines = STAT.read_text().splitlines()
        ours = os.sched_getaffinity(0)
    except (OSError, AttributeError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    # man 5 proc: user, nice, system, idle, iowait. Programs at a lower priority count as idle.
    free = (3, 4) if os.getpriority(os.PRIO_PROCESS, 0) > 0 else (1, 3, 4)
    rows = [line.split() for line in lines if line.startswith("cpu")]
    mine = [row[1:] for row in rows if row[0][3:].isdigit() and int(row[0][3:]) in ours]
    idle = sum(int(row[place]) for row in mine for place in free if place < len(row)) / ticks
    spent = os.times()
    return Load(time.monotonic(), idle, spent.user + spent.system)


def free_cores(before: Load, now: Load, cores: int) -> int:
    """Return how many cores were idle or used by this process between two readings: at least 1, at most `cores`."""
    seconds = now.moment - before.moment
    return max(1, min(cores, round((now.idle - before.idle + now.own - before.own) / seconds)))


class Watch:
    """Decides before each piece of work how many threads to use."""

    def __init__(self, look: Callable[[], Load | None] = look) -> None:
        self._look, self._last, self.threads = look, look(), limits.cores()

    def count(self) -> int:
        """Return the number of threads for the next piece of work, by the cores that were free since the last call."""
        now, cores = self._look(), limits.cores()
        if now is None or self._last is None:
            self.threads = cores
        elif now.moment - self._last.moment >= LEAST_S:
            self.threads, self._last = free_cores(self._last, now, cores), now
        self.threads = min(self.threads, cores)
        return self.threads


_watch: Watch | None = None


def watch() -> None:
    """Let `follow` set the number of threads from now on, unless the user chose it."""
    global _watch
    if chosen() is None:
        _watch = Watch()


def follow() -> None:
    """Use as many threads as cores are free now; does nothing in a program that did not call `watch`."""
    if _watch is None:
        return
    import torch

    count = _watch.count()
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
