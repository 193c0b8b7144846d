"""What a raw converter does after the blur, to all pictures of a pair alike: sharpening, and local brightening."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.simulation.painting import moved


@dataclass(frozen=True)
class Developer:
    """Settings of a raw converter.

    Attributes:
        sharpening: Strength of an unsharp mask, 0 for none.
        radius_px: Its standard deviation in pixels.
        local_tone: Standard deviation, in stops, of a smooth random field f over the picture; display values are raised
            to the power 2^f.
        seed: Of that field.
    """

    sharpening: float = 0.0
    radius_px: float = 1.0
    local_tone: float = 0.0
    seed: int = 0

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return bool(self.local_tone or self.sharpening)

    def develop(self, pictures: Tensor) -> Tensor:
        """Develop pictures alike: N x 3 x H x W display values in [0, 1]."""
        if self.local_tone:
            grid = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(self.seed))
            grid = moved(grid, pictures.device)
            field = F.interpolate(grid * self.local_tone, pictures.shape[-2:], mode="bicubic", align_corners=True)
            pictures = pictures.clamp(0, 1) ** torch.exp2(field)
        if self.sharpening:
            pictures = pictures + self.sharpening * (pictures - smooth(pictures, self.radius_px))
        return pictures.clamp(0, 1) if self.sharpening else pictures


def smooth(pictures: Tensor, sigma_px: float) -> Tensor:
    """Convolve with a Gaussian, cut off at three standard deviations; edge pixels continue beyond the edges.

    Args:
        pictures: N x C x H x W.
        sigma_px: Standard deviation in pixels.
    """
    half = max(1, int(3 * sigma_px + 0.5))
    weights = [math.exp(-0.5 * (x / sigma_px) ** 2) for x in range(-half, half + 1)]
    weights = [weight / sum(weights) for weight in weights]
    # Sums of shifted pictures: libraries are slow at convolutions of one channel, and some round them to ten bits.
    padded = F.pad(pictures, (half,) * 4, mode="replicate")
    return _weighted(_weighted(padded, weights, -1), weights, -2)


def _weighted(pictures: Tensor, weights: Sequence[float], axis: int) -> Tensor:
    """Sum so many shifted copies of pictures, along one axis, which becomes shorter."""
    length = pictures.shape[axis] - len(weights) + 1
    total = pictures.narrow(axis, 0, length) * weights[0]
    for start, weight in enumerate(weights[1:], 1):
        total.add_(pictures.narrow(axis, start, length), alpha=weight)
    return total
