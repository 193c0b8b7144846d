"""The colour profile, EXIF and XMP of a picture file, as the bytes they are; nothing here looks at a pixel."""

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from typing import BinaryIO

import imagecodecs

from dualpix.errors import PictureError
from dualpix.images import exif as blocks
from dualpix.images.jpeg import segments
from dualpix.images.jpegxl import BOXED, boxes
from dualpix.images.opening import Header

LARGEST_BYTES = 2**23  # of one block; larger ones are not worth their risk
MOST_PARTS = 2**18

XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
ICC_MARK = b"ICC_PROFILE\0"
EXIF_MARK = b"Exif\0\0"
PNG_XMP_MARK = b"XML:com.adobe.xmp\0"
ICC_TAG, XMP_TAG = 34675, 700


@dataclass(frozen=True)
class Metadata:
    """What a file says about its picture besides the pixels.

    icc: the colour profile; exif: a TIFF stream, from its byte order mark on; xmp: the packet; orientation: the EXIF
    number, 1 to 8, which counts where the blocks say otherwise; software: the processing note to be written.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    orientation: int = 1
    software: str | None = None

    @property
    def is_bare(self) -> bool:
        """Whether nothing is there but perhaps an orientation."""
        return not (self.icc or self.exif or self.xmp or self.software)


def read_metadata(file: BinaryIO, header: Header) -> Metadata:
    """What can be found; a damaged block counts as none, since the picture itself is still good."""
    found: dict[str, bytes] = {}
    with suppress(ValueError, IndexError, PictureError, zlib.error):
        for name, data in islice(READERS[header.format](file), MOST_PARTS):
            if name and 0 < len(data) <= LARGEST_BYTES:
                found.setdefault(name, data)
    metadata = Metadata(found.get("icc"), found.get("exif"), found.get("xmp"), header.orientation)
    if metadata.exif is None:
        return metadata
    try:
        block = blocks.open_block(BytesIO(metadata.exif))
        first = blocks.read_directory(block, block.first)
    except ValueError:
        return replace(metadata, exif=None)
    if header.format == "JPEG XL":  # whose own header decides
        return metadata
    return replace(metadata, orientation=blocks.orientation_of(first, block.order))


Found = Iterator[tuple[str, bytes]]


def _png(file: BinaryIO) -> Found:
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        length, after = int.from_bytes(head[:4], "big"), file.tell() + int.from_bytes(head[:4], "big") + 4
        if head[4:] in (b"iCCP", b"eXIf", b"iTXt") and length <= LARGEST_BYTES:
            yield _png_chunk(head[4:], file.read(length))
        else:
            yield "", b""
        file.seek(after)


def _png_chunk(kind: bytes, data: bytes) -> tuple[str, bytes]:
    if kind == b"eXIf":
        return "exif", data.removeprefix(EXIF_MARK)
    if kind == b"iCCP":
        return "icc", _inflate(data[data.index(b"\0") + 2 :])
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
    exif, profile = b"", {}
    for code, _, length, _ in segments(file):
        data = file.read(length)
        if code == 0xE1 and data.startswith(EXIF_MARK):
            if len(exif) <= LARGEST_BYTES:  # a long one is spread over several segments
                exif += data.removeprefix(EXIF_MARK)
        elif code == 0xE1 and data.startswith(XMP_MARK):
            yield "xmp", data.removeprefix(XMP_MARK)
        elif code == 0xE2 and data.startswith(ICC_MARK) and len(data) > 14:
            profile[data[12]] = data[14:]
            parts = data[13]
            if len(profile) == parts:
                yield "icc", b"".join(profile[number] for number in sorted(profile))
        else:
            yield "", b""
    yield "exif", exif


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
    for name, tag in (("icc", ICC_TAG), ("xmp", XMP_TAG)):
        if tag in first:
            yield name, first[tag].value
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

XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")


def finished(metadata: Metadata) -> Metadata:
    """The same with the orientation and the processing note put into the blocks; else they stay as they are."""
    block = blocks.open_block(BytesIO(metadata.exif or blocks.EMPTY))
    first = blocks.read_directory(block, block.first)
    changes: blocks.Directory = {}
    if metadata.orientation != blocks.orientation_of(first, block.order):
        changes[blocks.ORIENTATION] = blocks.short(metadata.orientation, block.order)
    if metadata.software:
        changes[blocks.SOFTWARE] = blocks.text(metadata.software)
    exif = blocks.amend(metadata.exif or blocks.EMPTY, changes) if changes else metadata.exif
    xmp = metadata.xmp and XMP_ORIENTATION.sub(rb"\g<1>%d" % metadata.orientation, metadata.xmp)
    return replace(metadata, exif=exif, xmp=xmp)


def fits_channels(icc: bytes | None, channels: int) -> bool:
    """Whether a profile is for pictures of that many channels; what is no profile at all is left to its reader."""
    return icc is None or icc[36:40] != b"acsp" or icc[16:20] == (b"GRAY" if channels == 1 else b"RGB ")
