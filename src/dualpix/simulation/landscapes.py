"""Scenes laid out like photographs: one photograph with its own map of inverse depth, seen out of focus.

Two thirds of a real picture's pixels lie on slanted surfaces, most of them on one ground plane, which flat objects in
front of a background do not show. The maps are estimated by a network from the single picture: plausible layouts, not
measurements.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.depth import bands_of, cuts_between_jumps, harden, layers_between
from dualpix.simulation.painting import Canvas
from dualpix.simulation.render import Layer
from dualpix.simulation.sensor import Tone

LEAST_RANGE = 0.02
"""A crop whose inverse depth spans less than this counts as one plane."""

MOST_DISPARITY_PX = 8.0


def with_depth(photos: Sequence[Tensor]) -> list[int]:
    """The numbers of those photographs that have a map of inverse depth as their fourth plane."""
    return [number for number, photo in enumerate(photos) if photo.shape[0] == 4]


@dataclass(frozen=True)
class View:
    """A square crop of a photograph, brought to `size` pixels.

    Attributes:
        number: Of the photograph.
        top: First row.
        left: First column.
        side: Rows and columns taken.
        mirrored: Whether left and right are exchanged.
        size: Side of the result in pixels.
    """

    number: int
    top: int
    left: int
    side: int
    mirrored: bool
    size: int

    def of(self, photos: Sequence[Tensor], planes: slice) -> Tensor:
        """Those planes of the crop in [0, 1], where the photographs are."""
        crop = photos[self.number][planes, self.top : self.top + self.side, self.left : self.left + self.side]
        crop = crop.float()[None] / 255
        if self.side != self.size:
            crop = F.interpolate(crop, (self.size, self.size), mode="bilinear", antialias=True)
        return crop[0].flip(2) if self.mirrored else crop[0]


@dataclass(frozen=True)
class Landscape:
    """A photograph cut into layers by its blur, which is computed on the CPU: where it is cut depends on it.

    Attributes:
        view: What is seen of the photograph.
        gain: Factor of its linear light.
        blur_px: Signed blur radius in pixels, N x N.
        cuts: See `depth.cuts_between_jumps`.
    """

    view: View
    gain: float
    blur_px: Tensor
    cuts: Sequence[float]

    def paint(self, tone: Tone, canvas: Canvas) -> list[Layer]:
        """See `scenes.PlannedScene`."""
        colour = tone.decode(self.view.of(canvas.photos, slice(3))) * self.gain
        most = float(self.blur_px.abs().max())
        return layers_between(colour, canvas.take(self.blur_px), self.cuts, int(most) + 2)

    def blur_ranges(self, inset: int = 0) -> list[tuple[float, float]]:
        """See `scenes.PlannedScene`; hidden parts are within what is seen of their layer, so no inset matters."""
        bands = [self.blur_px[band] for band in bands_of(self.blur_px, self.cuts)]
        return [(float(band.min()), float(band.max())) for band in bands]


def draw_landscape(
    rng: np.random.Generator,
    photos: Sequence[Tensor],
    mapped: Sequence[int],
    size: int,
    rho: float,
    most_blur_px: float,
) -> Landscape:
    """Draw a random scene from one photograph with a map of inverse depth.

    The focus is set to the depth of a random pixel. The largest disparity (`rho` times the blur) is drawn from 0.5 to
    `MOST_DISPARITY_PX`, and limited so that the blur stays within `most_blur_px`.

    Args:
        rng: Source of randomness.
        photos: uint8, 3 or 4 x H x W, the fourth plane inverse depth.
        mapped: The numbers of those with inverse depth.
        size: Side of the scene in pixels.
        rho: The lens's disparity per blur radius.
        most_blur_px: The largest blur radius.
    """
    number = mapped[int(rng.integers(len(mapped)))]
    shape = photos[number].shape[1:]
    side = int(min(size * float(rng.choice([1.0, 1.4, 2.0])), *shape))
    top, left = (int(rng.integers(length - side + 1)) for length in shape)
    view = View(number, top, left, side, rng.random() < 0.5, size)
    gain = float(np.exp(rng.uniform(-0.5, 0.1)))
    blur_px = harden(_focus(rng, view.of(photos, slice(3, 4))[0], rho, most_blur_px))
    return Landscape(view, gain, blur_px, cuts_between_jumps(blur_px))


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
