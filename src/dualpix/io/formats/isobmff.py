"""Pictures in boxes, as AVIF and HEIF keep them (ISO/IEC 23008-12): items, what they have in common, where they lie."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from dualpix.io import exif as blocks
from dualpix.io.colours import Told, told_by_numbers
from dualpix.io.metadata import CREDENTIALS, DEPTH_MAP, GAIN_MAP, Found, Metadata
from dualpix.io.opening import Header, length_of, refuse, refuse_cut_short, section
from dualpix.io.texts import LARGEST_BYTES, TooLongError

MOST_BOXES, LARGEST_META = 4096, 2**24
MOST_TILES = 4096
ORIENTATIONS = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
"""By the axis of a mirror (0 exchanges top and bottom) and the quarter turns counter-clockwise before it."""
SRGB_NUMBERS, UNSPECIFIED = (1, 13), 2
Box = tuple[bytes, bytes]


@dataclass
class Item:
    """kind: "av01", "grid", "Exif" ...; extents: where in the file it lies and how long, empty where that is in the
    index itself; properties: by kind; uses: the items that it refers to, by the kind of the reference."""

    kind: bytes = b""
    mime_type: bytes = b""
    hidden: bool = False
    extents: list[tuple[int, int]] = field(default_factory=list)
    properties: list[Box] = field(default_factory=list)
    uses: dict[bytes, list[int]] = field(default_factory=dict)

    def property(self, kind: bytes) -> bytes | None:
        return next((body for name, body in self.properties if name == kind), None)


@dataclass
class Index:
    """The items by number, which of them is the picture, and where in the file that number stands, with its length."""

    items: dict[int, Item]
    primary: int
    place: tuple[int, int]

    @property
    def picture(self) -> Item:
        return self.items[self.primary]

    @property
    def angle(self) -> int:
        return (self.picture.property(b"irot") or b"\0")[0] & 3

    @property
    def axis(self) -> int | None:
        mirror = self.picture.property(b"imir")
        return None if mirror is None else mirror[0] & 1

    @property
    def bits(self) -> int:
        """Per channel."""
        parts = [self.picture, *(self.items[number] for number in self.picture.uses.get(b"dimg", ())[:1])]
        for part in parts:
            if pixi := part.property(b"pixi"):
                return max(pixi[5 : 5 + pixi[4]])
            if (av1 := part.property(b"av1C")) is not None:
                return 8 if not av1[2] & 0x40 else 12 if av1[2] & 0x20 else 10
            if (hevc := part.property(b"hvcC")) is not None:
                return 8 + (hevc[17] & 7)
        return 8

    def about(self, reference: bytes) -> Iterator[tuple[int, Item]]:
        """The items that refer to the picture in that way: its metadata (cdsc), its alpha and maps (auxl)."""
        return ((n, item) for n, item in self.items.items() if self.primary in item.uses.get(reference, ()))


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of what each of the boxes in `data` holds."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        end = at + size if size else len(data)
        if not begin <= end <= len(data):
            raise ValueError("a box reaches beyond the one around it")
        yield kind, begin, end
        at = end


def index_of(file: BinaryIO) -> Index:
    """Raises PictureError where there is none, where it is damaged, and for films."""
    begin, meta = _meta(file)
    try:
        return _parsed(begin, meta)
    except (ValueError, IndexError, KeyError, struct.error):
        _refuse_damaged(file)


def _refuse_damaged(file: BinaryIO) -> NoReturn:
    refuse(file, "has a damaged index of its pictures; copy or export it again")


def _meta(file: BinaryIO) -> tuple[int, bytes]:
    """Where what the meta box holds begins, and that; the boxes in front of it and behind must be whole."""
    end, at, found = length_of(file), 0, None
    for _ in range(MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        size, begin = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, begin = int.from_bytes(head[8:16], "big"), at + 16
        after = at + size if size else end
        if after < begin:
            _refuse_damaged(file)
        if head[4:8] == b"moov":
            refuse(file, "is an animation; give a still picture")
        if after > end:
            refuse_cut_short(file)
        if head[4:8] == b"meta" and found is None:
            if after - begin > LARGEST_META:
                _refuse_damaged(file)
            file.seek(begin + 4)
            found = begin + 4, file.read(after - begin - 4)
        at = after
    if found is None:
        refuse_cut_short(file)
    return found


def _parsed(begin: int, meta: bytes) -> Index:
    items: dict[int, Item] = {}
    parts = {kind: (start, meta[start:end]) for kind, start, end in _boxes(meta)}
    for kind, start, end in _boxes(parts[b"iinf"][1][6 if parts[b"iinf"][1][0] == 0 else 8 :]):
        offset = 6 if parts[b"iinf"][1][0] == 0 else 8
        entry = parts[b"iinf"][1][offset + start : offset + end]
        if kind == b"infe":
            number, rest = (int.from_bytes(entry[4 : (at := 6 if entry[0] < 3 else 8)], "big"), entry[at + 2 :])
            words = rest[4:].split(b"\0")
            items[number] = Item(rest[:4], words[1] if len(words) > 1 else b"", bool(entry[3] & 1))
    _locate(items, parts[b"iloc"][1])
    _describe(items, parts[b"iprp"][1])
    if b"iref" in parts:
        _connect(items, parts[b"iref"][1])
    start, pitm = parts[b"pitm"]
    width = 2 if pitm[0] == 0 else 4
    index = Index(items, int.from_bytes(pitm[4 : 4 + width], "big"), (begin + start + 4, width))
    if not index.picture.property(b"ispe"):
        raise ValueError("the picture has no size")
    return index


class _Numbers:
    """Whole numbers of given widths, one behind the other."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, width: int) -> int:
        if self.at + width > len(self.data):
            raise ValueError("cut short")
        self.at += width
        return int.from_bytes(self.data[self.at - width : self.at], "big")


