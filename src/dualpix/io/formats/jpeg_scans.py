"""The scans of a JPEG file: whether they hold the whole picture, which the decoder does not report."""

import re
import struct
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

# What the decoder supports: sequential and progressive, with Huffman or arithmetic coding.
FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
END, SCAN, INTERVAL = 0xD9, 0xDA, 0xDD


class _Scan(NamedTuple):
    """Entropy-coded data from `begin` to `end`, of `blocks` MCUs; a restart marker follows every `interval` of them."""

    begin: int
    end: int
    blocks: int
    interval: int


def decode_jpeg(data: bytes, tables: bytes | None = None) -> NDArray[Any] | None:
    """Decode a JPEG, and find out whether data are missing, which the decoder silently fills with grey.

    Missing data are found by decoding twice, the second time with bytes added behind each stretch of a scan: in a whole
    picture they are never read and change nothing.

    Args:
        data: The file.
        tables: Quantisation and Huffman tables, where strips and tiles of a TIFF share them.

    Returns:
        The pixels, uint8, H x W or H x W x 3; None if some are missing.
    """
    scans, arithmetic = _scans(data)
    if not scans or not all(_restarts_are_whole(data, scan) for scan in scans):
        return None
    pixels = np.asarray(imagecodecs.jpeg8_decode(data, tables=tables))
    if arithmetic:  # missing data are decoded as zeros there, as the standard has it, so the trick would not work
        return pixels
    more, at = [], 0
    for scan in scans:
        more += [data[at : scan.begin], RESTART.sub(MORE + rb"\g<0>", data[scan.begin : scan.end]), MORE]
        at = scan.end
    again = np.asarray(imagecodecs.jpeg8_decode(b"".join([*more, data[at:]]), tables=tables))
    return pixels if np.array_equal(pixels, again) else None


MARKER = re.compile(rb"\xff+([^\x00\xff\x01\xd0-\xd7])", re.DOTALL)
RESTART = re.compile(rb"\xff([\xd0-\xd7])")
MORE = bytes.fromhex("6b2d94c1583ea7721d45b80c93e65a3f") * 4


def _scans(data: bytes) -> tuple[list[_Scan], bool]:
    """All scans, none if the end marker is missing; and whether they use arithmetic coding."""
    found, arithmetic, interval = [], False, 0
    frame = scan = b""
    at = 2
    while marker := MARKER.search(data, at):
        if scan:
            found.append(_Scan(at, marker.start(), _blocks(frame, scan), interval))
        code, begin = marker[1][0], marker.end() + 2
        if code == END:
            return found, arithmetic
        at = marker.end() + max(2, int.from_bytes(data[marker.end() : begin], "big"))
        scan = data[begin:at] if code == SCAN else b""
        if code in FRAMES:
            frame, arithmetic = data[begin:at], code in (0xC9, 0xCA)
        elif code == INTERVAL:
            interval = int.from_bytes(data[begin : begin + 2], "big")
    return [], arithmetic


def _blocks(frame: bytes, scan: bytes) -> int:
    """How many MCUs a scan has, from the contents of frame and scan header; 0 where these fit no picture."""
    height, width = struct.unpack(">HH", frame[1:5].ljust(4, b"\0"))
    shares = {frame[at]: (frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(6, len(frame) - 2, 3)}
    across, down = (max((share[axis] for share in shares.values()), default=0) for axis in (0, 1))
    if not across or not down:
        return 0
    # A scan of one channel codes single 8 x 8 blocks; one of several channels codes groups of them (MCUs).
    own = shares.get(scan[1], (0, 0)) if scan[0] == 1 and len(scan) > 1 else (1, 1)
    columns, rows = -(-width * own[0] // (8 * across)), -(-height * own[1] // (8 * down))
    return int(columns * rows)


def _restarts_are_whole(data: bytes, scan: _Scan) -> bool:
    """Whether the restart markers are complete and in order."""
    numbers = [match[1][0] & 7 for match in RESTART.finditer(data, scan.begin, scan.end)]
    wanted = -(-scan.blocks // scan.interval) - 1 if scan.interval else 0
    return len(numbers) >= wanted and numbers == [number % 8 for number in range(len(numbers))]
