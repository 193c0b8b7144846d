"""TIFF, classic and BigTIFF (TIFF 6.0), read by tifffile if the first page's tags describe one plain picture."""

import io
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dualpix.io import exif as blocks
from dualpix.io import photoshop
from dualpix.io.colours import Told, told_by_tags
from dualpix.io.formats.jpeg import JPEG
from dualpix.io.formats.jpeg_scans import decode_jpeg
from dualpix.io.formats.record import Format, Order, Output
from dualpix.io.metadata import CREDENTIALS, Found, Metadata, per_inch
from dualpix.io.opening import Header, Part, exactly, length_of, refuse, refuse_cut_short, section
from dualpix.machine.later import tifffile

ICC_TAG, XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, CREDENTIALS_TAG, STRIP_OFFSETS = 34675, 700, 33723, 34377, 52545, 273
# The TIFF tags that decide whether and how the first page is read, with their defaults.
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 254, 256, 257, 258, 259, 262, 277
PREDICTOR, TILE_WIDTH, TILE_HEIGHT, EXTRA_SAMPLE, SAMPLE_FORMAT, DNG_VERSION = 317, 322, 323, 338, 339, 50706
MULTIPLIED = "has premultiplied transparency: colours are too dark where it is not opaque."
DEFAULTS = {SUBFILE: 0, WIDTH: 0, HEIGHT: 0, BITS: 1, COMPRESSION: 1, PHOTOMETRIC: -1, SAMPLES: 1, PREDICTOR: 1,
            TILE_WIDTH: 0, TILE_HEIGHT: 0, EXTRA_SAMPLE: 0, SAMPLE_FORMAT: 1, DNG_VERSION: 0}  # fmt: skip
INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
# None, LZW, JPEG, Deflate (new and old number), PackBits, Zstandard. A segment of JPEG declares a size of its own,
# which the reader checks; all others decode into a buffer of the declared size.
PLAIN, BY_JPEG, PACKBITS = 1, 7, 32773
COMPRESSIONS = {PLAIN, 5, BY_JPEG, 8, 32946, PACKBITS, 50000}
WITHOUT_PREDICTOR = {PLAIN, BY_JPEG, PACKBITS}
MOST_PADDING = 16
"""So many bytes and more behind the pixels of an uncompressed strip are pixels too."""

GREY, RGB, YCBCR = 1, 2, 6
FLOAT = 3  # as a sample format
COLOURS = {0: "negative grey (white is zero)", 3: "palette colours", 5: "CMYK", 6: "uncompressed YCbCr",
           8: "CIELab", 9: "CIELab", 10: "CIELab", 32803: "a colour filter mosaic"}  # fmt: skip


def _read_header(file: BinaryIO) -> Header:
    start = exactly(file, 16)
    tags = _tags(file, start)
    if start[8:10] == b"CR" or tags[DNG_VERSION] or tags[SUBFILE] & 1:
        refuse(file, "is a camera raw file, or its first page is only a thumbnail; export both views as 16-bit TIFF")
    if tags[COMPRESSION] not in COMPRESSIONS:
        refuse(file, "is a TIFF with an unusual compression; save it with none, LZW or Deflate")
    if tags[PREDICTOR] != 1 and tags[COMPRESSION] in WITHOUT_PREDICTOR:  # which some readers undo, and others pass over
        refuse(
            file, "is a TIFF with a predictor, which its compression does not know; save it with none, LZW or Deflate"
        )
    if tags[PHOTOMETRIC] not in {GREY, RGB} | ({YCBCR} if tags[COMPRESSION] == BY_JPEG else set()):
        kind = COLOURS.get(tags[PHOTOMETRIC], "an unknown kind of colour")
        refuse(file, f"is a TIFF in {kind}; save it as RGB, or as grey with black as zero")
    depth = {(1, 8): 8, (1, 16): 16, (3, 16): 16, (3, 32): 16, (3, 64): 16}.get((tags[SAMPLE_FORMAT], tags[BITS]))
    if depth is None or tags[SAMPLES] not in (1, 2, 3, 4) or (tags[PHOTOMETRIC] != GREY) != (tags[SAMPLES] >= 3):
        what = f"{tags[SAMPLES]} samples of {tags[BITS] if tags[BITS] > 0 else 'mixed'} bits"
        refuse(file, f"is a TIFF of {what}; save it as grey or RGB of 8 or 16 bits, or float in [0, 1]")
    if tags[TILE_WIDTH] * tags[TILE_HEIGHT] > max(tags[WIDTH] * tags[HEIGHT], 4096 * 4096):
        refuse(file, "is a TIFF with tiles larger than the picture; save it again")  # a tile is decoded whole
    notes = (MULTIPLIED,) if tags[SAMPLES] in (2, 4) and tags[EXTRA_SAMPLE] == 1 else ()
    return Header(
        "TIFF", tags[WIDTH], tags[HEIGHT], tags[SAMPLES], depth, is_float=tags[SAMPLE_FORMAT] == FLOAT, notes=notes
    )


