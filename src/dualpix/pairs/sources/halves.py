"""The two halves of a dual-pixel sensor, out of the two mosaics that a camera stores: arrays in, arrays out.

Canon stores the sum of both halves and one half alone, so the other is their difference; where the sum is clipped there
is nothing to subtract from. The black levels of the four colours differ, and each half is shaded its own way.
"""

from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Mosaic: TypeAlias = NDArray[np.float32]
Colours: TypeAlias = NDArray[np.uint8]

CLIPPED_SHARE = 0.98  # of the range between black and white; the wells of one sensor do not all fill at one level
SUM_SHARE = 0.75  # a frame that holds less light than this of the other is one half of it
BLOCKS = 16  # along the longer side, for the shading
MIN_BLOCK_PX = 16
MIN_LIGHT = 0.01  # of the range: darker blocks tell of the black level more than of shading
ROUNDS = 20
LEAST_ERROR = 1e-4


@dataclass(frozen=True)
class Halves:
    """Two mosaics H x W without black, in which `white` is white; the share of photosites that was clipped in the sum;
    whether the second frame was a half of the first; `gain`, the first half over the second before matching; and
    `headroom`, how many times as bright as half of the clipped sum white is."""

    first: Mosaic
    second: Mosaic
    white: float
    clipped: float
    by_difference: bool
    gain: float
    headroom: float = 1.0


def split_halves(
    main: Mosaic, other: Mosaic, whites: tuple[float, float], colours: Colours, recover_highlights: bool = False
) -> Halves:
    """The halves, matched in brightness, of two frames H x W whose black is 0; `whites` is where each of them clips.

    `colours`: the number of each photosite's filter, 0 to 3. If the second frame holds about as much light as the
    first, both are halves already, and white is where the first of them clips.

    Where the sum is clipped, the difference says only how much light the second half has at least. There it is taken
    to be as bright as the first half, if that is more. Where the stored half clips below half of the sum, the sum is
    shared out evenly.

    `recover_highlights`: white is where the stored half clips, twice as bright as where half of the sum does if both
    frames clip at one level.
    """
    main_white, other_white = (CLIPPED_SHARE * white for white in whites)
    clipped = main >= main_white
    if float(other[~clipped].sum()) >= SUM_SHARE * max(float(main[~clipped].sum()), 1.0):
        white = min(main_white, other_white)
        ratio = shading(main, other, (main < white) & (other < white), white, colours)
        return Halves(*_matched(main, other, ratio), white, clipped=0.0, by_difference=False, gain=_gain(ratio))
    half_clipped, usual = other >= other_white, main_white / 2
    white = max(usual, other_white) if recover_highlights else usual
    first = np.where(half_clipped, np.maximum(other, main / 2), other)
    ratio = shading(first, main - first, ~(clipped | half_clipped), main_white, colours)
    first, second = _matched(first, main - first, ratio)
    if white > usual:  # what is clipped stays so, whichever way it was shaded
        first = np.where(half_clipped, np.maximum(first, white), first)
    second = np.where(clipped, np.maximum(first, second), second)
    clipped_share = float(clipped.mean())
    return Halves(first, second, white, clipped_share, by_difference=True, gain=_gain(ratio), headroom=white / usual)


def _matched(first: Mosaic, second: Mosaic, ratio: Mosaic) -> tuple[Mosaic, Mosaic]:
    return first * np.exp(-ratio / 2), second * np.exp(ratio / 2)


def _gain(ratio: Mosaic) -> float:
    return float(np.exp(np.median(ratio)))


def shading(first: Mosaic, second: Mosaic, lit: NDArray[np.bool_], white: float, colours: Colours) -> Mosaic:
    """The logarithm of the brightness of `first` over `second` as a smooth function, H x W.

    Fitted to the sums over blocks: one constant for each colour, and one polynomial of second degree over the picture
    for all of them, which cannot follow anything as small as a displaced thing. All 0 where there is too little light.
    """
    height, width = first.shape
    side = max(MIN_BLOCK_PX, -(-max(height, width) // BLOCKS) // 2 * 2)
    rows = []
    for top, start in product(range(0, height - side + 1, side), range(0, width - side + 1, side)):
        part = slice(top, top + side), slice(start, start + side)
        for kind, log in _logs(first[part], second[part], lit[part], colours[part], MIN_LIGHT * white):
            rows.append((kind, log, (top + side / 2) / height, (start + side / 2) / width))
    kinds = sorted({row[0] for row in rows})
    if len(rows) < 12 * max(1, len(kinds)):
        return np.zeros(first.shape, np.float32)
    colour, logs, y, x = (np.array(column) for column in zip(*rows, strict=True))
    system = np.column_stack([*(colour == kind for kind in kinds), *_bends(y, x)]).astype(float)
    fit = _solve(system, logs)
    offsets = np.zeros(int(colours.max()) + 1)
    offsets[kinds] = fit[: len(kinds)]
    at_y, at_x = (np.arange(height) + 0.5)[:, None] / height, (np.arange(width) + 0.5)[None] / width
    bend = sum(weight * term for weight, term in zip(fit[len(kinds) :], _bends(at_y, at_x), strict=True))
    return np.asarray(offsets[colours] + bend, np.float32)


def _bends(y: NDArray[np.float64], x: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    y, x = 2 * y - 1, 2 * x - 1
    return [x + 0 * y, y + 0 * x, x * y, x * x + 0 * y, y * y + 0 * x]


def _logs(
    first: Mosaic, second: Mosaic, lit: NDArray[np.bool_], colours: Colours, least: float
) -> list[tuple[int, float]]:
    """For each colour of a block, the logarithm of the ratio of its sums; clipped and dark blocks give none."""
    found = []
    for colour in np.unique(colours):
        chosen = lit & (colours == colour)
        if 2 * chosen.sum() < (colours == colour).sum():
            continue
        a, b = float(first[chosen].mean()), float(second[chosen].mean())
        if min(a, b) > least:
            found.append((int(colour), float(np.log(a / b))))
    return found


def _solve(system: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least sum of absolute errors, which blocks on the edges of displaced things hardly change."""
    weights = np.ones(len(values))
    for _ in range(ROUNDS):
        fit = np.linalg.lstsq(system * weights[:, None], values * weights, rcond=None)[0]
        weights = 1 / np.sqrt(np.maximum(np.abs(values - system @ fit), LEAST_ERROR))
    return np.asarray(fit)
