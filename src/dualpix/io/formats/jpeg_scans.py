"""The scans of a JPEG file: whether they hold the whole picture and no more, which the decoder does not report."""

import re
import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualpix.machine.later import imagecodecs

# What the decoder supports: sequential and progressive, with Huffman or arithmetic coding.
FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
END, SCAN, INTERVAL = 0xD9, 0xDA, 0xDD
BLOCK_PX = 8
MOST_ROWS = 65500
"""The decoder takes no more."""
PADDING_BLOCKS = 20
"""So many may be made of what encoders put behind a scan to fill up four bytes, two bits each at the least."""
NOTHING = 128
"""What the decoder fills in, in all channels, where a scan has ended."""


class Scanned(NamedTuple):
    """The pixels, H x W or H x W x 3; whether the scans go on below them."""

    pixels: NDArray[Any]
    goes_on: bool


class _Scan(NamedTuple):
    """Entropy-coded data from `begin` to `end`, of `blocks` MCUs; a restart marker follows every `interval` of them."""

    begin: int
    end: int
    blocks: int
    interval: int


class _Layout(NamedTuple):
    """The scans of a file, none if its end marker is missing.

    Attributes:
        scans: In their order.
        arithmetic: Whether they use arithmetic coding.
        frame_at: Where the content of the frame header begins.
        frame: That content.
    """

    scans: list[_Scan]
    arithmetic: bool
    frame_at: int
    frame: bytes


def decode_jpeg(data: bytes, tables: bytes | None = None) -> Scanned | None:
    """Decode a JPEG, and find out whether data are missing, which the decoder silently fills with grey, or left over.

    The file is decoded twice: once with bytes added behind each stretch of a scan, which are never read in a whole
    picture and change nothing; and once with more rows declared, the last of which is grey unless the scans hold it.

    Args:
        data: The file.
        tables: Quantisation and Huffman tables, where strips and tiles of a TIFF share them.

    Returns:
        The picture; None if some of it is missing.
    """
    layout = _layout(data)
    if not layout.scans or not all(_restarts_are_whole(data, scan) for scan in layout.scans):
        return None
    if layout.arithmetic:  # missing data are decoded as zeros there, as the standard has it: the trick would not work
        return Scanned(np.asarray(imagecodecs.jpeg8_decode(data, tables=tables)), False)
    more, at = [], 0
    for scan in layout.scans:
        more += [data[at : scan.begin], RESTART.sub(MORE + rb"\g<0>", data[scan.begin : scan.end]), MORE]
        at = scan.end
    pixels = np.asarray(imagecodecs.jpeg8_decode(b"".join([*more, data[at:]]), tables=tables))
    return _compare(pixels, np.asarray(imagecodecs.jpeg8_decode(_with_more_rows(data, layout), tables=tables)), layout)


def _compare(pixels: NDArray[Any], taller: NDArray[Any], layout: _Layout) -> Scanned | None:
    """The pixels decoded with more data, and with more rows."""
    height = len(pixels)
    # Half as many rows of colour are interpolated, so that the last of an even number depends on what lies below it; it
    # was coded together with the one above it.
    same = height if len(taller) == height else height - 1 + height % 2
    if not np.array_equal(pixels[:same], taller[:same]):
        return None
    columns, _ = _unit_px(layout.frame)
    last = (pixels.shape[1] - 1) // columns * columns
    # The picture above gives colour to the rows below it.
    below = taller[max(height, len(taller) - BLOCK_PX) + 2 :, last:]
    return Scanned(pixels, bool((below != NOTHING).any()))


def _with_more_rows(data: bytes, layout: _Layout) -> bytes:
    """The file as if it had more rows of units: so many that padding behind the scan cannot fill them."""
    height, width = struct.unpack(">HH", layout.frame[1:5])
    columns, rows = _unit_px(layout.frame)
    if not columns or not rows:
        return data
    blocks = sum(across * down for across, down in _shares(layout.frame).values()) * -(-width // columns)
    taller = (-(-height // rows) + -(-PADDING_BLOCKS // blocks)) * rows
    if taller > MOST_ROWS:
        return data
    return data[: layout.frame_at + 1] + struct.pack(">H", taller) + data[layout.frame_at + 3 :]


MARKER = re.compile(rb"\xff+([^\x00\xff\x01\xd0-\xd7])", re.DOTALL)
RESTART = re.compile(rb"\xff([\xd0-\xd7])")
MORE = bytes.fromhex("6b2d94c1583ea7721d45b80c93e65a3f") * 4


def _layout(data: bytes) -> _Layout:
    found, arithmetic, interval = [], False, 0
    frame = scan = b""
    at, frame_at = 2, 0
    while marker := MARKER.search(data, at):
        if scan:
            found.append(_Scan(at, marker.start(), _blocks(frame, scan), interval))
        code, begin = marker[1][0], marker.end() + 2
        if code == END:
            return _Layout(found, arithmetic, frame_at, frame)
        at = marker.end() + max(2, int.from_bytes(data[marker.end() : begin], "big"))
        scan = data[begin:at] if code == SCAN else b""
        if code in FRAMES:
            frame, frame_at, arithmetic = data[begin:at], begin, code in (0xC9, 0xCA)
        elif code == INTERVAL:
            interval = int.from_bytes(data[begin : begin + 2], "big")
    return _Layout([], arithmetic, frame_at, frame)


def _shares(frame: bytes) -> dict[int, tuple[int, int]]:
    """How many blocks of each channel lie side by side and one below the other in a unit."""
    return {frame[at]: (frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(6, len(frame) - 2, 3)}


def _unit_px(frame: bytes) -> tuple[int, int]:
    """Width and height of the unit in which all channels are coded together."""
    across, down = (max((share[axis] for share in _shares(frame).values()), default=0) for axis in (0, 1))
    return BLOCK_PX * across, BLOCK_PX * down


def _blocks(frame: bytes, scan: bytes) -> int:
    """How many MCUs a scan has, from the contents of frame and scan header; 0 where these fit no picture."""
    height, width = struct.unpack(">HH", frame[1:5].ljust(4, b"\0"))
    shares, (across, down) = _shares(frame), _unit_px(frame)
    if not across or not down:
        return 0
    # A scan of one channel codes single 8 x 8 blocks; one of several channels codes groups of them (MCUs).
    own = shares.get(scan[1], (0, 0)) if scan[0] == 1 and len(scan) > 1 else (1, 1)
    columns, rows = -(-width * own[0] // across), -(-height * own[1] // down)
    return int(columns * rows)


def _restarts_are_whole(data: bytes, scan: _Scan) -> bool:
    """Whether the restart markers are complete and in order."""
    numbers = [match[1][0] & 7 for match in RESTART.finditer(data, scan.begin, scan.end)]
    wanted = -(-scan.blocks // scan.interval) - 1 if scan.interval else 0
    return len(numbers) >= wanted and numbers == [number % 8 for number in range(len(numbers))]
