"""Changes inside an EXIF block that move no byte: sizes are overwritten, a thumbnail is blanked."""

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

# The tags of width and height in the three directories that may have them.
FIRST_SIZES, EXPOSURE_SIZES, INTEROP_SIZES = (256, 257), (40962, 40963), (4097, 4098)
# The tags of a thumbnail's offset and length: as one JPEG, or in strips.
THUMBNAIL_PARTS = ((513, 514), (273, 279))
MOST_DIRECTORIES = 16


def with_size(stream: bytes, width: int, height: int) -> bytes:
    """The block with `width` and `height` (pixels) wherever it states the size of the picture.

    Raises:
        ValueError: The block is damaged.
    """
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
    """The directories that may state a size, by offset, with their tags of width and height."""
    found = [(block.first, FIRST_SIZES)]
    for pointer, tags in ((EXIF_DIRECTORY, EXPOSURE_SIZES), (INTEROP_DIRECTORY, INTEROP_SIZES)):
        try:
            directory = read_directory(block, found[-1][0])
            if pointer in directory:
                read_directory(block, at := integer(directory[pointer], block.order))
                found.append((at, tags))
        except ValueError:  # a damaged one cannot be read for further pointers
            break
    return found


def _fields(block: ExifBlock, offset: int) -> list[tuple[int, tuple[int, int, int]]]:
    """The offset of each entry of a directory, with its tag, type and number of values."""
    data = block.file
    data.seek(offset)
    (count,) = struct.unpack(block.order + "H", data.read(2).ljust(2, b"\0"))
    entries = data.read(12 * min(count, MOST_ENTRIES))
    places = range(0, len(entries) - 11, 12)
    return [(offset + 2 + at, struct.unpack_from(block.order + "HHI", entries, at)) for at in places]


def without_thumbnail(stream: bytes) -> bytes:
    """The block without the directories behind its main one, and with zeros in place of the thumbnails they hold.

    Zeros at the end of the block are cut off.

    Raises:
        ValueError: The block is damaged.
    """
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
    # In a damaged block the thumbnail may overlap other entries.
    return cut if _says(cut) == _says(stream) else bytes(kept)


def _says(stream: bytes) -> bytes | None:
    """The content of a block besides its thumbnail, to be compared; None where it cannot be read."""
    try:
        return gather(open_block(BytesIO(stream)), frozenset())
    except ValueError:
        return None


def _behind(block: ExifBlock, link: int) -> list[tuple[int, int]]:
    """Offset and length of everything that belongs to the directories behind the main one, highest offset first."""
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
