"""Files that hold several pictures: JPEG with an index of more behind the first (.mpo), pages of TIFF, PPM in a row."""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import BinaryIO

from dualpix.errors import PictureError
from dualpix.io import exif as blocks
from dualpix.io.formats import jpeg
from dualpix.io.formats.netpbm import end_of_samples
from dualpix.io.headers import peek
from dualpix.io.opening import Header, Part, length_of, section

MOST_PICTURES = 64  # looked for in one file
INDEX_MARK, INDEX_ENTRIES = b"MPF\0", 45058
ENTRY = "IIIHH"  # kind, length, offset, two numbers of others that depend on it
KINDS, PREVIEWS = 0xFFFFFF, (0x010001, 0x010002)


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
    for part in islice(OTHERS[first.format](file, first) if first.format in OTHERS else (), MOST_PICTURES):
        with suppress(PictureError):
            other = peek(part)
            if (other.width, other.height, other.channels) == (first.width, first.height, first.channels):
                alike.append(part)
            else:
                others.append(other)
    return alike, others


def _jpegs(file: BinaryIO, header: Header) -> Iterator[BinaryIO]:
    """Those of the index of CIPA DC-007, whose offsets count from its own byte order mark."""
    for segment in jpeg.segments(file):
        content = file.read(segment.length) if segment.code == 0xE2 else b""
        if not content.startswith(INDEX_MARK):
            continue
        with suppress(ValueError):
            block = blocks.open_block(Part(content[4:], file.name))
            index = blocks.read_directory(block, block.first)
            entries = index[INDEX_ENTRIES].value if INDEX_ENTRIES in index else b""
            layout = struct.Struct(block.order + ENTRY)
            for kind, length, offset, _, _ in layout.iter_unpack(entries[: len(entries) // layout.size * layout.size]):
                if offset and kind & KINDS not in PREVIEWS:  # the first has none
                    yield section(file, segment.at + 4 + offset, length)
        return


def _pages(file: BinaryIO, header: Header) -> Iterator[BinaryIO]:
    """The file once more, as if its first directory were the second, and so on; each is visited once."""
    with suppress(ValueError):
        block = blocks.open_block(file)
        at, seen = block.first, {0, block.first}
        while (at := blocks.next_directory(block, at)) not in seen:
            seen.add(at)
            file.seek(0)
            mark = file.read(8 if block.big else 4)
            yield section(file, 0, start=mark + struct.pack(block.order + ("Q" if block.big else "I"), at))


def _netpbms(file: BinaryIO, header: Header) -> Iterator[BinaryIO]:
    at, end = end_of_samples(file, header), length_of(file)
    with suppress(PictureError):  # what follows is no picture
        while 0 < at < end:
            part = section(file, at)
            yield part
            at += end_of_samples(part, peek(part))


OTHERS: dict[str, Callable[[BinaryIO, Header], Iterator[BinaryIO]]] = {
    "JPEG": _jpegs,
    "TIFF": _pages,
    "Netpbm": _netpbms,
}
