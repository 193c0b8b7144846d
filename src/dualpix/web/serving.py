"""Run the page: a socket, a folder for uploads that is removed afterwards, and a server between them."""

import math
import os
import re
import signal
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from types import FrameType
from typing import Any, NamedTuple

import uvicorn

from dualpix.errors import MachineError, option
from dualpix.inference.options import DeblurOptions
from dualpix.web.app import create_app
from dualpix.web.connections import Connection
from dualpix.web.folders import folder, sweep
from dualpix.web.guard import LOOPBACK, Guard, is_address, name_in
from dualpix.web.jobs import Jobs
from dualpix.web.limits import Limits
from dualpix.weights import checkpoint

NAME = re.compile(r"[a-z0-9_.-]+")
ANYWHERE = ("0.0.0.0", "::")
GENTLE = ("SIGTERM", "SIGHUP")
"""Signals that ask a process to end and leave it time to finish; there is no SIGHUP on Windows."""


class Ended(NamedTuple):
    """How serving ended: the exit code, and whether all work came to rest; if not, a thread still computes."""

    code: int
    is_at_rest: bool


def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    weights: str | None = None,
    options: DeblurOptions | None = None,
    *,
    limits: Limits | None = None,
    open_browser: bool = False,
    behind: Iterable[str] = (),
    ready: Callable[[str], None] = lambda address: None,
) -> Ended:
    """Serve until interrupted.

    Asked to terminate, it finishes what runs and waits for results to be fetched, for `limits.stop_s` at most; what has
    not begun ends with a sentence.

    Args:
        host: The address to listen at.
        port: The port; 0 takes any that is free.
        weights: As `deblur` takes them.
        options: How pictures are made.
        limits: What visitors may use.
        open_browser: Open the page in a browser.
        behind: Names (NAME or NAME:PORT) of servers that pass requests on to this one.
        ready: Called with the address once it can be used.

    Raises:
        MachineError: The server cannot listen there.
        CheckpointError: The weights cannot be used.
    """
    limits = limits or Limits()
    names = known_names(behind)
    is_at_rest = True

    def work() -> None:
        nonlocal is_at_rest
        sweep()
        with bound(host, port) as listening, folder() as root:
            opened = checkpoint.load(weights or checkpoint.DEFAULT_WEIGHTS)
            jobs = Jobs(root, opened, options, limits)
            try:
                at, number = listening.getsockname()[:2]
                app = create_app(jobs, LOOPBACK | names_of(host), any_address=at in ANYWHERE, behind=names)
                server = Server(configure(app, limits), app, jobs)
                address = address_of(at if at in ANYWHERE else host, number)

                def tell() -> None:
                    ready(address)
                    if open_browser:
                        webbrowser.open(address)

                server.on_start = tell
                server.run(sockets=[listening])
            finally:
                is_at_rest = jobs.close()

    return Ended(run(work), is_at_rest)


def configure(app: Any, limits: Limits) -> uvicorn.Config:
    """Return the server's settings. Our own log has the errors, without a traceback for each visitor that left."""
    return uvicorn.Config(
        app,
        http=type("Connection", (Connection,), {"limits": limits}),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, math.ceil(limits.head_s)),
        timeout_graceful_shutdown=2,
    )


class Server(uvicorn.Server):
    """Reports that it has started, and ends in two steps: first no new work, then no more requests."""

    on_start: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, config: uvicorn.Config, app: Guard, jobs: Jobs) -> None:
        super().__init__(config)
        self._app, self._jobs = app, jobs
        self._ends_s: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and call `on_start`."""
        await super().startup(sockets)
        self.on_start()

    async def on_tick(self, counter: int) -> bool:
        """End once all work is done, or the time for it is over."""
        if self._ends_s is not None and (self._jobs.is_at_rest or time.monotonic() > self._ends_s):
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End uploads under way, then everything else."""
        self._app.stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGHUP as uvicorn handles SIGTERM, unless it is ignored."""
        with super().capture_signals():
            hangup = getattr(signal, "SIGHUP", None)
            if hangup is None or not is_heeded(hangup):
                yield
                return
            before = signal.signal(hangup, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(hangup, before)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first request to terminate starts the end; a second one, or Ctrl-C, ends at once."""
        if sig == signal.SIGINT or self._ends_s is not None:
            super().handle_exit(sig, frame)
            return
        self._captured_signals.append(sig)
        self._ends_s = time.monotonic() + self._jobs.limits.stop_s
        threading.Thread(target=self._jobs.wind_up, daemon=True).start()  # This thread may hold the lock already.


def run(server: Callable[[], None]) -> int:
    """Run a server until it ends, is interrupted, or is asked to terminate, and return the exit code that says which.

    All ends leave through the same clean-up.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    heeded = [getattr(signal, name) for name in GENTLE if hasattr(signal, name)]
    before = {number: signal.signal(number, leave) for number in heeded if is_heeded(number)}
    try:
        server()
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def is_heeded(number: int) -> bool:
    """Whether this signal can be handled here, and is not ignored, as SIGHUP is under nohup."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(number) not in (signal.SIG_IGN, None)


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """Open a socket that listens at that address. Raises MachineError that says what to do."""
    if not host.strip():
        raise MachineError(
            f"The address to listen at is empty; give one, such as 127.0.0.1, or leave {option('host', None)} out."
        )
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with listening:
        if os.name == "posix":  # Elsewhere this would let two servers share the port.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen(128)  # Until then another server could take the port.
        except (OSError, UnicodeError, TypeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MachineError(
                f"The server cannot listen on {host}, port {port}: {reason}; choose another {option('port', None)}, or"
                " stop the program that uses this one."
            ) from None
        yield listening


def address_of(host: str, port: int) -> str:
    """Return what to type into a browser.

    Example:
        >>> address_of("0.0.0.0", 8000), address_of("::1", 8000)
        ('http://127.0.0.1:8000/', 'http://[::1]:8000/')
    """
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def names_of(host: str) -> frozenset[str]:
    """Return the names by which others may call a server on `host`."""
    if host not in ANYWHERE:
        return frozenset({name_in(f"[{host}]" if ":" in host else host)} - {""})
    own = socket.gethostname().lower()
    return frozenset({own, own.partition(".")[0], f"{own.partition('.')[0]}.local"})


def known_names(behind: Iterable[str]) -> frozenset[str]:
    """Return names that requests may carry, in lower case. Raises MachineError for what cannot be a name."""
    names = frozenset(name.strip().lower() for name in behind)
    for name in sorted(names):
        if not (is_address(name_in(name)) or NAME.fullmatch(name_in(name))):
            raise MachineError(
                f"{name[:100]!r} cannot be a name of this server; give one without http://, path and *, such as "
                "photos.example.org."
            )
    return names


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server at that address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
