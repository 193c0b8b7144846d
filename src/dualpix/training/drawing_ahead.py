"""Processes that decide simulated scenes for a device, while this one asks the device to compute them.

To decide a scene takes the CPU longer than to ask for its pictures, and Python does one of the two at a time.
"""

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress

import torch

from dualpix.machine.priority import lower_priority
from dualpix.simulation.samples import Shot, Simulated
from dualpix.training.rendering_ahead import LEAVING_S, start_python

MOST = 8
"""Processes beside one device: together they decide more scenes than it can be asked for."""


class DrawingAhead:
    """Decides scenes in other processes; it does not matter in which, nor whether one of them dies.

    Args:
        simulated: The scenes.
        count: Of the processes; with 0 a thread of this one decides them.
    """

    def __init__(self, simulated: Simulated, count: int = 0) -> None:
        self.simulated, self.closed = simulated, False
        self.ordered: queue.SimpleQueue[tuple[Sequence[int], Future[list[Shot]]] | None] = queue.SimpleQueue()
        program = "from dualpix.training.drawing_ahead import main; main()"
        self.processes = [start_python(program, answers=True) for _ in range(count)]
        served: list[subprocess.Popen[bytes] | None] = [*self.processes] if count else [None]
        self.threads = [threading.Thread(target=self._serve, args=(process,), daemon=True) for process in served]
        for thread in self.threads:
            thread.start()

    def draw(self, indices: Sequence[int]) -> "Future[list[Shot]]":
        """Order what `Simulated.shot` decides for these scenes."""
        order: Future[list[Shot]] = Future()
        self.ordered.put((indices, order))
        return order

    def close(self) -> None:
        """End the processes, whatever they are about; what is still ordered is cancelled."""
        self.closed = True
        for _ in self.threads:
            self.ordered.put(None)
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(LEAVING_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for thread in self.threads:
            thread.join(LEAVING_S)
        for process in self.processes:
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # of a process that has ended, with something left to say to it
                    if pipe:
                        pipe.close()

    def _serve(self, process: "subprocess.Popen[bytes] | None") -> None:
        answers = process is not None and self._tell(process, self.simulated)
        while (ordered := self.ordered.get()) is not None:
            indices, order = ordered
            if self.closed:
                order.cancel()
            if not order.set_running_or_notify_cancel():
                continue
            try:
                shots = self._ask(process, indices) if process is not None and answers else None
                answers = shots is not None
                order.set_result([self.simulated.shot(index) for index in indices] if shots is None else shots)
            except Exception as error:
                order.set_exception(error)

    def _ask(self, process: "subprocess.Popen[bytes]", indices: Sequence[int]) -> list[Shot] | None:
        """What a process has decided; None if it has ended, whyever: the same is then decided here."""
        if not self._tell(process, list(indices)) or process.stdout is None:
            return None
        try:
            shots: list[Shot] = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        return shots

    def _tell(self, process: "subprocess.Popen[bytes]", what: object) -> bool:
        if process.stdin is None:
            return False
        try:
            pickle.dump(what, process.stdin)
            process.stdin.flush()
        except OSError:
            return False
        return True


def main() -> None:
    """The other process: reads the simulator from stdin, then indices, and answers each with its shots, to stdout."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is printed is no answer
    torch.set_num_threads(1)
    lower_priority(5)
    simulated: Simulated = pickle.load(sys.stdin.buffer)
    with suppress(EOFError, BrokenPipeError):
        while True:
            indices = pickle.load(sys.stdin.buffer)
            pickle.dump([simulated.shot(index) for index in indices], answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
    os._exit(0)  # an orderly end would flush once more
