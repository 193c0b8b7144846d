"""Run the page: a socket, a folder for uploads that is gone afterwards, and a server between them."""

import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dualpix import checkpoint, runners
from dualpix.errors import MachineError
from dualpix.planning import parse_memory
from dualpix.web.app import create_app
from dualpix.web.desk import Desk
from dualpix.web.guard import LOOPBACK, name_in
from dualpix.web.refusals import Limits

PREFIX = "dualpix-web-"
ANYWHERE = ("0.0.0.0", "::")


class Ended(NamedTuple):
    """How serving ended: the exit code, and whether all work came to rest; if not, a thread still computes."""

    code: int
    is_at_rest: bool


def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    weights: str | None = None,
    memory: str | None = None,
    *,
    engine: str = "auto",
    precision: str = "auto",
    limits: Limits | None = None,
    open_browser: bool = False,
    ready: Callable[[str], None] = lambda address: None,
) -> Ended:
    """Serve until interrupted; `ready` is called with the address. `port` 0 takes any that is free.

    Raises MachineError if the port cannot be had, and CheckpointError for the weights.
    """
    limits = limits or Limits()
    if memory is not None:
        parse_memory(memory)
    runners.check(engine, precision, "auto")
    with bound(host, port) as listening, folder() as root:
        opened = checkpoint.load(weights or checkpoint.DEFAULT_WEIGHTS)
        desk = Desk(root, opened, memory, limits, engine=engine, precision=precision)
        try:
            app = create_app(desk, LOOPBACK | names_of(host), any_address=host in ANYWHERE)
            server = _Server(configure(app, limits))
            address = address_of(host, listening.getsockname()[1])

            def tell() -> None:
                ready(address)
                if open_browser:
                    webbrowser.open(address)

            server.on_start = tell
            code = run(lambda: server.run(sockets=[listening]))
        finally:
            is_at_rest = desk.close()
    return Ended(code, is_at_rest)


def configure(app: Any, limits: Limits) -> uvicorn.Config:
    """The server's settings."""
    protocol = type("Punctual", (_Punctual,), {"head_s": limits.head_s})
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=2,
    )


class _Server(uvicorn.Server):
    """Tells when it has started."""

    on_start: Callable[[], object] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_start()


class _Punctual(H11Protocol):
    """Closes a connection on which no request has begun after `head_s`, as one that sends it letter by letter."""

    head_s = 10.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(self.head_s, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None and self.transport is not None:
            self.transport.close()


def run(server: Callable[[], None]) -> int:
    """Run until it ends or is interrupted, or asked to terminate, which unwinds in the same way; returns the exit code
    that says so."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number)) if is_main else None
    try:
        server()
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
    return 0


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to that address. Raises MachineError with what to do."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with listening:
        if os.name == "posix":  # Elsewhere this would let two servers share the port.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise MachineError(
                f"The server cannot listen on {host}, port {port}: {error.strerror or error}; choose another --port, "
                "or stop the program that uses this one."
            ) from None
        yield listening


def address_of(host: str, port: int) -> str:
    """What to type into a browser."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def names_of(host: str) -> frozenset[str]:
    """The names a server on `host` may be called by, besides those of this machine for itself."""
    if host not in ANYWHERE:
        return frozenset({name_in(f"[{host}]" if ":" in host else host)})
    own = socket.gethostname().lower()
    return frozenset({own, own.partition(".")[0], f"{own.partition('.')[0]}.local"})


@contextmanager
def folder() -> Iterator[Path]:
    """A folder only this user can read, removed afterwards; those that killed servers left behind are removed first."""
    sweep()
    root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of this user's servers that no longer run."""
    if os.name != "posix":
        return  # Only here can one ask about a process without touching it.
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        number = path.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not _runs(int(number)) and path.lstat().st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
