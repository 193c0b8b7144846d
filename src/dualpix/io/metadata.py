"""What a picture file says about its photograph, as the bytes it is; nothing here looks at a pixel."""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import islice
from typing import BinaryIO

import imagecodecs

from dualpix.errors import PictureError
from dualpix.io import exif as blocks
from dualpix.io import photoshop, xmp
from dualpix.io.formats.jpeg import segments
from dualpix.io.formats.jpegxl import BOXED, boxes
from dualpix.io.opening import Header

LARGEST_BYTES = 2**23  # of one block; larger ones are not worth their risk
MOST_PARTS = 2**18

XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
ICC_MARK = b"ICC_PROFILE\0"
EXIF_MARK = b"Exif\0\0"
PNG_XMP_MARK = b"XML:com.adobe.xmp\0"
PNG_IPTC_MARK = b"Raw profile type iptc\0"
ICC_TAG, XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG = 34675, 700, 33723, 34377
INCH_M, INCH_CM = 0.0254, 2.54


@dataclass(frozen=True)
class Metadata:
    """What a file says about its picture besides the pixels.

    icc: the colour profile; exif: a TIFF stream, from its byte order mark on; xmp: the packet; orientation: the EXIF
    number, 1 to 8, which counts where the blocks say otherwise; software: the processing note to be written; photoshop:
    Photoshop's image resources, which hold IPTC; density: pixels per inch across and down; left_out: what of it could
    not be read, one sentence each.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    orientation: int = 1
    software: str | None = None
    photoshop: bytes | None = None
    density: tuple[float, float] | None = None
    left_out: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_bare(self) -> bool:
        """Whether nothing is there but perhaps an orientation and the density of pixels."""
        return not (self.icc or self.exif or self.xmp or self.software or self.photoshop)


def read_metadata(file: BinaryIO, header: Header) -> Metadata:
    """What can be found; a damaged block counts as none, since the picture itself is still good, and is told of."""
    found: dict[str, bytes] = {}
    notes = []
    try:
        for name, data in islice(READERS[header.format](file), MOST_PARTS):
            if name and len(data) > LARGEST_BYTES:
                notes.append(f"{NAMES[name]} is longer than {LARGEST_BYTES // 2**20} MB: it is left out.")
            elif name and data:
                found.setdefault(name, data)
    except (ValueError, IndexError, PictureError, zlib.error):
        notes.append("Its metadata is damaged: what lies behind the damage is left out.")
    exif, more = _sound_exif(found.get("exif"))
    metadata = Metadata(
        found.get("icc"),
        exif,
        found.get("xmp"),
        photoshop=_of_photograph(found),
        density=_density(found),
        left_out=(*notes, *more),
    )
    return replace(metadata, orientation=_orientation(metadata, header))


def _sound_exif(exif: bytes | None) -> tuple[bytes | None, list[str]]:
    """The block, if it can be read and amended; else a sentence."""
    if exif is None:
        return None, []
    try:
        blocks.check(exif)
    except ValueError as error:
        return None, [f"Its EXIF block cannot be used ({error}): it is left out."]
    return exif, []


def _of_photograph(found: dict[str, bytes]) -> bytes | None:
    """The image resources that tell of the photograph, and IPTC that lies outside of them."""
    kept = b""
    with suppress(ValueError):  # a damaged one counts as none
        kept = photoshop.of_photograph(found.get("photoshop", b""))
    if not photoshop.iptc_of(kept) and (iptc := found.get("iptc")):
        kept += photoshop.resource(photoshop.IPTC, iptc)
    return kept or None


def _density(found: dict[str, bytes]) -> tuple[float, float] | None:
    across, down = struct.unpack("dd", found.get("density", bytes(16)))
    return (across, down) if across > 0 and down > 0 else None


def _orientation(metadata: Metadata, header: Header) -> int:
    """Of JPEG XL its own header decides; else EXIF, and where that says nothing, XMP."""
    if header.format == "JPEG XL":
        return header.orientation
    if metadata.exif is not None:
        block = blocks.open_block(BytesIO(metadata.exif))
        first = blocks.read_directory(block, block.first)
        if blocks.ORIENTATION in first:
            return blocks.orientation_of(first, block.order)
    return orientation_of(metadata.xmp) or header.orientation


def orientation_of(packet: bytes | None) -> int | None:
    """The orientation in an XMP packet, 1 to 8; None where there is none."""
    try:
        value = (xmp.value_of(packet or b"<x/>", (xmp.TIFF, "Orientation")) or b"").strip()
    except ValueError:
        return None
    return int(value) if value in {b"%d" % number for number in range(1, 9)} else None


Found = Iterator[tuple[str, bytes]]
NAMES = {"icc": "Its colour profile", "exif": "Its EXIF block", "xmp": "Its XMP packet", "photoshop": "Its IPTC block"}
NAMES |= {"iptc": NAMES["photoshop"], "density": "Its density of pixels"}


def _per_inch(across: float, down: float) -> tuple[str, bytes]:
    return "density", struct.pack("dd", across, down)


def _png(file: BinaryIO) -> Found:
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        length, after = int.from_bytes(head[:4], "big"), file.tell() + int.from_bytes(head[:4], "big") + 4
        if head[4:] in (b"iCCP", b"eXIf", b"iTXt", b"zTXt", b"tEXt", b"pHYs") and length <= LARGEST_BYTES:
            yield _png_chunk(head[4:], file.read(length))
        else:
            yield "", b""
        file.seek(after)


def _png_chunk(kind: bytes, data: bytes) -> tuple[str, bytes]:
    if kind == b"eXIf":
        return "exif", data.removeprefix(EXIF_MARK)
    if kind == b"iCCP":
        return "icc", _inflate(data[data.index(b"\0") + 2 :])
    if kind == b"pHYs" and len(data) == 9 and data[8] == 1:  # per metre; else it only tells the shape of a pixel
        return _per_inch(*(count * INCH_M for count in struct.unpack(">II", data[:8])))
    if data.startswith(PNG_IPTC_MARK):
        text = data[len(PNG_IPTC_MARK) :]
        return "photoshop", photoshop.from_text(_inflate(text[1:]) if kind == b"zTXt" else text)
    if not data.startswith(PNG_XMP_MARK):
        return "", b""
    packed, rest = data[len(PNG_XMP_MARK)], data[len(PNG_XMP_MARK) + 2 :]
    content = rest.split(b"\0", 2)[2]  # behind the language and the translated keyword
    return "xmp", _inflate(content) if packed else content


def _inflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(data, LARGEST_BYTES + 1)
    return content if unpacker.eof else b""


def _jpeg(file: BinaryIO) -> Found:
    exif, profile, resources = b"", {}, b""
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
            profile[data[12]] = data[14:]
            parts = data[13]
            if len(profile) == parts:
                yield "icc", b"".join(profile[number] for number in sorted(profile))
        else:
            yield "", b""
    yield "exif", exif
    yield "photoshop", resources


def _webp(file: BinaryIO) -> Found:
    file.seek(12)
    names = {b"ICCP": "icc", b"EXIF": "exif", b"XMP ": "xmp"}
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        after = file.tell() + length + length % 2
        name = names.get(head[:4], "")
        data = file.read(length) if name and length <= LARGEST_BYTES else b""
        yield name, data.removeprefix(EXIF_MARK) if name == "exif" else data
        file.seek(after)


def _jpegxl(file: BinaryIO) -> Found:
    file.seek(0)
    if file.read(len(BOXED)) != BOXED:
        return
    for kind, length in boxes(file):
        data = file.read(length) if kind in (b"Exif", b"xml ", b"brob") and length <= LARGEST_BYTES else b""
        if kind == b"brob":
            kind, data = data[:4], _unbrotli(data[4:]) if data[:4] in (b"Exif", b"xml ") else b""
        if kind == b"Exif":
            yield "exif", data[4 + int.from_bytes(data[:4], "big") :].removeprefix(EXIF_MARK)
        else:
            yield "xmp" if kind == b"xml " else "", data


def _unbrotli(data: bytes) -> bytes:
    try:
        return bytes(imagecodecs.brotli_decode(data, out=LARGEST_BYTES))
    except imagecodecs.BrotliError:
        return b""


def _tiff(file: BinaryIO) -> Found:
    block = blocks.open_block(file)
    first = blocks.read_directory(block, block.first)
    for name, tag in (("icc", ICC_TAG), ("xmp", XMP_TAG), ("iptc", IPTC_TAG), ("photoshop", PHOTOSHOP_TAG)):
        if tag in first:
            yield name, first[tag].value
    yield _per_inch(*blocks.density_of(first, block.order))
    yield "exif", blocks.gather(block)


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


def fits_channels(icc: bytes | None, channels: int) -> bool:
    """Whether a profile is for pictures of that many channels; what is no profile at all is left to its reader."""
    return icc is None or icc[36:40] != b"acsp" or icc[16:20] == (b"GRAY" if channels == 1 else b"RGB ")
