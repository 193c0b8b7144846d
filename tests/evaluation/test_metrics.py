import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio as torch_psnr
from torchmetrics.functional.image import structural_similarity_index_measure as torch_ssim

from dualpix.errors import DualpixError, RecipeError
from dualpix.evaluation import metrics
from dualpix.evaluation.metrics import (
    METRICS,
    PROTOCOLS,
    lpips,
    mae,
    measure,
    psnr,
    psnr_fitted,
    quantise,
    ssim,
    ssim_wang,
)

NEEDS_NOTHING = sorted(METRICS.keys() - {"lpips"})


def pictures(height: int = 61, width: int = 83, noise: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 4 + 2, width // 4 + 2, generator=generator)
    target = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
    output = (target + noise * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    return output, target


@pytest.mark.parametrize("noise", [0.005, 0.1, 0.5])
@pytest.mark.parametrize("size", [(7, 9), (61, 83), (128, 40)])
def test_psnr_ssim_and_mae_equal_scikit_image(size: tuple[int, int], noise: float) -> None:
    output, target = pictures(*size, noise=noise)
    x, y = output.double().numpy(), target.double().numpy()
    assert psnr(output, target) == pytest.approx(peak_signal_noise_ratio(y, x, data_range=1.0), abs=1e-9)
    assert ssim(output, target) == pytest.approx(structural_similarity(x, y, channel_axis=0, data_range=1.0), abs=1e-9)
    assert mae(output, target) == pytest.approx(np.abs(x - y).mean(), abs=1e-12)


@pytest.mark.parametrize("noise", [0.005, 0.1, 0.5])
@pytest.mark.parametrize("size", [(11, 15), (61, 83)])
def test_ssim_wang_equals_scikit_image_and_torchmetrics(size: tuple[int, int], noise: float) -> None:
    output, target = pictures(*size, noise=noise)
    x, y = output.double(), target.double()
    by_scikit_image = structural_similarity(
        x.numpy(),
        y.numpy(),
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    _, local = torch_ssim(x[None], y[None], data_range=1.0, return_full_image=True)
    assert ssim_wang(output, target) == pytest.approx(by_scikit_image, abs=1e-9)
    assert ssim_wang(output, target) == pytest.approx(local[..., 5:-5, 5:-5].mean().item(), abs=1e-9)


def test_psnr_equals_torchmetrics_and_a_batch_gives_the_mean_of_its_pictures() -> None:
    pairs = [pictures(noise=noise, seed=seed) for seed, noise in enumerate((0.02, 0.3))]
    outputs, targets = (torch.stack(pair) for pair in zip(*pairs, strict=True))
    expected = torch_psnr(outputs, targets, data_range=(0.0, 1.0), dim=(1, 2, 3), reduction="elementwise_mean")
    assert psnr(outputs, targets) == pytest.approx(expected.item(), abs=1e-4)
    for name in NEEDS_NOTHING:
        metric = METRICS[name]
        assert metric(outputs, targets) == pytest.approx(np.mean([metric(*pair) for pair in pairs]), abs=1e-12)


@pytest.mark.parametrize("width", [83, 84])
def test_fitted_psnr_equals_numpy_and_forgives_an_affine_change_of_colour_only(width: int) -> None:
    output, target = pictures(width=width, noise=0.05)
    x, y = (picture.double().permute(1, 2, 0).numpy().reshape(-1, 3) for picture in (output, target))
    known = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    fit = np.linalg.lstsq(known[::7], y[::7], rcond=None)[0]
    expected = -10 * np.log10(np.mean((np.clip(known @ fit, 0, 1) - y) ** 2))
    assert psnr_fitted(output, target) == pytest.approx(expected, abs=1e-9)

    matrix = torch.tensor([[0.8, 0.1, 0.0], [0.0, 0.7, 0.1], [0.1, 0.0, 0.6]])
    mixed = torch.einsum("dc,chw->dhw", matrix, target) + 0.05
    assert psnr(mixed, target) < 30 and psnr_fitted(mixed, target) > 100
    assert psnr_fitted(mixed**2, target) < 60


def test_identical_pictures() -> None:
    _, target = pictures()
    assert psnr(target, target) == math.inf
    assert psnr_fitted(target, target) > 200
    assert ssim(target, target) == 1 and ssim_wang(target, target) == 1
    assert mae(target, target) == 0


def test_constant_pictures() -> None:
    dark, bright = torch.full((3, 20, 20), 0.25), torch.full((3, 20, 20), 0.75)
    assert psnr(dark, bright) == pytest.approx(-20 * math.log10(0.5))
    assert mae(dark, bright) == pytest.approx(0.5)
    luminance = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert ssim(dark, bright) == pytest.approx(luminance)
    assert ssim_wang(dark, bright) == pytest.approx(luminance)
    # The fit is under-determined here and must still find the change of brightness.
    assert psnr_fitted(dark, bright) > 100


@pytest.mark.parametrize("name", sorted(METRICS))
def test_wrong_shapes_raise(name: str) -> None:
    metric = METRICS[name]
    picture = torch.zeros(3, 40, 40)
    for output, target in [
        (picture, picture[:, :-1]),
        (picture, picture[:1]),
        (picture, picture[None]),
        (picture[0], picture[0]),
        (picture[None, None], picture[None, None]),
        (picture[:, :0], picture[:, :0]),
    ]:
        with pytest.raises(ValueError, match="shape"):
            metric(output, target)


@pytest.mark.parametrize(("name", "side"), [("ssim", 6), ("ssim-wang", 10)])
def test_pictures_smaller_than_the_window_raise(name: str, side: int) -> None:
    with pytest.raises(ValueError, match=f"{side + 1} x {side + 1}"):
        METRICS[name](torch.zeros(3, 40, side), torch.zeros(3, 40, side))


def test_quantise_rounds_as_a_file_would() -> None:
    picture = torch.tensor([-0.2, 0.0, 0.4999 / 255, 0.5001 / 255, 0.3, 1.0, 1.7])
    assert (quantise(picture, 8) * 255).tolist() == pytest.approx([0, 0, 0, 1, 77, 255, 255])
    assert torch.equal(quantise(quantise(picture, 8), 16), quantise(picture, 8))
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            quantise(torch.tensor([0.5, bad]), 8)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_measure_applies_the_protocol(name: str) -> None:
    output, target = pictures()
    bits = 16 if name.endswith("16bit") else 8
    window = ssim_wang if name == "wang" else ssim
    scores = measure(output * 1.3, target, name)
    x, y = quantise(output * 1.3, bits), quantise(target, bits)
    assert list(scores.values()) == [psnr(x, y), psnr_fitted(x, y), window(x, y), mae(x, y)]
    assert str(bits) in PROTOCOLS[name].words


def test_measure_takes_extra_metrics_and_refuses_unknown_names() -> None:
    output, target = pictures()
    scores = measure(output, target, extra=["ssim-wang", "mae"])
    assert list(scores) == ["psnr", "psnr-fitted", "ssim", "mae", "ssim-wang"]
    with pytest.raises(RecipeError, match="dpdd-8bit"):
        measure(output, target, "dpdd-8bits")
    with pytest.raises(RecipeError, match="ssim-wang"):
        measure(output, target, extra=["ssim-wan"])


@pytest.mark.skipif(importlib.util.find_spec("lpips") is not None, reason="the extra is installed")
def test_lpips_without_its_package_says_what_to_install() -> None:
    with pytest.raises(DualpixError, match=r"pip install -e '\.\[lpips\]'"):
        lpips(*pictures())


def test_lpips_without_the_internet_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lpips.py").write_text("def LPIPS(**_):\n    raise OSError('no route to host')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    metrics.alexnet_lpips.cache_clear()
    with pytest.raises(DualpixError, match=r"AlexNet.*no route to host"):
        lpips(*pictures())
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
