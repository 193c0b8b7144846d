"""One training for each folder: who holds the lock runs it. The system lets go of it when the holder has ended, however
that came about; the process number in the file is only for people."""

import fcntl
import os
import time
from pathlib import Path

PATIENCE_S = 2.0


def take(folder: Path) -> int | None:
    """The locked file, open, for this process or one that inherits it; None if another has it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            # It may be one that only looks, for a moment.
            if time.monotonic() > deadline:
                os.close(file)
                return None
            time.sleep(0.05)


def sign(file: int, process: int) -> None:
    """Write the process number of the holder."""
    os.ftruncate(file, 0)
    os.pwrite(file, b"%d\n" % process, 0)


def holder(folder: Path) -> int | None:
    """The process number of the holder, 0 if it has not signed yet; None if there is no holder."""
    try:
        file = os.open(folder / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return int(os.read(file, 20).strip() or 0)
    finally:
        os.close(file)
