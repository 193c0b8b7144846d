"""All kernels of a lens at once, on any device: what `kernels.kernels` computes one by one.

The edge that divides the pupil is found for all blur radii together by a fixed number of steps, so that the host asks
the device for no value. Tests compare both ways.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor

from dualpix.simulation.kernels import Lens, changes_with_blur, inside, reach_px, samples_for, softness_px, tilts
from dualpix.simulation.kernels import transverse as transverse_px
from dualpix.simulation.painting import moved, numbers

STEPS = 40  # of `_roots`; lenses of the distribution "any" need 24 at most to reach 1e-9


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
    by_samples: dict[int, list[int]] = {}
    for place, radius in enumerate(radii):
        by_samples.setdefault(samples_for(radius), []).append(place)
    order = [place for places in by_samples.values() for place in places]
    splats = [_splats(lens, n, [radii[place] for place in places], reach, device) for n, places in by_samples.items()]
    back = moved(torch.tensor(sorted(range(len(order)), key=order.__getitem__)), device)
    stack = torch.cat(splats).index_select(0, back)
    sigmas = numbers([max(softness_px(lens, radius), 1e-3) for radius in radii], device)
    own = moved(torch.tensor([reach_px(lens, radius) for radius in radii]), device)
    return _softened(stack, sigmas, own)


def _splats(lens: Lens, samples: int, radii: Sequence[float], reach: int, device: torch.device) -> Tensor:
    """Pupil samples splatted bilinearly, N x 2 x K x K, not softened."""
    blur = moved(torch.tensor(radii, dtype=torch.float64), device)[:, None]
    u, w = (moved(axis, device) for axis in _positions(lens.blades, lens.clip, samples))
    left, right = _views(lens, u, w, blur if changes_with_blur(lens) else torch.zeros_like(blur))
    u, w, blur = u.float(), w.float(), blur.float()
    aside, down = transverse_px(lens, u, w)
    x, y = reach + blur * (u + lens.decentre) + aside, reach + blur * w + down
    size, count = 2 * reach + 1, len(radii)
    first = torch.arange(count, device=device)[:, None] * size**2
    left_edge, top_edge = x.floor(), y.floor()
    views = torch.stack([left, right]).float()
    out = torch.zeros(2, count * size**2, device=device)
    for dx, wx in ((0, 1 - (x - left_edge)), (1, x - left_edge)):
        for dy, wy in ((0, 1 - (y - top_edge)), (1, y - top_edge)):
            index = ((top_edge + dy) * size + left_edge + dx).long().clamp(0, size**2 - 1) + first
            out.index_add_(1, index.flatten(), (views * (wx * wy)).flatten(1))
    return out.view(2, count, size, size).transpose(0, 1)


@lru_cache(maxsize=64)
def _positions(blades: int, clip: tuple[float, float], samples: int) -> tuple[Tensor, Tensor]:
    axis = (torch.arange(samples, dtype=torch.float64) + 0.5) * (2 / samples) - 1
    w, u = torch.meshgrid(axis, axis, indexing="ij")
    keep = inside(blades, clip, u, w)
    return u[keep], w[keep]


def _views(lens: Lens, u: Tensor, w: Tensor, blur: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the samples (M) in both views, N x M each, for blur radii N x 1."""
    radius = torch.hypot(u, w).clamp_min(1e-9) ** (2 * lens.rim_order)
    rise = 2 * radius / (1 + radius)
    rim = (lens.rim + lens.rim_growth * blur / 10).clamp(-0.9, 0.9) if lens.rim_growth else lens.rim + 0 * blur
    opening = torch.where(rim >= 0, 1 - rim * (1 - rise), 1 + rim * rise) * tilts(lens.shade, u, w).exp()
    weight = opening / opening.sum(1, keepdim=True)
    if lens.side is None:
        seen, low, high = partial(_even, lens, u, weight), math.log(1e-5), math.log(1e4)
    else:
        line = u + lens.side * (1 - (blur.abs() - 8).clamp_min(0) / 14).clamp_min(0.25)
        tilt = tilts(lens.uneven, u, w)
        seen, low, high = partial(_one_sided, line, tilt, weight), -math.log(1e3), -math.log(1e-2)

    def missing(sharpness: Tensor) -> Tensor:
        left, right = seen(sharpness)
        return (u * (right - left)).sum(1, keepdim=True) - lens.rho

    return seen(_roots(missing, low, high, torch.zeros_like(blur)))


def _one_sided(line: Tensor, tilt: Tensor, weight: Tensor, sharpness: Tensor) -> tuple[Tensor, Tensor]:
    across = 4 * line * sharpness.exp() + tilt
    left, right = (weight * torch.sigmoid(sign * across) for sign in (-1, 1))
    return left / left.sum(1, keepdim=True), right / right.sum(1, keepdim=True)


def _even(lens: Lens, u: Tensor, weight: Tensor, log_gain: Tensor) -> tuple[Tensor, Tensor]:
    steep = 1e-3 + 1 / max(1e-3, 1 - lens.split) - 1
    shape = torch.tanh(steep * (u + lens.skew)) / math.tanh(steep)
    g = (log_gain.exp() * shape).clamp(-1, 1)
    g = (g - (weight * g).sum(1, keepdim=True)).clamp(-1, 1)
    return weight * (1 - g), weight * (1 + g)


def _roots(rising: Callable[[Tensor], Tensor], low: float, high: float, like: Tensor) -> Tensor:
    """The zeros of rising functions, N x 1, by the Illinois variant of regula falsi."""
    low_end, high_end, moved_to = like + low, like + high, torch.zeros_like(like)
    at_low, at_high = rising(low_end), rising(high_end)
    middle = low_end
    for _ in range(STEPS):
        straight = (low_end * at_high - high_end * at_low) / (at_high - at_low)
        middle = torch.where(at_high > at_low, straight, (low_end + high_end) / 2)
        value = rising(middle)
        below = value < 0
        at_high = torch.where(below, torch.where(moved_to < 0, at_high / 2, at_high), value)
        at_low = torch.where(below, value, torch.where(moved_to > 0, at_low / 2, at_low))
        low_end, high_end = torch.where(below, middle, low_end), torch.where(below, high_end, middle)
        moved_to = torch.where(below, -1.0, 1.0).to(like.dtype)
    return middle


def _softened(stack: Tensor, sigmas_px: Tensor, own_reach: Tensor) -> Tensor:
    """Soften each kernel by its own Gaussian, cut it off at its own reach, and scale it to a sum of 1."""
    half = stack.shape[-1] // 2
    x = torch.arange(-half, half + 1, device=stack.device)
    blur = torch.exp(-0.5 * ((x[:, None] - x[None, :]) / sigmas_px[:, None, None]) ** 2)[:, None]
    within = (x.abs()[None] <= own_reach[:, None]).to(stack.dtype)
    soft = blur @ stack @ blur * within[:, None, :, None] * within[:, None, None, :]
    return soft / soft.sum((2, 3), keepdim=True)
