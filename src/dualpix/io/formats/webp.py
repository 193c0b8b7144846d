"""WebP: RIFF chunks (RFC 9649); lossy and lossless pictures are read, lossless ones written."""

import re
import struct
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dualpix.io import exif as blocks
from dualpix.io.formats.record import Format, Order, Output
from dualpix.io.metadata import CREDENTIALS, Found, Metadata
from dualpix.io.opening import Header, exactly, load, refuse, refuse_cut_short
from dualpix.io.texts import LARGEST_BYTES, TooLongError
from dualpix.machine.later import imagecodecs


def _read_header(file: BinaryIO) -> Header:
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


def _decode(file: BinaryIO, header: Header) -> NDArray[Any]:
    data = load(file, header)
    if len(data) < 8 + int.from_bytes(data[4:8], "little"):
        refuse_cut_short(file)
    return np.asarray(imagecodecs.webp_decode(data))


def _encode(levels: NDArray[Any], order: Order) -> bytes:
    return bytes(imagecodecs.webp_encode(levels, lossless=True, method=0))


def _read_blocks(file: BinaryIO) -> Found:
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
            yield name, data.removeprefix(blocks.MARK) if name == "exif" else data
        else:
            yield CREDENTIALS if head[:4] == b"C2PA" else None
        file.seek(after)


def _embed(data: bytes, metadata: Metadata) -> bytes:
    picture = data[12:]
    width_and_height = int.from_bytes(picture[9:13], "little")  # of the lossless bitstream; no other is written here
    sides = ((width_and_height & 0x3FFF), (width_and_height >> 14 & 0x3FFF))
    flags = 0x20 * bool(metadata.icc) | 0x08 * bool(metadata.exif) | 0x04 * bool(metadata.xmp)
    extended = bytes([flags, 0, 0, 0]) + b"".join(side.to_bytes(3, "little") for side in sides)
    body = b"WEBP" + _chunk(b"VP8X", extended)
    body += _chunk(b"ICCP", metadata.icc) + picture
    body += _chunk(b"EXIF", metadata.exif) + _chunk(b"XMP ", metadata.xmp)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunk(kind: bytes, body: bytes | None) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) if body else b""


WEBP = Format(
    name="WebP",
    endings=(".webp",),
    mime_type="image/webp",
    start=re.compile(rb"RIFF....WEBP", re.DOTALL),
    read_header=_read_header,
    decode=_decode,
    read_blocks=_read_blocks,
    bits=(8,),
    outputs=(
        Output(
            (".webp",),
            _encode,
            _embed,
            bits=(8,),
            channels=(3,),
            longest_side_px=16382,
            about="lossless",
            takes_iptc=False,
        ),
    ),
    about="still pictures",
)