def _tags(file: BinaryIO, start: bytes) -> dict[int, int]:
    """The integer tags of the main directory, classic or BigTIFF; -1 for samples that differ in size or format."""
    order = "<" if start[:2] == b"II" else ">"
    big = 43 in start[2:4]
    offset_at, pointer, count_of_tags, entry = (8, "Q", "Q", "HHQ8s") if big else (4, "I", "H", "HHI4s")
    (offset,) = struct.unpack_from(order + pointer, start, offset_at)
    file.seek(min(offset, length_of(file)))
    (count,) = struct.unpack(order + count_of_tags, exactly(file, struct.calcsize(order + count_of_tags)))
    if not 0 < count <= 4096:
        refuse(file, "has a damaged TIFF directory; copy it again")
    tags: dict[int, int] = {}
    entries = exactly(file, count * struct.calcsize(order + entry))
    for code, kind, number, value in struct.iter_unpack(order + entry, entries):
        if code not in DEFAULTS:
            continue
        if kind not in INTEGERS or not 0 < number <= 16:
            refuse(file, f"has a damaged TIFF directory (tag {code} is not a small whole number); save it again")
        values = _values(file, order, INTEGERS[kind] * number, value, pointer)
        one = values[0] if len(set(values)) == 1 or code == DNG_VERSION else -1
        if tags.setdefault(code, one) != one:  # readers differ in which of the two they take
            refuse(file, f"has a damaged TIFF directory (tag {code} occurs twice); save it again")
    return DEFAULTS | tags


def _values(file: BinaryIO, order: str, layout: str, value: bytes, pointer: str) -> tuple[int, ...]:
    """The values of an entry: they stand in the entry itself if they fit, otherwise where it points."""
    size = struct.calcsize(order + layout)
    if size > len(value):
        back = file.tell()
        file.seek(min(struct.unpack(order + pointer, value)[0], length_of(file)))
        value = exactly(file, size)
        file.seek(back)
    return struct.unpack_from(order + layout, value)


def _decode(file: BinaryIO, header: Header) -> NDArray[Any]:
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        if prod(page.shape) != header.width * header.height * header.channels:
            refuse(file, "is a TIFF whose first page is not one plain picture; save it as flat RGB")
        offsets, counts, size = page.dataoffsets, page.databytecounts, tiff.filehandle.size
        # The decoder would fill missing or empty segments with zeros.
        whole = all(at > 0 and 0 < count <= size - at for at, count in zip(offsets, counts, strict=False))
        if not whole or not len(offsets) == len(counts) == prod(page.chunked):
            refuse_cut_short(file)
        if page.compression == PLAIN:
            _check_strips(file, page)
        if page.compression == BY_JPEG:
            _check_jpeg_segments(file, page)
        array: NDArray[Any] = np.asarray(page.asarray())
    return np.moveaxis(array, 0, -1) if array.ndim == 3 and page.planarconfig == 2 else array


