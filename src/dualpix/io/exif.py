"""EXIF blocks: small TIFF streams, read and changed without moving anything inside them.

Camera makers' notes hold offsets that count from the start of the block. So nothing in a block is ever moved: a changed
main directory is appended at the end, and the header's pointer (the first eight bytes) is set to it. Layout: TIFF 6.0,
section 2; tags: CIPA DC-008 (EXIF 2.32).
"""

import io
import struct
from contextlib import suppress
from typing import BinaryIO, NamedTuple

MARK = b"Exif\0\0"
"""Stands before the block in JPEG files, and, though wrongly, in some files of other formats."""
ORIENTATION, SOFTWARE = 274, 305
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
EXIF_DIRECTORY, GPS_DIRECTORY, INTEROP_DIRECTORY, MAKER_NOTE = 34665, 34853, 40965, 37500
SUBDIRECTORIES = (EXIF_DIRECTORY, GPS_DIRECTORY, INTEROP_DIRECTORY)
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
ASCII, SHORT, LONG, RATIONAL = 2, 3, 4, 5
LARGEST_VALUE = 2**23
LARGEST_DIRECTORY = 2**25  # bytes of all its values; many entries may point to the same bytes
MOST_ENTRIES = 4096
FARTHEST_NOTE = 32768

# Tags of the main directory that describe how pixels are stored, and so the file and not the photograph; among them
# what is carried over separately (XMP, colour profile, IPTC, Photoshop's resources), layers, C2PA and DNG's tags.
STORAGE = frozenset(
    [*range(254, 269), 273, *range(277, 282), 284, *range(288, 294), 297, 301, 317, *range(320, 348), *range(512, 521),
     *range(529, 533), 700, *range(32995, 32999), 33723, 34377, 34675, 37724, *range(50706, 50900), 52545]
)  # fmt: skip


class Entry(NamedTuple):
    """One tag of a directory.

    Attributes:
        kind: The TIFF type by number (see SIZES).
        value: Its values as bytes, in the byte order of the block.
        at: Offset in the block where the value was found; 0 where it stood inside the entry itself.
    """

    kind: int
    value: bytes
    at: int = 0


Directory = dict[int, Entry]


class ExifBlock(NamedTuple):
    """An open TIFF stream.

    Attributes:
        file: The open file.
        order: "<" for little-endian, ">" for big-endian.
        big: Whether it is a BigTIFF.
        first: Offset of the main directory.
    """

    file: BinaryIO
    order: str
    big: bool
    first: int


def open_block(file: BinaryIO) -> ExifBlock:
    """Read the header of a TIFF stream. Raises ValueError if there is none."""
    file.seek(0)
    start = file.read(16)
    big = start[:4] in (b"II+\0", b"MM\0+")
    if len(start) < (16 if big else 8) or not (big or start[:4] in (b"II*\0", b"MM\0*")):
        raise ValueError("not a TIFF stream")
    order = "<" if start[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + ("Q" if big else "I"), start, 8 if big else 4)
    return ExifBlock(file, order, big, first)


def check(stream: bytes) -> None:
    """Check that a stream can be read and changed as an EXIF block. Raises ValueError, with the reason, if not."""
    block = open_block(io.BytesIO(stream))
    if block.big:
        raise ValueError("it is a BigTIFF, which an EXIF block cannot be")
    read_directory(block, block.first)


def read_directory(block: ExifBlock, offset: int) -> Directory:
    """Read a directory; entries of unknown type or of absurd length are skipped.

    Args:
        block: An open block.
        offset: Of the directory, in bytes from the start of the block.

    Raises:
        ValueError: The directory is damaged or cut short.
    """
    pointer, counter, layout = ("Q", "Q", "HHQ8s") if block.big else ("I", "H", "HHI4s")
    (count,) = struct.unpack(block.order + counter, _read(block, offset, struct.calcsize(counter)))
    if count > MOST_ENTRIES:
        raise ValueError("a damaged directory")
    at, size = offset + struct.calcsize(counter), struct.calcsize("=" + layout)
    directory: Directory = {}
    budget = LARGEST_DIRECTORY
    for tag, kind, number, field in struct.iter_unpack(block.order + layout, _read(block, at, count * size)):
        length = SIZES.get(kind, 0) * number
        if 0 < length <= len(field):
            directory[tag] = Entry(kind, field[:length])
        elif 0 < length <= min(LARGEST_VALUE, budget):
            budget -= length
            (there,) = struct.unpack(block.order + pointer, field)
            directory[tag] = Entry(kind, _read(block, there, length), there)
    return directory


