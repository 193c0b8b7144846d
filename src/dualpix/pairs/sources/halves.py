"""The two halves of a dual-pixel sensor, from the two mosaics that a camera stores: arrays in, arrays out.

Canon stores the sum of both halves and one half, so the other is their difference; where the sum is clipped, the
difference is too small. The black levels of the four colours differ, and each half has its own shading.
"""

from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Mosaic: TypeAlias = NDArray[np.float32]
Colours: TypeAlias = NDArray[np.uint8]

CLIPPED_SHARE = 0.98  # of the range between black and white; the photosites of a sensor saturate at different levels
SUM_SHARE = 0.75  # a frame with less than this share of the other's light is one half of it
BLOCKS = 16  # along the longer side, for the shading
MIN_BLOCK_PX = 16
MIN_LIGHT = 0.01  # of the range: in darker blocks errors of the black level outweigh shading
ROUNDS = 20
LEAST_ERROR = 1e-4


@dataclass(frozen=True)
class Halves:
    """The two halves of a frame.

    Attributes:
        first: Mosaic of the first half, H x W, without black.
        second: Mosaic of the second half, H x W, without black.
        white: The level of white in both.
        clipped: Share of photosites that were clipped in the sum.
        by_difference: Whether the second half is a difference of the two frames.
        gain: Brightness of the first half over the second, before they were matched.
        headroom: `white` over half the white level of the sum; more than 1 where highlights were recovered.
    """

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
    """Separate the two halves of a sensor, matched in brightness.

    If the second frame holds about as much light as the first, both are halves already, and are clipped at the lower
    of their white levels. Where the sum is clipped, the difference is only a lower bound of the second half; there it
    is taken to be as bright as the first half, if that is more. Where the stored half is clipped at less than half of
    the sum, both halves are taken to be equal.

    Args:
        main: First frame, H x W, with black at 0.
        other: Second frame, H x W, with black at 0.
        whites: The levels at which the first and the second frame clip.
        colours: Number of each photosite's colour filter, H x W, 0 to 3.
        recover_highlights: Take the white level of the stored half instead of half that of the sum, if it is higher.
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
    """The logarithm of the brightness of `first` over `second`, as a smooth function over the picture.

    Fitted to the sums over blocks: one constant for each colour, and for all colours one polynomial of second degree,
    which is too smooth to follow the disparity of things in the picture.

    Args:
        first: Mosaic of the first half, H x W, with black at 0.
        second: Mosaic of the second half, H x W.
        lit: Photosites to be used, H x W.
        white: Level of white.
        colours: Number of each photosite's colour filter, H x W.

    Returns:
        H x W; 0 everywhere if there is too little light.
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
    """The fit with the least sum of absolute errors: blocks at the edges of displaced things hardly affect it."""
    weights = np.ones(len(values))
    for _ in range(ROUNDS):
        fit = np.linalg.lstsq(system * weights[:, None], values * weights, rcond=None)[0]
        weights = 1 / np.sqrt(np.maximum(np.abs(values - system @ fit), LEAST_ERROR))
    return np.asarray(fit)
