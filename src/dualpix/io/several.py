"""Files that hold several pictures, as far as their formats know how to find them."""

from contextlib import suppress
from itertools import islice
from typing import BinaryIO

from dualpix.errors import PictureError
from dualpix.io.formats import FORMATS
from dualpix.io.headers import peek
from dualpix.io.opening import Header

MOST_PICTURES = 64  # looked for in one file


def pictures_in(file: BinaryIO) -> list[BinaryIO]:
    """The file itself, and a part for each further picture of the same size and channels. Empty where the file is no
    picture."""
    return _found_in(file)[0]


def other_sizes_in(file: BinaryIO) -> list[str]:
    """Width x height of each further picture of another size; what is declared to be a preview or a mask is none."""
    return [f"{other.width} x {other.height}" for other in _found_in(file)[1]]


def _found_in(file: BinaryIO) -> tuple[list[BinaryIO], list[Header]]:
    try:
        first = peek(file)
    except PictureError:
        return [], []
    alike, others = [file], []
    further = FORMATS[first.format].further
    for part in islice(further(file, first) if further else (), MOST_PICTURES):
        with suppress(PictureError):
            other = peek(part)
            if (other.width, other.height, other.channels) == (first.width, first.height, first.channels):
                alike.append(part)
            else:
                others.append(other)
    return alike, others
