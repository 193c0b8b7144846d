"""Kernels that no network was trained on, and a plain renderer for them.

Independent of `dualpix.simulation`, whose kernels are those of training: only `Layer`, a plain record, comes from
there. A point with signed blur radius c lands at image offset c (u, w), (u, w) on the unit disc of the pupil, so
content behind the focal plane (c > 0) lies further right in R if the right view sees more of u > 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dualpix.simulation.render import Layer

SLOPE = 4.0  # of the logistic that parts the pupil, so that `width` is about the width of its soft step
HALF_STEPS = [k * 0.5 for k in range(9)] + [float(k) for k in range(5, 13)] + [float(k) for k in range(14, 40, 2)]
NODES = [-k for k in reversed(HALF_STEPS[1:])] + HALF_STEPS  # signed radii at which a blur map is cut into slices


@dataclass(frozen=True)
class Pupil:
    """How two views share the opening: k_L = S(-t / width), k_R = S(t / width), t = u + delta + bend w^2, S logistic.

    ratio_at: (blur radius in pixels, area of the right opening over the left one), by rising radius; in between the
        logarithm is interpolated. It fixes delta.
    width: of the soft step, in units of the pupil's radius; the larger, the smaller the disparity.
    bend: below 0 the dividing line follows the rim, so that the narrower view sees a crescent.
    rim: 0 for an even opening, towards 1 for a dark centre with a bright rim.
    softness_px, softness_rel: deviation of a Gaussian that softens the kernels, in pixels and in units of |c|.
    """

    ratio_at: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    width: float = 1.0
    bend: float = 0.0
    rim: float = 0.0
    softness_px: float = 0.3
    softness_rel: float = 0.05

    def ratio(self, blur_px: float) -> float:
        radii, ratios = zip(*self.ratio_at, strict=True)
        return float(np.exp(np.interp(abs(blur_px), radii, np.log(ratios))))

    def softness(self, blur_px: float) -> float:
        return math.hypot(self.softness_px, self.softness_rel * blur_px)

    def reach_px(self, blur_px: float) -> int:
        """How far a kernel reaches from its centre, in whole pixels."""
        return int(abs(blur_px) + 3 * self.softness(blur_px) + 2)


def openings(pupil: Pupil, blur_px: float) -> tuple[Tensor, Tensor, Tensor]:
    """Samples of the pupil, u and w, each N, and how open the left and right view are there, 2 N, not normalised."""
    count = 32 * max(1, math.ceil(8 * abs(blur_px) / 32))  # at least four samples for each pixel of the kernel
    axis = (torch.arange(count, dtype=torch.float64) + 0.5) * (2 / count) - 1
    w, u = torch.meshgrid(axis, axis, indexing="ij")
    radius = torch.hypot(u, w)
    inside = radius <= 1
    u, w, radius = u[inside], w[inside], radius[inside]
    rise = radius**6
    weight = 1 - pupil.rim * (1 - 2 * rise / (1 + rise))

    def parted(delta: float) -> Tensor:
        place = SLOPE * (u + delta + pupil.bend * w * w) / pupil.width
        return weight * torch.sigmoid(torch.stack([-place, place]))

    low, high, wanted = -3.0, 3.0, pupil.ratio(blur_px)
    for _ in range(50):
        delta = (low + high) / 2
        left, right = parted(delta).sum(1).tolist()
        low, high = (delta, high) if right < wanted * left else (low, delta)
    return u, w, parted((low + high) / 2)


@lru_cache(maxsize=512)
def kernel_pair(pupil: Pupil, blur_px: float) -> Tensor:
    """Left and right kernel of one signed blur radius, 2 x K x K with K = 2 reach + 1, each of sum 1 by itself.

    To be applied by convolution, not correlation.
    """
    u, w, weights = openings(pupil, blur_px)
    reach = pupil.reach_px(blur_px)
    size = 2 * reach + 1
    x, y = reach + blur_px * u, reach + blur_px * w
    left, top = x.floor(), y.floor()
    pair = torch.zeros(2, size * size, dtype=torch.float64)
    for dx, wx in ((0, 1 - (x - left)), (1, x - left)):
        for dy, wy in ((0, 1 - (y - top)), (1, y - top)):
            pair.index_add_(1, ((top + dy) * size + left + dx).long(), weights * (wx * wy))
    axis = torch.arange(size, dtype=torch.float64)
    blur = torch.exp(-0.5 * ((axis[:, None] - axis[None]) / pupil.softness(blur_px)) ** 2)
    pair = blur @ pair.view(2, size, size) @ blur.T
    return pair / pair.sum((1, 2), keepdim=True)


def render(layers: Sequence[Layer], pupil: Pupil, margin: int) -> Tensor:
    """Left and right view, 2 x 3 x H x W in linear light, of `layers` from back to front, the first opaque.

    `margin` pixels are cut off each side; they must be more than any kernel reaches, for the convolution is cyclic.
    """
    views = None
    for layer in layers:
        scattered = _scatter(layer, pupil, margin)
        cover = scattered[:, 3:]
        excess = cover.clamp_min(1)
        light, cover = scattered[:, :3] / excess, cover / excess
        views = light / cover.clamp_min(1e-6) if views is None else views * (1 - cover) + light
    if views is None:
        raise ValueError("a scene needs at least one layer")
    return views[..., margin:-margin, margin:-margin]


def _scatter(layer: Layer, pupil: Pupil, margin: int) -> Tensor:
    """Light and cover of one object in both views, 2 4 H W: every pixel spread by the kernel of its own blur."""
    height, width = layer.alpha.shape
    premultiplied = torch.cat([layer.colour * layer.alpha, layer.alpha[None]])
    total = torch.zeros(2, 4, height, width // 2 + 1, dtype=torch.complex64)
    for before, node, after in zip(NODES, NODES[1:], NODES[2:], strict=False):
        share = torch.minimum((layer.blur_px - before) / (node - before), (after - layer.blur_px) / (after - node))
        share = share.clamp_min(0)
        if not bool((share * layer.alpha).any()):
            continue
        pair = kernel_pair(pupil, node).float()
        reach = pair.shape[-1] // 2
        if reach > margin:
            raise ValueError(f"kernels reach {reach} px, beyond the margin of {margin} px")
        placed = torch.zeros(2, height, width)
        placed[:, : 2 * reach + 1, : 2 * reach + 1] = pair
        spectra = torch.fft.rfft2(placed.roll((-reach, -reach), (1, 2)))
        total += torch.fft.rfft2(premultiplied * share)[None] * spectra[:, None]
    return torch.fft.irfft2(total, s=(height, width)).clamp_min(0)
