from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize, minimize_scalar
from skimage import data
from skimage.restoration import wiener
from torch import Tensor

from dualpix.classical import deconvolution
from dualpix.classical.deconvolution import (
    HyperLaplacian,
    deblur_by_map,
    deconvolve,
    deconvolve_levels,
    gaussian,
    place_among,
    shrink,
)
from dualpix.errors import DataError
from dualpix.evaluation.metrics import psnr

CERTAIN = HyperLaplacian(weight=420)


def photograph(top: int = 30, left: int = 150, height: int = 128, width: int = 144) -> Tensor:
    pixels = data.astronaut()[top : top + height, left : left + width]
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)


def blurred(picture: Tensor, kernel: Tensor) -> Tensor:
    """Convolution, of the part that the kernel does not leave."""
    return F.conv2d(picture[:, None], kernel.flip(0, 1)[None, None])[:, 0]


def example(sigma_px: float = 2.0, noise: float = 0.003) -> tuple[Tensor, Tensor, Tensor]:
    """A picture, its blurred and noisy form, and the kernel."""
    kernel = gaussian(sigma_px)
    reach = len(kernel) // 2
    whole = photograph()
    sharp = whole[:, reach:-reach, reach:-reach]
    generator = torch.Generator().manual_seed(0)
    return sharp, blurred(whole, kernel) + noise * torch.randn(sharp.shape, generator=generator), kernel


# the prior's own step


@pytest.mark.parametrize("alpha", [1.5, 1.0, 2 / 3, 0.5, 1.2])
@pytest.mark.parametrize("beta", [1.0, 8.0, 181.0])
def test_shrinking_finds_the_least_cost(alpha: float, beta: float) -> None:
    for v in (-0.83, -0.2, -0.031, 0.0, 0.007, 0.11, 0.6):

        def cost(w: float, v: float = v) -> float:
            return abs(w) ** alpha + beta / 2 * (w - v) ** 2

        best = min(
            [minimize_scalar(cost, bounds=sorted((v / 2, v)), method="bounded", options={"xatol": 1e-9}).x, 0.0]
            + [minimize_scalar(cost, bounds=sorted((0, v / 2)), method="bounded", options={"xatol": 1e-9}).x],
            key=cost,
        )
        found = float(shrink(torch.tensor([v]), beta, alpha))
        assert cost(found) <= cost(best) + 1e-6
        assert abs(found) <= abs(v) and found * v >= 0


