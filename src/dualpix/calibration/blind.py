"""Estimate blur and rho from the two views alone.

With L = S * (C - rho B) and R = S * (C + rho B), the unknown sharp picture S drops out (Punnappurath et al., "Modeling
defocus-disparity in dual-pixel sensors", ICCP 2020, here for the kernels of `simulation.kernels`): (R - L) * C = rho (R
+ L) * B. Only the right radius makes both sides equal. Where S has no fine detail, many radii fit the same shift of the
views, so single windows scatter widely; the median over many windows is close to the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dualpix.calibration.fit import TYPICAL, Convolver, vertex, windows
from dualpix.simulation.kernels import Lens, reach_px

RADII = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 18.0, 22.0)
MIN_EXPLAINED = 0.9
MIN_DISPARITY_PX = 0.6
MIN_VARIANCE = 4e-6


@dataclass(frozen=True)
class Blind:
    """What was found in windows of 96 px, 32 px apart; NaN where nothing could be determined.

    Attributes:
        blur_px: Signed blur radius in pixels, h x w.
        rho: Disparity per blur radius, h x w.
    """

    blur_px: Tensor
    rho: Tensor


def fit_blind(left: Tensor, right: Tensor, lens: Lens = TYPICAL, radii: Sequence[float] = RADII) -> Blind:
    """Fit blur and rho to two views.

    Blur radii from 2 px up to the largest of `radii` are found, and rho to about 15 % in the median over a scene.

    Args:
        left: Left view, one channel in linear light, H x W, 96 px or more.
        right: Right view, of the same size.
        lens: Gives the shape of the kernels; its rho does not matter.
        radii: Blur radii in pixels that are tried, in rising order.
    """
    both = (left + right) / 2
    reach = reach_px(lens, max(radii))
    of_half, of_both = Convolver((right - left) / 2, reach), Convolver(both - both.mean(), reach)
    fits = torch.stack([_compare(of_half(lens, radius)[0], of_both(lens, radius)[1]) for radius in radii])
    grid, index = torch.tensor(radii, dtype=torch.float64), fits[:, 0].argmin(0)
    inner = index.clamp(1, len(radii) - 2)
    near = torch.stack([inner - 1, inner, inner + 1])
    radius = vertex(grid[near], fits[:, 0].gather(0, near)).clamp(grid[near[0]], grid[near[2]])
    error, factor = (fits[:, i].gather(0, index[None])[0] for i in (0, 1))
    variance = windows((both * both)[None])[0] - windows(both[None])[0] ** 2
    disparity = factor * grid[index]
    known = (index == inner) & (error < 1 - MIN_EXPLAINED) & (variance > MIN_VARIANCE)
    known &= disparity.abs() > MIN_DISPARITY_PX
    rho = (disparity / radius).abs()
    return Blind(*(torch.where(known, value, torch.nan) for value in (radius * factor.sign(), rho)))


def _compare(half: Tensor, both: Tensor) -> Tensor:
    """Share of `half` that no multiple of `both` explains, and the best multiple, in every window, 2 x h x w."""
    a, b, aa, bb, ab = windows(torch.stack([half, both, half * half, both * both, half * both]))
    covariance = ab - a * b
    mine, others = (aa - a * a).clamp_min(1e-14), (bb - b * b).clamp_min(1e-14)
    return torch.stack([1 - covariance**2 / (mine * others), covariance / others])
