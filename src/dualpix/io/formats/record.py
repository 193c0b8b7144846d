"""What a format of picture files is made of: all that reading, writing, the page, the help and the docs ask of one."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, NamedTuple

from numpy.typing import NDArray

from dualpix.io.colours import Told
from dualpix.io.metadata import Found, Metadata
from dualpix.io.opening import Header
from dualpix.io.texts import Text

Order = Literal["<", ">"]
Size = tuple[int, int]
"""Width and height."""


class Noted(NamedTuple):
    """Decoded levels, and what only decoding has shown to be odd: half sentences, to follow the name of the file."""

    levels: NDArray[Any]
    notes: tuple[str, ...]


def takes_no_text(text: Text) -> bool:
    """For formats that have no place for texts."""
    return False


@dataclass(frozen=True)
class Output:
    """How pictures are written into files of these `endings`, the usual one first.

    encode: H x W or H x W x 3 unsigned integers to the bytes of a file, in the byte order of its EXIF block, where that
    makes a difference. embed: puts metadata that it can hold into such a file; None where it can hold none.

    bits: per channel; channels: 1 where grey is written as such, 3 where colour is; longest_side_px: of the encoder;
    about: how, for the docs.

    Which metadata it holds: texts (those that `takes_text` says yes to), IPTC, an orientation that readers obey, pixels
    per inch in a place of its own, profiles other than sRGB. `fit`: cuts down what is too long, given the size of the
    picture, and says in a sentence what had to go.
    """

    endings: tuple[str, ...]
    encode: Callable[[NDArray[Any], Order], bytes]
    embed: Callable[[bytes, Metadata], bytes] | None = None
    bits: tuple[int, ...] = (8, 16)
    channels: tuple[int, ...] = (1, 3)
    longest_side_px: int = 2**31 - 1
    about: str = ""
    takes_text: Callable[[Text], bool] = takes_no_text
    takes_iptc: bool = True
    takes_orientation: bool = True
    takes_density: bool = False
    srgb_only: bool = False
    fit: Callable[[Metadata, Size], tuple[Metadata, list[str]]] | None = None


@dataclass(frozen=True)
class Format:
    """One kind of picture file.

    name: what `Header.format` and `Picture.format` call it; endings: the usual ones of its files, the most usual first;
    start: what its first 64 bytes look like, in words that JavaScript understands too.

    read_header: size, channels and depth, from a file that starts so, without decoding anything. decode: H x W or
    H x W x channels, unsigned integers or floats in [0, 1], with notes or without; whatever it raises becomes a
    PictureError. read_blocks: its
    metadata, one by one. tell_colours: what it says of its colours by other means than a profile. further: the other
    pictures in the file, as files of their own.

    outputs: how it is written; none where it is only read. bits: per channel, of the files that are read; about: which
    files these are, and also_known_as: what the pictures are called, where that is not `name`, both for the docs.
    """

    name: str
    endings: tuple[str, ...]
    mime_type: str
    start: re.Pattern[bytes]
    read_header: Callable[[BinaryIO], Header]
    decode: Callable[[BinaryIO, Header], NDArray[Any] | Noted]
    read_blocks: Callable[[BinaryIO], Found]
    bits: tuple[int, ...]
    tell_colours: Callable[[BinaryIO, Header, Metadata], Told | None] | None = None
    further: Callable[[BinaryIO, Header], Iterator[BinaryIO]] | None = None
    outputs: tuple[Output, ...] = ()
    about: str = "yes"
    also_known_as: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What people call its pictures."""
        return self.also_known_as or (self.name,)

    def usual_ending(self, channels: int) -> str:
        """That of files with so many channels, alpha among them."""
        colours = 1 if channels < 3 else 3
        return next((output.endings[0] for output in self.outputs if colours in output.channels), self.endings[0])
