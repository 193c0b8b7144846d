"""A low-priority process that renders the scenes a training run will ask for next, so that no step waits for one."""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

import torch

from dualpix.machine.files import LEFTOVERS
from dualpix.machine.priority import lower_priority
from dualpix.simulation.store import Rendered

AHEAD = 64  # scenes kept ready beyond the pool
STALE_S = 3600.0
# GNU's allocator would hand every large buffer back and have it emptied again for the next: a tenth of the time.
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}


class RenderingAhead:
    """A context in which another process keeps `scenes` rendered up to `AHEAD` scenes beyond where `reach` says.

    The scenes below `start` are there already; none from `end` on is wanted. A plain process, not one of
    `multiprocessing`: that would run the user's own script again, and hold an open file for every photograph. It
    learns what to do from its stdin, and ends when that does, however the training ends.
    """

    def __init__(self, scenes: Rendered, start: int, end: int) -> None:
        self.scenes, self.start, self.end = scenes, start, end
        self.wanted: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def reach(self, end: int) -> None:
        """Scenes below `end` are in use."""
        self.wanted.put(end)

    def __enter__(self) -> "RenderingAhead":
        places = os.pathsep.join(place or os.getcwd() for place in sys.path)
        warnings = [f"-W{option}" for option in sys.warnoptions]
        program = "from dualpix.training.rendering_ahead import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, *warnings, "-c", program],
            stdin=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": places} | KEEPING,
            start_new_session=True,  # a Ctrl-C is not meant for it
        )
        threading.Thread(target=self._tell, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.wanted.put(None)
        self.process.terminate()
        self.process.wait()

    def _tell(self) -> None:
        """In a thread, because a pipe makes its writer wait for the reader."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as pipe:
            pickle.dump((self.scenes, self.start, self.end), pipe)
            told = self.start
            pipe.flush()
            while (wanted := self.wanted.get()) is not None:
                if wanted != told:
                    pipe.write(b"%d\n" % wanted)
                    pipe.flush()
                    told = wanted


def remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files, anywhere in `folder`, of processes that were killed while they wrote."""
    for pattern in (LEFTOVERS, "*.part"):  # as they are called, and as they once were
        for unfinished in folder.rglob(pattern):
            with suppress(OSError):
                if time.time() - unfinished.stat().st_mtime > STALE_S:
                    unfinished.unlink()


def main() -> None:
    """The other process: reads the scenes, then one number after another, from stdin."""
    signal.signal(signal.SIGTERM, _leave)
    torch.set_num_threads(1)
    lower_priority(5)
    scenes, start, end = pickle.load(sys.stdin.buffer)
    reached: list[int | None] = [start]
    threading.Thread(target=_listen, args=(sys.stdin.buffer, reached), daemon=True).start()
    with suppress(SystemExit):
        _render(scenes, start, end, reached)
    os._exit(0)  # an orderly end would wait for the thread that reads stdin


def _render(scenes: Rendered, done: int, end: int, reached: list[int | None]) -> None:
    while (wanted := reached[0]) is not None and done < end:
        if done >= wanted + AHEAD:
            time.sleep(0.1)
            continue
        if not scenes.has(done):
            scenes.render(done)
        done += 1


def _listen(pipe: BinaryIO, reached: list[int | None]) -> None:
    for line in pipe:
        reached[0] = int(line)
    reached[0] = None


def _leave(number: int, frame: object) -> NoReturn:
    """An exception, so that an unfinished file is deleted on the way out."""
    sys.exit()
