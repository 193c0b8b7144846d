"""From a rough map of disparity to a soft matte that ends at the picture's own edges.

The disparity comes from windows some twenty pixels wide, so where it changes it does not tell to which side a pixel
belongs. There, and wherever it is unsure, the sharp picture's colours decide: the guided filter of He, Sun and Tang
(TPAMI 2013), in which pixels count by how sure they are, fits the share to be kept in each window as a linear function
of the colour. Its coefficients are found at a reduced size and used at full size ("Fast guided filter", He and Sun,
2015).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.inference.scales import enlarge, reduce

REACH_PX = 11.0
"""As far from a change of the share, in pixels of the picture, the disparity's own windows reach across it."""

RADIUS_PX = 24.0
"""Of the guided filter's window, in pixels of the picture: it has to see beyond what is unsure."""

SMOOTHNESS = 1e-4
"""What is added to the variance of colours: differences below a hundredth of the range are no edges."""

LEAST_SURE = 1e-3
FIRM = (0.25, 0.75)
"""Shares that become 0 and 1: the filter leaves little bits of either side within the other."""

ROWS = 256


def refine(share: Tensor, sure: Tensor, guide: Tensor, by: int) -> Tensor:
    """The soft matte at full size, 1 H W, of a rough `share`, 1 h w, `by` times smaller.

    Args:
        share: what the disparity says, 0 to 1.
        sure: how sure that is, 0 to 1, alike.
        guide: the sharp picture, 3 H W.
        by: how many times smaller the share is.
    """
    small = reduce(guide, by)
    weight = (sure * (1 - near_change(share, REACH_PX / by))).clamp_min(LEAST_SURE)
    slopes = fit_colours(share, weight, small, max(2, round(RADIUS_PX / by)))
    low, high = FIRM
    matte = torch.empty(1, *guide.shape[1:])
    for first in range(0, guide.shape[1], ROWS):
        rows = guide[:, first : first + ROWS]
        here = enlarge(slopes, by, first, first + rows.shape[1], rows.shape[2], "bilinear")
        value = (rows * here[:3]).sum(0, keepdim=True) + here[3:]
        value = ((value - low) / (high - low)).clamp_(0, 1)
        matte[:, first : first + ROWS] = value.square() * (3 - 2 * value)
    return matte


def near_change(share: Tensor, reach: float) -> Tensor:
    """1 within `reach` pixels of where a share, 1 h w, passes from one side of a half to the other, else 0."""
    side = (share > 0.5).to(share)
    return (dilated(side, round(reach)) - (1 - dilated(1 - side, round(reach)))).clamp(0, 1)


def fit_colours(share: Tensor, weight: Tensor, guide: Tensor, radius: int) -> Tensor:
    """Coefficients 4 h w: in each window, share = the first three times the colour plus the last, by least squares.

    Each pixel has the mean of those of all windows it lies in.
    """
    total = boxed(weight, radius)
    colour, value = boxed(weight * guide, radius) / total, boxed(weight * share, radius) / total
    products = torch.stack([guide[i] * guide[j] for i, j in PAIRS])
    spread = boxed(weight * products, radius) / total - torch.stack([colour[i] * colour[j] for i, j in PAIRS])
    common = boxed(weight * share * guide, radius) / total - value * colour
    slope = solved(spread, common)
    offset = value - (slope * colour).sum(0, keepdim=True)
    # Windows that know more count more, or those in the middle of the unsure would speak for all.
    return boxed(total * torch.cat([slope, offset]), radius) / boxed(total, radius)


PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def solved(spread: Tensor, common: Tensor) -> Tensor:
    """x of (A + SMOOTHNESS) x = b for symmetric A, given by `PAIRS` 6 h w, and b 3 h w: by Cramer's rule."""
    a, b, c, d, e, f = spread
    a, d, f = a + SMOOTHNESS, d + SMOOTHNESS, f + SMOOTHNESS
    minors = d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b
    determinant = (a * minors[0] + b * minors[1] + c * minors[2]).clamp_min(1e-18)
    p, q, r = common
    x = minors[0] * p + minors[1] * q + minors[2] * r
    y = minors[1] * p + minors[3] * q + minors[4] * r
    z = minors[2] * p + minors[4] * q + minors[5] * r
    return torch.stack([x, y, z]) / determinant


def boxed(planes: Tensor, radius: int) -> Tensor:
    """The mean over a square window, C h w, of those pixels of it that are in the picture."""
    if radius < 1:
        return planes
    for axis in (1, 2):
        length = planes.shape[axis]
        sums = F.pad(planes.to(torch.float64).cumsum(axis), (1, 0) if axis == 2 else (0, 0, 1, 0))
        at = torch.arange(length)
        last, first = (at + radius + 1).clamp_max(length), (at - radius).clamp_min(0)
        shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
        counts = (last - first).to(torch.float64).view(shape)
        planes = ((sums.index_select(axis, last) - sums.index_select(axis, first)) / counts).to(torch.float32)
    return planes


def dilated(plane: Tensor, radius: int) -> Tensor:
    """The largest value within a square window, 1 h w."""
    if radius < 1:
        return plane
    side = 2 * radius + 1
    rows = F.max_pool2d(plane, (1, side), 1, (0, radius))
    return F.max_pool2d(rows, (side, 1), 1, (radius, 0))
