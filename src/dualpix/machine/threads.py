"""How many threads compute, and how they wait for one another: by what else the machine is doing.

PyTorch's threads wait in a loop for the last of them. Where another program has that one's core, others burn theirs:
with two busy programs beside it a picture took eight times as long in two threads as in one. So the command waits in a
loop only shortly, and takes no more threads than cores are idle; each picture anew. What the user chose in the
environment stays, and programs that import dualpix are left alone.
"""

import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import NamedTuple

from dualpix.machine import limits

SPIN = "3000"
"""Turns of the loop, a few microseconds: enough between two operations of a network, and nothing while others wait."""

CHOSEN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC")
WAITS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")

LEAST_S = 0.2
"""Of watching, below which the system's clock, of 10 ms a tick, says too little."""

STAT = Path("/proc/stat")


class Load(NamedTuple):
    """At a moment, in seconds: `idle` ones of the cores of this process together, and its own computing, until now."""

    moment: float
    idle: float
    own: float


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Choose how threads wait, unless the user did. Before PyTorch is loaded, whose threads read it when they start."""
    if not any(name in environment for name in WAITS):
        environment["GOMP_SPINCOUNT"] = SPIN


def chosen(environment: Mapping[str, str] = os.environ) -> str | None:
    """The variable by which the user chose the number of threads; None if it is ours to choose."""
    return next((name for name in CHOSEN if name in environment), None)


def look() -> Load | None:
    """What the cores of this process have done so far; None where the system does not tell."""
    try:
        lines = STAT.read_text().splitlines()
        ours = os.sched_getaffinity(0)
    except (OSError, AttributeError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    # man 5 proc: user, nice, system, idle, iowait. What others do at a lower priority makes way for us.
    free = (3, 4) if os.getpriority(os.PRIO_PROCESS, 0) > 0 else (1, 3, 4)
    rows = [line.split() for line in lines if line.startswith("cpu")]
    mine = [row[1:] for row in rows if row[0][3:].isdigit() and int(row[0][3:]) in ours]
    idle = sum(int(row[place]) for row in mine for place in free if place < len(row)) / ticks
    spent = os.times()
    return Load(time.monotonic(), idle, spent.user + spent.system)


def free_cores(before: Load, now: Load, cores: int) -> int:
    """How many cores were idle, or this process's own, between two looks: at least 1, at most `cores`."""
    seconds = now.moment - before.moment
    return max(1, min(cores, round((now.idle - before.idle + now.own - before.own) / seconds)))


class Watch:
    """Says before each piece of work how many threads to take."""

    def __init__(self, look: Callable[[], Load | None] = look) -> None:
        self._look, self._last, self.threads = look, look(), limits.cores()

    def count(self) -> int:
        """Threads for what is to be computed next, by what was free since this was asked last."""
        now, cores = self._look(), limits.cores()
        if now is None or self._last is None:
            self.threads = cores
        elif now.moment - self._last.moment >= LEAST_S:
            self.threads, self._last = free_cores(self._last, now, cores), now
        self.threads = min(self.threads, cores)
        return self.threads


_watch: Watch | None = None


def watch() -> None:
    """From now on `follow` sets the number of threads, unless the user chose it."""
    global _watch
    if chosen() is None:
        _watch = Watch()


def follow() -> None:
    """Take as many threads as cores are free now, in a program that called `watch`; else change nothing."""
    if _watch is None:
        return
    import torch

    count = _watch.count()
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
