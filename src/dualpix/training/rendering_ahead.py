"""Low-priority processes that render the scenes a training run will ask for next, in the order of its steps."""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

import torch

from dualpix.machine.files import LEFTOVERS
from dualpix.machine.priority import lower_priority
from dualpix.simulation.store import Rendered

AHEAD = 64  # steps whose scenes are kept ready
STALE_S = 3600.0
LEAVING_S = 1.0
# GNU's allocator would hand every large buffer back and have it emptied again for the next: a tenth of the time.
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


Order = Callable[[int], Sequence[int]]
"""From a step to the numbers of the scenes that it asks for, such as `partial(feed.scenes_at, recipe)`."""


class RenderingAhead:
    """A context in which other processes render the scenes of the next `AHEAD` steps after the one `reach` has told.

    What that step itself asks for it has, or renders. None is wanted from step `end` on. They end when their stdin
    does, however the training ends.
    """

    def __init__(self, scenes: Rendered, order: Order, start: int, end: int, count: int = 1) -> None:
        """count: of the processes; each takes its share of every step's scenes."""
        self.scenes, self.order, self.start, self.end, self.count = scenes, order, start, end, count
        self.processes: list[subprocess.Popen[bytes]] = []
        self.reached: list[queue.SimpleQueue[int | None]] = [queue.SimpleQueue() for _ in range(count)]

    def reach(self, step: int) -> None:
        """The training has come to `step`."""
        for told in self.reached:
            told.put(step)

    def __enter__(self) -> "RenderingAhead":
        for place in range(self.count):
            process = start_python("from dualpix.training.rendering_ahead import main; main()")
            self.processes.append(process)
            threading.Thread(target=self._tell, args=(process, place), daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        for process, told in zip(self.processes, self.reached, strict=True):
            told.put(None)
            process.terminate()
        deadline = time.monotonic() + LEAVING_S
        for process in self.processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:  # beside other work, one of low priority may not come to leave by itself
                process.kill()
                process.wait()

    def _tell(self, process: "subprocess.Popen[bytes]", place: int) -> None:
        """In a thread, because a pipe makes its writer wait for the reader."""
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as pipe:
            pickle.dump((self.scenes, self.order, self.start, self.end, place, self.count), pipe)
            pipe.flush()
            while (step := self.reached[place].get()) is not None:
                pipe.write(b"%d\n" % step)
                pipe.flush()


def start_python(program: str, answers: bool = False) -> "subprocess.Popen[bytes]":
    """Start another Python, which finds what this one finds, with a pipe to its stdin, and one from its stdout.

    A plain process, not one of `multiprocessing`: that would run the user's own script again, and hold an open file for
    every photograph. It reads what to do from its stdin, and has to end when that does.
    """
    places = os.pathsep.join(place or os.getcwd() for place in sys.path)
    return subprocess.Popen(
        [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if answers else None,
        env=os.environ | {"PYTHONPATH": places} | KEEPING,
        start_new_session=True,  # a Ctrl-C is not meant for it
    )


def remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files, anywhere in `folder`, of processes that were killed while they wrote."""
    for pattern in (LEFTOVERS, "*.part"):  # as they are called, and as they once were
        for unfinished in folder.rglob(pattern):
            with suppress(OSError):
                if time.time() - unfinished.stat().st_mtime > STALE_S:
                    unfinished.unlink()


def main() -> None:
    """The other process: reads what to do, then one step after another, from stdin."""
    signal.signal(signal.SIGTERM, _leave)
    torch.set_num_threads(1)
    lower_priority(5)
    scenes, order, start, end, place, count = pickle.load(sys.stdin.buffer)
    reached: list[int | None] = [start]
    threading.Thread(target=_listen, args=(sys.stdin.buffer, reached), daemon=True).start()
    with suppress(SystemExit):
        for number in _ahead_of(reached, order, start, end):
            if number % count == place and not scenes.has(number):
                scenes.render(number)
    os._exit(0)  # an orderly end would wait for the thread that reads stdin


def _ahead_of(reached: list[int | None], order: Order, start: int, end: int) -> Iterator[int]:
    """The scenes of the steps after the one reached, for as long as there is one to come."""
    step = start + 1
    while (now := reached[0]) is not None and step < end:
        if step > now + AHEAD:
            time.sleep(0.1)
            continue
        for number in order(step):
            if reached[0] is None:
                return
            yield number
        step = max(step, now) + 1


def _listen(pipe: BinaryIO, reached: list[int | None]) -> None:
    for line in pipe:
        reached[0] = int(line)
    reached[0] = None


def _leave(number: int, frame: object) -> NoReturn:
    """An exception, so that an unfinished file is deleted on the way out."""
    sys.exit()
