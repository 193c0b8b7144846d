"""Pictures made up for tests."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dualpix.simulation.pack import pack


def natural_texture(height: int, width: int, seed: int = 0) -> Tensor:
    """Noise with the spectrum of photographs, amplitude 1 / frequency: 3 H W around 0.5, mostly within 0.2 and 0.8."""
    noise = torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)).clamp_min(1 / width)
    made = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=(height, width))
    return (0.5 + 0.15 * made / made.std()).clamp(0, 1)


def pack_of_noise(folder: Path, count: int) -> Path:
    """A pack of photographs that nothing could be sharper than, made in `folder`."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 255, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(photos / f"{number}.png")
    return pack([photos], folder / "photos.pack").file
