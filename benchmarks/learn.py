"""A training that never stops, in the background: one core, lowest priority, everything under one folder.

    python benchmarks/learn.py start     start it or go on with it; says so if it runs
    python benchmarks/learn.py status    what it has come to
    python benchmarks/learn.py stop      end it; everything is kept
    python benchmarks/learn.py run       in the foreground

`benchmarks/learn.toml` says what it does, `docs/train.md` how.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from learning import lock
from learning.priority import make_way
from learning.progress import progress
from learning.settings import Settings, SettingsError, read_settings

HOME = Path(__file__).resolve().parents[1]
FIRST_S = 1.0
PATIENCE_S = 900.0
"""A step, a checkpoint and a validation, where everything else goes first."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["start", "run", "status", "stop"])
    parser.add_argument("--settings", type=Path, default=HOME / "benchmarks" / "learn.toml", metavar="FILE.toml")
    parser.add_argument("--lock", type=int, help=argparse.SUPPRESS)  # the locked file, inherited from `start`
    given = parser.parse_args()
    path = given.settings.resolve()
    os.chdir(HOME)
    try:
        settings = read_settings(path)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    if given.what == "start":
        return start(settings, path)
    if given.what == "run":
        return run(settings, path, given.lock)
    if given.what == "stop":
        return stop(settings)
    try:
        print(progress(settings), flush=True)
    except BrokenPipeError:  # as under `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at its end
    return 0


def start(settings: Settings, path: Path) -> int:
    """Take the lock and hand it to a process of its own session: two starts at once make one training."""
    file = lock.take(settings.folder)
    if file is None:
        return _already(settings)
    log = settings.folder / "learn.log"
    command = [sys.executable, str(Path(__file__).resolve()), "run", "--settings", str(path), "--lock", str(file)]
    with log.open("ab") as written:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[file],
        )
    lock.sign(file, process.pid)
    try:
        code = process.wait(FIRST_S)
    except subprocess.TimeoutExpired:
        print(f"Started, process {process.pid}; what it does is in {log} and in `make learn-status`.")
        return 0
    print(f"It ended at once, with exit code {code}; {log} says why.", file=sys.stderr)
    return 1


def run(settings: Settings, path: Path, file: int | None) -> int:
    file = lock.take(settings.folder) if file is None else file
    if file is None:
        return _already(settings)
    os.set_inheritable(file, False)  # what this process starts must not keep the lock
    lock.sign(file, os.getpid())
    (settings.folder / "stop").unlink(missing_ok=True)
    make_way(settings.nice, settings.idle, settings.one_core)
    # Before PyTorch is loaded, and for all processes that this one starts.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    from learning.driver import Driver

    Driver(path).run()
    return 0


def stop(settings: Settings) -> int:
    process = lock.holder(settings.folder)
    if process is None:
        print("It does not run.")
        return 0
    (settings.folder / "stop").touch()
    deadline = time.monotonic() + PATIENCE_S
    signalled = 0
    while (process := lock.holder(settings.folder)) is not None:
        if process and process != signalled:
            print(f"Stopping process {process} after its step ...", flush=True)
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
            signalled = process
        if time.monotonic() > deadline:
            print(f"Process {process} has been told to stop, but has not yet.", file=sys.stderr)
            return 1
        time.sleep(0.2)
    print("Stopped; everything is kept. `make learn` goes on with it.")
    return 0


def _already(settings: Settings) -> int:
    print(f"It is running, process {lock.holder(settings.folder) or '?'}; see `make learn-status`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
