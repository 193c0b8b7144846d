"""Standard streams that are there and take any text, whatever the program was started with."""

import codecs
import os
import sys
from contextlib import suppress
from typing import Any

ANY_BYTES = "dualpix"
"""The name of `_as_bytes` among Python's ways to meet text that an encoding cannot write."""


def prepare() -> None:
    """Give the null device the place of streams that are closed, as in services and under `pythonw`, lest the next file
    that is opened takes their number; and let those that are open take file names in any bytes."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    codecs.register_error(ANY_BYTES, _as_bytes)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A locale that knows no letters says nothing of the terminal, which knows them.
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            with suppress(OSError):  # its file was exchanged for one that cannot be wound back: it stays as it is
                stream.reconfigure(encoding="utf-8" if is_ascii else stream.encoding, errors=ANY_BYTES)


def _as_bytes(error: Any) -> tuple[bytes, int]:
    """What stands for a byte that is no text goes out as that byte; what the terminal cannot show, by its number."""
    parts = [
        bytes([ord(letter) - 0xDC00]) if "\udc80" <= letter <= "\udcff" else letter.encode("ascii", "backslashreplace")
        for letter in error.object[error.start : error.end]
    ]
    return b"".join(parts), error.end
