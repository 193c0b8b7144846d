import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import convolve
from scipy.optimize import minimize
from skimage import data
from torch import Tensor

from dualpix.classical import deconvolution, joint
from dualpix.classical.deconvolution import HyperLaplacian, deconvolve
from dualpix.classical.joint import blur_from_disparity, deblur_views, match_disparity
from dualpix.errors import DataError
from dualpix.evaluation.metrics import psnr

REACH = 12
PRIOR = HyperLaplacian(420, 1.0)


def half_discs(blur_px: float) -> Tensor:
    """Ramps over a disc of that radius, drawn fine and counted into pixels: otherwise than the package makes them."""
    fine = 11
    size = 2 * REACH + 1
    axis = (torch.arange(size * fine) + 0.5) / fine - size / 2
    radius = max(abs(blur_px), 0.5)
    disc = (axis[:, None] ** 2 + axis**2 <= radius**2).float()
    lean = (axis / radius).clamp(-1, 1) * math.copysign(min(abs(blur_px), 1.0), blur_px)
    pair = torch.stack([disc * (1 - lean), disc * (1 + lean)])
    counted = F.avg_pool2d(pair[None], fine)[0]
    return counted / counted.sum((1, 2), keepdim=True)


def photograph(side: int) -> Tensor:
    pixels = data.astronaut()[20 : 20 + side, 140 : 140 + side]
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)


def seen(sharp: Tensor, blur_px: float) -> Tensor:
    """Both views of a flat thing, less the margin that a kernel needs: 2 3 H W."""
    pairs = half_discs(blur_px).flip(1, 2)[:, None]
    return F.conv2d(sharp[:, None], pairs).transpose(0, 1)


def inner(picture: Tensor) -> Tensor:
    return picture[..., REACH:-REACH, REACH:-REACH]


def even(views: Tensor, blur_px: float) -> Tensor:
    return torch.full(views.shape[-2:], blur_px)


# deconvolution of both views


@pytest.mark.parametrize("blur_px", [4.3, -4.3])
def test_both_views_together_restore_more_than_one(blur_px: float) -> None:
    sharp = photograph(128)
    views = seen(sharp, blur_px) + 0.003 * torch.randn(2, 3, 104, 104, generator=torch.Generator().manual_seed(0))
    truth = inner(sharp)
    middle = (slice(None), slice(20, -20), slice(20, -20))  # which no way of going on beyond the sides can reach

    def quality(picture: Tensor) -> float:
        return psnr(picture.clamp(0, 1)[middle], truth[middle])

    pair = half_discs(blur_px)
    together = quality(deblur_views(*views, even(views, blur_px), half_discs, PRIOR))
    alone = [quality(deconvolve(view, kernel, PRIOR)) for view, kernel in zip(views, pair, strict=True)]
    assert together > max(alone) + 0.6
    assert together > quality(deconvolve(views.mean(0), pair.mean(0), PRIOR)) + 1.4
    assert together > max(quality(by_wiener(views, pair, weight)) for weight in np.geomspace(3e-3, 0.3, 13)) + 0.1
    assert together > quality(views.mean(0)) + 4


def by_wiener(views: Tensor, pair: Tensor, weight: float) -> Tensor:
    """Linear least squares of both views that repeat, with a price on squared differences, in closed form."""
    size = views.shape[-2:]
    down, across = (4 * np.sin(np.pi * np.fft.fftfreq(side)) ** 2 for side in size)
    total, power = np.zeros((3, *size), dtype=complex), weight * (down[:, None] + across)
    for view, kernel in zip(views.double().numpy(), pair.double().numpy(), strict=True):
        field = np.zeros(size)
        field[: len(kernel), : len(kernel)] = kernel
        spectrum = np.fft.fft2(np.roll(field, (-REACH, -REACH), (0, 1)))
        total, power = total + spectrum.conj() * np.fft.fft2(view), power + abs(spectrum) ** 2
    return torch.from_numpy(np.fft.ifft2(total / power).real).float()


def test_the_solver_of_both_views_finds_what_a_general_minimiser_finds() -> None:
    rng = np.random.default_rng(0)
    kernels = rng.random((2, 3, 3))
    kernels /= kernels.sum((1, 2), keepdims=True)
    views, weight, alpha = rng.random((2, 8, 10)), 30.0, 1.5

    def cost(flat: np.ndarray) -> float:
        x = flat.reshape(8, 10)
        data = sum(((convolve(x, k, mode="wrap") - y) ** 2).sum() for k, y in zip(kernels, views, strict=True))
        return weight / 2 * data + sum((abs(np.roll(x, -1, axis) - x) ** alpha).sum() for axis in (0, 1))

    best = minimize(cost, views.mean(0).ravel(), method="L-BFGS-B", options={"maxfun": 40000})
    y, k = torch.from_numpy(views)[:, None], torch.from_numpy(kernels)
    prior = HyperLaplacian(weight, alpha, (16.0,) * 50 + (256.0,) * 400)
    spectra = deconvolution.transfer_function(k, (8, 10)).to(torch.complex128)
    found = deconvolution.solve(y.mean(0), torch.fft.rfft2(y), spectra, prior)[0].numpy()
    assert np.abs(found - best.x.reshape(8, 10)).max() < 0.01
    assert cost(found.ravel()) < best.fun * 1.001


