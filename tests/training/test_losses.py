import math

import numpy as np
import pytest
import torch
from scipy.ndimage import shift
from torchmetrics.functional.image import structural_similarity_index_measure as reference_ssim

from dualpix.training.losses import (
    LOSSES,
    WANG_WEIGHTS,
    charbonnier,
    charbonnier_fourier,
    edges,
    fourier,
    mix,
    mix_ssim,
    ms_ssim,
    ms_ssim_loss,
)


def pictures(height: int, width: int, noise: float = 0.1, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 3, height // 4 + 2, width // 4 + 2, generator=generator)
    target = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    output = (target + noise * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    return output, target


def test_charbonnier_is_the_formula_of_the_paper() -> None:
    output, target = pictures(20, 30)
    x = (output - target).numpy().astype(np.float64)
    assert charbonnier(output, target).item() == pytest.approx(np.sqrt(x**2 + 1e-6).mean(), rel=1e-5)
    assert charbonnier(target, target).item() == pytest.approx(1e-3, rel=1e-5)


@pytest.mark.parametrize("noise", [0.02, 0.3])
@pytest.mark.parametrize(
    ("height", "width", "scales"),
    [(181, 203, 5), (176, 176, 5), (175, 200, 4), (200, 128, 4), (87, 90, 3), (43, 50, 2), (21, 40, 1), (11, 11, 1)],
)
def test_ms_ssim_equals_the_factors_of_torchmetrics(height: int, width: int, scales: int, noise: float) -> None:
    output, target = pictures(height, width, noise=noise)
    x, y = output.double(), target.double()
    factors = []
    for scale in range(scales):
        factors.append(reference_factor(x, y, luminance_too=scale == scales - 1))
        x, y = torch.nn.functional.avg_pool2d(x, 2), torch.nn.functional.avg_pool2d(y, 2)
    weights = torch.tensor(WANG_WEIGHTS[:scales], dtype=torch.float64)
    expected = torch.stack(factors, 1).pow(weights / weights.sum()).prod(1).mean()
    assert ms_ssim(output, target).item() == pytest.approx(expected.item(), abs=1e-5)


def reference_factor(x: torch.Tensor, y: torch.Tensor, luminance_too: bool) -> torch.Tensor:
    """What torchmetrics gives at one scale, B. Its own product of scales lets padded pixels into the last factor."""
    if luminance_too:
        _, local = reference_ssim(x, y, data_range=1.0, return_full_image=True, reduction="none")
        return local[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
    _, structure = reference_ssim(x, y, data_range=1.0, return_contrast_sensitivity=True, reduction="none")
    return structure


def test_too_small_for_one_window_is_refused() -> None:
    with pytest.raises(ValueError, match="11"):
        ms_ssim(torch.zeros(1, 3, 10, 64), torch.zeros(1, 3, 10, 64))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_is_smallest_at_the_target_and_refuses_other_shapes(name: str) -> None:
    loss = LOSSES[name]
    output, target = pictures(48, 64)
    assert loss(target, target) < loss(0.5 * (output + target), target) < loss(output, target)
    assert loss(target, target).item() == pytest.approx(0, abs=1.1e-3)
    for other in (target[..., :-1], target[:1], target[0]):
        with pytest.raises(ValueError, match="shape"):
            loss(other, target)
    with pytest.raises(ValueError, match="B C H W"):
        loss(target[0], target[0])


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_has_true_gradients(name: str) -> None:
    output, target = pictures(24, 26, batch=1)
    output.requires_grad_()
    LOSSES[name](output, target).backward()
    assert output.grad is not None
    # The loss computes in float32, so compare one finite step along the gradient with the slope it promises.
    direction = output.grad / output.grad.norm()
    with torch.no_grad():
        step = 1e-2
        rise = LOSSES[name](output + step * direction, target) - LOSSES[name](output - step * direction, target)
    assert (rise / (2 * step)).item() == pytest.approx(output.grad.norm().item(), rel=0.02)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("case", ["equal", "constant", "opposite"])
def test_gradients_stay_finite_where_powers_and_roots_have_no_slope(name: str, case: str) -> None:
    _, target = pictures(32, 32)
    output = {"equal": target, "constant": torch.full_like(target, 0.5), "opposite": 1 - target}[case].clone()
    output.requires_grad_()
    value = LOSSES[name](output, target)
    value.backward()
    assert output.grad is not None and torch.isfinite(output.grad).all() and torch.isfinite(value)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_bfloat16_input_and_autocast_still_compute_in_float32(name: str) -> None:
    output, target = pictures(48, 48)
    rough = output.bfloat16()
    expected = LOSSES[name](rough.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = LOSSES[name](rough, target)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("name", "power"), [("mae", 1), ("mse", 2)])
def test_plain_means(name: str, power: int) -> None:
    output, target = pictures(20, 30)
    expected = np.mean(np.abs((output - target).double().numpy()) ** power)
    assert LOSSES[name](output, target).item() == pytest.approx(expected, rel=1e-5)


def test_edges_are_those_of_sobel_kernels_at_three_scales() -> None:
    """The kernels written out: as OpenCV tabulates them for 3 and 7, and those of 7 smoothed once more for 11."""
    output, target = pictures(24, 31)
    tables = {3: ([-1, 0, 1], [1, 2, 1]), 7: ([-1, -4, -5, 0, 5, 4, 1], [1, 6, 15, 20, 15, 6, 1])}
    four = [1, 4, 6, 4, 1]
    tables[11] = (np.convolve(tables[7][0], four), np.convolve(tables[7][1], four))
    difference = (output - target).double().numpy()
    expected = np.mean(difference**2)
    for side, scale in ((3, 1 / 2), (7, 1 / 100), (11, 1 / 12096)):
        slope, smooth = tables[side]
        windows = np.lib.stride_tricks.sliding_window_view(difference, (side, side), axis=(2, 3))
        across = 0.03 * scale * np.einsum("bchwij,i,j->bchw", windows, smooth, slope)
        down = 0.02 * scale * np.einsum("bchwij,i,j->bchw", windows, slope, smooth)
        expected += np.mean([across**2, down**2])
    assert edges(output, target).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="11 x 11"):
        edges(output[..., :10], target[..., :10])


def test_mix_is_the_equal_sum() -> None:
    output, target = pictures(40, 40)
    assert torch.equal(mix(output, target), charbonnier(output, target) + ms_ssim_loss(output, target))


def test_mix_ssim_takes_half_of_its_structure_from_the_finest_scale() -> None:
    output, target = pictures(60, 52)
    finest = reference_factor(output.double(), target.double(), luminance_too=True).mean().item()
    expected = charbonnier(output, target) + 0.5 * ms_ssim_loss(output, target) + 0.5 * (1 - finest)
    assert mix_ssim(output, target).item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("side", [64, 256])
def test_fourier_of_noise_is_near_its_mean_absolute_error_at_any_size(side: int) -> None:
    noise = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(3))
    # Real and imaginary parts have the variance of the noise halved, hence the root of two.
    expected = noise.abs().mean().item() / math.sqrt(2)
    assert fourier(noise, torch.zeros_like(noise)).item() == pytest.approx(expected, rel=0.02)


def test_fourier_share_counts_the_plain_transform() -> None:
    output, target = pictures(32, 48)
    plain = np.fft.rfft2((output - target).numpy().astype(np.float64))
    expected = 0.05 * 0.5 * (np.abs(plain.real).mean() + np.abs(plain.imag).mean())
    value = charbonnier_fourier(output, target) - charbonnier(output, target)
    assert value.item() == pytest.approx(expected, rel=1e-4)


def shifted(picture: torch.Tensor, px: float) -> torch.Tensor:
    """Moved along the rows by a fraction of a pixel, by SciPy's splines."""
    return torch.from_numpy(shift(picture.numpy(), (0, 0, 0, px), order=5, mode="nearest"))


def test_a_shift_of_half_a_pixel_costs_the_near_loss_little() -> None:
    coarse = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    target = torch.nn.functional.interpolate(coarse, scale_factor=6, mode="bicubic").clamp(0, 1)
    for px in (0.5, -0.5):
        output = shifted(target, px)
        assert float(LOSSES["mix-ssim-near"](output, target)) < 0.4 * float(LOSSES["mix-ssim"](output, target))
    far = shifted(target, 3.0)
    assert float(LOSSES["mix-ssim-near"](far, target)) > 0.7 * float(LOSSES["mix-ssim"](far, target))
    assert torch.equal(LOSSES["mix-ssim-near"](target, target), LOSSES["mix-ssim"](target, target))


def test_the_calm_loss_punishes_contrast_that_is_not_there_and_no_missing_one() -> None:
    generator = torch.Generator().manual_seed(1)
    target = 0.5 + 0.05 * torch.randn(1, 3, 64, 64, generator=generator)
    extra = target + 0.1 * torch.randn(1, 3, 64, 64, generator=generator)

    def added(output: torch.Tensor, wanted: torch.Tensor) -> float:
        return float(LOSSES["mix-ssim-calm"](output, wanted) - LOSSES["mix-ssim"](output, wanted))

    assert added(extra, target) > 0.01
    assert added(target, extra) == pytest.approx(0, abs=1e-6)
    assert added(target, target) == pytest.approx(0, abs=1e-6)
