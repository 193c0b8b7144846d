"""What all readers of headers share: the record they fill in, and how to read on or refuse a file."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from dualpix.errors import PictureError

START_BYTES = 64
"""How many bytes from the start of a file are enough to recognise its format."""


@dataclass(frozen=True)
class Header:
    """What a picture file declares about its picture.

    Attributes:
        format: A name in FORMATS.
        width: In pixels, as stored: before any rotation.
        height: In pixels, as stored.
        channels: 1 to 4; 2 and 4 include alpha.
        depth: 8 or 16 bits; 16 for floating-point samples too.
        orientation: EXIF orientation that the format's own header states, which takes precedence over the metadata;
            None where it states none.
        is_float: Whether the samples are floating-point numbers.
        notes: Oddities of a file that can still be read: half sentences, to follow the name of the file.
    """

    format: str
    width: int
    height: int
    channels: int
    depth: int
    orientation: int | None = None
    is_float: bool = False
    notes: tuple[str, ...] = ()


def as_path(thing: Any) -> Path:
    """The path of a file, given as text or as a path. Raises PictureError for anything else."""
    if isinstance(thing, str | os.PathLike) and thing != "":
        return Path(thing)
    what = "An empty text" if thing == "" else f"A {type(thing).__name__}"
    raise PictureError(f"{what} is not the path of a picture file; give text or a pathlib.Path.")


def start_of(path: Path) -> bytes:
    """The first START_BYTES of a file; empty if it cannot be opened, which whoever reads it will report."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(START_BYTES)
    except (OSError, ValueError):
        return b""


def refuse(file: BinaryIO, what: str) -> NoReturn:
    """Raise PictureError with the message "FILE WHAT.", where `what` says what is wrong and what to do."""
    raise PictureError(f"{file.name} {what}.")


def refuse_cut_short(file: BinaryIO) -> NoReturn:
    """Raise PictureError for a file that ends before its pixels do."""
    refuse(file, "is cut short; copy or export it again")


def exactly(file: BinaryIO, count: int) -> bytes:
    """Read the next `count` bytes. Raises PictureError if the file ends before."""
    data = file.read(count)
    if len(data) < count:
        refuse(file, "is cut short; copy it again")
    return data


def length_of(file: BinaryIO) -> int:
    """Length of a file in bytes; its current position is kept."""
    back = file.tell()
    length = file.seek(0, io.SEEK_END)
    file.seek(back)
    return length


def load(file: BinaryIO, header: Header, bytes_each: int = 8) -> bytes:
    """Read the whole file, unless it is absurdly large for its picture.

    Args:
        file: An open picture file.
        header: Its header.
        bytes_each: The most bytes that the format needs for one pixel; 64 MiB are allowed for everything else.

    Raises:
        PictureError: The file is larger than that.
    """
    file.seek(0)
    length = length_of(file)
    if length > header.width * header.height * bytes_each + 2**26:
        size = f"{header.width} x {header.height} pixels"
        refuse(file, f"is far larger than a file of {size} can be; export it again")
    return file.read(length)


class _Section(io.RawIOBase):
    def __init__(self, file: BinaryIO, begin: int, length: int, start: bytes) -> None:
        super().__init__()
        self.file, self.begin, self.start, self.at = file, begin, start, 0
        self.length = max(0, min(length, length_of(file) - begin))
        self.name = file.name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.length}[whence])
        return self.at

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), max(0, self.length - self.at))
        self.file.seek(self.begin + min(self.at, self.length))
        data = self.file.read(count)
        fresh = self.start[self.at : self.at + len(data)]
        data = fresh + data[len(fresh) :]
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def section(file: BinaryIO, begin: int, length: int = 2**62, start: bytes = b"") -> BinaryIO:
    """A stretch of an open file as a file of its own, under the same name.

    Args:
        file: The whole file.
        begin: Offset of the stretch in bytes.
        length: Of the stretch in bytes; by default up to the end.
        start: Bytes to be read in place of its first ones.
    """
    return io.BufferedReader(_Section(file, begin, length, start))


class Part(io.BytesIO):
    """A part of a file that is itself a picture file; errors about it name the whole file."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name
