"""What a PNG file declares about itself: its header, its chunks, and how its palette fits its pixels."""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import imagecodecs
import numpy as np

from dualpix.io.opening import Header, exactly, refuse

MARK = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
GREY, PALETTE = 0, 3
MOST_CHUNKS = 2**18
LARGEST_SMALL = 2**16  # of a chunk that tells one thing about the picture


def peek_png(file: BinaryIO) -> Header:
    """The header of a file that starts with MARK. Raises PictureError, also for animations."""
    file.seek(len(MARK))
    first, width, height, bits, colour = struct.unpack(">4x4sIIBB", exactly(file, 18))
    channels = CHANNELS.get(colour)
    if first != b"IHDR" or channels is None or bits not in (1, 2, 4, 8, 16):
        refuse(file, "has a damaged PNG header; copy it again")
    if int.from_bytes(facts(file).get(b"acTL", b"")[:4], "big") > 1:
        refuse(file, "is an animation; give a still picture")
    return Header("PNG", width, height, channels, 16 if bits == 16 else 8)


def facts(file: BinaryIO) -> dict[bytes, bytes]:
    """The first of each short chunk before the pixels; damaged or cut ones are left to the decoder."""
    found: dict[bytes, bytes] = {}
    file.seek(len(MARK))
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind in (b"IDAT", b"IEND"):
            break
        after = file.tell() + length + 4
        if length <= LARGEST_SMALL:
            found.setdefault(kind, file.read(length))
        file.seek(after)
    return found


def check_png(file: BinaryIO, data: bytes, header: Header) -> None:
    """Raise PictureError for what the decoder passes over: palette indices without a colour, pixels without end."""
    bits, colour = data[24], data[25]
    samples = 1 if colour == PALETTE else header.channels
    raw = header.height * (1 + header.width * samples * bits // 8)
    packed = [data[at : at + length] for kind, at, length in _chunks(data) if kind == b"IDAT"]
    # Deflate makes nothing much longer; rows of few bits, interlaced, are padded to bytes.
    if sum(map(len, packed)) > 2 * raw + 4096:
        refuse(file, "holds far more data than its pixels need; export it again")
    if colour == PALETTE:
        colours = len(facts(file).get(b"PLTE", b"")) // 3
        highest = _highest_index(data[16:29], packed, bits)
        if highest >= colours:
            what = f"has a palette of {colours} colours, but pixels of number {highest}"
            refuse(file, f"is damaged: it {what}; export it again")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place of the content, and length of each chunk, up to the last."""
    at = len(MARK)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += length + 12


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file, with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _highest_index(header: bytes, packed: list[bytes], bits: int) -> int:
    """The decoder gives colours; told that the indices are levels of grey it gives those, stretched to 8 bits."""
    chunks = [
        (b"IHDR", header[:9] + bytes([GREY]) + header[10:]),
        *((b"IDAT", part) for part in packed),
        (b"IEND", b""),
    ]
    as_grey = MARK + b"".join(chunk(kind, body) for kind, body in chunks)
    stretched = int(np.asarray(imagecodecs.png_decode(as_grey)).max())
    largest: int = 2**bits - 1
    return stretched * largest // 255