def next_directory(block: ExifBlock, offset: int) -> int:
    """Offset of the directory behind the one at `offset`, 0 if it is the last. Raises ValueError if that is damaged."""
    counter, pointer, size = ("Q", "Q", 20) if block.big else ("H", "I", 12)
    (count,) = struct.unpack(block.order + counter, _read(block, offset, struct.calcsize(counter)))
    if count > MOST_ENTRIES:
        raise ValueError("a damaged directory")
    at = offset + struct.calcsize(counter) + count * size
    return int(struct.unpack(block.order + pointer, _read(block, at, struct.calcsize(pointer)))[0])


def _read(block: ExifBlock, offset: int, count: int) -> bytes:
    if offset > block.file.seek(0, io.SEEK_END):
        raise ValueError("a damaged offset")
    block.file.seek(offset)
    data = block.file.read(count)
    if len(data) < count:
        raise ValueError("cut short")
    return data


def integer(entry: Entry, order: str) -> int:
    """The first value of an entry of unsigned integers. Raises ValueError for an entry of another type."""
    layout = {1: "B", SHORT: "H", LONG: "I", 13: "I", 16: "Q", 18: "Q"}.get(entry.kind)
    if layout is None:
        raise ValueError("not an integer")
    return int(struct.unpack_from(order + layout, entry.value)[0])


def density_of(directory: Directory, order: str) -> tuple[float, float]:
    """Resolution in pixels per inch, horizontal and vertical; 0 where it is not stated."""
    per_inch = {2: 1.0, 3: 2.54}.get(int(_number(directory.get(RESOLUTION_UNIT), order, 2.0)), 0.0)
    across, down = (_number(directory.get(tag), order, 0.0) for tag in (X_RESOLUTION, Y_RESOLUTION))
    return across * per_inch, down * per_inch


def _number(entry: Entry | None, order: str, otherwise: float) -> float:
    """The first value of an entry; `otherwise` if there is none, or not a sensible one."""
    try:
        if entry is not None and entry.kind == RATIONAL:
            above, below = struct.unpack_from(order + "II", entry.value)
            return above / below if below else otherwise
        return otherwise if entry is None else integer(entry, order)
    except (ValueError, struct.error):
        return otherwise


def density(across: float, down: float, order: str) -> Directory:
    """The entries that state a resolution of so many pixels per inch, horizontal and vertical."""
    ratios = (struct.pack(order + "II", round(value * 1000), 1000) for value in (across, down))
    entries = zip((X_RESOLUTION, Y_RESOLUTION), (Entry(RATIONAL, ratio) for ratio in ratios), strict=True)
    return {**dict(entries), RESOLUTION_UNIT: short(2, order)}


def orientation_of(directory: Directory, order: str) -> int:
    """The EXIF orientation, 1 to 8; 1 where it is missing or invalid."""
    try:
        value = integer(directory[ORIENTATION], order)
    except (KeyError, ValueError):
        return 1
    return value if 1 <= value <= 8 else 1


def short(value: int, order: str) -> Entry:
    """An entry of one 16-bit number."""
    return Entry(SHORT, struct.pack(order + "H", value))


def text(words: str) -> Entry:
    """An entry of ASCII text; other characters become question marks."""
    return Entry(ASCII, words.encode("ascii", "replace") + b"\0")


