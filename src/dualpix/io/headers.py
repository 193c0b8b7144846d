"""What a picture file declares about itself, read from its first bytes: an absurd size is refused before decoding.

Only formats of one still picture are let through, told apart by content and not by name.
"""

import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from dualpix.io.formats import jpeg, png
from dualpix.io.formats.jpegxl import BARE, BOXED, peek_jpegxl
from dualpix.io.formats.netpbm import MARKS, peek_netpbm
from dualpix.io.opening import ACCEPTED, Header, exactly, length_of, refuse


def peek(file: BinaryIO) -> Header:
    """The header of an open picture file. Raises PictureError, which names the file, for anything else."""
    file.seek(0)
    start = file.read(16)
    if not start:
        refuse(file, "is empty (0 bytes); copy it again")
    for matches, parse in SIGNATURES:
        if matches(start):
            file.seek(0)
            return parse(file)
    kind = stranger(start)
    named = f" (it looks like {kind})" if kind else ""
    refuse(file, f"is not a {ACCEPTED} file{named}; convert it to one of these, 16-bit if possible")


PLAUSIBLE = re.compile(rb"P\d(\s+\d|\s*#)")


def looks_like_picture(start: bytes) -> bool:
    """Whether a file with these first 16 bytes is of a format that is read."""
    if start.startswith(MARKS):  # two letters, with which a text may begin as well
        return PLAUSIBLE.match(start) is not None
    return any(matches(start) for matches, _ in SIGNATURES)


def stranger(start: bytes) -> str | None:
    """The kind of a file with these first 16 bytes, if it is one that people try and that is not read."""
    return next((name for at, mark, name in STRANGERS if start[at:].startswith(mark)), None)


