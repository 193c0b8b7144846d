"""Where uploads lie: one folder for each server, locked while it runs, so that others know when it was left behind."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dualpix.machine.files import is_free

PREFIX, UNBORN = "dualpix-web-", ".dualpix-web-"
LOCK = "lock"


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that only this user can read, and remove it afterwards."""
    # It gets its name only once it is locked, so that no other server takes it for one that was left behind.
    unborn = Path(tempfile.mkdtemp(prefix=f"{UNBORN}{os.getpid()}-"))
    root = unborn
    try:
        with (unborn / LOCK).open("w") as lock:
            if sys.platform != "win32":
                is_free(lock)  # Without locks, nothing is swept either.
                root = unborn.rename(unborn.with_name(unborn.name.removeprefix(".")))
            uploads = root / "uploads"
            uploads.mkdir()
            yield uploads
    finally:
        shutil.rmtree(root, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of this user's servers that do not run any more, here or in another container."""
    if sys.platform == "win32":
        return  # On Windows, a folder in use cannot be recognised without touching it.
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        with suppress(OSError):
            if path.lstat().st_uid == os.getuid() and path.is_dir() and not path.is_symlink() and _is_left(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_left(path: Path) -> bool:
    try:
        lock = (path / LOCK).open()
    except FileNotFoundError:  # Earlier versions had no lock, and put the number of their process into the name.
        number = path.name.removeprefix(PREFIX).partition("-")[0]
        return number.isdecimal() and not _runs(int(number))
    with lock:
        return is_free(lock) is True


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
