"""Pictures made up for tests."""

import torch
from torch import Tensor


def natural_texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Noise with the spectrum of photographs, amplitude 1 / frequency: 3 H W around 0.5, mostly within 0.2 and 0.8."""
    noise = torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)).clamp_min(1 / width)
    made = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=(height, width))
    return (0.5 + 0.15 * made / made.std()).clamp(0, 1)