def test_the_sign_of_the_blur_matters() -> None:
    """With the wrong one the picture is worse than the blurred one."""
    sharp = photograph(128)
    views = seen(sharp, 5.0)
    right, wrong = (psnr(deblur_views(*views, even(views, c), half_discs, PRIOR), inner(sharp)) for c in (5.0, -5.0))
    assert right > psnr(views.mean(0), inner(sharp)) + 2.8 > wrong + 2.8


def test_mirrored_and_swapped_views_give_the_mirrored_picture() -> None:
    left, right = seen(photograph(72), 3.0)
    blur_px = torch.linspace(2, 3.5, left.shape[-1]).expand(left.shape[-2:])
    straight = deblur_views(left, right, blur_px, half_discs, PRIOR)
    turned = deblur_views(right.flip(-1), left.flip(-1), blur_px.flip(-1), half_discs, PRIOR)
    torch.testing.assert_close(turned.flip(-1), straight, atol=1e-5, rtol=0)


def test_the_sides_do_not_ring() -> None:
    """Half of the light at a side comes from beyond it, so no gain is asked there; but taken to repeat, the same views
    give more than three times the error of the blurred ones."""
    sharp = photograph(128)
    views = seen(sharp, 6.0)
    restored, truth = deblur_views(*views, even(views, 6.0), half_discs, PRIOR), inner(sharp)
    spectra = deconvolution.transfer_function(half_discs(6.0), views.shape[-2:])
    repeated = deconvolution.solve(views.mean(0), torch.fft.rfft2(views), spectra, PRIOR)
    for side in (slice(0, 8), slice(-8, None)):
        before, after, wrapped = (
            float((one - truth)[:, :, side].square().mean()) for one in (views.mean(0), restored, repeated)
        )
        assert wrapped > 3 * before and after < 1.05 * before


def test_sharp_things_in_front_cast_no_waves_on_the_background() -> None:
    sharp = photograph(152)
    views, truth = seen(sharp, 6.0), inner(sharp).clone()
    blur_px = even(views, 6.0).clone()
    in_front = (slice(None), slice(40, 90), slice(50, 80))
    views[:, :, 40:90, 50:80] = truth[in_front] = torch.tensor([1.0, 1.0, 0.0])[:, None, None]
    blur_px[40:90, 50:80] = 0
    restored = deblur_views(*views, blur_px, half_discs, PRIOR)
    ring = torch.zeros_like(blur_px, dtype=torch.bool)
    ring[28:102, 38:92] = True
    ring[40:90, 50:80] = False
    before, after = ((one - truth)[:, ring].square().mean() for one in (views.mean(0), restored))
    assert float(after) < 0.55 * float(before)
    assert psnr(restored, truth) > psnr(views.mean(0), truth) + 2.8


def test_levels_reach_both_ends_in_small_steps() -> None:
    for low, high in ((-7.3, 19.2), (2.1, 2.1), (0.0, 0.0), (-5.0, -2.2), (3.3, 8.0)):
        levels = joint.blur_levels(low, high)
        assert float(levels[0]) <= low + 1e-6 and float(levels[-1]) >= high - 1e-6
        steps = levels.diff()
        assert bool((steps > 0).all())
        assert bool((steps <= (0.1 * levels.abs().minimum(levels.abs().roll(-1))[:-1]).clamp_min(0.5) + 0.06).all())


# disparity


def shifted(disparity_px: float, height: int = 96, width: int = 128) -> Tensor:
    """A texture in two views, the right one `disparity_px` further right: moved by the Fourier shift theorem."""
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(3))
    frequency = torch.fft.rfftfreq(width)
    smooth = torch.exp(-((frequency * 5) ** 2)) * torch.exp(-((torch.fft.fftfreq(height)[:, None] * 5) ** 2))
    spectrum = torch.fft.rfft2(noise) * smooth
    moved = [
        torch.fft.irfft2(spectrum * torch.exp(-2j * math.pi * frequency * shift), s=(height, width))
        for shift in (-disparity_px / 2, disparity_px / 2)
    ]
    return torch.stack(moved)


