"""Pictures in boxes, as AVIF and HEIF keep them (ISO/IEC 23008-12): their sizes, metadata, colours and companions."""

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

BLOCK = 64  # sides are coded in blocks of so many pixels at most
SMALL = 4096 * 4096  # pixels, the tiles of any picture together
ORIENTATIONS = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
"""By the axis of a mirror (0 exchanges top and bottom) and the quarter turns counter-clockwise before it."""
SRGB_NUMBERS, UNSPECIFIED = (1, 13), 2


def read_header(file: BinaryIO, name: str) -> Header:
    """Of the picture, as it lies in the file: turns and mirrors become its orientation. Raises PictureError."""
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
    """So many pixels may be decoded for a picture of this size: rows and columns of tiles reach beyond it."""
    return max(4 * (width + BLOCK) * (height + BLOCK), SMALL)


def load_checked(file: BinaryIO, header: Header, codec: bytes) -> bytes:
    """The whole file, once everything that is decoded of it has the size that its index tells.

    Raises PictureError otherwise, and for what is not coded by `codec`, in one piece or in tiles.
    """
    data, index = load(file, header), index_of(file)
    left = 2 * len(data)  # tiles may share what they are coded as, within reason
    try:
        if _area(index.picture) > _most(header.width, header.height):
            refuse(file, "shows a small part of a far larger picture; export it again")
        for item in (index.picture, *alphas_of(index)):
            _check_grid(index, item, data)
            for part in parts_of(index, item)[item.kind == b"grid" :]:
                left -= sum(length for _, length in part.extents)
                if part.kind != codec:
                    kind = part.kind.decode("ascii", "replace")
                    refuse(file, f"keeps its picture in a way that is not read ('{kind}'); save it as PNG or TIFF")
                if left < 0 or not _is_as_told(part, content_of(data, part)):
                    raise ValueError("other sizes than those of the index")
            if _area(item) > _area(index.picture):
                raise ValueError("more alpha than picture")
    except (ValueError, IndexError, KeyError, TypeError, struct.error):
        refuse_damaged(file)
    return data


def _is_as_told(item: Item, content: bytes) -> bool:
    """Whether what is coded is no larger than the index says, but for the rest of a block at the right and below."""
    width, height = _size_of(item)
    sizes = list(coded_sizes(item, content))
    return bool(sizes) and all(across <= width + BLOCK and down <= height + BLOCK for across, down in sizes)


def _check_grid(index: Index, item: Item, data: bytes) -> None:
    """Raises ValueError for tiles that are no rows and columns, or far more than the picture."""
    tiles, size = item.uses.get(b"dimg", []), _size_of(item)
    if item.kind != b"grid":
        if tiles:
            raise ValueError("tiles of no grid")
        return
    content = content_of(data, item)
    rows, columns = content[2] + 1, content[3] + 1
    told = struct.unpack_from(">II" if content[1] & 1 else ">HH", content, 4)
    area = sum(_area(index.items[number]) for number in tiles)
    if told != size or len(tiles) != rows * columns or len(tiles) > MOST_TILES or area > _most(*size):
        raise ValueError("another grid than told")


def in_unit_range(levels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Levels of 8 bits as they are, deeper ones in [0, 1]. Raises ValueError for levels of other bits."""
    if (levels.dtype == np.uint8) != (bits <= 8) or int(levels.max()) >> bits:
        raise ValueError(f"its levels do not have the {bits} bits that its index tells")
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
