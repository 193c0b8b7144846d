"""The sharp picture where it is wanted, the photograph where it is to keep its blur, and no light of one in the other.

Where what is sharpened lies in front, its blurred light lies over what is kept behind it, as far as its blur reaches:
there, the kept side's colour is taken from beyond. Where what keeps its blur lies in front, it is half transparent
along its edge, and only the share of the background that shines through is made sharp. Where a single surface slants
through the end of the range, both pictures are mixed.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.inference.matte import boxed, dilated
from dualpix.inference.scales import enlarge, reduce
from dualpix.pairs.sample import mean_view

BLUR_PER_PX = 2.5
"""Pixels of blur radius for one of disparity, as cameras have it: 1 / rho (`simulation/kernels.py`)."""

SPARE_PX = 2.0
"""How much farther than its blur reaches light is expected, since edges are found to some pixels only."""

SHARP_PX = 1.5
"""Blur radius up to which light stays where it belongs: what is in focus needs no care, and its edge is its own."""

MOST_REACH_PX = 64.0
APART_PX = (0.5, 1.5)
"""Difference of disparity up to which two sides are one surface, and from which on one lies in front."""

BY = 2
"""Blurred light, and how far it reaches, are reckoned at half the size."""

ROWS = 256


@dataclass(frozen=True)
class Borders:
    """At half size, of each pixel: `over_kept`: how far light of what is sharpened lies over what is kept, 0 to 1;
    `in_front`: how far what is kept lies in front of what is sharpened; `cover`: how much of it is seen there, blurred
    as it is; `mixed`: how far what is sharpened is seen through it."""

    over_kept: Tensor
    in_front: Tensor
    cover: Tensor
    mixed: Tensor


def compose(sharp: Tensor, left: Tensor, right: Tensor, matte: Tensor, disparity_px: Tensor, sure: Tensor) -> Tensor:
    """The picture that is sharp where `matte` is 1 and as it was taken where it is 0, in place of `sharp`.

    Args:
        sharp: the result, 3 H W.
        left: the left view as it was given, alike.
        right: the right view.
        matte: what is made sharp, 0 to 1, 1 H W.
        disparity_px: disparity at half the size, in pixels of full size, 1 h w.
        sure: how sure it is, 1 h w.
    """
    height, width = sharp.shape[1:]
    small = reduce(matte, BY)
    if not 0 < float(small.mean()) < 1:
        return sharp if float(small.mean()) > 0 else sharp.copy_(mean_view(left, right))
    borders = find_borders(small, disparity_px, sure)
    taken = reduce(mean_view(left, right), BY)
    kept_beyond = sharp_beyond = taken_beyond = None
    if float(borders.over_kept.max()) > 0:
        kept_beyond = filled(taken, (1 - small) * (1 - borders.over_kept))
    if float(borders.in_front.max()) > 0:
        sharp_beyond = filled(reduce(sharp, BY), small)
        taken_beyond = filled(taken, small * (1 - borders.mixed))
    for first in range(0, height, ROWS):
        last = min(first + ROWS, height)

        def rows(small: Tensor, first: int = first, last: int = last) -> Tensor:
            return enlarge(small, BY, first, last, width, "bilinear")

        here, share = sharp[:, first:last], matte[:, first:last]
        mean = mean_view(left[:, first:last], right[:, first:last])
        kept = mean
        if kept_beyond is not None:
            kept = torch.lerp(mean, rows(kept_beyond), rows(borders.over_kept))
        out = torch.lerp(kept, here, share)
        if sharp_beyond is not None and taken_beyond is not None:
            behind = torch.lerp(rows(sharp_beyond), here, share)
            blurred = torch.lerp(mean, rows(taken_beyond), rows(borders.mixed))
            through = mean + (1 - rows(borders.cover)) * (behind - blurred)
            out = torch.lerp(out, through, rows(borders.in_front))
        here.copy_(out.clamp_(0, 1))
    return sharp


def find_borders(matte: Tensor, disparity_px: Tensor, sure: Tensor) -> Borders:
    """What overlaps what, of a matte and a disparity at half size, 1 h w each."""
    sure = sure.clamp_min(1e-3)
    kept_px = filled(disparity_px, sure * (1 - matte) ** 2)
    sharp_px = filled(disparity_px, sure * matte**2)
    sharp_first = _between(kept_px - sharp_px, *APART_PX)
    kept_first = _between(sharp_px - kept_px, *APART_PX)
    over_kept = _reached(matte, sharp_px.abs() * BLUR_PER_PX * sharp_first.ceil()) * sharp_first * (1 - matte)
    reach_px = kept_px.abs() * BLUR_PER_PX
    mixed = _reached(1 - matte, reach_px)
    cover = _blurred(1 - matte, reach_px)
    near = _reached(matte, reach_px) * mixed
    return Borders(over_kept, kept_first * _softened(near), cover, mixed)


def filled(planes: Tensor, weight: Tensor) -> Tensor:
    """`planes`, C h w, carried from where `weight`, 1 h w, is above 0 to where it is not: by means of ever more pixels.

    What has weight keeps its value; the farther away, the wider is the mean that a pixel gets ("pull-push": Gortler et
    al., The Lumigraph, SIGGRAPH 1996, section 3.4.2).
    """
    total, known = planes * weight, weight
    if min(planes.shape[1:]) > 1:
        coarse = filled(*_halved(total, known))
        coarse = F.interpolate(coarse[None], scale_factor=2.0, mode="bilinear", align_corners=False)[0]
        beyond = coarse[:, : planes.shape[1], : planes.shape[2]]
    else:
        beyond = (total.sum((1, 2)) / known.sum().clamp_min(1e-6))[:, None, None].expand_as(planes)
    return torch.lerp(beyond, planes, weight.clamp(0, 1))


def _halved(total: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    total, known = (reduce(x, 2) for x in (total, known))
    values = total / known.clamp_min(1e-6)
    return values, (4 * known).clamp_max(1)


def _reached(plane: Tensor, reach_px: Tensor) -> Tensor:
    """1 where light of where `plane`, 1 h w, is above a half may be, if it is blurred by `reach_px` of full size."""
    seen = (plane > 0.5).to(plane)
    out, before = seen.clone(), 0.0
    for radius in _radii():
        there = seen * (reach_px > max(SHARP_PX, before * BY - SPARE_PX))
        if float(there.max()) == 0:
            break
        out, before = torch.maximum(out, dilated(there, radius)), float(radius)
    return boxed(out, 1)


def _blurred(plane: Tensor, reach_px: Tensor) -> Tensor:
    """`plane` as a disc of that radius, in pixels of full size, would blur it, 1 h w each."""
    radii = [0, *_radii()]
    out = torch.zeros_like(plane)
    for place, radius in enumerate(radii):
        before, after = radii[max(place - 1, 0)] * BY, radii[min(place + 1, len(radii) - 1)] * BY
        here = radius * BY
        share = torch.ones_like(plane)
        if after > here:
            share = torch.minimum(share, (after - reach_px) / (after - here))
        if here > before:
            share = torch.minimum(share, (reach_px - before) / (here - before))
        share = share.clamp_min(0)
        if float(share.max()) > 0:
            # Two boxes of this half width h have the deviation of a disc along an axis: 2 h (h + 1) / 3 = radius^2 / 4.
            half = max(0, round(0.61 * radius - 0.5))
            out += share * boxed(boxed(plane, half), half)
    return out


def _radii() -> list[int]:
    """Radii at half size at which reaches are told apart."""
    return [radius for radius in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if radius * BY <= MOST_REACH_PX]


def _softened(plane: Tensor) -> Tensor:
    return boxed(boxed(plane, 2), 2)


def _between(values: Tensor, low: float, high: float) -> Tensor:
    share = ((values - low) / (high - low)).clamp(0, 1)
    return share.square() * (3 - 2 * share)
