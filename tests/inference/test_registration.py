"""Refined disparity: to hundredths on pictures shifted exactly, and rho times the blur on the simulator's planes."""

import pytest
import torch
from torch import Tensor

from dualpix.inference import registration
from dualpix.inference.registration import register
from dualpix.simulation.camera import Camera
from dualpix.simulation.kernels import Lens
from dualpix.simulation.simulate import simulate_from_depth
from made_textures import natural_texture


def shifted_pair(shift_px: float, height: int = 64, width: int = 160) -> tuple[Tensor, Tensor]:
    """Texture seen `shift_px` further right by the right view: exactly, by its Fourier transform."""
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frequencies = torch.fft.rfftfreq(width, dtype=torch.float64)
    spectrum = torch.fft.rfft(noise) * torch.exp(-((frequencies / 0.15) ** 2))
    views = [
        torch.fft.irfft(spectrum * torch.exp(-2j * torch.pi * frequencies * by), n=width)
        for by in (-shift_px / 2, shift_px / 2)
    ]
    return views[0].float().clamp(0, 1), views[1].float().clamp(0, 1)


@pytest.mark.parametrize("shift_px", [-3.3, -0.7, 0.0, 0.1, 0.45, 2.5])
def test_a_shift_is_found_to_hundredths_from_a_pixel_away(shift_px: float) -> None:
    left, right = shifted_pair(shift_px)
    begin = torch.full((1, 64, 160), shift_px + 0.8)
    found = register(left, right, begin, torch.ones_like(begin))
    assert found.shape == begin.shape
    assert float((found[0, 8:-8, 24:-24] - shift_px).abs().max()) < 0.03


@pytest.mark.parametrize("blur_px", [-3.0, 1.0, 4.0])
def test_a_blurred_plane_is_found_where_the_middles_of_its_kernels_are(blur_px: float) -> None:
    """Plain matching puts it up to a fifth too far."""
    texture = natural_texture(96, 160)
    camera = Camera(50, 4, 1, 36000 / 1680)
    depth_m = torch.full((96, 160), camera.depth_m(blur_px))
    made = simulate_from_depth(texture, depth_m, camera, Lens(rho=0.35, split=0.2))
    begin = torch.full((1, 96, 160), 0.35 * blur_px + 0.4)
    found = register(made["left"], made["right"], begin, torch.ones_like(begin))
    assert float(found[0, 16:-16, 24:-24].median()) == pytest.approx(0.35 * blur_px, rel=0.12)


def test_flat_places_keep_what_was_there() -> None:
    flat = torch.full((3, 32, 48), 0.5)
    kept = register(flat, flat, torch.full((1, 32, 48), 2.0), torch.ones(1, 32, 48))
    torch.testing.assert_close(kept, torch.full((1, 32, 48), 2.0))


def test_bands_agree_with_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = shifted_pair(1.4, height=240, width=48)
    begin = torch.linspace(0.6, 2, 240)[None, :, None].expand(1, 240, 48)
    whole = register(left, right, begin, torch.ones_like(begin))
    monkeypatch.setattr(registration, "BAND_ROWS", 64)
    torch.testing.assert_close(register(left, right, begin, torch.ones_like(begin)), whole, atol=2e-3, rtol=0)
