"""Connect to a Ray cluster, or start one on this machine: quietly, with nothing reported, and with reasons if not."""

import logging
import os
import re
import secrets
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from dualpix.errors import MachineError, how_to_install, option, reason_of
from dualpix.machine import limits

LOCAL, AUTO = "local", "auto"
OBJECT_STORE_BYTES = 200 * 2**20
"""What Ray keeps rows in, on this machine alone; they hold paths and numbers."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # reports to nobody
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
"""Settings of Ray that are made unless the user did; the first one in any case."""

PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
NO_PROXY = "http://127.0.0.1:9"
"""An address of this machine where nothing answers."""

TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
AUTH = ("RAY_AUTH_MODE", *TOKENS)

SHOWN = "_worker_logs_enabled"
"""Ray's own switch for what it prints of its nodes and workers."""

VERSIONS = re.compile(r"\bRay: (\S+) Python: (\S+)")
"""Those of the cluster and then of this process, in what Ray says of them."""

HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # RFC 9113, 3.4, and empty SETTINGS


def connect(address: str) -> None:
    """Connect this process to the cluster at `address`; see `on_ray.Cluster`, also for what is raised."""
    ray = _import_ray()
    where: dict[str, Any] = {"address": address}
    kept = proxies()
    if address == LOCAL:
        # Ray asks the services of three clouds where it runs, even if it is to report nothing.
        os.environ.update(dict.fromkeys(PROXIES, NO_PROXY))
        where |= {"num_cpus": limits.cores(), "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    elif address != AUTO:
        _check_answer(address)
    failures = (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError, OSError, TimeoutError)
    try:
        with token_for(address), _without_chatter(), _refusals_told():
            ray.init(**where, log_to_driver=False, logging_level="ERROR")
    except failures as error:
        raise MachineError(_why_not(address, error)) from error
    finally:
        restore_proxies(kept)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """SIGTERM or a terminal that is closed ends this process by SystemExit, so that what Ray started ends with it."""
    before = {number: signal.getsignal(number) for number in _ending()}
    end_in_order()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_in_order() -> None:
    """Let those signals raise SystemExit, as Ctrl-C raises KeyboardInterrupt."""
    for number in _ending():
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def _ending() -> list[signal.Signals]:
    """SIGTERM, and SIGHUP if nohup does not ignore it; none in a thread that may not ask for signals."""
    if threading.current_thread() is not threading.main_thread():
        return []
    hang_up: Any = getattr(signal, "SIGHUP", None)
    hears = hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN
    return [signal.SIGTERM, hang_up] if hears else [signal.SIGTERM]


def restore_proxies(kept: Mapping[str, str]) -> None:
    """Give this process, if `connect` took its proxies, those back."""
    for name in PROXIES:
        if os.environ.get(name) == NO_PROXY:
            del os.environ[name]
            os.environ.update({name: kept[name]} if name in kept else {})


def proxies() -> dict[str, str]:
    """Those of this process."""
    return {name: os.environ[name] for name in PROXIES if name in os.environ}


def _import_ray() -> Any:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ["RAY_USAGE_STATS_ENABLED"] = QUIET["RAY_USAGE_STATS_ENABLED"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray's own code; ours are shown
            import ray
            import ray.data
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # which importing it has set otherwise
    except ImportError as error:
        raise MachineError(f"{option('ray', None)} needs Ray ({reason_of(error)}); {how_to_install('ray')}.") from error
    return ray


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Ray's part in C++ writes to the standard error of this process as it starts; what matters is raised."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def without_messages() -> Iterator[None]:
    """Ray prints what it notices of the cluster's nodes, in paragraphs, between what this process prints."""
    worker = sys.modules.get("ray._private.worker")  # nothing public does it
    before = getattr(worker, SHOWN, None)
    if before is not None:
        setattr(worker, SHOWN, False)
    try:
        yield
    finally:
        if before is not None:
            setattr(worker, SHOWN, before)


@contextmanager
def token_for(address: str) -> Iterator[None]:
    """Show a cluster this user's token, if there is one; a cluster for one run alone has one of its own.

    Ray would write such a token to `~/.ray`, which may not be writable, and from then on `ray start --head` would ask
    for it. What the user sets is left alone.
    """
    before = {name: os.environ.get(name) for name in AUTH}
    if not any(before.values()) and address == LOCAL:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    elif before["RAY_AUTH_MODE"] is None and address != LOCAL and _has_token():
        os.environ["RAY_AUTH_MODE"] = "token"
    _look_at_token_again()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


def _has_token() -> bool:
    return any(name in os.environ for name in TOKENS) or Path("~/.ray/auth_token").expanduser().exists()


def _look_at_token_again() -> None:
    """Ray reads these variables once in a process, which may have been for another cluster."""
    with suppress(ImportError, AttributeError):  # nothing public does it
        raylet: Any = import_module("ray._raylet")
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _refusals_told() -> Iterator[None]:
    """Ray says of a cluster that refuses a token no more than that connecting failed; asked again, it says why."""
    try:
        yield
    except ConnectionError as error:
        if where := re.search(r"\S+:\d+", str(error)):
            with suppress(ImportError, ConnectionError, RuntimeError):
                raylet: Any = import_module("ray._raylet")
                raylet.GcsClient(address=where[0])  # raises AuthenticationError
        raise


def _check_answer(address: str) -> None:
    """Raise MachineError if no gRPC server is at HOST:PORT, which Ray would wait for for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise MachineError(
            f"{address} is not the address of a Ray cluster; give HOST:PORT of its head, such as 10.0.0.1:6379,"
            f" {AUTO} for that of this machine, or nothing for this machine alone."
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as connection:
            connection.sendall(HTTP2_HELLO)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise MachineError(_nothing_at(address, reason_of(error))) from error
    if answer[3:4] != b"\4":  # the first frame of a server must be SETTINGS
        raise MachineError(_nothing_at(address, "something else answers"))


def _nothing_at(address: str, reason: str) -> str:
    return (
        f"There is no Ray cluster at {address} ({reason}); start one there with `ray start --head`, or give"
        f" {option('ray', None)} no address to use this machine alone."
    )


def _why_not(address: str, error: Exception) -> str:
    told = " ".join(str(error).split())
    if "Version mismatch" in told:
        known = [f"Ray {ray} with Python {python}" for ray, python in VERSIONS.findall(told)]
        versions = " and not ".join(known) if len(known) == 2 else f"other versions than this process ({told[:400]})"
        return f"The Ray cluster at {address} runs {versions}; install the same ones here and on every node."
    if any("auth" in type(cause).__name__.lower() for cause in causes(error)):
        return (
            f"The Ray cluster at {address} asks for a token, and this process has none or another; put the file"
            " ~/.ray/auth_token of its head at the same place on every node, or start all of it with"
            " RAY_AUTH_MODE=disabled where the network can be trusted."
        )
    return _nothing_at(address, reason_of(error))


def causes(error: BaseException | None) -> Iterable[BaseException]:
    """An error, and what led to it, on whichever machine."""
    while error is not None:
        yield error
        error = getattr(error, "cause", None) or error.__cause__
