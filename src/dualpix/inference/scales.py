"""At which scales a pair is deblurred, and how the results are joined.

A network undoes blur as wide as it was trained on. What is blurred wider is deblurred in a reduced picture, in which
the blur is at home, and keeps of the full-size one the detail that the reduced one cannot show.
"""

import re

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.errors import MachineError
from dualpix.networks import Network
from dualpix.pairs.matching import Matches
from dualpix.weights.exported import exported_of

HOME_PX = 9.5
"""Disparity up to which the shipped weights are at home: a trained blur radius of 24 px (`far_px` of their recipe) at
0.4 px of disparity a pixel; `results/native-size.md` has what is lost beyond."""

NEAR_PX, FAR_PX = 5.0, 8.0  # of a scale's own disparity: up to here, and from here on not, its own result is taken
UNSURE, SURE = 0.2, 0.5  # confidence of that disparity
CHAINS = {1: (1,), 2: (2, 1), 3: (3, 1), 4: (4, 2, 1), 6: (6, 3, 1), 8: (8, 4, 2, 1), 12: (12, 6, 3, 1)}
"""By the largest reduction: the reductions at which a picture is deblurred, the coarsest first."""

LEAST_BLOCKS = 12
LEAST_SIDE_PX = 96
ROWS = 192  # joined at once, so that joining needs little memory besides the picture


def choose(matches: Matches, scale: str, size: tuple[int, int]) -> tuple[int, ...]:
    """The reductions for a pair of `size`, height and width, whose blocks `matches` tells of: a value of `CHAINS`.

    `scale`: "auto", "1", or "1/2" and so on. Raises `MachineError` for another.
    """
    largest = max((most for most in CHAINS if min(size) >= LEAST_SIDE_PX * most), default=1)
    if scale != "auto":
        return CHAINS[_given(scale)]
    if len(matches.across) < LEAST_BLOCKS:
        return CHAINS[1]
    widest_px = float(matches.across.abs().quantile(0.98)) * matches.reduction
    return CHAINS[min(largest, next((most for most in CHAINS if widest_px <= most * HOME_PX), max(CHAINS)))]


def _given(scale: str) -> int:
    found = re.fullmatch(r"1(?:/(\d+))?", scale)
    if found is None or int(found[1] or 1) not in CHAINS:
        known = ", ".join("1" if most == 1 else f"1/{most}" for most in CHAINS)
        raise MachineError(f"There is no scale {scale!r}; choose from: auto, {known}.")
    return int(found[1] or 1)


def can_join(network: Network) -> bool:
    """Whether it tells the disparity by which results are joined: networks that correlate, of weights of our own."""
    return hasattr(network, "log_attention") and exported_of(network) is None


def reduce(picture: Tensor, by: int) -> Tensor:
    """The means of `by` x `by` pixels of C H W; at the lower and right edge, of those there are."""
    return picture if by == 1 else F.avg_pool2d(picture[None], by, ceil_mode=True, count_include_pad=False)[0]


def share_of_finer(disparity_px: Tensor, confidence: Tensor) -> Tensor:
    """How far the finer scale's own result is taken, 0 to 1, of its own disparity and the confidence in that."""
    near = ((FAR_PX - disparity_px.abs()) / (FAR_PX - NEAR_PX)).clamp(0, 1)
    sure = ((confidence - UNSURE) / (SURE - UNSURE)).clamp(0, 1)
    return near.square() * (3 - 2 * near) * sure.square() * (3 - 2 * sure)


def join(fine: Tensor, mean: Tensor, correction: Tensor, ratio: int, share: Tensor, step: int) -> Tensor:
    """Join, in place, the result `fine` of one scale, 3 H W, with that of the coarser one.

    `mean`: of the views at this scale, 3 H W; `correction`: what the coarser result adds to its mean, `ratio` times
    smaller; `share` of the finer result, 1 h w, `step` times smaller. What is not of the finer result is the mean with
    the coarser correction added: so edges in focus beside wide blur stay as they are.
    """
    for first in range(0, fine.shape[1], ROWS):
        last = min(first + ROWS, fine.shape[1])
        at = slice(first, last)
        coarse = mean[:, at] + enlarge(correction, ratio, first, last, fine.shape[2], "bicubic")
        weight = enlarge(share, step, first, last, fine.shape[2], "bilinear")
        fine[:, at] = torch.lerp(coarse, fine[:, at], weight)
    return fine


def enlarge(small: Tensor, by: int, first: int, last: int, width: int, mode: str) -> Tensor:
    """The rows from `first` to before `last` of C h w enlarged `by` times, without enlarging the others."""
    if by == 1:
        return small[:, first:last]
    top = max(0, first // by - 3)
    part = small[:, top : -(-last // by) + 3]
    large = F.interpolate(part[None], scale_factor=float(by), mode=mode, align_corners=False)[0]
    return large[:, first - top * by : last - top * by, :width]
