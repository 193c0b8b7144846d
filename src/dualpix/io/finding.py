"""Where each format keeps what it says about its photograph: the blocks and texts of a file, as the bytes they are."""

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

import imagecodecs

from dualpix.io import exif as blocks
from dualpix.io import photoshop
from dualpix.io.formats import png
from dualpix.io.formats.jpeg import segments
from dualpix.io.formats.jpegxl import BOXED, boxes
from dualpix.io.texts import (
    LARGEST_BYTES,
    OF_THE_FILE,
    Text,
    TooLongError,
    inflate,
    of_chunk,
    of_comment,
    raw_profile,
)

XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
ICC_MARK = b"ICC_PROFILE\0"
EXIF_MARK = b"Exif\0\0"
XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
PNG_XMP, PNG_PROFILE = "XML:com.adobe.xmp", "Raw profile type "
COMMENT_CODE = 0xFE  # of a segment of a JPEG
ICC_TAG, XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, CREDENTIALS_TAG = 34675, 700, 33723, 34377, 52545
INCH_M, INCH_CM = 0.0254, 2.54

# A block; a text; words for what cannot go along; an error where something is damaged or too long; None for the rest.
Found = Iterator[tuple[str, bytes] | Text | str | ValueError | None]
CREDENTIALS = "its content credentials (C2PA), which are signed for the old file"
GAIN_MAP = "a gain map"


def _per_inch(across: float, down: float) -> tuple[str, bytes]:
    return "density", struct.pack("dd", across, down)


def _sealed(data: bytes) -> str:
    """Words for a JUMBF block, which may hold anything but mostly holds content credentials."""
    return CREDENTIALS if b"c2pa" in data[:4096] else "a JUMBF block"


def _png(file: BinaryIO) -> Found:
    for found in png.chunks(file):
        if found.kind == b"caBX":
            yield CREDENTIALS
        elif found.kind not in PNG_CHUNKS:
            yield None
        elif found.length > LARGEST_BYTES:
            yield TooLongError()
        else:
            try:
                yield PNG_CHUNKS[found.kind](found.kind, png.content(file, found))
            except ValueError as error:
                yield error


def _png_exif(kind: bytes, data: bytes) -> tuple[str, bytes]:
    return "exif", data.removeprefix(EXIF_MARK)


def _png_profile(kind: bytes, data: bytes) -> tuple[str, bytes]:
    return "icc", inflate(data[data.index(b"\0") + 2 :])


def _png_density(kind: bytes, data: bytes) -> tuple[str, bytes] | None:
    if len(data) != 9 or data[8] != 1:  # not per metre: it only tells the shape of a pixel
        return None
    return _per_inch(*(count * INCH_M for count in struct.unpack(">II", data[:8])))


def _png_text(kind: bytes, data: bytes) -> tuple[str, bytes] | Text | str:
    text, content = of_chunk(kind, data)
    if text.keyword == PNG_XMP:
        return "xmp", content
    if text.keyword.startswith(PNG_PROFILE):
        name = text.keyword.removeprefix(PNG_PROFILE)
        profile = raw_profile(content)
        if name in ("icc", "icm"):
            return "icc", profile
        if name == "xmp" or profile.startswith(XMP_MARK):
            return "xmp", profile.removeprefix(XMP_MARK)
        if name in ("exif", "APP1"):
            return "exif", profile.removeprefix(EXIF_MARK)
        if name in ("iptc", "8bim"):
            return "photoshop" if profile.startswith(b"8BIM") else "iptc", profile
    if text.keyword.startswith(OF_THE_FILE):
        return f"what its texts tell of the old file ('{text.keyword[:40]}')"
    return text


PNG_CHUNKS: dict[bytes, Callable[[bytes, bytes], tuple[str, bytes] | Text | str | None]] = {
    b"iCCP": _png_profile,
    b"eXIf": _png_exif,
    b"pHYs": _png_density,
    **dict.fromkeys((b"tEXt", b"zTXt", b"iTXt"), _png_text),
}