def _webp(file: BinaryIO) -> Header:
    kind, body = exactly(file, 20)[12:16], exactly(file, 10)
    if kind == b"VP8X":
        if body[0] & 0x02:
            refuse(file, "is an animation; give a still picture")
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
        return Header("WebP", width, height, 4 if body[0] & 0x10 else 3, 8)
    if kind == b"VP8L" and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return Header("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 4 if bits >> 28 & 1 else 3, 8)
    if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", body[6:]))
        return Header("WebP", width, height, 3, 8)
    refuse(file, "has a damaged WebP header; copy it again")


# The TIFF tags that decide whether and how the first page is read, with their defaults.
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 254, 256, 257, 258, 259, 262, 277
TILE_WIDTH, TILE_HEIGHT, EXTRA_SAMPLE, SAMPLE_FORMAT, DNG_VERSION = 322, 323, 338, 339, 50706
MULTIPLIED = "has colours multiplied by its transparency: where it is not opaque they are too dark."
TIFF_DEFAULTS = {SUBFILE: 0, WIDTH: 0, HEIGHT: 0, BITS: 1, COMPRESSION: 1, PHOTOMETRIC: -1, SAMPLES: 1, TILE_WIDTH: 0,
                 TILE_HEIGHT: 0, EXTRA_SAMPLE: 0, SAMPLE_FORMAT: 1, DNG_VERSION: 0}  # fmt: skip
TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
# None, LZW, JPEG, Deflate (new and old number), PackBits, Zstandard. A segment of JPEG declares a size of its own,
# which the reader checks; all others decode into a buffer of the declared size.
TIFF_PLAIN, TIFF_JPEG = 1, 7
TIFF_COMPRESSIONS = {TIFF_PLAIN, 5, TIFF_JPEG, 8, 32946, 32773, 50000}
GREY, RGB, YCBCR = 1, 2, 6
TIFF_COLOURS = {0: "negative grey (white is zero)", 3: "palette colours", 5: "CMYK", 6: "uncompressed YCbCr",
                8: "CIELab", 9: "CIELab", 10: "CIELab", 32803: "a colour filter mosaic"}  # fmt: skip


def _tiff(file: BinaryIO) -> Header:
    start = exactly(file, 16)
    tags = _tiff_tags(file, start)
    if start[8:10] == b"CR" or tags[DNG_VERSION] or tags[SUBFILE] & 1:
        refuse(file, f"is a camera raw file, or its first page is only a thumbnail; export both views as {ACCEPTED}")
    if tags[COMPRESSION] not in TIFF_COMPRESSIONS:
        refuse(file, "is a TIFF with an unusual compression; save it with none, LZW or Deflate")
    if tags[PHOTOMETRIC] not in {GREY, RGB} | ({YCBCR} if tags[COMPRESSION] == TIFF_JPEG else set()):
        kind = TIFF_COLOURS.get(tags[PHOTOMETRIC], "an unknown kind of colour")
        refuse(file, f"is a TIFF in {kind}; save it as RGB, or as grey with black as zero")
    depth = {(1, 8): 8, (1, 16): 16, (3, 16): 16, (3, 32): 16, (3, 64): 16}.get((tags[SAMPLE_FORMAT], tags[BITS]))
    if depth is None or tags[SAMPLES] not in (1, 2, 3, 4) or (tags[PHOTOMETRIC] != GREY) != (tags[SAMPLES] >= 3):
        what = f"{tags[SAMPLES]} samples of {tags[BITS] if tags[BITS] > 0 else 'mixed'} bits"
        refuse(file, f"is a TIFF of {what}; save it as grey or RGB of 8 or 16 bits, or float in [0, 1]")
    if tags[TILE_WIDTH] * tags[TILE_HEIGHT] > max(tags[WIDTH] * tags[HEIGHT], 4096 * 4096):
        refuse(file, "is a TIFF with tiles larger than itself; save it again")  # a tile is decoded whole
    notes = (MULTIPLIED,) if tags[SAMPLES] in (2, 4) and tags[EXTRA_SAMPLE] == 1 else ()
    return Header("TIFF", tags[WIDTH], tags[HEIGHT], tags[SAMPLES], depth, notes=notes)


def _tiff_tags(file: BinaryIO, start: bytes) -> dict[int, int]:
    """The single integers of the first directory, classic or BigTIFF; samples that differ in size or kind give -1."""
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
        if code not in TIFF_DEFAULTS:
            continue
        if kind not in TIFF_INTEGERS or not 0 < number <= 16:
            refuse(file, f"has a damaged TIFF directory (tag {code} is no small whole number); save it again")
        values = _tiff_values(file, order, TIFF_INTEGERS[kind] * number, value, pointer)
        one = values[0] if len(set(values)) == 1 or code == DNG_VERSION else -1
        if tags.setdefault(code, one) != one:  # readers differ in which of the two they take
            refuse(file, f"has a damaged TIFF directory (tag {code} stands in it twice); save it again")
    return TIFF_DEFAULTS | tags


def _tiff_values(file: BinaryIO, order: str, layout: str, value: bytes, pointer: str) -> tuple[int, ...]:
    """Values that fit sit in the entry itself, the others where it points to."""
    size = struct.calcsize(order + layout)
    if size > len(value):
        back = file.tell()
        file.seek(min(struct.unpack(order + pointer, value)[0], length_of(file)))
        value = exactly(file, size)
        file.seek(back)
    return struct.unpack_from(order + layout, value)


SIGNATURES: list[tuple[Callable[[bytes], bool], Callable[[BinaryIO], Header]]] = [
    (lambda start: start.startswith(png.MARK), png.peek_png),
    (lambda start: start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), _tiff),
    (lambda start: start.startswith(jpeg.MARK), jpeg.peek_jpeg),
    (lambda start: start.startswith(b"RIFF") and start[8:12] == b"WEBP", _webp),
    (lambda start: start.startswith((BARE, BOXED)), peek_jpegxl),
    (lambda start: start.startswith(MARKS), peek_netpbm),
]

# (where, what, name): files people try, named in the refusal.
STRANGERS = [
    (4, b"ftypcrx", "a Canon CR3 raw file"),
    (4, b"ftyp", "HEIC, AVIF or a video"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"8BPS", "Photoshop"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"P1", "PBM"),
    (0, b"P4", "PBM"),
    (0, b"P7", "PAM"),
    (0, b"PF\n", "PFM"),
    (0, b"Pf\n", "PFM"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"%PDF", "PDF"),
]