@pytest.mark.parametrize("disparity_px", [0.0, 2.0, -3.4, 5.7])
def test_disparity_is_found_to_a_fraction_of_a_pixel(disparity_px: float) -> None:
    found, confidence = match_disparity(*shifted(disparity_px), reach_px=8)
    assert found.shape == confidence.shape == (96, 128)
    middle = (slice(8, -8), slice(12, -12))
    # Between whole pixels the parabola through the correlations draws to the nearer one, by 0.09 px at most.
    assert abs(float(found[middle].median()) - disparity_px) < (0.1 if disparity_px % 1 else 0.01)
    assert float((found[middle] - disparity_px).abs().max()) < (0.15 if disparity_px % 1 else 0.05)
    assert float(confidence[middle].mean()) > 0.95


def test_two_depths_are_told_apart_at_their_border() -> None:
    views = shifted(0.0)
    views[:, :, :, 64:] = 0.8 * shifted(4.0)[:, :, :, 64:]
    found, _ = match_disparity(*views, reach_px=8)
    assert float(found[:, 8:52].abs().max()) < 0.05
    assert float((found[:, 76:120] - 4).abs().max()) < 0.3


def test_places_without_structure_take_the_disparity_around_them_and_say_so() -> None:
    views = shifted(3.0)
    views[:, :, 30:66, 50:90] = 0.5
    found, confidence = match_disparity(*views, reach_px=8)
    assert float(confidence[44:52, 66:74].mean()) < 0.2 * float(confidence[:, 8:40].mean())
    assert float((found[44:52, 66:74] - 3).abs().max()) < 0.35


def test_brightness_does_not_change_the_disparity() -> None:
    left, right = shifted(2.5)
    plain, _ = match_disparity(left, right, 8)
    shaded, _ = match_disparity(0.8 * left, right + 0.1, 8)
    torch.testing.assert_close(shaded, plain, atol=2e-3, rtol=0)


def natural(height: int = 168, width: int = 240, seed: int = 0) -> Tensor:
    """Noise of amplitude 1 / f in every colour, the texture for which blur is computed from disparity."""
    noise = torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width))
    frequency[0, 0] = 1
    scene = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=(height, width))
    return 0.5 + 0.15 * scene / scene.std()


@pytest.mark.parametrize("blur_px", [3.0, -6.0, 8.0])
def test_blur_follows_from_the_disparity_of_natural_texture_with_that_blur(blur_px: float) -> None:
    """A tenth of a pixel of disparity, which the parabola may err, is 0.17 px of blur."""
    for seed in range(2):
        disparity_px, _ = match_disparity(*seen(natural(seed=seed), blur_px), reach_px=10)
        found = blur_from_disparity(disparity_px, half_discs, most_px=11.0)
        assert float(found.median()) == pytest.approx(blur_px, abs=0.26)
        assert float((found - blur_px).abs().mean()) < 0.5


def test_blur_follows_from_the_disparity_of_a_photograph_less_exactly() -> None:
    """This one's detail is not that of natural texture: the peak of the correlation lies elsewhere, by up to 13 %."""
    sharp = photograph(168)
    for blur_px in (3.0, -6.0):
        disparity_px, _ = match_disparity(*seen(sharp, blur_px), reach_px=10)
        found = blur_from_disparity(disparity_px, half_discs, most_px=9.0)
        assert float(found.median()) == pytest.approx(blur_px, rel=0.13)


def test_estimated_blur_restores_a_photograph() -> None:
    sharp = photograph(168)
    views = seen(sharp, 5.0)
    disparity_px, _ = match_disparity(*views, reach_px=8)
    restored = deblur_views(*views, blur_from_disparity(disparity_px, half_discs, 9.0), half_discs, PRIOR)
    told = deblur_views(*views, even(views, 5.0), half_discs, PRIOR)
    assert psnr(restored, inner(sharp)) > psnr(views.mean(0), inner(sharp)) + 2.8
    assert psnr(restored, inner(sharp)) > psnr(told, inner(sharp)) - 0.1  # as good as with the true blur


# bad input


def test_views_and_maps_that_do_not_fit_are_refused_in_one_sentence() -> None:
    view = torch.rand(3, 40, 50)
    for call in (match_disparity, lambda a, b: deblur_views(a, b, torch.zeros(40, 50), half_discs)):
        with pytest.raises(DataError, match="left view is 50 x 40, but the right view is 49 x 40"):
            call(view, view[:, :, 1:])
    with pytest.raises(DataError, match="signed blur is 50 x 39"):
        deblur_views(view, view, torch.zeros(39, 50), half_discs)
    with pytest.raises(DataError, match="NaN or infinity"):
        deblur_views(view, view, torch.full((40, 50), torch.nan), half_discs)


@pytest.mark.parametrize("height", [40, 3])
def test_views_without_structure_are_refused(height: int) -> None:
    flat = torch.full((3, height, 50), 0.5)
    with pytest.raises(DataError, match="no structure"):
        match_disparity(flat, flat)
