"""What describes a format of picture files: everything that reading, writing, the page, the help and the docs need."""

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
    """How pictures are written in one format.

    Attributes:
        endings: Name endings of its files, the usual one first.
        encode: From unsigned integers, H x W or H x W x 3, to the bytes of a file; the byte order is that of the EXIF
            block, for formats in which both must agree.
        embed: Inserts metadata into such a file; None where the format cannot hold any.
        bits: Bits per channel that can be written.
        channels: 1 where grey can be written as one channel, 3 where colour can be written.
        longest_side_px: The encoder's limit.
        about: How it is encoded, for the docs.
        takes_text: Which texts it can hold.
        takes_iptc: Whether it can hold IPTC.
        takes_orientation: Whether it can hold an orientation that readers obey.
        takes_density: Whether it has a place of its own for pixels per inch.
        srgb_only: Whether it cannot hold colour profiles other than sRGB.
        fit: Cuts metadata down that are too long for the format, given width and height, and says in a sentence what
            had to go.
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
    """One format of picture files.

    Attributes:
        name: As in `Header.format` and `Picture.format`.
        endings: Usual name endings of its files, the most usual first.
        mime_type: Its media type.
        start: Matches the first 64 bytes of its files; written so that JavaScript understands it too.
        read_header: Reads size, channels and depth of a file that starts so, without decoding anything.
        decode: Gives the pixels, H x W or H x W x channels, as unsigned integers or as floats in [0, 1], with
            notes on it or without; whatever it raises becomes a PictureError.
        read_blocks: Yields the metadata, one block at a time.
        bits: Bits per channel of the files that can be read.
        tell_colours: Reads a colour space that is stated in another way than by an ICC profile.
        further: Yields the other pictures in the file, as files of their own.
        outputs: How it is written; empty where it can only be read.
        about: Which files can be read, for the docs.
        also_known_as: What the pictures are called where that is not `name`, for the docs.
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
        """What its pictures are called."""
        return self.also_known_as or (self.name,)

    def usual_ending(self, channels: int) -> str:
        """The usual ending of a file with so many channels, alpha included."""
        colours = 1 if channels < 3 else 3
        return next((output.endings[0] for output in self.outputs if colours in output.channels), self.endings[0])
