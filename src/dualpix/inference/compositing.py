"""The sharp picture where it is wanted, the photograph where it is to keep its blur, and no light of one in the other.

Beside a border of depth the photograph holds light of both sides, mixed by the blur. There, the kept side is blurred
anew, from the sharp picture and by its own blur, without the other side. Where what is sharpened lies in front, that
takes the place of the photograph as far as the sharpened thing's blur reached. Where what keeps its blur lies in front,
it is half transparent along its edge, and what shines through is sharp. Where a single surface slants through the end
of the range, both pictures are mixed.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.inference.guided import boxed
from dualpix.inference.matte import REACH_PX, dilated
from dualpix.inference.scales import enlarge, reduce
from dualpix.pairs.sample import mean_view

BLUR_PER_PX = 2.5
"""Pixels of blur radius for one of disparity, as cameras have it: 1 / rho (`simulation/kernels.py`)."""

SPARE_PX = 2.0
"""How much farther than its blur reaches light is expected, since edges are found to some pixels only."""

SHARP_PX = 3.5
"""Blur radius up to which the photograph is taken as it is: light that strays less does less harm than an edge that was
found to a few pixels only."""

MOST_REACH_PX = 64.0
APART_PX = (1.0, 2.0)
"""Difference of disparity up to which two sides are one surface, and from which on one lies in front."""

BY = 2
"""Blurred light, and how far it reaches, are reckoned at half the size."""

WIDE = 4  # radius from which on blur is made at half the size again
ROWS = 256


@dataclass(frozen=True)
class Borders:
    """At half size, of each pixel, 1 h w each.

    over_kept: how far light of what is sharpened lies over what is kept, 0 to 1.
    in_front: how far what is kept lies in front of what is sharpened, 0 to 1.
    radius_px: of the blur of what is kept, in pixels of full size.
    """

    over_kept: Tensor
    in_front: Tensor
    radius_px: Tensor


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
    borders = find_borders(small, disparity_px, sure)
    anew = hidden = None
    if float(borders.over_kept.max()) > 0 or float(borders.in_front.max()) > 0:
        light = torch.cat([reduce(sharp, BY), torch.ones_like(small)]) * (1 - small)
        anew = blurred(light, borders.radius_px)
    if float(borders.in_front.max()) > 0:
        hidden = filled(reduce(sharp, BY), small)
    for first in range(0, height, ROWS):
        last = min(first + ROWS, height)

        def rows(small: Tensor, first: int = first, last: int = last) -> Tensor:
            return enlarge(small, BY, first, last, width, "bilinear")

        here, share = sharp[:, first:last], matte[:, first:last]
        kept = mean_view(left[:, first:last], right[:, first:last])
        if anew is not None:
            lit = rows(anew)
            light, cover = lit[:3], lit[3:]
            kept = torch.lerp(kept, light / cover.clamp_min(0.02), rows(borders.over_kept) * (cover > 0.02))
        out = torch.lerp(kept, here, share)
        if anew is not None and hidden is not None:
            through = light + (1 - cover) * torch.lerp(rows(hidden), here, share)
            out = torch.lerp(out, through, rows(borders.in_front))
        here.copy_(out.clamp_(0, 1))
    return sharp


def find_borders(matte: Tensor, disparity_px: Tensor, sure: Tensor) -> Borders:
    """What overlaps what, of a matte and a disparity at half size, 1 h w each."""
    nothing = torch.zeros_like(matte)
    if float(matte.min()) > 0.5 or float(matte.max()) < 0.5:
        return Borders(nothing, nothing, nothing)
    kept_px = _beyond_border(disparity_px, sure, 1 - matte)
    sharp_px = _beyond_border(disparity_px, sure, matte)
    sharp_first = _between(kept_px - sharp_px, *APART_PX)
    kept_first = _between(sharp_px - kept_px, *APART_PX)
    over_kept = _reached(matte, sharp_px.abs() * BLUR_PER_PX * sharp_first.ceil()) * sharp_first
    radius_px = kept_px.abs() * BLUR_PER_PX
    near = _reached(matte, radius_px * kept_first.ceil()) * _reached(1 - matte, radius_px * kept_first.ceil())
    # Within what is kept the photograph is right, but for what little shines through it.
    return Borders(over_kept, kept_first * near * boxed(matte, 2), radius_px)


def _beyond_border(disparity_px: Tensor, sure: Tensor, part: Tensor) -> Tensor:
    """The disparity of a part, 1 h w, and everywhere else that of its nearest pixels.

    Beside its border disparities are no one's, since they were found in windows that reach across.
    """
    inner = part * (1 - dilated(1 - part, round(REACH_PX / BY)))
    return filled(disparity_px, (sure * inner).clamp_min(1e-3) * part**2)


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
    out, before = torch.zeros_like(plane), 0.0
    for radius in _radii():
        there = seen * (reach_px > max(SHARP_PX, before * BY - SPARE_PX))
        if float(there.max()) == 0:
            break
        out, before = torch.maximum(out, dilated(there, radius)), float(radius)
    return boxed(out, 2)


def blurred(planes: Tensor, radius_px: Tensor) -> Tensor:
    """`planes`, C h w, as discs of these radii, in pixels of full size, 1 h w, would blur them."""
    radii = [0, *_radii()]
    out = torch.zeros_like(planes)
    for place, radius in enumerate(radii):
        before, after = radii[max(place - 1, 0)] * BY, radii[min(place + 1, len(radii) - 1)] * BY
        here = radius * BY
        share = torch.ones_like(radius_px)
        if after > here:
            share = torch.minimum(share, (after - radius_px) / (after - here))
        if here > before:
            share = torch.minimum(share, (radius_px - before) / (here - before))
        share = share.clamp_min(0)
        if float(share.max()) > 0:
            out += share * (_disc(planes, radius) if radius < WIDE else _wide_disc(planes, radius))
    return out


def _disc(planes: Tensor, radius: float) -> Tensor:
    # Two boxes of this half width h have the deviation of a disc along an axis: 2 h (h + 1) / 3 = radius^2 / 4.
    half = max(0, round(0.61 * radius - 0.5))
    return boxed(boxed(planes, half), half)


def _wide_disc(planes: Tensor, radius: float) -> Tensor:
    """The same at half the size, which shows no less."""
    height, width = planes.shape[1:]
    return enlarge(_disc(reduce(planes, 2), radius / 2), 2, 0, height, width, "bilinear")


def _radii() -> list[int]:
    """Radii at half size at which reaches are told apart."""
    return [radius for radius in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if radius * BY <= MOST_REACH_PX]


def _between(values: Tensor, low: float, high: float) -> Tensor:
    share = ((values - low) / (high - low)).clamp(0, 1)
    return share.square() * (3 - 2 * share)
