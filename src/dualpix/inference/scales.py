"""At which scales a pair is deblurred, and how the results are joined.

A network removes blur up to the width that it was trained on. Where blur is wider, the picture is also deblurred at a
reduced size, at which that blur is no wider than in training; from full size comes the detail that the reduced picture
cannot show, and what is in focus keeps its own pixels. `results/native-size.md` describes how the numbers here were
found, and what this gains.
"""

import re

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.errors import CheckpointError, MachineError, option
from dualpix.inference.comparison import near_means
from dualpix.inference.finder import gives_disparity
from dualpix.networks import CORRELATING, Network
from dualpix.pairs.matching import Matches
from dualpix.pairs.sample import mean_view
from dualpix.weights.exported import exported_of

HOME_PX = 8.5
"""Disparity up to which the shipped weights do well: they were trained on blur of up to 24 px of radius (`far_px` of
their recipe), which is 9.6 px of disparity, and get worse from about 8 px on.
"""

COARSE_PX = 7.0
"""The most disparity that is left at the coarsest of several scales."""

NEAR_PX, FAR_PX = 5.0, 8.0
"""Of a scale's own disparity: its own result is taken up to the first, and not from the second on."""

UNSURE, SURE = 0.4, 0.8  # confidence of that disparity
FOCUS_PX, BLURRED_PX = 0.5, 1.0
"""Of the disparity at full size: the mean of the views is kept up to the first, and not from the second on."""

MARGIN_PX = 4
"""Of the coarsest scale: so far from wider blur the finer result ends, since the disparity of an edge in focus is
found, with confidence, half a window beside it too.
"""

LEAST_KEPT = 0.25  # of the mean, in focus without noise: networks sharpen even what is sharp, and not always rightly
SHARP_KEPT = 0.9  # of detail that is sharp at pixel level, which they were not trained on
CALM, NOISY = 0.002, 0.006  # standard deviation of the noise; together with noise, networks remove fine detail
SOFT, SHARP = 0.2, 0.5
"""Energy of the detail of 3 pixels over that of 9: what is in focus, and as sharp as pixels can show or nearly so, is
kept to `SHARP_KEPT`. Photographs enlarged one and a half times have mostly less than the first, those that are sharp at
pixel level 0.3 to 1.5.
"""

CHAINS = {1: (1,), 2: (2, 1), 3: (3, 1), 4: (4, 1), 6: (6, 3, 1), 8: (8, 4, 1), 12: (12, 4, 1)}
"""By the largest reduction: the reductions at which a picture is deblurred, the coarsest first."""

CHEAP = (3, 4, 6, 8, 12)
"""The largest reductions that "auto" chooses from: half the size would take a third more time, and gain no more."""

LARGE_PIXELS = 4_000_000
"""From here on a picture is joined from several scales even if its blur is narrow, for the sake of what is in focus:
networks were trained on detail as previews of some two megapixels have it, and alter finer one.
"""

NARROW, WIDE, TOGETHER = 3, 9, 5  # sides of the squares that fineness is measured by
FLAT = 0.002  # standard deviation of the detail below which there is nothing to keep

LEAST_BLOCKS = 12
LEAST_SIDE_PX = 96
ROWS = 64  # joined at once, so that joining needs little memory besides the picture


def largest_of(scale: str) -> int | None:
    """Return the largest reduction that `scale` asks for: None for "auto", 1 for "1", 2 for "1/2" and so on.

    Raises:
        MachineError: There is no such scale.

    Example:
        >>> largest_of("1/4")
        4
    """
    if scale == "auto":
        return None
    found = re.fullmatch(r"1(?:/(\d+))?", scale) if isinstance(scale, str) else None
    if found is None or int(found[1] or 1) not in CHAINS:
        known = ", ".join("1" if most == 1 else f"1/{most}" for most in CHAINS)
        raise MachineError(f"There is no scale {scale!r}; choose from: auto, {known}.")
    return int(found[1] or 1)


def choose(matches: Matches, size: tuple[int, int]) -> tuple[int, ...]:
    """Return the reductions for a pair, a value of `CHAINS`.

    Args:
        matches: Which blocks of the pair were matched, and how far apart they lie.
        size: Height and width.
    """
    if len(matches.across) < LEAST_BLOCKS:
        return CHAINS[1]
    if matches.widest_px <= HOME_PX and size[0] * size[1] < LARGE_PIXELS:
        return CHAINS[1]
    largest = max((most for most in CHEAP if min(size) >= LEAST_SIDE_PX * most), default=1)
    return CHAINS[min(largest, next((most for most in CHEAP if matches.widest_px <= most * COARSE_PX), max(CHEAP)))]


