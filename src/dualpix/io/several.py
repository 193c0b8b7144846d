"""Files that hold several pictures, for the formats that can find them."""

from contextlib import suppress
from itertools import islice
from typing import BinaryIO

from dualpix.errors import PictureError
from dualpix.io.formats import FORMATS
from dualpix.io.headers import peek
from dualpix.io.opening import Header

MOST_PICTURES = 64  # looked for in one file


def count_in_words(pictures: int) -> str:
    """A number of pictures found in a file, where not all may have been looked for."""
    return f"more than {MOST_PICTURES}" if pictures > MOST_PICTURES else str(pictures)


def pictures_in(file: BinaryIO) -> list[BinaryIO]:
    """The pictures of a file that are as large as its first, as open files; the first of them is `file` itself.

    Pictures with another number of channels do not count. Empty where the file is not a readable picture.
    """
    return _found_in(file)[0]


def other_sizes_in(file: BinaryIO) -> list[str]:
    """Sizes, "WIDTH x HEIGHT", of the further pictures of another size; declared previews and masks do not count."""
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
