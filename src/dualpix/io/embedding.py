"""Put metadata into a picture file that is already encoded, as bytes between those of the encoder."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Literal

from dualpix.errors import PictureError, option
from dualpix.io import exif as blocks
from dualpix.io import photoshop
from dualpix.io.finding import (
    COMMENT_CODE,
    EXIF_MARK,
    ICC_MARK,
    ICC_TAG,
    INCH_M,
    IPTC_TAG,
    PHOTOSHOP_TAG,
    PNG_PROFILE,
    PNG_XMP,
    XMP_MARK,
    XMP_TAG,
)
from dualpix.io.formats import png
from dualpix.io.metadata import Metadata, fits_channels
from dualpix.io.profiles import is_srgb
from dualpix.io.texts import COMMENT, Text, fits_png, named, to_chunk
from dualpix.io.updating import updated

LONGEST_SEGMENT = 65533  # of a JPEG, without marker and length
HOLDS_NOTHING = (".pgm", ".ppm")
NO_IPTC = (".webp", ".jxl")
SRGB_ONLY = ".jxl"
UNTAGGED = (*HOLDS_NOTHING, SRGB_ONLY)  # hold no orientation that readers obey: the picture itself is turned


def check_metadata(path: Path, metadata: Metadata) -> None:
    """Raise PictureError if `path` cannot hold the colour profile, without which the colours would be wrong."""
    if path.suffix.lower() == SRGB_ONLY and not is_srgb(metadata.icc):
        what = "the views carry a colour profile other than sRGB, which a .jxl written here cannot hold"
        raise PictureError(
            f"{path} was not written: {what}; choose .png or .tif, or leave the metadata out"
            f" ({option('strip-metadata')})."
        )


def select(metadata: Metadata, suffix: str, channels: int, size: tuple[int, int]) -> tuple[Metadata, list[str]]:
    """What a file of that kind and size (width, height) can hold, as it is to be written, and a sentence for what it
    cannot."""
    if suffix in HOLDS_NOTHING:
        parts = {
            "the colour profile": metadata.icc,
            "EXIF": metadata.exif,
            "XMP": metadata.xmp,
            "IPTC": metadata.photoshop,
            "the pixels per inch": metadata.density,
            f"texts ({named(metadata.texts)})": metadata.texts,
        }
        lost = ", ".join(name for name, part in parts.items() if part)
        return Metadata(), [f"A {suffix} file holds no metadata; left out: {lost}."] if lost else []
    metadata, notes = updated(metadata, suffix, size)
    kept = tuple(text for text in metadata.texts if TAKES_TEXT.get(suffix, _takes_none)(text))
    if unkept := [text for text in metadata.texts if text not in kept]:
        notes.append(f"A {suffix} file has no place for the texts {named(unkept)}: they are left out.")
    metadata = replace(metadata, texts=kept)
    if suffix == SRGB_ONLY:
        metadata = replace(metadata, icc=None)
    if suffix in NO_IPTC and metadata.photoshop:
        notes.append(f"A {suffix} file has no place for IPTC (caption, keywords, by-line): it is left out.")
        metadata = replace(metadata, photoshop=None)
    if not fits_channels(metadata.icc, 3 if suffix == ".webp" else channels):
        notes.append("The colour profile is for pictures with another number of channels: it is left out.")
        metadata = replace(metadata, icc=None)
    if suffix in (".jpg", ".jpeg"):
        metadata, more = _fit_jpeg(metadata, suffix, size)
        notes += more
    return metadata, notes


def _is_comment(text: Text) -> bool:
    return text.keyword == COMMENT and len(text.text.encode()) <= LONGEST_SEGMENT


def _takes_none(text: Text) -> bool:
    return False


TAKES_TEXT: dict[str, Callable[[Text], bool]] = {".png": fits_png, ".jpg": _is_comment, ".jpeg": _is_comment}


def _fit_jpeg(metadata: Metadata, suffix: str, size: tuple[int, int]) -> tuple[Metadata, list[str]]:
    """EXIF and XMP must fit into one segment each; of a long EXIF, what its main directories do not name goes first."""
    notes = []
    room = LONGEST_SEGMENT - len(EXIF_MARK)
    if metadata.exif and len(metadata.exif) > room:
        short = blocks.gather(blocks.open_block(BytesIO(metadata.exif)), blocks.STORAGE)
        fits = len(short) <= room
        only = Metadata(orientation=metadata.orientation, software=metadata.software, density=metadata.density)
        bare = updated(only, suffix, size)[0].exif
        metadata = replace(metadata, exif=short if fits else bare)
        lost = "what its main directories do not name is" if fits else "all but the orientation is"
        notes.append(f"The EXIF block is too long for a JPEG file: {lost} left out.")
    if metadata.xmp and len(metadata.xmp) > LONGEST_SEGMENT - len(XMP_MARK):
        metadata = replace(metadata, xmp=None)
        notes.append("The XMP packet is too long for a JPEG file: it is left out.")
    return metadata, notes


def embed(data: bytes, suffix: str, metadata: Metadata) -> bytes:
    """The encoded file `data` with the blocks of `metadata`, which `select` chose, in the places of its format."""
    return EMBEDDERS[suffix](data, metadata) if metadata.density or not metadata.is_bare else data


def _png(data: bytes, metadata: Metadata) -> bytes:
    header_end = 8 + 25
    chunks = _png_density(metadata.density)
    if metadata.icc:
        chunks += png.chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    if metadata.exif:
        chunks += png.chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        chunks += png.chunk(b"iTXt", PNG_XMP.encode() + b"\0\0\0\0\0" + metadata.xmp)
    if metadata.photoshop:
        profile = zlib.compress(photoshop.to_text(metadata.photoshop))
        chunks += png.chunk(b"zTXt", f"{PNG_PROFILE}iptc\0\0".encode() + profile)
    chunks += b"".join(map(to_chunk, metadata.texts))
    return data[:header_end] + chunks + data[header_end:]


def _png_density(density: tuple[float, float] | None) -> bytes:
    counts = _counts(density, INCH_M, 2**31)
    return png.chunk(b"pHYs", struct.pack(">IIB", *counts, 1)) if counts else b""


def _counts(density: tuple[float, float] | None, unit_inch: float, limit: int) -> list[int]:
    """A density as whole numbers across and down; none if one is 0 or reaches the limit."""
    counts = [round(min(value / unit_inch, limit)) for value in density or ()]
    return counts if all(0 < count < limit for count in counts) else []


def _jpeg(data: bytes, metadata: Metadata) -> bytes:
    # Behind the JFIF segment, which wants to be first.
    has_jfif = data[2:4] == b"\xff\xe0"
    at = 4 + struct.unpack(">H", data[4:6])[0] if has_jfif else 2
    if has_jfif and (counts := _counts(metadata.density, 1, 2**16)):
        data = data[:13] + struct.pack(">BHH", 1, *counts) + data[18:]
    segments = b""
    if metadata.exif:
        segments += _jpeg_segment(0xE1, EXIF_MARK + metadata.exif)
    if metadata.xmp:
        segments += _jpeg_segment(0xE1, XMP_MARK + metadata.xmp)
    if metadata.icc:
        room = LONGEST_SEGMENT - len(ICC_MARK) - 2
        parts = [metadata.icc[begin : begin + room] for begin in range(0, len(metadata.icc), room)]
        for number, part in enumerate(parts, 1):
            segments += _jpeg_segment(0xE2, ICC_MARK + bytes([number, len(parts)]) + part)
    resources, room = metadata.photoshop or b"", LONGEST_SEGMENT - len(photoshop.MARK)
    for begin in range(0, len(resources), room):  # a long block goes on in the next segment
        segments += _jpeg_segment(0xED, photoshop.MARK + resources[begin : begin + room])
    for text in metadata.texts:
        segments += _jpeg_segment(COMMENT_CODE, text.text.encode())
    return data[:at] + segments + data[at:]


def _jpeg_segment(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def _webp(data: bytes, metadata: Metadata) -> bytes:
    picture = data[12:]
    width_and_height = int.from_bytes(picture[9:13], "little")  # of the lossless bitstream, the only one written here
    sides = ((width_and_height & 0x3FFF), (width_and_height >> 14 & 0x3FFF))
    flags = 0x20 * bool(metadata.icc) | 0x08 * bool(metadata.exif) | 0x04 * bool(metadata.xmp)
    extended = bytes([flags, 0, 0, 0]) + b"".join(side.to_bytes(3, "little") for side in sides)
    body = b"WEBP" + _webp_chunk(b"VP8X", extended)
    body += _webp_chunk(b"ICCP", metadata.icc) + picture
    body += _webp_chunk(b"EXIF", metadata.exif) + _webp_chunk(b"XMP ", metadata.xmp)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunk(kind: bytes, body: bytes | None) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) if body else b""


def _jpegxl(data: bytes, metadata: Metadata) -> bytes:
    extra = b""
    if metadata.exif:
        extra += _box(b"Exif", bytes(4) + metadata.exif)
    if metadata.xmp:
        extra += _box(b"xml ", metadata.xmp)
    at = 0
    while data[at + 4 : at + 8] in (b"JXL ", b"ftyp", b"jxll"):
        at += int.from_bytes(data[at : at + 4], "big")
    return data[:at] + extra + data[at:]


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


Order = Literal["<", ">"]


def byte_order(exif: bytes | None) -> Order:
    """That of an EXIF block; a TIFF file that shall hold the block must be written in the same."""
    return ">" if exif and exif.startswith(b"MM") else "<"


def _tiff(data: bytes, metadata: Metadata) -> bytes:
    """The EXIF block becomes the start of the file, so that all it holds keeps its place; the picture follows it."""
    own = blocks.open_block(BytesIO(data))
    order = own.order
    directory = blocks.read_directory(own, own.first)
    exif = metadata.exif or b""
    exif += b"\0" * (len(exif) % 2)
    first = {}
    if exif:
        block = blocks.open_block(BytesIO(exif))
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


STRIP_OFFSETS = 273
EMBEDDERS: dict[str, Callable[[bytes, Metadata], bytes]] = {
    ".png": _png,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
    ".jxl": _jpegxl,
}
