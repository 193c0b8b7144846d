"""Standard streams that exist and accept any text, however the program was started."""

import codecs
import os
import sys
from contextlib import suppress
from typing import Any

ANY_BYTES = "dualpix"
"""The name under which `_as_bytes` is registered as a handler of encoding errors."""


def prepare() -> None:
    """Open the null device for standard streams that are closed, and let those that are open take any file name.

    Streams are closed in services and under `pythonw`; the next file that is opened would get the number of such a
    stream, and what is printed would be written into it.
    """
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
            # An ASCII locale does not mean that the terminal cannot show other letters.
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            with suppress(OSError):  # it was replaced by a file that cannot be rewound: it stays as it is
                stream.reconfigure(encoding="utf-8" if is_ascii else stream.encoding, errors=ANY_BYTES)


def _as_bytes(error: Any) -> tuple[bytes, int]:
    """Write surrogates that stand for undecodable bytes as those bytes, other characters that do not fit by number."""
    parts = [
        bytes([ord(letter) - 0xDC00]) if "\udc80" <= letter <= "\udcff" else letter.encode("ascii", "backslashreplace")
        for letter in error.object[error.start : error.end]
    ]
    return b"".join(parts), error.end
