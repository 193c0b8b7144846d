"""Start a training in several processes on this machine, as torchrun would, but with one voice.

One Ctrl-C makes all stop after the same step. An error in one ends all, and is reported once.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from dualpix.errors import MachineError

PATIENCE_S = 30.0
"""How long the others have to notice that one has failed, before they are ended too."""

LINES_KEPT = 1000


def launch(count: int, argv: Sequence[str], program: Sequence[str] = ("-m", "dualpix")) -> int:
    """Run `python -m dualpix *argv` in `count` processes that train together, and return their exit code.

    The environment tells each its place (RANK, WORLD_SIZE, ...), by which `train` knows that it is one of several.
    What the first prints is seen as it comes; of the others only errors are, when all have ended. Signals are passed
    on. Raises `MachineError` if a process was ended from outside, as the system does when memory runs out.
    """
    running: list[_Running] = []
    with _pass_on_signals(running):
        port = _free_port()
        for rank in range(count):
            running.append(_Running([sys.executable, *program, *argv], rank, count, port))
        _wait(running)
    shown = running[0].text()
    for failed in (one for one in running if one.process.returncode):
        if failed.text() not in shown:
            _show(failed.text())
            shown += failed.text()
    codes = [one.process.returncode for one in running]
    killed = [rank for rank, code in enumerate(codes) if code == -9 and not running[rank].ended_by_us]
    if killed:
        raise MachineError(
            f"Process {killed[0] + 1} of {count} was ended by the system, perhaps because memory ran out;"
            " use fewer processes, or a smaller batch or crop."
        )
    return next((abs(code) for code in codes if code), 0)


def _show(text: str) -> None:
    """On stderr, if anybody listens: nobody may be left waiting for the reader of a pipe because of it."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()


QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}
"""Or PyTorch warns, in lines of its own, where a machine's name leads to no address."""


class _Running:
    """One process, and the last lines of what it wrote to stderr. Its session is its own: signals come from us only."""

    def __init__(self, command: Sequence[str], rank: int, count: int, port: int) -> None:
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.ended_by_us = False
        self.process = subprocess.Popen(
            command,
            env=QUIET | os.environ | {name: str(value) for name, value in (places | meeting).items()},
            stdout=None if rank == 0 else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, args=(rank == 0,), daemon=True)
        self.reader.start()

    def text(self) -> str:
        return "".join(self.lines)

    def end(self) -> None:
        self.ended_by_us = True
        self.process.kill()

    def _read(self, aloud: bool) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            for line in pipe:
                self.lines.append(line)
                if aloud:
                    _show(line)


def _wait(running: Sequence[_Running]) -> None:
    """Until all have ended; once one has failed, the others have `PATIENCE_S` left."""
    deadline = float("inf")
    while any(one.process.poll() is None for one in running):
        if deadline == float("inf") and any(one.process.poll() for one in running):
            deadline = time.monotonic() + PATIENCE_S
        if time.monotonic() > deadline:
            for one in running:
                one.end()
        time.sleep(0.05)
    for one in running:
        one.reader.join(1.0)


@contextmanager
def _pass_on_signals(running: Sequence[_Running]) -> Iterator[None]:
    def pass_on(number: int, frame: object) -> None:
        for one in running:
            with suppress(ProcessLookupError):
                one.process.send_signal(number)

    numbers = [signal.SIGINT, signal.SIGTERM, *hang_up()]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hang_up() -> list[signal.Signals]:
    """The signal of a terminal that is closed, where there is one and nohup has not said to go on without it."""
    number = getattr(signal, "SIGHUP", None)
    return [number] if number is not None and signal.getsignal(number) != signal.SIG_IGN else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