def test_the_closed_form_satisfies_its_equation_and_equals_the_table() -> None:
    v, beta = torch.linspace(-1, 1, 501, dtype=torch.float64), 22.6
    w = shrink(v, beta, 1.5)
    assert float((1.5 * w.abs().sqrt() * w.sign() + beta * (w - v)).abs().max()) < 1e-12
    start, _ = deconvolution.shrink_table(1.5, beta)
    step = deconvolution.TABLE_REACH / deconvolution.TABLE_STEPS
    at = torch.arange(0, 8000, 97)
    torch.testing.assert_close(start[at].double(), at * step - shrink(at.double() * step, beta, 1.5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("alpha", [0.0, 2.0, -1.0])
def test_a_power_that_is_no_hyper_laplacian_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="0 < alpha < 2"):
        shrink(torch.rand(4), 3.0, alpha)


# one kernel


def objective(x: np.ndarray, y: np.ndarray, kernel: np.ndarray, weight: float, alpha: float) -> float:
    """The cost to be minimised on a picture that repeats, by sums over shifted copies."""
    reach = len(kernel) // 2
    model = sum(
        kernel[i, j] * np.roll(x, (i - reach, j - reach), (0, 1))
        for i in range(len(kernel))
        for j in range(len(kernel))
    )
    prior = sum((np.abs(np.roll(x, -1, axis) - x) ** alpha).sum() for axis in (0, 1))
    return weight / 2 * ((model - y) ** 2).sum() + prior


def test_the_solver_finds_what_a_general_minimiser_finds() -> None:
    rng = np.random.default_rng(0)
    kernel = np.array([[0.0, 0.1, 0.0], [0.3, 0.2, 0.2], [0.0, 0.05, 0.15]])  # lopsided: a mirrored kernel would show
    y = rng.random((8, 10))
    tiny = partial(objective, y=y, kernel=kernel, weight=30.0, alpha=1.5)
    best = minimize(lambda x: tiny(x.reshape(y.shape)), y.ravel(), method="L-BFGS-B", options={"maxfun": 40000})
    start = torch.from_numpy(y)[None]
    spectrum = deconvolution.transfer_function(torch.from_numpy(kernel)[None], y.shape).to(torch.complex128)

    def solve(betas: tuple[float, ...]) -> np.ndarray:
        prior = HyperLaplacian(30.0, 1.5, betas)
        return deconvolution.solve(start, torch.fft.rfft2(start)[None], spectrum, prior)[0].numpy()

    patient, usual = solve((16.0,) * 50 + (256.0,) * 400), solve(HyperLaplacian().betas)
    assert np.abs(patient - best.x.reshape(y.shape)).max() < 0.01
    assert tiny(patient) < best.fun * 1.001
    assert tiny(usual) < best.fun + 0.1 * (tiny(y) - best.fun)


def test_the_cost_falls_from_step_to_step() -> None:
    _, picture, kernel = example()
    y, spectrum = picture[:1], deconvolution.transfer_function(kernel[None], picture.shape[-2:])
    betas = HyperLaplacian().betas
    costs = []
    for steps in range(len(betas) + 1):
        prior = HyperLaplacian(420, 1.5, betas[:steps])
        x = deconvolution.solve(y, torch.fft.rfft2(y)[None], spectrum, prior)
        costs.append(objective(x[0].numpy(), y[0].numpy(), kernel.numpy(), 420, 1.5))
    assert costs == sorted(costs, reverse=True) and costs[-1] < 0.8 * costs[0]


def by_wiener(picture: Tensor, kernel: Tensor, balance: float) -> Tensor:
    planes = [
        wiener(plane.numpy().astype(float), kernel.numpy().astype(float), balance, clip=False) for plane in picture
    ]
    return torch.from_numpy(np.stack(planes)).float().clamp(0, 1)


@pytest.mark.parametrize(("noise", "weight"), [(0.003, 4000), (0.01, 420)])
def test_the_right_kernel_restores_a_photograph_and_beats_wiener_at_its_best(noise: float, weight: float) -> None:
    """The data are trusted as the noise allows. scikit-image's filter takes the picture to repeat: hence its inside."""
    sharp, picture, kernel = example(noise=noise)
    inner = (slice(None), slice(12, -12), slice(12, -12))
    restored = deconvolve(picture, kernel, HyperLaplacian(weight)).clamp(0, 1)
    gain = psnr(restored[inner], sharp[inner]) - psnr(picture[inner], sharp[inner])
    balances = np.geomspace(1e-4, 0.1, 10)
    best = max(psnr(by_wiener(picture, kernel, balance)[inner], sharp[inner]) for balance in balances)
    assert gain > 2.5
    assert psnr(restored[inner], sharp[inner]) > best + 0.1


def test_borders_do_not_ring() -> None:
    """The same solver on a picture that is taken to repeat has six times the error of the blurred one at its border,
    and the same as ours inside."""
    sharp, picture, kernel = example()
    restored = deconvolve(picture, kernel, CERTAIN)
    spectrum = deconvolution.transfer_function(kernel[None], picture.shape[-2:])
    repeated = deconvolution.solve(picture, torch.fft.rfft2(picture)[None], spectrum, CERTAIN)
    frame = torch.ones(sharp.shape[-2:], dtype=torch.bool)
    frame[12:-12, 12:-12] = False
    before, after, wrapped = (float((x - sharp)[:, frame].square().mean()) for x in (picture, restored, repeated))
    assert wrapped > 5 * before and after < 0.75 * before
    after, wrapped = (float((x - sharp)[:, ~frame].square().mean()) for x in (restored, repeated))
    assert after == pytest.approx(wrapped, rel=0.01)


def test_tiles_show_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    _, picture, kernel = example()
    whole = deconvolve(picture, kernel, CERTAIN)
    monkeypatch.setattr(deconvolution, "TILE_PX", 47)
    torch.testing.assert_close(deconvolve(picture, kernel, CERTAIN), whole, atol=0.01, rtol=0)


def test_a_kernel_of_one_point_changes_nothing_where_the_data_are_trusted() -> None:
    picture, point = photograph(height=40, width=50), torch.zeros(3, 3)
    point[1, 1] = 1
    torch.testing.assert_close(deconvolve(picture, point, HyperLaplacian(weight=1e6)), picture, atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (3,)])
def test_a_kernel_without_a_middle_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="odd K"):
        deconvolve(photograph(height=40, width=50), torch.rand(shape))


# blur that varies


@pytest.mark.parametrize("mode", ["fast", "faithful"])
def test_no_blur_leaves_a_picture_as_it_is(mode: deconvolution.Mode) -> None:
    picture = photograph(height=40, width=50)
    torch.testing.assert_close(deblur_by_map(picture, torch.zeros(40, 50), mode), picture, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["fast", "faithful"])
def test_an_even_map_gives_the_uniform_solution(mode: deconvolution.Mode) -> None:
    _, picture, kernel = example()
    by_map = deblur_by_map(picture, torch.full(picture.shape[-2:], 2.0), mode)
    torch.testing.assert_close(by_map, deconvolve(picture, kernel).clamp(0, 1), atol=1e-5, rtol=0)


