"""Where the time of a run goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STEPPING = ("feeding", "computing", "sharing", "updating")
"""Parts of a step: getting crops, forward and backward, meeting the other processes, moving the weights."""

PARTS = (*STEPPING, "validating", "keeping")


class Clock:
    """Seconds spent on each of PARTS since it was last read."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Count the time until the end of the block for `part`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - began

    def read(self) -> dict[str, float]:
        """The seconds of every part; they count from 0 again."""
        seconds, self.seconds = self.seconds, dict.fromkeys(PARTS, 0.0)
        return seconds
