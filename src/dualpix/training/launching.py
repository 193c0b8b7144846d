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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from dualpix.errors import MachineError

LOST = 75
"""What a process ends with that has lost another: EX_TEMPFAIL of sysexits.h, "try again"."""

PATIENCE_S = 30.0
"""How long the others have to notice that one has failed, before they are ended too."""

LINES_KEPT = 1000


def launch(count: int, argv: Sequence[str], program: Sequence[str] = ("-m", "dualpix")) -> int:
    """Run `python -m dualpix *argv` in `count` processes that train together, and return their exit code.

    The environment tells each its place (RANK, WORLD_SIZE, ...), by which `train` knows that it is one of several.
    What the first prints is seen as it comes; of the others only errors are, when all have ended. Signals are passed
    on. Raises `MachineError` if a process was ended from outside, as the system does when memory runs out.
    """
    running: list[Running] = []
    heard: list[int] = []
    with pass_on_signals(running, heard.append):
        meeting: dict[str, object] = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        for rank in range(count):
            places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
            running.append(Running([sys.executable, *program, *argv], places | meeting, heard=rank == 0))
            if heard:  # maybe before this one stood in the list
                running[-1].process.send_signal(heard[-1])
        wait_for(running)
    show_errors(running)
    codes = [one.process.returncode for one in running]
    killed = [rank for rank, code in enumerate(codes) if code == -9 and not running[rank].ended_by_us]
    if killed:
        raise MachineError(
            f"Process {killed[0] + 1} of {count} was ended by the system, perhaps because memory ran out;"
            " use fewer processes, or a smaller batch or crop."
        )
    causes = sorted((abs(code) for code in codes if code), key=lambda code: code == LOST)
    return causes[0] if causes else 0


def show_errors(running: Sequence["Running"]) -> None:
    """Of those that have failed, apart from the first, which was heard as it spoke; each text once."""
    shown = running[0].text()
    for failed in sorted((one for one in running if one.process.returncode), key=lambda one: one.lost):
        if failed.text() not in shown:
            _show(failed.text())
            shown += failed.text()


def _show(text: str) -> None:
    """On stderr, if anybody listens: nobody may be left waiting for the reader of a pipe because of it."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()


QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}
"""Or PyTorch warns, in lines of its own, where a machine's name leads to no address."""


class Running:
    """One process, and the last lines of what it wrote to stderr. Its session is its own: signals come from us only.

    environment: added to that of this process. heard: whether its lines are shown as they come. prints: whether its
    standard output is; by default as its lines are.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, object], heard: bool, prints: bool | None = None
    ) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.ended_by_us = False
        self.process = subprocess.Popen(
            command,
            env=QUIET | os.environ | {name: str(value) for name, value in environment.items()},
            stdout=None if (heard if prints is None else prints) else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.reader = threading.Thread(target=self._read, args=(heard,), daemon=True)
        self.reader.start()

    @property
    def lost(self) -> bool:
        """Whether it ended because it had lost another one."""
        return self.process.returncode == LOST

    def text(self) -> str:
        """The last lines that it wrote to stderr."""
        return "".join(self.lines)

    def end(self) -> None:
        """At once."""
        self.ended_by_us = True
        self.process.kill()

    def _read(self, aloud: bool) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            for line in pipe:
                self.lines.append(line)
                if aloud:
                    _show(line)


def wait_for(running: Sequence[Running], look: Callable[[], None] = lambda: None) -> None:
    """Until all have ended; once one has failed, the others have `PATIENCE_S` left. look: called in between."""
    deadline = float("inf")
    while any(one.process.poll() is None for one in running):
        look()
        if deadline == float("inf") and any(one.process.poll() for one in running):
            deadline = time.monotonic() + PATIENCE_S
        if time.monotonic() > deadline:
            for one in running:
                one.end()
        time.sleep(0.05)
    for one in running:
        one.reader.join(1.0)


@contextmanager
def pass_on_signals(running: Sequence[Running], hear: Callable[[int], None] = lambda number: None) -> Iterator[None]:
    """While this context is active, signals that end a program go to those that run. hear: is told of every signal."""

    def pass_on(number: int, frame: object) -> None:
        hear(number)
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


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
