"""From light to the values of a file: shading, noise, tone curve and quantisation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from dualpix.simulation.developer import Developer, smooth
from dualpix.simulation.painting import moved


@dataclass(frozen=True)
class Tone:
    """Display encoding S(sRGB(x)), with S(v) = (1 - contrast) v + contrast (3 v^2 - 2 v^3).

    Camera makers' raw converters use more contrast than plain sRGB: on real Canon pairs, mixing light under a contrast
    of 0.3 to 0.6 explains the blurred views about 1 dB better than plain sRGB does.

    Attributes:
        contrast: 0 for plain sRGB, up to 1.

    Example:
        >>> import torch
        >>> tone = Tone(contrast=0.5)
        >>> [round(float(value), 3) for value in tone.encode(torch.tensor([0.0, 0.18, 1.0]))]
        [0.0, 0.452, 1.0]
    """

    contrast: float = 0.0

    def encode(self, linear: Tensor) -> Tensor:
        """Encode linear light of any shape, clipped to [0, 1], as display values in [0, 1]."""
        return encode(linear, self.contrast)

    def decode(self, display: Tensor) -> Tensor:
        """Decode display values in [0, 1] to linear light, the inverse of `encode` to 1e-4."""
        table, steps = (moved(each, display.device) for each in decoding(self.contrast))
        place = display.clamp(0, 1).mul_(len(table) - 1)
        below = place.int().clamp_max_(len(table) - 2)
        start, step = (x.index_select(0, below.flatten()).view_as(place) for x in (table, steps))
        return torch.addcmul(start, step, place.sub_(below))


def encode(linear: Tensor, contrast: float | Tensor) -> Tensor:
    """Encode linear light as `Tone.encode` does, with one contrast or several that broadcast against `linear`."""
    x = linear.clamp(0, 1)
    # Logarithm and exponential are faster than a power; where the linear part applies it is the smaller one.
    v = x.clamp_min(0.0031308).log_().mul_(1 / 2.4).exp_().mul_(1.055).sub_(0.055)
    v = torch.minimum(v, x.mul_(12.92), out=v)
    if isinstance(contrast, float) and contrast == 0:
        return v
    return v.mul(-2).add_(3).mul_(v).sub_(1).mul_(contrast).add_(1).mul_(v)


@lru_cache(maxsize=64)
def decoding(contrast: float) -> tuple[Tensor, Tensor]:
    """Linear light at 4097 evenly spaced display values, and the 4096 differences between neighbours."""
    v = np.linspace(0, 1, 4097)
    curve = v * (1 - contrast + contrast * v * (3 - 2 * v))
    straight = np.interp(v, curve, v)
    linear = np.where(straight <= 0.04045, straight / 12.92, ((straight + 0.055) / 1.055) ** 2.4)
    return torch.from_numpy(linear).float(), torch.from_numpy(np.diff(linear)).float()


@dataclass(frozen=True)
class Sensor:
    """What happens to the linear light of the two views on its way into a file.

    Attributes:
        tone: The display encoding.
        shading: m at the sides of the frame; the views are multiplied by 1 - m x and 1 + m x, with x from -1 to 1 over
            the width.
        shot: Shot noise; the noise has the variance shot x + read^2 for linear light x in [0, 1], independent in both
            views.
        read: Read noise, a standard deviation in the same unit.
        grain_px: Standard deviation, in pixels, of a Gaussian that smoothed the noise, as demosaicing does; the
            variance of the noise stays as it was.
        developer: What is done to all pictures after the tone curve.
    """

    tone: Tone = Tone()
    shading: float = 0.0
    shot: float = 0.0
    read: float = 0.0
    grain_px: float = 0.0
    developer: Developer = field(default_factory=Developer)

    def expose(self, views: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Add shading and noise to two views, without encoding them.

        Args:
            views: 2 x 3 x H x W in linear light.
            generator: Of the noise, which is drawn on the generator's device.

        Returns:
            The same shape; the mean of both views is the combined view.
        """
        exposed = shaded(views, self.shading)
        if not self.noisy:
            return exposed
        return with_noise(exposed, self.shot, self.read, self.noise(views.shape, views.device, generator))

    @property
    def noisy(self) -> bool:
        """Whether there is any noise."""
        return self.shot > 0 or self.read > 0

    def noise(self, shape: Sequence[int], device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Noise of standard deviation 1, smoothed as demosaicing does, on a device; drawn on the generator's."""
        drawn_on = generator.device if generator else device
        noise = moved(torch.randn(*shape, generator=generator, device=drawn_on), device)
        if self.grain_px:
            noise = smooth(noise, self.grain_px)
            noise = noise / noise.std().clamp_min(1e-6)
        return noise


def shaded(views: Tensor, shading: float | Tensor) -> Tensor:
    """Multiply the left view by 1 - m x and the right one by 1 + m x, x from -1 to 1 over the width.

    Args:
        views: ... x 2 x 3 x H x W.
        shading: m, a number, or several that broadcast against ... x 3 x H x W.
    """
    x = torch.linspace(-1, 1, views.shape[-1], device=views.device)
    left, right = views.unbind(-4)
    return torch.stack([left * (1 - shading * x), right * (1 + shading * x)], -4)


def with_noise(light: Tensor, shot: float | Tensor, read: float | Tensor, noise: Tensor) -> Tensor:
    """Add noise of standard deviation 1, scaled to the variance shot x + read^2 at the light x; all broadcast."""
    return light + (shot * light.clamp_min(0) + read**2).sqrt() * noise


def quantise(picture: Tensor, depth: int) -> Tensor:
    """Round display values as a file does.

    Args:
        picture: Any shape; values outside [0, 1] are clipped.
        depth: Bits per channel.

    Returns:
        Floats in [0, 1].
    """
    levels = float(2**depth - 1)
    return (picture.clamp(0, 1) * levels).round() / levels