def choose_for(
    network: Network, matches: Matches, size: tuple[int, int], scale: str
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the reductions for a pair, by `scale` or else by its disparity, and notes for the user about that choice.

    Raises:
        CheckpointError: The network cannot do what `scale` asks.
    """
    check_network(network, scale)
    largest = largest_of(scale)
    steps = choose(matches, size) if largest is None else CHAINS[largest]
    if steps == CHAINS[1] or gives_disparity(network):
        return steps, ()
    if matches.widest_px <= HOME_PX:
        return CHAINS[1], ()
    return CHAINS[1], (
        f"The views lie up to {matches.widest_px:.0f} pixels apart, but {_name(network)} gives no disparity to join"
        " several scales by, so the pair was deblurred at full size alone, where blur this wide stays.",
    )


def check_network(network: Network, scale: str) -> None:
    """Raise `CheckpointError` if the network cannot do what `scale` asks."""
    largest = largest_of(scale)
    if largest is not None and CHAINS[largest] != CHAINS[1] and not gives_disparity(network):
        raise CheckpointError(
            f"{_name(network)} gives no disparity to join several scales by, so it cannot follow the scale {scale};"
            f" leave {option('scale', None)} out, or give the .safetensors file of a network that correlates the"
            f" views: {', '.join(CORRELATING)}."
        )


def _name(network: Network) -> str:
    exported = exported_of(network)
    return type(network).__name__ if exported is None else str(exported.path)


def reduce(picture: Tensor, by: int) -> Tensor:
    """Return the means of `by` x `by` pixels of a picture C H W; at the lower and right edge, of those that exist.

    Example:
        >>> reduce(torch.arange(6.0).view(1, 2, 3), 2)
        tensor([[[2.0000, 3.5000]]])
    """
    return picture if by == 1 else F.avg_pool2d(picture[None], by, ceil_mode=True, count_include_pad=False)[0]


def share_of_finer(disparity_px: Tensor, confidence: Tensor) -> Tensor:
    """Return the weight, 0 to 1, of the finer scale's own result, by its disparity and confidence, 1 h w."""
    share = (1 - _step(disparity_px.abs(), NEAR_PX, FAR_PX)) * _step(confidence, UNSURE, SURE)
    return -F.max_pool2d(-share[None], 2 * MARGIN_PX + 1, 1, MARGIN_PX)[0]


def share_of_views(disparity_px: Tensor, confidence: Tensor, noise: float, fineness: Tensor) -> Tensor:
    """Return the weight, 0 to 1, of the mean of the views, by the disparity at full size and the confidence in that.

    Args:
        disparity_px: At full size, 1 h w.
        confidence: In that, 0 to 1.
        noise: Standard deviation of a view's noise.
        fineness: How sharp the views are, see `fineness_of`.
    """
    most = LEAST_KEPT + (SHARP_KEPT - LEAST_KEPT) * _step(fineness, SOFT, SHARP)
    most = most + (1 - most) * _step(torch.tensor(noise), CALM, NOISY)
    return most * (1 - _step(disparity_px.abs(), FOCUS_PX, BLURRED_PX)) * _step(confidence, UNSURE, SURE)


def fineness_of(views: tuple[Tensor, Tensor], step: int, noise: float) -> Tensor:
    """Return how sharp the mean of the views is: the energy of its finest detail over that of the next, 1 h w.

    Args:
        views: Left and right, 3 H W.
        step: Side of the squares of pixels that h and w count; five by five of them are looked at together.
        noise: Standard deviation of a view's noise, whose share of the finest detail is left out.
    """
    height, halo, found = views[0].shape[1], NARROW // 2 + WIDE // 2, []
    rows = step * max(1, ROWS // step)
    for first in range(0, height, rows):
        top = max(0, first - halo)
        grey = mean_view(*(view[:, top : first + rows + halo] for view in views)).mean(0, keepdim=True)
        narrow = near_means(grey, NARROW)
        fine, coarse = grey - narrow, narrow - near_means(narrow, WIDE)
        here = slice(first - top, first - top + rows)
        found.append(reduce(torch.cat([fine, coarse])[:, here].square(), step))
    fine, coarse = near_means(torch.cat(found, 1), TOGETHER).chunk(2)
    return (fine - noise**2 / 2).clamp(min=0) / coarse.clamp(min=FLAT**2)


def _step(values: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high` on, and smooth between."""
    share = ((values - low) / (high - low)).clamp(0, 1)
    return share.square() * (3 - 2 * share)


def join(
    fine: Tensor,
    views: tuple[Tensor, Tensor],
    correction: Tensor,
    ratio: int,
    share: Tensor,
    step: int,
    kept: Tensor | None = None,
) -> Tensor:
    """Join, in place, the result `fine` of one scale, 3 H W, with that of the coarser one.

    Where the finer result is not used, the picture is the mean of the views plus the coarser correction; so edges in
    focus beside wide blur stay as they are.

    Args:
        fine: What the network made of `views`.
        views: Left and right at this scale, 3 H W.
        correction: What the coarser result adds to the mean of its views, `ratio` times smaller.
        ratio: Of this scale to the coarser one.
        share: The weight of the finer result, 1 h w, `step` times smaller.
        step: Ratio of this scale to that of `share` and `kept`.
        kept: The weight of the mean of the views in the final picture, 1 h w.
    """
    height, width = fine.shape[1:]
    for first in range(0, height, ROWS):
        last = min(first + ROWS, height)
        rows = fine[:, first:last]
        mean = mean_view(*(view[:, first:last] for view in views))
        weight = enlarge(share, step, first, last, width, "bilinear")
        coarse = enlarge(correction, ratio, first, last, width, "bicubic").add_(mean)
        torch.lerp(coarse, rows, weight, out=rows)
        if kept is not None:
            torch.lerp(rows, mean, enlarge(kept, step, first, last, width, "bilinear"), out=rows)
    return fine


def enlarge(small: Tensor, by: int, first: int, last: int, width: int, mode: str) -> Tensor:
    """Return the rows from `first` to `last` - 1 of C h w enlarged `by` times, without enlarging the others."""
    if by == 1:
        return small[:, first:last, :width].clone()
    top = max(0, first // by - 3)
    part = small[:, top : -(-last // by) + 3]
    large = F.interpolate(part[None], scale_factor=float(by), mode=mode, align_corners=False)[0]
    return large[:, first - top * by : last - top * by, :width]