def _jpeg(file: BinaryIO) -> Found:
    exif, profile, parts, resources = b"", {}, 0, b""
    for code, _, length, _ in segments(file):
        data = file.read(length)
        if code == 0xE1 and data.startswith(EXIF_MARK):
            if len(exif) <= LARGEST_BYTES:  # a long one is spread over several segments
                exif += data.removeprefix(EXIF_MARK)
        elif code == 0xE1 and data.startswith(XMP_MARK):
            yield "xmp", data.removeprefix(XMP_MARK)
        elif code == 0xED and data.startswith(photoshop.MARK):
            if len(resources) <= LARGEST_BYTES:
                resources += data.removeprefix(photoshop.MARK)
        elif code == 0xE0 and data.startswith(b"JFIF\0") and len(data) >= 12:
            unit, *counts = struct.unpack(">BHH", data[7:12])
            yield _per_inch(*(count * {1: 1.0, 2: INCH_CM}.get(unit, 0.0) for count in counts))
        elif code == 0xE2 and data.startswith(ICC_MARK) and len(data) > 14:
            profile[data[12]], parts = data[14:], data[13]
        else:
            yield of_comment(data) if code == COMMENT_CODE else _told_of_segment(code, data)
    yield "exif", exif
    yield "photoshop", resources
    # Readers take a profile only if all of it is there.
    whole = b"".join(profile[number] for number in sorted(profile))
    yield ("icc", whole) if len(profile) == parts else ValueError("parts of the profile are missing")


def _told_of_segment(code: int, data: bytes) -> str | None:
    """Words for a segment that is not carried over; none for those that only tell how the old file is stored."""
    if code == 0xEB and data.startswith(b"JP"):
        return _sealed(data)
    if code == 0xE2 and data.startswith(b"urn:iso:std:iso:ts:21496:"):
        return GAIN_MAP
    known = data.startswith((b"JFIF\0", b"JFXX\0", b"MPF\0", ICC_MARK, XMP_EXTENSION, b"Ducky", b"Adobe"))
    return None if known or not 0xE0 <= code <= 0xEF else f"a block of its maker or software (APP{code - 0xE0})"


def _webp(file: BinaryIO) -> Found:
    file.seek(12)
    names = {b"ICCP": "icc", b"EXIF": "exif", b"XMP ": "xmp"}
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        after = file.tell() + length + length % 2
        name = names.get(head[:4], "")
        if name and length > LARGEST_BYTES:
            yield TooLongError()
        elif name:
            data = file.read(length)
            yield name, data.removeprefix(EXIF_MARK) if name == "exif" else data
        else:
            yield CREDENTIALS if head[:4] == b"C2PA" else None
        file.seek(after)


def _jpegxl(file: BinaryIO) -> Found:
    file.seek(0)
    if file.read(len(BOXED)) != BOXED:
        return
    for kind, length in boxes(file):
        if kind not in (b"Exif", b"xml ", b"brob", b"jumb", b"jhgm"):
            yield None
            continue
        data = file.read(min(length, LARGEST_BYTES + 4))
        is_packed = kind == b"brob"
        kind, data = (data[:4], data[4:]) if is_packed else (kind, data)
        if kind in (b"jumb", b"jhgm"):
            yield GAIN_MAP if kind == b"jhgm" else CREDENTIALS if is_packed else _sealed(data)
        elif length > LARGEST_BYTES:
            yield TooLongError()
        elif kind in (b"Exif", b"xml "):
            yield _of_box(kind, data, is_packed)


def _of_box(kind: bytes, data: bytes, is_packed: bool) -> tuple[str, bytes] | ValueError:
    if is_packed:
        try:
            data = bytes(imagecodecs.brotli_decode(data, out=LARGEST_BYTES))
        except imagecodecs.BrotliError:
            return ValueError("damaged, or unpacks to too much")
    if kind == b"xml ":
        return "xmp", data
    return "exif", data[4 + int.from_bytes(data[:4], "big") :].removeprefix(EXIF_MARK)


def _tiff(file: BinaryIO) -> Found:
    block = blocks.open_block(file)
    first = blocks.read_directory(block, block.first)
    for name, tag in (("icc", ICC_TAG), ("xmp", XMP_TAG), ("iptc", IPTC_TAG), ("photoshop", PHOTOSHOP_TAG)):
        if tag in first:
            yield name, first[tag].value
    yield _per_inch(*blocks.density_of(first, block.order))
    yield "exif", blocks.gather(block)
    yield CREDENTIALS if CREDENTIALS_TAG in first else None


def _none(file: BinaryIO) -> Found:
    return iter(())


READERS: dict[str, Callable[[BinaryIO], Found]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WebP": _webp,
    "JPEG XL": _jpegxl,
    "TIFF": _tiff,
    "Netpbm": _none,
}