def _check_strips(file: BinaryIO, page: Any) -> None:
    """Check that each uncompressed strip or tile holds its pixels and no more, and shares no byte with another.

    With fewer the decoder would read beyond it; with more its samples have other bits, or are more, than is declared.
    Strips of equal pixels may lie in one place, and the last strip may be filled up to the height of the others.
    """
    width, height = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    height = height if page.is_tiled else min(height, page.imagelength)
    row = width * page.bitspersample // 8 * (1 if page.planarconfig == 2 else page.samplesperpixel)
    down = -(-page.imagelength // height)
    last = height if page.is_tiled else page.imagelength - (down - 1) * height
    across = page.chunked[-2] if page.is_tiled else 1
    rows = [last if number // across % down == down - 1 else height for number in range(len(page.databytecounts))]
    sizes = [row * high for high in rows]
    begins = dict(sorted(zip(page.dataoffsets, sizes, strict=True)))
    apart = all(at + size <= following for (at, size), following in zip(begins.items(), list(begins)[1:], strict=False))
    if not apart or any(count < size for count, size in zip(page.databytecounts, sizes, strict=True)):
        refuse(file, "is damaged: its strips are shorter than its pixels, or overlap; save it again")
    for count, size in zip(page.databytecounts, sizes, strict=True):
        if all(count - least >= MOST_PADDING for least in (size, row * height)):
            refuse(
                file,
                f"is damaged: it declares {page.samplesperpixel} samples of {page.bitspersample} bits, {size} bytes for"
                f" a strip or tile that holds {count}; save it again",
            )


def _check_jpeg_segments(file: BinaryIO, page: Any) -> None:
    """Check that each JPEG-coded strip or tile is complete, and no larger than the directory states."""
    width, height = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, page.rowsperstrip)
    for at, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(at)
        data = file.read(count)
        inner = JPEG.read_header(Part(data, file.name)) if JPEG.start.match(data) else None
        if inner is None or inner.width > width or inner.height > height:
            refuse(file, "is damaged: a JPEG inside it has another size; copy or export it again")
        if decode_jpeg(data, page.jpegtables) is None:
            refuse_cut_short(file)


def _encode(levels: NDArray[Any], order: Order) -> bytes:
    buffer = io.BytesIO()
    compression: dict[str, Any] = {"compression": "zlib", "compressionargs": {"level": 1}, "predictor": True}
    kind = "rgb" if levels.ndim == 3 else "minisblack"
    tifffile.imwrite(buffer, levels, byteorder=order, photometric=kind, metadata=None, software=False, **compression)
    return buffer.getvalue()


def _read_blocks(file: BinaryIO) -> Found:
    block = blocks.open_block(file)
    first = blocks.read_directory(block, block.first)
    for name, tag in (("icc", ICC_TAG), ("xmp", XMP_TAG), ("iptc", IPTC_TAG), ("photoshop", PHOTOSHOP_TAG)):
        if tag in first:
            yield name, first[tag].value
    yield per_inch(*blocks.density_of(first, block.order))
    yield "exif", blocks.gather(block)
    yield CREDENTIALS if CREDENTIALS_TAG in first else None


def _embed(data: bytes, metadata: Metadata) -> bytes:
    """The EXIF block becomes the start of the file, so that its offsets stay right; the pixels follow it."""
    own = blocks.open_block(io.BytesIO(data))
    order = own.order
    directory = blocks.read_directory(own, own.first)
    exif = metadata.exif or b""
    exif += b"\0" * (len(exif) % 2)
    first = {}
    if exif:
        block = blocks.open_block(io.BytesIO(exif))
        first = blocks.read_directory(block, block.first)
        offsets = directory[STRIP_OFFSETS]
        size = len(offsets.value) // 4
        moved = [at + len(exif) for at in struct.unpack(f"{order}{size}I", offsets.value)]
        directory[STRIP_OFFSETS] = blocks.Entry(blocks.LONG, struct.pack(f"{order}{size}I", *moved))
    directory = {tag: entry for tag, entry in directory.items() if tag in blocks.STORAGE or tag not in first}
    iptc = photoshop.iptc_of(metadata.photoshop or b"")
    for tag, kind, value in (
        (ICC_TAG, 7, metadata.icc),
        (XMP_TAG, 1, metadata.xmp),
        (IPTC_TAG, 7, iptc),
        (PHOTOSHOP_TAG, 7, metadata.photoshop),
    ):
        if value:
            directory[tag] = blocks.Entry(kind, value)
    return blocks.amend(exif + data, directory, without=blocks.STORAGE)


def _tell_colours(file: BinaryIO, header: Header, metadata: Metadata) -> Told | None:
    if metadata.icc:
        return None
    block = blocks.open_block(file)
    return told_by_tags(header, metadata, (blocks.read_directory(block, block.first), block.order))


def _further(file: BinaryIO, header: Header) -> Iterator[BinaryIO]:
    """The file again for each further directory, as if that were the first; no directory is visited twice."""
    with suppress(ValueError):
        block = blocks.open_block(file)
        at, seen = block.first, {0, block.first}
        while (at := blocks.next_directory(block, at)) not in seen:
            seen.add(at)
            file.seek(0)
            mark = file.read(8 if block.big else 4)
            yield section(file, 0, start=mark + struct.pack(block.order + ("Q" if block.big else "I"), at))


TIFF = Format(
    name="TIFF",
    endings=(".tif", ".tiff"),
    mime_type="image/tiff",
    start=re.compile(rb"II[*+]\0|MM\0[*+]"),
    read_header=_read_header,
    decode=_decode,
    read_blocks=_read_blocks,
    bits=(8, 16),
    tell_colours=_tell_colours,
    further=_further,
    outputs=(Output((".tif", ".tiff"), _encode, _embed, about="Deflate"),),
    about="first page: strips, tiles or planes, either byte order, BigTIFF; uncompressed, LZW, Deflate, PackBits, "
    "Zstandard, JPEG",
)
