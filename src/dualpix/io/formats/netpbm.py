"""PGM and PPM, binary (P5, P6) and plain text (P2, P3): a short text header, then the samples, and no metadata."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dualpix.errors import PictureError
from dualpix.io.formats.record import Format, Order, Output
from dualpix.io.metadata import Found
from dualpix.io.opening import Header, length_of, load, refuse, refuse_cut_short, section

MARKS = (b"P2", b"P3", b"P5", b"P6")
GAP = rb"(?:\s|#[^\n]*\n)+"
START = re.compile(rb"P([2356])" + 3 * (GAP + rb"(\d{1,10})") + rb"(?:#[^\n]*\n)*\s")
LONGEST_START = 65536  # comments included
NO_END = "ends directly after a digit: it may have been cut short, and its last sample may be wrong."


def peek_netpbm(file: BinaryIO) -> Header:
    """Read the header of a file that starts like a PGM or PPM. Raises PictureError if it is damaged."""
    kind, width, height, top, _ = _start(file)
    header = Header("Netpbm", width, height, 1 if kind in (2, 5) else 3, 8 if top < 256 else 16)
    if kind in (2, 3):
        return replace(header, notes=(NO_END,) if _last_byte(file).isdigit() else ())
    end = end_of_samples(file, header)
    behind = length_of(file) - end
    if behind > 0:  # an offset far behind the end may be more than the system can seek to
        file.seek(end)
    is_odd = behind > 0 and not file.read(2).startswith(MARKS)  # otherwise the next picture follows
    return replace(header, notes=(f"holds {behind} bytes after its samples: they are ignored.",) if is_odd else ())


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(length_of(file) - 1)
    return file.read(1)


def _start(file: BinaryIO) -> tuple[int, int, int, int, int]:
    """The digit of its kind, width, height, the value of white, and the offset of the samples."""
    file.seek(0)
    found = START.match(file.read(LONGEST_START))
    if found is None:
        refuse(file, "has a damaged PGM or PPM header; copy it again")
    kind, width, height, top = (int(word) for word in found.groups())
    if not 0 < top < 65536:
        refuse(file, f"declares {top} as its white, but PGM and PPM allow 1 to 65535; copy it again")
    begin = found.end()
    size = width * height * (1 if kind in (2, 5) else 3) * (1 if top < 256 else 2)
    if found[0].endswith(b"\r") and kind > 3 and length_of(file) == begin + 1 + size:
        begin += 1  # lines that end in \r\n
    return kind, width, height, top, begin


def end_of_samples(file: BinaryIO, header: Header) -> int:
    """Offset behind the samples of a binary file; 0 for a plain-text file, which holds one picture only."""
    kind, *_, begin = _start(file)
    return begin + header.width * header.height * header.channels * (header.depth // 8) if kind > 3 else 0


def _decode(file: BinaryIO, header: Header) -> NDArray[Any]:
    """H x W x channels: unsigned integers, or float32 in [0, 1] where white is neither 255 nor 65535."""
    data = load(file, header, bytes_each=24)  # a plain-text PPM may need about eight characters for each sample
    kind, _, _, top, begin = _start(file)
    count = header.width * header.height * header.channels
    if kind in (2, 3):
        text = re.sub(rb"#[^\n]*", b"", data[begin:])
        samples: NDArray[Any] = np.fromstring(text.decode("ascii"), np.int64, sep=" ")
    else:
        whole = (len(data) - begin) // (header.depth // 8)
        samples = np.frombuffer(data, ">u2" if header.depth == 16 else "u1", min(count, whole), begin)
    if len(samples) < count:
        refuse_cut_short(file)
    samples = samples[:count].reshape(header.height, header.width, header.channels)
    if samples.min() < 0 or samples.max() > top:
        refuse(file, f"holds samples above its declared white ({top}); copy or export it again")
    if top in (255, 65535):
        return samples.astype(np.uint8 if top == 255 else np.uint16)
    return (samples / top).astype(np.float32)


def _encode(levels: NDArray[Any], order: Order) -> bytes:
    """The binary file of H x W (PGM) or H x W x 3 (PPM) unsigned integers of 8 or 16 bits."""
    height, width = levels.shape[:2]
    start = f"P{5 if levels.ndim == 2 else 6}\n{width} {height}\n{np.iinfo(levels.dtype).max}\n"
    return start.encode() + levels.astype(levels.dtype.newbyteorder(">")).tobytes()


def _read_blocks(file: BinaryIO) -> Found:
    return iter(())


def _further(file: BinaryIO, header: Header) -> Iterator[BinaryIO]:
    at, end = end_of_samples(file, header), length_of(file)
    with suppress(PictureError):  # what follows is no picture
        while 0 < at < end:
            part = section(file, at)
            yield part
            at += end_of_samples(part, peek_netpbm(part))


NETPBM = Format(
    name="Netpbm",
    endings=(".pgm", ".ppm", ".pnm"),
    mime_type="image/x-portable-anymap",
    # A text file may begin with the same two characters, so what follows them must also look like a header.
    start=re.compile(rb"P[2356](?:\s+\d|\s*#)"),
    read_header=peek_netpbm,
    decode=_decode,
    read_blocks=_read_blocks,
    bits=(8, 16),
    further=_further,
    outputs=(
        Output((".pgm",), _encode, channels=(1,), takes_orientation=False),
        Output((".ppm",), _encode, channels=(3,), takes_orientation=False),
    ),
    about="P2, P3, P5, P6",
    also_known_as=("PGM", "PPM"),
)
