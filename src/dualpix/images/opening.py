"""What every header reader shares: the record it fills in, and how it reads on or refuses."""

import io
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

from dualpix.errors import PictureError

ACCEPTED = "PNG, TIFF, JPEG, WebP, JPEG XL, PGM or PPM"


@dataclass(frozen=True)
class Header:
    """`channels` 1 to 4 (2 and 4 carry alpha); `depth` 8 or 16 bits, 16 for floating-point samples too.

    `orientation` is that of the header itself, which only JPEG XL has; elsewhere it is a matter of the metadata.
    `notes`: what is odd about it though it can be read; half sentences, to follow the name of the file.
    """

    format: str
    width: int
    height: int
    channels: int
    depth: int
    orientation: int = 1
    notes: tuple[str, ...] = ()


def refuse(file: BinaryIO, what: str) -> NoReturn:
    """Raise PictureError: the file's name, then `what` is wrong with it."""
    raise PictureError(f"{file.name} {what}.")


def exactly(file: BinaryIO, count: int) -> bytes:
    """The next `count` bytes; PictureError if the file ends before."""
    data = file.read(count)
    if len(data) < count:
        refuse(file, "is cut short; copy it again")
    return data


class Part(io.BytesIO):
    """A part of a file that is itself a file of another kind; what is wrong with it is told of the whole."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name
