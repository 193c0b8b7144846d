"""What AVIF and HEIF share (ISO/IEC 23008-12): sizes, metadata, colours and further pictures, from boxes."""

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dualpix.io import exif as blocks
from dualpix.io.colours import Told, told_by_numbers
from dualpix.io.formats.coded_sizes import Size, coded_sizes
from dualpix.io.formats.isobmff_index import (
    MOST_TILES,
    Index,
    Item,
    alphas_of,
    content_of,
    index_of,
    parts_of,
    refuse_damaged,
)
from dualpix.io.metadata import CREDENTIALS, DEPTH_MAP, GAIN_MAP, Found, Metadata
from dualpix.io.opening import Header, length_of, load, refuse, refuse_cut_short, section
from dualpix.io.texts import LARGEST_BYTES, TooLongError

BLOCK = 64  # pixels: the largest blocks that sides are rounded up to when a picture is coded
SMALL = 4096 * 4096  # pixels that the tiles of any picture may have together
ORIENTATIONS = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
"""EXIF orientations, by the axis of mirroring (0 exchanges top and bottom) and the quarter turns counter-clockwise
before it."""
SRGB_NUMBERS, UNSPECIFIED = (1, 13), 2


def read_header(file: BinaryIO, name: str) -> Header:
    """The header of the picture as stored; rotation and mirroring become its orientation. Raises PictureError."""
    index = index_of(file)
    try:
        return _header(file, index, name)
    except (ValueError, IndexError, KeyError, struct.error):
        refuse_damaged(file)


def _header(file: BinaryIO, index: Index, name: str) -> Header:
    picture, end = index.picture, length_of(file)
    width, height = _size_of(picture)
    if clean := picture.property(b"clap"):
        across, per, down, each = struct.unpack_from(">4I", clean)
        width, height = min(width, across // per if per else 0), min(height, down // each if each else 0)
    if any(at + length > end for part in parts_of(index, picture) for at, length in part.extents):
        refuse_cut_short(file)
    pixi = picture.property(b"pixi") or b"\0\0\0\0\3"
    orientation = ORIENTATIONS[index.axis][index.angle]
    channels = (1 if pixi[4] == 1 else 3) + bool(alphas_of(index))
    return Header(name, width, height, channels, 8 if index.bits <= 8 else 16, orientation)


def _size_of(item: Item) -> Size:
    width, height = struct.unpack_from(">II", item.property(b"ispe") or b"", 4)
    return width, height


def _area(item: Item) -> int:
    width, height = _size_of(item)
    return width * height


def _most(width: int, height: int) -> int:
    """How many pixels may be decoded for a picture of this size: its rows and columns of tiles may extend beyond it."""
    return max(4 * (width + BLOCK) * (height + BLOCK), SMALL)


def load_checked(file: BinaryIO, header: Header, codec: bytes) -> bytes:
    """Read the whole file, once everything to be decoded is known to have the size that the file's index states.

    Args:
        file: An open file.
        header: Its header.
        codec: The only item type accepted: b"av01" or b"hvc1", for a picture in one piece or in tiles.

    Raises:
        PictureError: The file is damaged, far larger than its picture, or coded in another way.
    """
    data, index = load(file, header), index_of(file)
    left = 2 * len(data)  # tiles may share their coded data, within reason
    try:
        if _area(index.picture) > _most(header.width, header.height):
            refuse(file, "shows a small part of a far larger picture; export it again")
        for item in (index.picture, *alphas_of(index)):
            _check_grid(index, item, data)
            for part in parts_of(index, item)[item.kind == b"grid" :]:
                left -= sum(length for _, length in part.extents)
                if part.kind != codec:
                    kind = ascii(part.kind.decode("latin-1"))  # four bytes, of which any may be no letter
                    refuse(file, f"stores its picture in a way that cannot be read ({kind}); save it as PNG or TIFF")
                if left < 0 or not _is_as_told(part, content_of(data, part)):
                    raise ValueError("other sizes than in the index")
            if _area(item) > _area(index.picture):
                raise ValueError("an alpha channel larger than the picture")
    except (ValueError, IndexError, KeyError, TypeError, struct.error):
        refuse_damaged(file)
    return data


def _is_as_told(item: Item, content: bytes) -> bool:
    """Whether a coded picture is no larger than the index states, up to a block at the right and below."""
    width, height = _size_of(item)
    sizes = list(coded_sizes(item, content))
    return bool(sizes) and all(across <= width + BLOCK and down <= height + BLOCK for across, down in sizes)


def _check_grid(index: Index, item: Item, data: bytes) -> None:
    """Check the tiles of a picture. Raises ValueError if they form no grid, or are far larger than the picture."""
    tiles, size = item.uses.get(b"dimg", []), _size_of(item)
    if item.kind != b"grid":
        if tiles:
            raise ValueError("tiles without a grid")
        return
    content = content_of(data, item)
    rows, columns = content[2] + 1, content[3] + 1
    told = struct.unpack_from(">II" if content[1] & 1 else ">HH", content, 4)
    area = sum(_area(index.items[number]) for number in tiles)
    if told != size or len(tiles) != rows * columns or len(tiles) > MOST_TILES or area > _most(*size):
        raise ValueError("another grid than declared")


def in_unit_range(levels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Levels of 8 bits unchanged, deeper ones as float32 in [0, 1].

    Raises ValueError if they do not have that many bits.
    """
    if (levels.dtype == np.uint8) != (bits <= 8) or int(levels.max()) >> bits:
        raise ValueError(f"its levels do not have the {bits} bits that its index states")
    return levels if bits <= 8 else (levels / np.float32(2**bits - 1)).astype(np.float32)


def read_blocks(file: BinaryIO) -> Found:
    """Yield the metadata that belong to the picture: ICC profile, EXIF, XMP, and what cannot be carried over."""
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
        is_depth = b"depth" in purpose or b":auxid:2" in purpose
        yield GAIN_MAP if b"gainmap" in purpose else DEPTH_MAP if is_depth else None
    kinds = {item.kind for item in index.items.values()}
    yield GAIN_MAP if b"tmap" in kinds else None
    yield CREDENTIALS if b"jumb" in kinds or b"c2pa" in kinds else None


def _read(file: BinaryIO, extent: tuple[int, int]) -> bytes:
    file.seek(extent[0])
    return file.read(extent[1])


def _exif_of(data: bytes) -> bytes:
    return data[4 + int.from_bytes(data[:4], "big") :].removeprefix(blocks.MARK)


def tell_colours(file: BinaryIO, header: Header, metadata: Metadata) -> Told | None:
    """The colour space by the code points of the file's nclx box; None where it has an ICC profile."""
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
    """The file again for each further picture in it that stands by itself, as if that were its primary item."""
    index = index_of(file)
    parts = {number for item in index.items.values() for number in item.uses.get(b"dimg", ())}
    file.seek(0)
    at, width = index.place
    start = file.read(at)
    for number, item in index.items.items():
        is_picture = item.property(b"ispe") and item.kind != b"tmap" and not item.hidden and number not in parts
        if number != index.primary and is_picture and not {b"thmb", b"auxl"} & item.uses.keys():
            yield section(file, 0, start=start + number.to_bytes(width, "big"))
