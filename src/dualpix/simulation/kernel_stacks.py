"""All kernels of a lens at once, on any device: what `kernels.kernels` computes one by one.

The edge that divides the pupil is found for all blur radii together by a fixed number of steps, so that the host asks
the device for no value. Tests compare both ways.
"""

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from dualpix.simulation.kernels import (
    Lens,
    changes_with_blur,
    positions,
    reach_px,
    samples_for,
    softness_px,
    tilts,
    transverse,
)
from dualpix.simulation.painting import inverse, moved, numbers

COARSE_SAMPLES, COARSE_STEPS, FINE_STEPS = 32, 14, 3
"""How the dividing edge is found: roughly on few samples, then by secants on all. Over lenses of the distribution "any"
rho is off by 2e-7 at most after these steps."""


def kernel_stack(lens: Lens, radii: Sequence[float], reach: int, device: torch.device) -> Tensor:
    """Left and right point-spread function for several signed blur radii.

    Args:
        lens: The shape.
        radii: Signed blur radii in pixels.
        reach: Radius of the support of all kernels in pixels, no less than `reach_px` of each.
        device: Where to compute.

    Returns:
        N x 2 x K x K, K = 2 reach + 1, each of sum 1.
    """
    order = sorted(range(len(radii)), key=lambda place: samples_for(radii[place]))
    ordered = [radii[place] for place in order]
    blur = moved(torch.tensor(ordered, dtype=torch.float64), device)[:, None]
    edges = _Pupils(lens, COARSE_SAMPLES, blur).edges()
    splats, done = [], 0
    for samples, group in groupby(ordered, key=samples_for):
        some = slice(done, done := done + len(list(group)))
        pupils = _Pupils(lens, samples, blur[some])
        left, right = pupils.views(pupils.refined(*(each[some] for each in edges)))
        splats.append(_splats(lens, pupils, left, right, reach))
    sigmas = numbers([max(softness_px(lens, radius), 1e-3) for radius in ordered], device)
    own = moved(torch.tensor([reach_px(lens, radius) for radius in ordered]), device)
    return _softened(torch.cat(splats), sigmas, own).index_select(0, moved(inverse(order), device))


