"""Changes inside an EXIF block, none of which moves a byte: sizes are written over, a thumbnail is blanked."""

import struct
from io import BytesIO

from dualpix.io.exif import (
    EXIF_DIRECTORY,
    INTEROP_DIRECTORY,
    LONG,
    MOST_ENTRIES,
    SHORT,
    SIZES,
    Entry,
    ExifBlock,
    gather,
    integer,
    open_block,
    read_directory,
)

# Width and height, which three directories may tell.
FIRST_SIZES, EXPOSURE_SIZES, INTEROP_SIZES = (256, 257), (40962, 40963), (4097, 4098)
# Where a thumbnail lies and how long it is: as a JPEG, or in strips.
THUMBNAIL_PARTS = ((513, 514), (273, 279))
MOST_DIRECTORIES = 16


def with_size(stream: bytes, width: int, height: int) -> bytes:
    """The block with the size of the picture wherever it tells one. Raises ValueError if it is damaged."""
    block = open_block(BytesIO(stream))
    changed = bytearray(stream)
    for offset, tags in _sized(block):
        for at, (tag, kind, count) in _fields(block, offset):
            if tag in tags and kind in (SHORT, LONG) and count == 1:
                value = struct.pack(block.order + "I", (width, height)[tags.index(tag)])
                if integer(read_directory(block, offset)[tag], block.order) != (width, height)[tags.index(tag)]:
                    changed[at + 2 : at + 12] = struct.pack(block.order + "HI", LONG, 1) + value
    return bytes(changed)


def _sized(block: ExifBlock) -> list[tuple[int, tuple[int, int]]]:
    """The directories that may tell a size, by offset, with the tags they do it with."""
    found = [(block.first, FIRST_SIZES)]
    for pointer, tags in ((EXIF_DIRECTORY, EXPOSURE_SIZES), (INTEROP_DIRECTORY, INTEROP_SIZES)):
        try:
            directory = read_directory(block, found[-1][0])
            if pointer in directory:
                read_directory(block, at := integer(directory[pointer], block.order))
                found.append((at, tags))
        except ValueError:  # a damaged one tells nothing
            break
    return found


def _fields(block: ExifBlock, offset: int) -> list[tuple[int, tuple[int, int, int]]]:
    """Where each entry of a directory lies, and its tag, kind and number of values."""
    data = block.file
    data.seek(offset)
    (count,) = struct.unpack(block.order + "H", data.read(2).ljust(2, b"\0"))
    entries = data.read(12 * min(count, MOST_ENTRIES))
    places = range(0, len(entries) - 11, 12)
    return [(offset + 2 + at, struct.unpack_from(block.order + "HHI", entries, at)) for at in places]


def without_thumbnail(stream: bytes) -> bytes:
    """The block without the directories behind its first one, and zeros in the place of the thumbnails they lead to;
    what then stands at its end is cut off. Raises ValueError if the block is damaged."""
    block = open_block(BytesIO(stream))
    link = block.first + 2 + 12 * len(_fields(block, block.first))
    if link + 4 > len(stream) or not any(stream[link : link + 4]):
        return stream
    kept = bytearray(stream)
    kept[link : link + 4] = bytes(4)
    blank = bytearray(kept)
    end = len(blank)
    for begin, length in _behind(block, link):
        blank[begin : begin + length] = bytes(len(blank[begin : begin + length]))
        end = begin if begin + length >= end else end
    cut = bytes(blank[:end])
    # A damaged block may say that its thumbnail lies where other things do.
    return cut if _says(cut) == _says(stream) else bytes(kept)


def _says(stream: bytes) -> bytes | None:
    """What a block says besides its thumbnail; None where that cannot be read."""
    try:
        return gather(open_block(BytesIO(stream)), frozenset())
    except ValueError:
        return None


def _behind(block: ExifBlock, link: int) -> list[tuple[int, int]]:
    """Begin and length of all that the directories behind the first one hold, farthest last to first."""
    spans: set[tuple[int, int]] = set()
    for _ in range(MOST_DIRECTORIES):
        block.file.seek(link)
        (offset,) = struct.unpack(block.order + "I", block.file.read(4).ljust(4, b"\0"))
        fields = _fields(block, offset) if offset else []
        if not fields or (offset, 2 + 12 * len(fields) + 4) in spans:
            break
        link = offset + 2 + 12 * len(fields)
        spans.add((offset, 2 + 12 * len(fields) + 4))
        for at, (_tag, kind, count) in fields:
            if (length := SIZES.get(kind, 0) * count) > 4:
                block.file.seek(at + 8)
                spans.add((struct.unpack(block.order + "I", block.file.read(4).ljust(4, b"\0"))[0], length))
        spans.update(_pictures(block, offset))
    return sorted((span for span in spans if span[1] > 0), reverse=True)


def _pictures(block: ExifBlock, offset: int) -> list[tuple[int, int]]:
    try:
        directory = read_directory(block, offset)
        found = []
        for starts, lengths in THUMBNAIL_PARTS:
            if starts in directory and lengths in directory:
                at, sizes = (_numbers(directory[tag], block.order) for tag in (starts, lengths))
                found += list(zip(at, sizes, strict=False))
        return found
    except ValueError:
        return []


def _numbers(entry: Entry, order: str) -> tuple[int, ...]:
    layout = {SHORT: "H", LONG: "I"}.get(entry.kind)
    if layout is None:
        raise ValueError("not integers")
    return struct.unpack(f"{order}{len(entry.value) // SIZES[entry.kind]}{layout}", entry.value)
