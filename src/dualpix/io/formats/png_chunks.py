"""The chunks of a PNG file, and its pixels, decompressed no further than the header declares."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualpix.io.opening import Header, Part, refuse
from dualpix.machine.later import imagecodecs

MARK = b"\x89PNG\r\n\x1a\n"
GREY, PALETTE = 0, 3
# Of each pass of an interlaced picture: first column, first row, column step, row step.
WHOLE = ((0, 0, 1, 1),)
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
MOST_CHUNKS = 2**18
LARGEST_SMALL = 2**16  # bytes of a chunk that states one property of the picture
LONGEST_CHUNK = 2**30
SLACK = 2**16  # some writers pad the last row


class Chunk(NamedTuple):
    """One chunk: its type, and the offset and length of its content in bytes."""

    kind: bytes
    at: int
    length: int


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield every chunk up to the last, or to the end of the file. Raises PictureError for an absurd number of them."""
    at = len(MARK)
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        found = Chunk(head[4:], at + 8, int.from_bytes(head[:4], "big"))
        yield found
        if found.kind == b"IEND":
            return
        at = found.at + found.length + 4
    refuse(file, f"has more than {MOST_CHUNKS} chunks; export it again")


def content(file: BinaryIO, found: Chunk) -> bytes:
    """The content of a chunk. Raises ValueError where its checksum is wrong."""
    file.seek(found.at)
    data = file.read(found.length)
    if zlib.crc32(data, zlib.crc32(found.kind)).to_bytes(4, "big") != file.read(4):
        raise ValueError(f"{found.kind.decode('ascii', 'replace')}: the checksum is wrong")
    return data


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file, with its length and checksum."""
    sum_of_all = struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
    return b"".join((struct.pack(">I", len(body)), kind, body, sum_of_all))


def facts(file: BinaryIO) -> dict[bytes, bytes]:
    """The first short chunk of each type before the pixels; like the decoder, it skips those with a wrong checksum."""
    found: dict[bytes, bytes] = {}
    for one in chunks(file):
        if one.kind in (b"IDAT", b"IEND"):
            break
        if one.length <= LARGEST_SMALL and one.kind not in found:
            with suppress(ValueError):
                found[one.kind] = content(file, one)
    return found


def decode_png(file: BinaryIO, data: bytes, header: Header) -> NDArray[Any]:
    """Decode the pixels of a PNG file.

    They are decompressed here first, no further than the header declares, and then given to the decoder.

    Args:
        file: Names the file in errors.
        data: The whole file.
        header: Its header.

    Returns:
        H x W or H x W x channels.

    Raises:
        PictureError: A pixel's palette index has no colour, or there are far more data than pixels; the decoder accepts
            both.
        ValueError: The file is damaged; also imagecodecs' DeflateError.
    """
    file = Part(data, file.name)
    runs = groupby(chunks(file), lambda one: one.kind == b"IDAT")
    packed = next((list(run) for is_pixels, run in runs if is_pixels), [])
    if not packed:
        raise ValueError("it has no pixels")
    bits, colour, interlaced = data[24], data[25], data[28]
    samples = 1 if colour == PALETTE else header.channels
    size = sum(
        rows * (1 + -(-columns * samples * bits // 8))
        for left, top, across, down in (ADAM7 if interlaced else WHOLE)
        if (columns := -(-(header.width - left) // across)) and (rows := -(-(header.height - top) // down))
    )
    pixels = _stored(_unpacked(file, packed, size))
    if colour == PALETTE:
        colours = len(facts(file).get(b"PLTE", b"")) // 3
        highest = _highest_index(data[16:29], pixels, bits)
        if highest >= colours:
            what = f"has a palette of {colours} colours, but pixels of number {highest}"
            refuse(file, f"is damaged: it {what}; export it again")
    begin, end = packed[0].at - 8, packed[-1].at + packed[-1].length + 4
    return np.asarray(imagecodecs.png_decode(b"".join([data[:begin], *pixels, data[end:]])))


def _unpacked(file: BinaryIO, packed: Iterable[Chunk], size: int) -> Any:
    """The first `size` bytes of the decompressed chunks. Raises PictureError if there are far more."""
    together = b"".join(content(file, one) for one in packed)
    try:
        unpacked = imagecodecs.deflate_decode(together, out=bytearray(size + SLACK))
    except imagecodecs.DeflateError as error:
        if "INSUFFICIENT_SPACE" not in str(error):
            raise
        refuse(file, "holds far more data than its pixels need; export it again")
    return memoryview(unpacked)[:size]


def _stored(rows: Any) -> list[bytes]:
    """Chunks of pixels that are not compressed."""
    stored = bytes(imagecodecs.deflate_encode(rows, level=0))
    return [chunk(b"IDAT", stored[at : at + LONGEST_CHUNK]) for at in range(0, len(stored), LONGEST_CHUNK)]


def _highest_index(header: bytes, pixels: Iterable[bytes], bits: int) -> int:
    """The highest palette index in use: decoded as if the indices were grey levels, which come stretched to 8 bits."""
    start, end = chunk(b"IHDR", header[:9] + bytes([GREY]) + header[10:]), chunk(b"IEND", b"")
    stretched = int(np.asarray(imagecodecs.png_decode(b"".join([MARK, start, *pixels, end]))).max())
    largest: int = 2**bits - 1
    return stretched * largest // 255
