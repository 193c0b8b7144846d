"""Scenes laid out as photographs are: one photograph with its own map of inverse depth, seen out of focus.

Two thirds of a real picture's pixels lie on slants and most of them on one ground plane, which cards before a
background do not show. The maps are guesses of a network from the single picture: plausible layouts, no measurements.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.depth import harden, layers_from_blur
from dualpix.simulation.render import Layer
from dualpix.simulation.sensor import Tone

LEAST_RANGE = 0.02
"""Of inverse depth within a crop, below which it counts as one plane."""

MOST_DISPARITY_PX = 8.0


def with_depth(photos: Sequence[Tensor]) -> list[Tensor]:
    """Those of the photographs that have a map of inverse depth as their fourth plane."""
    return [photo for photo in photos if len(photo) == 4]


def draw_landscape(
    rng: np.random.Generator, photos: Sequence[Tensor], size: int, tone: Tone, rho: float, most_blur_px: float
) -> list[Layer]:
    """Layers from back to front, `size` pixels square, of one of `photos`, bytes 4 H W, the last plane inverse depth.

    The focus lies on a random pixel; disparity, `rho` times the blur, reaches what is drawn up to `MOST_DISPARITY_PX`
    as far as `most_blur_px` allows.
    """
    source = photos[int(rng.integers(len(photos)))]
    side = int(min(size * float(rng.choice([1.0, 1.4, 2.0])), *source.shape[1:]))
    top, left = (int(rng.integers(length - side + 1)) for length in source.shape[1:])
    crop = source[:, top : top + side, left : left + side].float()[None] / 255
    if side != size:
        crop = F.interpolate(crop, (size, size), mode="bilinear", antialias=True)
    crop = crop[0].flip(2) if rng.random() < 0.5 else crop[0]
    colour = tone.decode(crop[:3]) * float(np.exp(rng.uniform(-0.5, 0.1)))
    return layers_from_blur(colour, harden(_focus(rng, crop[3], rho, most_blur_px)))


def _focus(rng: np.random.Generator, inverse_depth: Tensor, rho: float, most_blur_px: float) -> Tensor:
    """Signed blur, H W: affine in inverse depth, with the nearer parts in front of a random pixel's plane."""
    low, high = (float(torch.quantile(inverse_depth[::4, ::4], share)) for share in (0.01, 0.99))
    reach_px = min(float(rng.uniform(0.5, MOST_DISPARITY_PX)) / rho, most_blur_px)
    if high - low < LEAST_RANGE:
        return torch.full_like(inverse_depth, reach_px if rng.random() < 0.7 else -reach_px)
    row, column = (int(rng.integers(length)) for length in inverse_depth.shape)
    focus = float(inverse_depth[row, column])
    blur_px = (focus - inverse_depth) * (reach_px / max(high - focus, focus - low))
    return blur_px.clamp(-most_blur_px, most_blur_px)