def _locate(items: dict[int, Item], data: bytes) -> None:
    version, numbers = data[0], _Numbers(data, 4)
    sizes = numbers.take(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version > 0 else 0
    wide = 4 if version == 2 else 2
    for _ in range(numbers.take(wide)):
        number = numbers.take(wide)
        method = numbers.take(2) & 15 if version > 0 else 0
        numbers.take(2)
        base = numbers.take(base_size)
        for _ in range(numbers.take(2)):
            numbers.take(index_size)
            extent = base + numbers.take(offset_size), numbers.take(length_size)
            if method == 0 and number in items:
                items[number].extents.append(extent)


def _describe(items: dict[int, Item], data: bytes) -> None:
    ((start, end),) = [(start, end) for kind, start, end in _boxes(data) if kind == b"ipco"]
    known = [(kind, data[start:end][first:last]) for kind, first, last in _boxes(data[start:end])]
    for kind, first, last in _boxes(data):
        if kind != b"ipma":
            continue
        body = data[first:last]
        numbers, is_wide = _Numbers(body, 4), body[3] & 1
        for _ in range(numbers.take(4)):
            number = numbers.take(2 if body[0] < 1 else 4)
            for _ in range(numbers.take(1)):
                which = numbers.take(2) & 0x7FFF if is_wide else numbers.take(1) & 0x7F
                if which and number in items:
                    items[number].properties.append(known[which - 1])


def _connect(items: dict[int, Item], data: bytes) -> None:
    wide = 2 if data[0] == 0 else 4
    for kind, first, last in _boxes(data[4:]):
        numbers = _Numbers(data[4:][first:last])
        item = items.get(numbers.take(wide), Item())
        item.uses.setdefault(kind, []).extend(numbers.take(wide) for _ in range(numbers.take(2)))


def read_header(file: BinaryIO, name: str) -> Header:
    """Of the picture, as it lies in the file: turns and mirrors become its orientation. Raises PictureError."""
    index = index_of(file)
    try:
        return _header(file, index, name)
    except (ValueError, IndexError, KeyError, struct.error):
        _refuse_damaged(file)


def _header(file: BinaryIO, index: Index, name: str) -> Header:
    picture, end = index.picture, length_of(file)
    width, height = struct.unpack_from(">II", picture.property(b"ispe") or b"", 4)
    if clean := picture.property(b"clap"):
        across, per, down, each = struct.unpack_from(">4I", clean)
        width, height = min(width, across // per if per else 0), min(height, down // each if each else 0)
    tiles = picture.uses.get(b"dimg", [])
    if len(tiles) > MOST_TILES:
        raise ValueError("more tiles than anyone needs")
    for part in (picture, *(index.items[number] for number in tiles)):
        sides = struct.unpack_from(">II", part.property(b"ispe") or b"", 4)
        if sides[0] * sides[1] > max(2 * (width + 64) * (height + 64), 4096 * 4096):
            raise ValueError("a tile larger than the picture")
        if any(at + length > end for at, length in part.extents):
            refuse_cut_short(file)
    pixi = picture.property(b"pixi") or b"\0\0\0\0\3"
    has_alpha = any(b":alpha" in (item.property(b"auxC") or b"") or b":aux:1" in (item.property(b"auxC") or b"")
                    for _, item in index.about(b"auxl"))  # fmt: skip
    orientation = ORIENTATIONS[index.axis][index.angle]
    channels = (1 if pixi[4] == 1 else 3) + has_alpha
    return Header(name, width, height, channels, 8 if index.bits <= 8 else 16, orientation)


def as_stored(upright: NDArray[Any], index: Index) -> NDArray[Any]:
    """Undo the mirror and the turn that a decoder has carried out on H x W x channels."""
    axis = index.axis
    return np.rot90(upright if axis is None else np.flip(upright, axis), -index.angle)


def in_unit_range(levels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Levels of 8 bits as they are, deeper ones in [0, 1]."""
    return levels if bits <= 8 else (levels / np.float32(2**bits - 1)).astype(np.float32)


def read_blocks(file: BinaryIO) -> Found:
    index = index_of(file)
    for kind, body in index.picture.properties:
        if kind == b"colr" and body[:4] in (b"prof", b"rICC"):
            yield "icc", body[4:]
    for _, item in index.about(b"cdsc"):
        name = {b"Exif": "exif", b"mime": "xmp" if item.mime_type == b"application/rdf+xml" else ""}.get(item.kind, "")
        if name and sum(length for _, length in item.extents) > LARGEST_BYTES:
            yield TooLongError()
        elif name:
            data = b"".join(_read(file, extent) for extent in item.extents)
            yield name, data if name == "xmp" else _exif_of(data)
    for _, item in index.about(b"auxl"):
        purpose = (item.property(b"auxC") or b"").lower()
        yield GAIN_MAP if b"gainmap" in purpose else DEPTH_MAP if b"depth" in purpose or b":aux:2" in purpose else None
    kinds = {item.kind for item in index.items.values()}
    yield GAIN_MAP if b"tmap" in kinds else None
    yield CREDENTIALS if b"jumb" in kinds or b"c2pa" in kinds else None


def _read(file: BinaryIO, extent: tuple[int, int]) -> bytes:
    file.seek(extent[0])
    return file.read(extent[1])


def _exif_of(data: bytes) -> bytes:
    return data[4 + int.from_bytes(data[:4], "big") :].removeprefix(blocks.MARK)


def tell_colours(file: BinaryIO, header: Header, metadata: Metadata) -> Told | None:
    """By the numbers of its nclx box; a profile counts more."""
    if metadata.icc:
        return None
    for kind, body in index_of(file).picture.properties:
        if kind == b"colr" and body[:4] == b"nclx":
            primaries, transfer = (
                usual if value == UNSPECIFIED else value
                for value, usual in zip(struct.unpack_from(">HH", body, 4), SRGB_NUMBERS, strict=True)
            )
            return told_by_numbers("its nclx box", primaries, transfer, header)
    return None


def further(file: BinaryIO, header: Header) -> Iterator[BinaryIO]:
    """The file once more for each further picture that stands by itself, as if that were the one to be shown."""
    index = index_of(file)
    parts = {number for item in index.items.values() for number in item.uses.get(b"dimg", ())}
    file.seek(0)
    at, width = index.place
    start = file.read(at)
    for number, item in index.items.items():
        is_picture = item.property(b"ispe") and item.kind != b"tmap" and not item.hidden and number not in parts
        if number != index.primary and is_picture and not {b"thmb", b"auxl"} & item.uses.keys():
            yield section(file, 0, start=start + number.to_bytes(width, "big"))
