"""Processes on several machines watch over one another: one that is silent for too long is taken for lost.

A process that ends closes its connections, and the others notice at once. A machine that loses its power or its network
closes nothing, and they would wait for hours. So each shows every few seconds that it is alive, in the store where all
have met. Whoever misses another ends itself, with a sentence, and what started it may start it again.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from dualpix.training.launching import LOST

SILENCE_S = 60.0
"""How long a process may show no sign of life."""

BEAT_S = 3.0

ASLEEP_S = 15.0
"""A watch that has not looked for so long was asleep itself, as in a machine that was suspended, and begins anew."""


class SignsOfLife:
    """When each of the others was last heard of, by the clock of this process alone."""

    def __init__(self, rank: int, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.others = [other for other in range(count) if other != rank]
        self.clock, self.looked = clock, clock()
        self.heard = dict.fromkeys(self.others, self.looked)
        self.signs: dict[int, bytes] = {}

    def hear(self, signs: dict[int, bytes]) -> None:
        """Take note of everybody's newest sign of life; one that is the same as before is none."""
        for other, sign in signs.items():
            if self.signs.get(other) != sign:
                self.signs[other], self.heard[other] = sign, self.clock()

    def missing(self) -> list[int]:
        """Those that have been silent for too long."""
        now = self.clock()
        if now - self.looked > ASLEEP_S:
            self.heard = dict.fromkeys(self.others, now)
        self.looked = now
        return [other for other in self.others if now - self.heard[other] > SILENCE_S]


@contextmanager
def watched(rank: int, count: int) -> Iterator[None]:
    """While this context is active, this process shows that it is alive, and ends with `LOST` if another does not.

    All enter it together. The environment says where they meet.
    """
    watch, over = SignsOfLife(rank, count), threading.Event()
    # In the store of an agent the signs of a former start may still be there.
    names = [f"dualpix-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}-{other}" for other in range(count)]
    threads = [
        threading.Thread(target=_show_and_hear, args=(watch, rank, names, over), daemon=True),
        threading.Thread(target=_look, args=(watch, count, over), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()


def _show_and_hear(watch: SignsOfLife, rank: int, names: list[str], over: threading.Event) -> None:
    """Whatever fails here, or never returns, is silence, which the other thread hears."""
    store, beats = None, 0
    while not over.wait(BEAT_S if beats else 0):
        beats += 1
        try:
            store = store or _connect()
            store.set(names[rank], f"{os.getpid()} {beats}")
            there = [other for other in watch.others if store.check([names[other]])]
            watch.hear({other: store.get(names[other]) for other in there})
        except (RuntimeError, OSError):
            store = None


def _connect() -> TCPStore:
    """A connection of its own, since the main thread may wait for hours in its."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(host, port, is_master=False, timeout=timedelta(seconds=SILENCE_S / 2))


def _look(watch: SignsOfLife, count: int, over: threading.Event) -> None:
    while not over.wait(1.0):
        if missing := watch.missing():
            who = f"process {missing[0] + 1}" if len(missing) == 1 else f"{len(missing)} processes"
            verb = "has" if len(missing) == 1 else "have"
            with suppress(OSError, ValueError, AttributeError):  # it ends, whether anybody listens or not
                sys.stderr.write(
                    f"dualpix: Of the {count} processes on several machines, {who} {verb} shown no sign of life for"
                    f" {SILENCE_S:.0f} s, so this one cannot go on; its machine or the network may be down.\n"
                )
                sys.stderr.flush()
            os._exit(LOST)  # the main thread waits in a library for what will not come, and hears of nothing
