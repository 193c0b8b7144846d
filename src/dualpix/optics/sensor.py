"""From light to file: tone curve, view shading, noise, quantisation, and the lossy coding that people's files have."""

from dataclasses import dataclass
from typing import Literal

import imagecodecs
import numpy as np
import torch
from torch import Tensor


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
        v = torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
        return v if self.contrast == 0 else v * (1 - self.contrast + self.contrast * v * (3 - 2 * v))

    def decode(self, display: Tensor) -> Tensor:
        """Display values in [0, 1] -> linear light, the inverse of `encode` to 1e-4."""
        v = display.clamp(0, 1)
        if self.contrast:
            v = self._straighten(v)
        return torch.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)

    def _straighten(self, display: Tensor) -> Tensor:
        v = torch.linspace(0, 1, 4097, dtype=torch.float64)
        curve = (v * (1 - self.contrast + self.contrast * v * (3 - 2 * v))).numpy()
        inverse = torch.from_numpy(np.interp(np.linspace(0, 1, 4097), curve, v.numpy())).float()
        place = display * 4096
        below = place.long().clamp_max(4095)
        return torch.lerp(inverse[below], inverse[below + 1], place - below)


@dataclass(frozen=True)
class Sensor:
    """What happens to the two views of linear light on their way into a file.

    shading: m at the sides of the frame; the views are multiplied by 1 - m x and 1 + m x, x in [-1, 1] over the width.
    shot, read: noise variance is shot x + read^2, x in [0, 1] linear, independent for the two views.
    """

    tone: Tone = Tone()
    shading: float = 0.0
    shot: float = 0.0
    read: float = 0.0

    def expose(self, views: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Views 2 3 H W in linear light, with shading and noise, not yet encoded. Their mean is the combined view."""
        x = torch.linspace(-1, 1, views.shape[-1])
        exposed = torch.stack([views[0] * (1 - self.shading * x), views[1] * (1 + self.shading * x)])
        if self.shot == 0 and self.read == 0:
            return exposed
        deviation = (self.shot * exposed.clamp_min(0) + self.read**2).sqrt()
        return exposed + deviation * torch.randn(exposed.shape, generator=generator)


def quantise(picture: Tensor, depth: int) -> Tensor:
    """Round display values to `depth` bits, staying float in [0, 1]."""
    levels = float(2**depth - 1)
    return (picture.clamp(0, 1) * levels).round() / levels


def compress(picture: Tensor, quality: int, subsampling: Literal["444", "420"]) -> Tensor:
    """A picture 3 H W in [0, 1] as JPEG of that quality would bring it back."""
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    coded = imagecodecs.jpeg8_encode(pixels, level=quality, subsampling=subsampling)
    return torch.from_numpy(np.asarray(imagecodecs.jpeg8_decode(coded), dtype=np.float32) / 255).permute(2, 0, 1)
