"""The index of an AVIF or HEIF file (ISO/IEC 23008-12): which items it has and where they lie in the file."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, NoReturn

from dualpix.io.opening import length_of, refuse, refuse_cut_short

MOST_BOXES, LARGEST_META, MOST_ITEMS, MOST_TILES = 4096, 2**22, 8192, 4096
ONCE = frozenset({b"iinf", b"iloc", b"iprp", b"pitm", b"iref", b"idat"})
IN_THE_FILE, IN_THE_INDEX = 0, 1  # what the offsets in iloc count from (construction_method)
Box = tuple[bytes, bytes]


@dataclass
class Item:
    """One item of the file: a picture, a tile, EXIF ...

    Attributes:
        kind: The item type: b"av01", b"grid", b"Exif" ...
        mime_type: Of items of type b"mime".
        hidden: Whether it is marked as not to be displayed.
        extents: Offset and length in bytes of each piece of it in the file.
        properties: Type and content of each.
        uses: Numbers of the items it refers to, by the type of reference.
    """

    kind: bytes = b""
    mime_type: bytes = b""
    hidden: bool = False
    extents: list[tuple[int, int]] = field(default_factory=list)
    properties: list[Box] = field(default_factory=list)
    uses: dict[bytes, list[int]] = field(default_factory=dict)

    def property(self, kind: bytes) -> bytes | None:
        """The content of the first property of that type; None where it has none."""
        return next((body for name, body in self.properties if name == kind), None)


@dataclass
class Index:
    """The items of a file.

    Attributes:
        items: By number.
        primary: The number of the picture to be shown.
        place: Where in the file that number stands, and how many bytes it takes.
    """

    items: dict[int, Item]
    primary: int
    place: tuple[int, int]

    @property
    def picture(self) -> Item:
        """The picture to be shown."""
        return self.items[self.primary]

    @property
    def angle(self) -> int:
        """Counter-clockwise quarter turns to be made before it is shown, 0 to 3."""
        return (self.picture.property(b"irot") or b"\0")[0] & 3

    @property
    def axis(self) -> int | None:
        """Axis of the mirroring that follows the turns: 0 exchanges top and bottom, 1 left and right; None for none."""
        mirror = self.picture.property(b"imir")
        return None if mirror is None else mirror[0] & 1

    @property
    def bits(self) -> int:
        """Bits per channel; 8 where the file does not state them."""
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
        """Number and item of each that refers to the picture in that way: metadata (cdsc), alpha and maps (auxl)."""
        return ((n, item) for n, item in self.items.items() if self.primary in item.uses.get(reference, ()))


def boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The type of each box in `data`, and where its content begins and ends. Raises ValueError for a damaged one."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        end = at + size if size else len(data)
        if not begin <= end <= len(data):
            raise ValueError("a box extends beyond the one around it")
        yield kind, begin, end
        at = end


def index_of(file: BinaryIO) -> Index:
    """Read the index. Raises PictureError where it is missing or damaged, and for animations."""
    begin, meta = _meta(file)
    try:
        return _parsed(begin, meta)
    except (ValueError, IndexError, KeyError, struct.error):
        refuse_damaged(file)


def refuse_damaged(file: BinaryIO) -> NoReturn:
    """Raise PictureError for a file with a damaged index."""
    refuse(file, "has a damaged index of its pictures; copy or export it again")


def _meta(file: BinaryIO) -> tuple[int, bytes]:
    """Where the content of the meta box begins, and that content; all boxes of the file must be complete."""
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
            refuse_damaged(file)
        if head[4:8] == b"moov":
            refuse(file, "is an animation; give a still picture")
        if after > end:
            refuse_cut_short(file)
        if head[4:8] == b"meta" and found is None:
            if after - begin > LARGEST_META:
                refuse_damaged(file)
            file.seek(begin + 4)
            found = begin + 4, file.read(after - begin - 4)
        at = after
    if found is None:
        refuse_cut_short(file)
    return found


def _parsed(begin: int, meta: bytes) -> Index:
    items: dict[int, Item] = {}
    parts: dict[bytes, tuple[int, bytes]] = {}
    for kind, start, end in boxes(meta):
        if kind in ONCE and kind in parts:
            raise ValueError("two boxes where only one is allowed")
        parts[kind] = (start, meta[start:end])
    listed = parts[b"iinf"][1]
    listed = listed[6 if listed[0] == 0 else 8 :]
    for kind, start, end in islice(boxes(listed), MOST_ITEMS):
        entry = listed[start:end]
        if kind == b"infe":
            number, rest = (int.from_bytes(entry[4 : (at := 6 if entry[0] < 3 else 8)], "big"), entry[at + 2 :])
            if number in items:
                raise ValueError("two items of one number")
            words = rest[4:].split(b"\0")
            items[number] = Item(rest[:4], words[1] if len(words) > 1 else b"", bool(entry[3] & 1))
    start, inside = parts.get(b"idat", (0, b""))
    _locate(items, parts[b"iloc"][1], (begin + start, len(inside)))
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
    """Reads whole numbers of a given number of bytes, one after the other."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, width: int) -> int:
        if self.at + width > len(self.data):
            raise ValueError("cut short")
        self.at += width
        return int.from_bytes(self.data[self.at - width : self.at], "big")


