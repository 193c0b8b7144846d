"""From light to file: tone curve, view shading, noise and quantisation."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dualpix.simulation.developer import Developer, smooth


@dataclass(frozen=True)
class Tone:
    """Display encoding S(sRGB(x)), with S(v) = (1 - contrast) v + contrast (3 v^2 - 2 v^3).

    Vendors' developers lift contrast above plain sRGB: on real Canon pairs, mixing light under contrast 0.3 to 0.6
    explains the blurred views about 1 dB better than plain sRGB does.
    """

    contrast: float = 0.0

    def encode(self, linear: Tensor) -> Tensor:
        """Linear light, clipped to [0, 1] -> display values in [0, 1]."""
        x = linear.clamp(0, 1)
        # Logarithm and exponential are quicker than a power; the straight part is the lower one where it holds only.
        v = x.clamp_min(0.0031308).log_().mul_(1 / 2.4).exp_().mul_(1.055).sub_(0.055)
        v = torch.minimum(v, x.mul_(12.92), out=v)
        if self.contrast == 0:
            return v
        return v.mul(-2).add_(3).mul_(v).sub_(1).mul_(self.contrast).add_(1).mul_(v)

    def decode(self, display: Tensor) -> Tensor:
        """Display values in [0, 1] -> linear light, the inverse of `encode` to 1e-4."""
        table, steps = decoding(self.contrast)
        place = display.clamp(0, 1).mul_(len(table) - 1)
        below = place.int().clamp_max_(len(table) - 2)
        start, step = (x.index_select(0, below.flatten()).view_as(place) for x in (table, steps))
        return torch.addcmul(start, step, place.sub_(below))


@lru_cache(maxsize=64)
def decoding(contrast: float) -> tuple[Tensor, Tensor]:
    """Linear light at 4097 equal steps of display values, and the 4096 differences between them."""
    v = np.linspace(0, 1, 4097)
    curve = v * (1 - contrast + contrast * v * (3 - 2 * v))
    straight = np.interp(v, curve, v)
    linear = np.where(straight <= 0.04045, straight / 12.92, ((straight + 0.055) / 1.055) ** 2.4)
    return torch.from_numpy(linear).float(), torch.from_numpy(np.diff(linear)).float()


@dataclass(frozen=True)
class Sensor:
    """What happens to the two views of linear light on their way into a file.

    shading: m at the sides of the frame; the views are multiplied by 1 - m x and 1 + m x, x in [-1, 1] over the width.
    shot, read: noise variance is shot x + read^2, x in [0, 1] linear, independent for the two views.
    grain_px: deviation of the Gaussian that has smoothed the noise, as demosaicing does; its variance stays.
    developer: what is done to all pictures after the tone curve.
    """

    tone: Tone = Tone()
    shading: float = 0.0
    shot: float = 0.0
    read: float = 0.0
    grain_px: float = 0.0
    developer: Developer = field(default_factory=Developer)

    def expose(self, views: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Views 2 3 H W in linear light, with shading and noise, not yet encoded. Their mean is the combined view."""
        x = torch.linspace(-1, 1, views.shape[-1])
        exposed = torch.stack([views[0] * (1 - self.shading * x), views[1] * (1 + self.shading * x)])
        if self.shot == 0 and self.read == 0:
            return exposed
        deviation = (self.shot * exposed.clamp_min(0) + self.read**2).sqrt()
        noise = torch.randn(exposed.shape, generator=generator)
        if self.grain_px:
            noise = smooth(noise, self.grain_px)
            noise = noise / noise.std().clamp_min(1e-6)
        return exposed + deviation * noise


def quantise(picture: Tensor, depth: int) -> Tensor:
    """Round display values to `depth` bits, staying float in [0, 1]."""
    levels = float(2**depth - 1)
    return (picture.clamp(0, 1) * levels).round() / levels
