"""The black and white levels that a DNG declares for each of its samples.

They are read here since LibRaw takes several samples per pixel for colours, and mixes up their levels. BlackLevel holds
a number for each row and column of a pattern and each sample, the samples innermost (DNG 1.7, chapter 4); the pattern
is one photosite where BlackLevelRepeatDim is missing. BlackLevelDeltaH and BlackLevelDeltaV add a number for each
column and each row of the visible part. WhiteLevel holds one number for each sample.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualpix.io import exif as blocks
from dualpix.pairs.sources.halves import Mosaic

PHOTOMETRIC, SAMPLES, SUBDIRECTORIES, BLACK_REPEAT, BLACK, WHITE = 262, 277, 330, 50713, 50714, 50717
BLACK_OF_COLUMNS, BLACK_OF_ROWS = 50715, 50716
MOSAIC = 32803
NUMBERS = {1: "B", 3: "H", 4: "I", 5: "II", 10: "ii", 13: "I"}
LARGEST_PATTERN = 64  # rows or columns


class Levels(NamedTuple):
    """The levels of one sample.

    Attributes:
        black: Black as a pattern that repeats from the upper left corner of the visible part.
        white: The level at which it clips; None where the file does not say.
        of_rows: What each visible row adds to black; empty where nothing is added.
        of_columns: The same for columns.
    """

    black: Mosaic
    white: float | None
    of_rows: NDArray[np.float32]
    of_columns: NDArray[np.float32]

    def spread(self, shape: tuple[int, ...], visible: tuple[int, int, int, int]) -> Mosaic:
        """Black, photosite by photosite of a mosaic of `shape`; `visible`: top, left, height and width of that part.

        Raises ValueError where there are not as many rows or columns as it declares levels of.
        """
        top, left, *sides = visible
        row, column = np.arange(shape[0]) - top, np.arange(shape[1]) - left
        black = self.black[np.ix_(row % self.black.shape[0], column % self.black.shape[1])]
        for added, count, what in zip((self.of_rows, self.of_columns), sides, ("rows", "columns"), strict=True):
            if len(added) not in (0, count):
                raise ValueError(f"it declares black levels of {len(added)} {what} and has {count}")
        if len(self.of_rows):
            black = black + self.of_rows[np.clip(row, 0, len(self.of_rows) - 1)][:, None]
        if len(self.of_columns):
            black = black + self.of_columns[np.clip(column, 0, len(self.of_columns) - 1)]
        return black


def read_levels(path: Path) -> list[Levels]:
    """The levels of every sample of a mosaic; empty if the file is not a TIFF stream with a mosaic of several samples.

    Raises:
        ValueError: The declared levels do not fit the samples.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        for directory, order in directories(file):
            photometric, samples = (_integer(directory, tag, order) for tag in (PHOTOMETRIC, SAMPLES))
            if photometric == MOSAIC and samples > 1:
                return _levels(directory, order, samples)
    return []


def directories(file: BinaryIO, following: bool = False) -> Iterator[tuple[blocks.Directory, str]]:
    """The main directory and those below it, as far as they can be read, with the byte order.

    Args:
        file: An open file.
        following: Those that follow the main one, too.
    """
    with suppress(ValueError):
        block = blocks.open_block(file)
        first = blocks.read_directory(block, block.first)
        yield first, block.order
        for offset in numbers(first[SUBDIRECTORIES], block.order) if SUBDIRECTORIES in first else []:
            with suppress(ValueError):
                yield blocks.read_directory(block, int(offset)), block.order
        at, seen = block.first, {0, block.first}
        while following and (at := blocks.next_directory(block, at)) not in seen:
            seen.add(at)
            yield blocks.read_directory(block, at), block.order


def _integer(directory: blocks.Directory, tag: int, order: str) -> int:
    """The value of an integer tag; 0 if it is missing or of another type."""
    with suppress(ValueError):
        return blocks.integer(directory[tag], order) if tag in directory else 0
    return 0


def _levels(directory: blocks.Directory, order: str, samples: int) -> list[Levels]:
    repeat = [int(n) for n in numbers(directory[BLACK_REPEAT], order)] if BLACK_REPEAT in directory else [1, 1]
    if len(repeat) != 2 or not all(1 <= side <= LARGEST_PATTERN for side in repeat):
        raise ValueError(f"its black levels repeat every {' x '.join(map(str, repeat))} photosites")
    rows, columns = repeat
    black = numbers(directory[BLACK], order) if BLACK in directory else [0.0] * (rows * columns)
    if min(black, default=0.0) < 0:
        raise ValueError(f"it declares a black level of {min(black):g}")
    if len(black) == rows * columns:  # some programs write one number for all samples where these are equal
        black = [level for level in black for _ in range(samples)]
    if len(black) != rows * columns * samples:
        raise ValueError(f"it declares {len(black)} black levels for {samples} samples")
    white = numbers(directory[WHITE], order) if WHITE in directory else []
    if len(white) not in (0, 1, samples):
        raise ValueError(f"it declares {len(white)} white levels for {samples} samples")
    patterns = np.array(black, np.float32).reshape(rows, columns, samples)
    added = [
        np.array(numbers(directory[tag], order) if tag in directory else [], np.float32)
        for tag in (BLACK_OF_ROWS, BLACK_OF_COLUMNS)
    ]
    return [Levels(patterns[:, :, k], white[k % len(white)] if white else None, *added) for k in range(samples)]


def numbers(entry: blocks.Entry, order: str) -> list[float]:
    """The values of an entry, fractions divided. Raises ValueError if they are not numbers."""
    layout = NUMBERS.get(entry.kind)
    if layout is None:
        raise ValueError("its levels are not numbers")
    values = list(struct.iter_unpack(order + layout, entry.value))
    if entry.kind in (5, 10) and not all(below for _, below in values):
        raise ValueError("its levels are divided by zero")
    return [above / prod(below) for above, *below in values]