def test_levels_are_blended_without_seams() -> None:
    """Less what 60 levels give, hard levels leave a jump at every border between two, blended ones do not."""
    _, picture, _ = example()
    sigma = torch.linspace(0.5, 3, picture.shape[-1]).expand(picture.shape[-2:])

    def largest_jump(count: int, hard: bool) -> float:
        levels = torch.linspace(0.5, 3, count)
        place = place_among(levels, sigma)
        kernels = [gaussian(float(level))[None] for level in levels]
        out = deconvolve_levels(picture[None], kernels, place.round() if hard else place, CERTAIN)
        return float((out - fine).diff(dim=-1).abs().max())

    fine_levels = torch.linspace(0.5, 3, 60)
    fine_kernels = [gaussian(float(level))[None] for level in fine_levels]
    fine = deconvolve_levels(picture[None], fine_kernels, place_among(fine_levels, sigma), CERTAIN)
    assert largest_jump(10, hard=False) < 0.25 * largest_jump(10, hard=True)


def test_the_fast_way_is_as_good_as_the_faithful_one() -> None:
    whole = photograph(height=128, width=160)
    sigma = torch.linspace(0.5, 3, 160)
    views = torch.stack(
        [
            blurred(F.pad(whole[None], (9, 9, 9, 9), mode="reflect")[0], F.pad(k, (9 - len(k) // 2,) * 4))
            for k in map(gaussian, (0.5, 1.125, 1.75, 2.375, 3.0))
        ]
    )
    place = place_among(torch.linspace(0.5, 3, 5), sigma)
    share = torch.stack([(1 - (place - level).abs()).clamp_min(0) for level in range(5)])
    picture = (views * share[:, None, None]).sum(0)
    ramp = sigma.expand(128, 160)
    fast, faithful = (psnr(deblur_by_map(picture, ramp, mode, CERTAIN), whole) for mode in ("fast", "faithful"))
    assert fast > psnr(picture, whole) + 1.5
    assert fast > faithful - 0.05


def test_faithful_levels_are_the_lower_edges_of_quantiles_of_the_different_values() -> None:
    sigma = torch.cat([torch.zeros(900), torch.arange(1, 100) / 20, torch.tensor([5.0])]).view(40, 25)
    levels = deconvolution.quantile_levels(sigma)
    different = np.unique(sigma.numpy())
    expected = np.quantile(different, np.linspace(0, 1, 34))
    np.testing.assert_allclose(levels.numpy(), expected, atol=1e-5)
    used = levels[place_among(levels, sigma).floor().long()]
    assert bool((used <= sigma + 1e-5).all()) and float((sigma - used).max()) < 5 / 32 + 0.06


def test_a_place_among_levels_says_how_to_mix_them() -> None:
    places = place_among(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.0, 1.0, 1.25, 3.0, 4.0, 9.0]))
    torch.testing.assert_close(places, torch.tensor([0.0, 0.0, 0.25, 1.5, 2.0, 2.0]))


@pytest.mark.parametrize("picture", [torch.zeros(3, 30, 41), torch.ones(3, 30, 41), torch.full((3, 1, 1), 0.3)])
def test_an_even_picture_stays_as_it_is(picture: Tensor) -> None:
    ramp = torch.linspace(0, 4, picture[0].numel()).view(picture.shape[-2:])
    torch.testing.assert_close(deblur_by_map(picture, ramp), picture, atol=1e-4, rtol=0)


def test_noise_stays_finite_and_in_range() -> None:
    noise = torch.rand(3, 33, 70, generator=torch.Generator().manual_seed(0)).round()
    out = deblur_by_map(noise, 7 * torch.rand(33, 70, generator=torch.Generator().manual_seed(1)))
    assert bool(torch.isfinite(out).all()) and float(out.min()) >= 0 and float(out.max()) <= 1
    assert not torch.equal(out, noise)


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (torch.zeros(40, 49), "49 x 40, but the picture is 50 x 40"),
        (torch.full((40, 50), torch.nan), "without any edge"),
        (torch.full((40, 50), torch.inf), "NaN or infinity"),
        (torch.full((40, 50), -0.5), "down to -0.5 px"),
    ],
)
def test_a_map_that_is_none_is_refused_in_one_sentence(sigma: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        deblur_by_map(photograph(height=40, width=50), sigma)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_plane_just_as_far_as_is_still_kept_is_not_left_to_its_last_bit(sign: int) -> None:
    """Planes three levels apart, as maps in steps have them, and `foreign` of three."""
    _, picture, _ = example()
    place = torch.zeros(picture.shape[-2:])
    place[:, picture.shape[-1] // 2 :] = 3
    kernels = [gaussian(0.5 + level)[None] for level in range(5)]
    exact = deconvolve_levels(picture[None], kernels, place, CERTAIN, foreign=3)
    rounded = deconvolve_levels(picture[None], kernels, place * (1 + sign * 1e-7), CERTAIN, foreign=3)
    torch.testing.assert_close(rounded, exact, atol=1e-4, rtol=0)
    farther = deconvolve_levels(picture[None], kernels, place * 1.01, CERTAIN, foreign=3)
    assert float((farther - exact).abs().max()) > 0.01