def _locate(items: dict[int, Item], data: bytes, inside: tuple[int, int]) -> None:
    """Fill in where the items lie; `inside`: offset and length of the data that the index holds for some of them."""
    version, numbers = data[0], _Numbers(data, 4)
    sizes = numbers.take(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version > 0 else 0
    wide = 4 if version == 2 else 2
    if not offset_size + length_size:
        raise ValueError("no item has a place")  # such entries take few bytes, so a small file could list very many
    for _ in range(numbers.take(wide)):
        number = numbers.take(wide)
        method = numbers.take(2) & 15 if version > 0 else 0
        numbers.take(2)
        base = numbers.take(base_size)
        item = items.get(number, Item())
        if item.extents:
            raise ValueError("an item with two places")
        for _ in range(numbers.take(2)):
            numbers.take(index_size)
            at, length = base + numbers.take(offset_size), numbers.take(length_size)
            if method == IN_THE_INDEX and at + length > inside[1]:
                raise ValueError("an item that extends beyond the index")
            if method in (IN_THE_FILE, IN_THE_INDEX):
                item.extents.append((at + inside[0] * method, length))


def _describe(items: dict[int, Item], data: bytes) -> None:
    (properties,) = [data[start:end] for kind, start, end in boxes(data) if kind == b"ipco"]
    known = [(kind, properties[first:last]) for kind, first, last in islice(boxes(properties), MOST_BOXES)]
    for kind, first, last in boxes(data):
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
    wide, references = 2 if data[0] == 0 else 4, data[4:]
    for kind, first, last in boxes(references):
        numbers = _Numbers(references[first:last])
        item = items.get(numbers.take(wide), Item())
        item.uses.setdefault(kind, []).extend(numbers.take(wide) for _ in range(numbers.take(2)))


def alphas_of(index: Index) -> list[Item]:
    """The picture's alpha channel, if an item is declared to be one: a list of at most one item."""
    auxiliaries = ((item, item.property(b"auxC") or b"") for _, item in index.about(b"auxl"))
    return [item for item, purpose in auxiliaries if b":alpha" in purpose or b":auxid:1" in purpose][:1]


def parts_of(index: Index, item: Item) -> list[Item]:
    """An item and the tiles it consists of. Raises KeyError where one is missing."""
    return [item, *(index.items[number] for number in item.uses.get(b"dimg", [])[:MOST_TILES])]


def content_of(data: bytes, item: Item) -> bytes:
    """The coded data of an item of the file `data`."""
    return b"".join(data[at : at + length] for at, length in item.extents)