class _Pupils:
    """Samples (M) of a lens's pupil for several blur radii.

    Attributes:
        u: Of each sample, M.
        w: The same.
        blur: Signed radii in pixels, N x 1.
    """

    def __init__(self, lens: Lens, samples: int, blur: Tensor) -> None:
        self.lens, self.blur = lens, blur
        self.u, self.w = (moved(axis, blur.device) for axis in positions(lens.blades, lens.clip, samples))
        u, w = self.u, self.w
        q = torch.hypot(u, w).clamp_min(1e-9) ** (2 * lens.rim_order)
        rise, changing = 2 * q / (1 + q), blur if changes_with_blur(lens) else 0 * blur
        rim = (lens.rim + lens.rim_growth * changing / 10).clamp(-0.9, 0.9) if lens.rim_growth else lens.rim + 0 * blur
        opening = torch.where(rim >= 0, 1 - rim * (1 - rise), 1 + rim * rise) * tilts(lens.shade, u, w).exp()
        self.weight = opening / opening.sum(1, keepdim=True)
        if lens.side is None:
            steep = 1e-3 + 1 / max(1e-3, 1 - lens.split) - 1
            self.shape = torch.tanh(steep * (u + lens.skew)) / math.tanh(steep)
        else:
            self.line = u + lens.side * (1 - (changing.abs() - 8).clamp_min(0) / 14).clamp_min(0.25)
            self.tilt = tilts(lens.uneven, u, w)

    def views(self, edge: Tensor) -> tuple[Tensor, Tensor]:
        """Weights in both views, N x M each, for the logarithm of how sharp the dividing edge is, N x 1."""
        if self.lens.side is None:
            g = (edge.exp() * self.shape).clamp(-1, 1)
            g = (g - (self.weight * g).sum(1, keepdim=True)).clamp(-1, 1)
            return self.weight * (1 - g), self.weight * (1 + g)
        across = 4 * self.line * edge.exp() + self.tilt
        left, right = (self.weight * torch.sigmoid(sign * across) for sign in (-1, 1))
        return left / left.sum(1, keepdim=True), right / right.sum(1, keepdim=True)

    def missing(self, edge: Tensor) -> Tensor:
        """By how much rho is too large, N x 1; it rises with the sharpness."""
        left, right = self.views(edge)
        return (self.u * (right - left)).sum(1, keepdim=True) - self.lens.rho

    def edges(self) -> tuple[Tensor, Tensor]:
        """The sharpness that gives the lens's rho, and how fast rho rises there, by the Illinois method."""
        low, high = (1e-5, 1e4) if self.lens.side is None else (1e-3, 1e2)
        begin, end, last = 0 * self.blur + math.log(low), 0 * self.blur + math.log(high), 0 * self.blur
        at_begin, at_end = self.missing(begin), self.missing(end)
        for _ in range(COARSE_STEPS):
            straight = (begin * at_end - end * at_begin) / (at_end - at_begin)
            middle = torch.where(at_end > at_begin, straight, (begin + end) / 2)
            value = self.missing(middle)
            below = value < 0
            at_end = torch.where(below, torch.where(last < 0, at_end / 2, at_end), value)
            at_begin = torch.where(below, value, torch.where(last > 0, at_begin / 2, at_begin))
            begin, end = torch.where(below, middle, begin), torch.where(below, end, middle)
            last = 1 - 2 * below.to(last.dtype)
        return middle, (self.missing(middle + 0.02) - self.missing(middle - 0.02)) / 0.04

    def refined(self, edge: Tensor, slope: Tensor) -> Tensor:
        """The sharpness for these samples, from the one for others and its slope, by secants."""
        value = self.missing(edge)
        for _ in range(FINE_STEPS - 1):
            step = torch.where(slope.abs() > 1e-9, -value / slope, 0)
            edge, before, value = edge + step, value, self.missing(edge + step)
            slope = torch.where(step.abs() > 1e-9, (value - before) / step, slope)
        return edge - torch.where(slope.abs() > 1e-9, value / slope, 0)


def _splats(lens: Lens, pupils: _Pupils, left: Tensor, right: Tensor, reach: int) -> Tensor:
    """Pupil samples splatted bilinearly, N x 2 x K x K, not softened."""
    u, w, blur = pupils.u.float(), pupils.w.float(), pupils.blur.float()
    aside, down = transverse(lens, u, w)
    x, y = reach + blur * (u + lens.decentre) + aside, reach + blur * w + down
    size, count = 2 * reach + 1, len(blur)
    first = torch.arange(count, device=blur.device)[:, None] * size**2
    left_edge, top_edge = x.floor(), y.floor()
    views = torch.stack([left, right]).float()
    out = torch.zeros(2, count * size**2, device=blur.device)
    for dx, wx in ((0, 1 - (x - left_edge)), (1, x - left_edge)):
        for dy, wy in ((0, 1 - (y - top_edge)), (1, y - top_edge)):
            index = ((top_edge + dy) * size + left_edge + dx).long().clamp(0, size**2 - 1) + first
            out.index_add_(1, index.flatten(), (views * (wx * wy)).flatten(1))
    return out.view(2, count, size, size).transpose(0, 1)


def _softened(stack: Tensor, sigmas_px: Tensor, own_reach: Tensor) -> Tensor:
    """Soften each kernel by its own Gaussian, cut it off at its own reach, and scale it to a sum of 1."""
    half = stack.shape[-1] // 2
    x = torch.arange(-half, half + 1, device=stack.device)
    blur = torch.exp(-0.5 * ((x[:, None] - x[None, :]) / sigmas_px[:, None, None]) ** 2)[:, None]
    within = (x.abs()[None] <= own_reach[:, None]).to(stack.dtype)
    soft = blur @ stack @ blur * within[:, None, :, None] * within[:, None, None, :]
    return soft / soft.sum((2, 3), keepdim=True)
