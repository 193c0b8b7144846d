"""What every header reader shares: the record it fills in, and how it reads on or refuses."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from dualpix.errors import PictureError

START_BYTES = 64
"""So many first bytes tell what a file is."""


@dataclass(frozen=True)
class Header:
    """`channels` 1 to 4 (2 and 4 carry alpha); `depth` 8 or 16 bits, 16 for floating-point samples too.

    `format`: its name in FORMATS. `orientation` is that of the header itself, which counts more than what the metadata
    say; None where the header says nothing of it. `is_float`: the samples are floating-point numbers. `notes`: what is
    odd about it though it can be read; half sentences, to follow the name of the file.
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
    """The first bytes of a file; none if it cannot be opened, which its reader will tell."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(START_BYTES)
    except (OSError, ValueError):
        return b""


def refuse(file: BinaryIO, what: str) -> NoReturn:
    """Raise PictureError: the file's name, then `what` is wrong with it."""
    raise PictureError(f"{file.name} {what}.")


def refuse_cut_short(file: BinaryIO) -> NoReturn:
    """Raise PictureError for a file whose pixels are not all there."""
    refuse(file, "is cut short; copy or export it again")


def exactly(file: BinaryIO, count: int) -> bytes:
    """The next `count` bytes; PictureError if the file ends before."""
    data = file.read(count)
    if len(data) < count:
        refuse(file, "is cut short; copy it again")
    return data


def length_of(file: BinaryIO) -> int:
    """In bytes; the place in the file stays."""
    back = file.tell()
    length = file.seek(0, io.SEEK_END)
    file.seek(back)
    return length


def load(file: BinaryIO, header: Header, bytes_each: int = 8) -> bytes:
    """The whole file, unless it is far larger than its pixels, of at most `bytes_each`, and generous metadata can
    explain."""
    file.seek(0)
    length = length_of(file)
    if length > header.width * header.height * bytes_each + 2**26:
        size = f"{header.width} x {header.height} pixels"
        refuse(file, f"is a far larger file than its {size} can explain; export it again")
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
    """That stretch of an open file as a file of its own, of the same name; `start` stands for its first bytes."""
    return io.BufferedReader(_Section(file, begin, length, start))


class Part(io.BytesIO):
    """A part of a file that is itself a file of another kind; what is wrong with it is told of the whole."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name
