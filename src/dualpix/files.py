"""Write a file whole or not at all; and where to keep what can be made again."""

import locale
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEFTOVERS = ".dualpix-*.partial"
"""The names of what a killed process had not finished, as a pattern."""


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write beside `path` under a hidden name that no reader takes for the file, then rename in one step.

    Whatever happens, the file is the old one or the new one, and a link stays a link. Raises OSError if it cannot be
    written.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".dualpix-{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


_LOCALE = threading.RLock()


@contextmanager
def decimal_points() -> Iterator[None]:
    """While libraries written in C or C++ write or read a text, numbers have points, as the file's format has them,
    and not the commas that the caller's locale may ask for."""
    with _LOCALE:
        before = locale.setlocale(locale.LC_NUMERIC)
        locale.setlocale(locale.LC_NUMERIC, "C")
        try:
            yield
        finally:
            with suppress(locale.Error):
                locale.setlocale(locale.LC_NUMERIC, before)


def cache_folder() -> Path:
    """The folder in the user's cache for what takes long to find out or to make; it need not exist, and may be deleted
    at any time. Raises RuntimeError for a user without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualpix"
