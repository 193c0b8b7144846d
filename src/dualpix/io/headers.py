"""What a picture file declares about itself: its first bytes are read, and an absurd size is refused before decoding.

Formats are told apart by content, not by name; animations and films are refused.
"""

from typing import BinaryIO

from dualpix.io.formats import format_of, names_of_formats
from dualpix.io.opening import START_BYTES, Header, refuse


def peek(file: BinaryIO) -> Header:
    """Read the header of an open picture file, without decoding anything.

    Raises:
        PictureError: The file is empty, or not of a format that can be read; the message names the file and, where it
            is known, its format.
    """
    file.seek(0)
    start = file.read(START_BYTES)
    if not start:
        refuse(file, "is empty (0 bytes); copy it again")
    if kind := format_of(start):
        file.seek(0)
        return kind.read_header(file)
    other = stranger(start)
    named = f" (it looks like {other})" if other else ""
    refuse(file, f"is not a {names_of_formats()} file{named}; convert it to one of these, 16-bit if possible")


def stranger(start: bytes) -> str | None:
    """The format of a file with these first 16 bytes, if it is a common one that cannot be read; None otherwise."""
    return next((name for at, mark, name in STRANGERS if start[at:].startswith(mark)), None)


# (offset, bytes found there, name): common formats that cannot be read, to be named in the error message.
STRANGERS = [
    (4, b"ftypcrx", "a Canon CR3 raw file"),
    (4, b"ftyp", "a video"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"8BPS", "Photoshop"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"P1", "PBM"),
    (0, b"P4", "PBM"),
    (0, b"P7", "PAM"),
    (0, b"PF\n", "PFM"),
    (0, b"Pf\n", "PFM"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"%PDF", "PDF"),
]
