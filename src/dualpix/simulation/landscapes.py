"""Scenes laid out like photographs: one photograph with its own map of inverse depth, seen out of focus.

Two thirds of a real picture's pixels lie on slanted surfaces, most of them on one ground plane, which flat objects in
front of a background do not show. The maps are estimated by a network from the single picture: plausible layouts, not
measurements.
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
"""A crop whose inverse depth spans less than this counts as one plane."""

MOST_DISPARITY_PX = 8.0


def with_depth(photos: Sequence[Tensor]) -> list[Tensor]:
    """Those of the photographs that have a map of inverse depth as their fourth plane."""
    return [photo for photo in photos if len(photo) == 4]


def draw_landscape(
    rng: np.random.Generator, photos: Sequence[Tensor], size: int, tone: Tone, rho: float, most_blur_px: float
) -> list[Layer]:
    """Draw a random scene from one photograph with a map of inverse depth.

    The focus is set to the depth of a random pixel. The largest disparity (`rho` times the blur) is drawn from 0.5 to
    `MOST_DISPARITY_PX`, and limited so that the blur stays within `most_blur_px`.

    Args:
        rng: Source of randomness.
        photos: uint8, 4 x H x W, the last plane inverse depth.
        size: Side of the scene in pixels.
        tone: The photographs' display encoding.
        rho: The lens's disparity per blur radius.
        most_blur_px: The largest blur radius.

    Returns:
        Layers from back to front.
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
    """Signed blur, H x W: affine in inverse depth, 0 at the depth of a random pixel, negative in front of it."""
    low, high = (float(torch.quantile(inverse_depth[::4, ::4], share)) for share in (0.01, 0.99))
    reach_px = min(float(rng.uniform(0.5, MOST_DISPARITY_PX)) / rho, most_blur_px)
    if high - low < LEAST_RANGE:
        return torch.full_like(inverse_depth, reach_px if rng.random() < 0.7 else -reach_px)
    row, column = (int(rng.integers(length)) for length in inverse_depth.shape)
    focus = float(inverse_depth[row, column])
    blur_px = (focus - inverse_depth) * (reach_px / max(high - focus, focus - low))
    return blur_px.clamp(-most_blur_px, most_blur_px)