def pack(directory: Directory, order: str, base: int, placed: dict[int, int] | None = None) -> bytes:
    """Lay out a directory as bytes.

    Args:
        directory: Its entries by tag.
        order: Byte order, "<" or ">".
        base: The even offset where the directory is going to stand.
        placed: Offsets of values that are in the block already; all other values that are too long for their entry
            follow the directory.
    """
    fields, behind = [], bytearray()
    start_of_values = base + 2 + 12 * len(directory) + 4
    for tag, entry in sorted(directory.items()):
        head = struct.pack(order + "HHI", tag, entry.kind, len(entry.value) // SIZES[entry.kind])
        if placed and tag in placed:
            fields.append(head + struct.pack(order + "I", placed[tag]))
        elif len(entry.value) <= 4:
            fields.append(head + entry.value.ljust(4, b"\0"))
        else:
            fields.append(head + struct.pack(order + "I", start_of_values + len(behind)))
            behind += entry.value + b"\0" * (len(entry.value) % 2)
    return struct.pack(order + "H", len(fields)) + b"".join(fields) + bytes(4) + bytes(behind)


EMPTY = b"II*\0\x08\0\0\0" + bytes(6)


def amend(stream: bytes, changes: Directory, without: frozenset[int] = frozenset()) -> bytes:
    """Replace, add and remove entries of the main directory of a classic TIFF stream.

    All other bytes keep their values and their places, apart from the header's pointer; the new directory is appended
    at the end.

    Args:
        stream: The block.
        changes: Entries to be replaced or added.
        without: Tags to be removed. If any are given, the chain of directories, which in EXIF leads to the thumbnail,
            ends at the new one.

    Raises:
        ValueError: The stream is damaged, or a BigTIFF.
    """
    block = open_block(io.BytesIO(stream))
    if block.big:
        raise ValueError("a BigTIFF")
    (count,) = struct.unpack(block.order + "H", _read(block, block.first, 2))
    data = _read(block, block.first + 2, 12 * count)
    next_one = bytes(4) if without else block.file.read(4).ljust(4, b"\0")  # missing in files of some programs
    kept = {struct.unpack_from(block.order + "H", data, 12 * i)[0]: data[12 * i : 12 * i + 12] for i in range(count)}
    kept = {tag: field for tag, field in kept.items() if tag not in without and tag not in changes}
    stream += b"\0" * (len(stream) % 2)
    behind_at = len(stream) + 2 + 12 * (len(kept) + len(changes)) + 4
    packed = pack(changes, block.order, behind_at - 2 - 12 * len(changes) - 4)
    fields = kept | {tag: packed[2 + 12 * i : 14 + 12 * i] for i, tag in enumerate(sorted(changes))}
    directory = struct.pack(block.order + "H", len(fields)) + b"".join(fields[tag] for tag in sorted(fields))
    start = stream[:4] + struct.pack(block.order + "I", len(stream))
    return start + stream[8:] + directory + next_one + packed[2 + 12 * len(changes) + 4 :]


def gather(block: ExifBlock, without: frozenset[int] = STORAGE) -> bytes:
    """Collect what the main directory of a TIFF stream states about the photograph as an EXIF block; empty if nothing.

    The Exif, GPS and interoperability directories are taken along, the thumbnail is not. Maker notes keep their offset
    if it is small, as it is in what cameras and raw developers write.

    Args:
        block: An open TIFF file or EXIF block.
        without: Tags of the main directory to be left out.

    Raises:
        ValueError: The stream is damaged.
    """
    first = _portable(read_directory(block, block.first), without)
    if not first:
        return b""
    order, room, placed = block.order, bytearray(8), {}
    inner = _take_subdirectories(block, first, (EXIF_DIRECTORY, GPS_DIRECTORY))
    exposure = inner.get(EXIF_DIRECTORY, {})
    inner = _take_subdirectories(block, exposure, (INTEROP_DIRECTORY,)) | inner
    if (note := exposure.get(MAKER_NOTE)) and 8 <= note.at <= FARTHEST_NOTE:
        room += bytes(note.at - 8) + note.value
        placed = {MAKER_NOTE: note.at}
    for tag, directory in inner.items():
        room += b"\0" * (len(room) % 2)
        (exposure if tag == INTEROP_DIRECTORY else first)[tag] = Entry(LONG, struct.pack(order + "I", len(room)))
        room += pack(directory, order, len(room), placed if directory is exposure else None)
    room += b"\0" * (len(room) % 2)
    room[:8] = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", len(room))
    return bytes(room + pack(first, order, len(room)))


def _portable(directory: Directory, without: frozenset[int] = frozenset()) -> Directory:
    """Without entries of types that only BigTIFF has, except pointers to directories."""
    return {
        tag: entry
        for tag, entry in directory.items()
        if tag not in without and (entry.kind < 16 or tag in SUBDIRECTORIES)
    }


def _take_subdirectories(block: ExifBlock, directory: Directory, tags: tuple[int, ...]) -> dict[int, Directory]:
    """The directories that `directory` points to; their pointers are removed from it."""
    found = {}
    for tag in tags:
        if pointer := directory.pop(tag, None):
            with suppress(ValueError):  # if one is damaged, the others are still kept
                found[tag] = _portable(read_directory(block, integer(pointer, block.order)))
    return found
