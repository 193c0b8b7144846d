"""Whether the uncompressed strips and tiles of a raw file hold as many bytes as its tags declare samples.

LibRaw looks at the first offset alone and reads on from there by the declared bits, so that samples of 16 bits declared
as 12 become a picture of noise, and strips with gaps between them one with steps, without a word.
"""

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import NamedTuple

from dualpix.io import exif as blocks
from dualpix.io.formats.tiff import (
    BITS,
    COMPRESSION,
    HEIGHT,
    MOST_PADDING,
    PHOTOMETRIC,
    PLAIN,
    SAMPLES,
    STRIP_OFFSETS,
    TILE_HEIGHT,
    TILE_WIDTH,
    WIDTH,
)
from dualpix.pairs.sources.dng_levels import MOSAIC, directories, numbers

ROWS_PER_STRIP, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES = 278, 279, 324, 325


class Mosaic(NamedTuple):
    """What the tags of one directory say; `whole`: whether its segments are tiles, which are never cut short."""

    bits: int
    row_bytes: int
    rows: tuple[int, ...]
    counts: tuple[int, ...]
    offsets: tuple[int, ...]
    whole: bool


def check_strips(path: Path) -> None:
    """Compare the strips of every uncompressed mosaic with its tags.

    Raises:
        ValueError: They hold more or fewer bytes than is declared, or do not follow one another.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        for directory, order in directories(file, following=True):
            for mosaic in _mosaic(directory, order):
                _check(mosaic)


def _check(mosaic: Mosaic) -> None:
    for rows, count in zip(mosaic.rows, mosaic.counts, strict=True):
        needed = rows * mosaic.row_bytes
        full = max(mosaic.rows) * mosaic.row_bytes  # the last strip may be filled up to the others' height
        if not any(0 <= count - size < MOST_PADDING for size in (needed, full)):
            raise ValueError(
                f"it declares {mosaic.bits} bits for a sample, {needed} bytes for a strip or tile that holds {count}"
            )
    if mosaic.whole:
        return
    places = zip(mosaic.offsets, mosaic.rows, mosaic.offsets[1:], strict=False)
    if any(at + rows * mosaic.row_bytes != following for at, rows, following in places):
        raise ValueError("its strips do not follow one another, as uncompressed samples must")


def _mosaic(directory: blocks.Directory, order: str) -> Iterator[Mosaic]:
    """The mosaic of a directory, if it has an uncompressed one."""

    def values(tag: int, *otherwise: int) -> tuple[int, ...]:
        return tuple(int(one) for one in numbers(directory[tag], order)) if tag in directory else otherwise

    def number(tag: int, *otherwise: int) -> int:
        found = values(tag, *otherwise)
        if len(found) != 1 or found[0] < 1:
            raise ValueError(f"its tag {tag} is not one number of at least 1")
        return found[0]

    if values(PHOTOMETRIC) != (MOSAIC,) or values(COMPRESSION, PLAIN) != (PLAIN,):
        return
    width, height, samples = number(WIDTH), number(HEIGHT), number(SAMPLES, 1)
    bits = set(values(BITS, 1))
    if len(bits) != 1:
        raise ValueError(f"its samples have different bits: {', '.join(map(str, values(BITS)))}")
    (depth,) = bits
    tiled = TILE_WIDTH in directory and TILE_HEIGHT in directory
    across, down = (number(TILE_WIDTH), number(TILE_HEIGHT)) if tiled else (width, number(ROWS_PER_STRIP, height))
    segments = (ceil(width / across) if tiled else 1) * ceil(height / down)
    counts, offsets = values(TILE_BYTES if tiled else STRIP_BYTES), values(TILE_OFFSETS if tiled else STRIP_OFFSETS)
    if not len(counts) == len(offsets) == segments:
        raise ValueError(f"it has {len(counts)} strips or tiles where its tags declare {segments}")
    down = down if tiled else min(down, height)
    last = down if tiled else height - (segments - 1) * down
    row_bytes = ceil(across * samples * depth / 8)
    yield Mosaic(depth, row_bytes, (*[down] * (segments - 1), last), counts, offsets, tiled)
