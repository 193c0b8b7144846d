"""Write a file whole or not at all, read JSON that anyone may have written, and where to keep what can be made anew."""

import json
import locale
import math
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text from a file.

    Raises ValueError for whatever is not JSON, and for what Python's reader takes in its own way: nesting too deep, an
    object with a key given twice, and numbers such as 1e999, which would become infinite.
    """
    try:
        return json.loads(text, parse_float=_finite, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def cache_folder() -> Path:
    """The folder in the user's cache for what takes long to find out or to make; it need not exist, and may be deleted
    at any time. Raises RuntimeError for a user without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dualpix"
