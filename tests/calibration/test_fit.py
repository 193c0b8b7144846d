"""Numbers that are known, put into pairs by our simulator and by plain discs in NumPy, come out again."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from torch import Tensor

from dualpix.calibration.blind import fit_blind
from dualpix.calibration.fit import TYPICAL, align, fit_field, robust_fit
from dualpix.calibration.looks import EDGE_STEPS, FREQUENCIES, edge_profiles, moved, spectra
from dualpix.calibration.shape import Patch, find_patches, fit_shape, fit_tone
from dualpix.calibration.views import coding_error, equal_quality, fit_noise, fit_shading, match_rows
from dualpix.simulation.coding import as_jpeg
from dualpix.simulation.kernels import Lens, kernels
from dualpix.simulation.render import Layer, render
from dualpix.simulation.sensor import Sensor, Tone, quantise

HEIGHT, WIDTH = 224, 448
SPARE = 32


def texture(seed: int = 0, height: int = HEIGHT + 2 * SPARE, width: int = WIDTH + 2 * SPARE) -> np.ndarray:
    """Linear light with detail of all sizes and hard edges, in [0.02, 0.9]."""
    rng = np.random.default_rng(seed)
    waves = sum(gaussian_filter(rng.standard_normal((height, width)), s, mode="wrap") * s for s in (0.7, 2, 5, 12))
    tiles = np.kron(rng.uniform(-1, 1, (height // 16 + 1, width // 16 + 1)), np.ones((16, 16)))[:height, :width]
    return (0.45 + 0.12 * waves + 0.2 * tiles).clip(0.02, 0.9).astype(np.float32)


def cut(picture: np.ndarray | Tensor) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(picture))[..., SPARE:-SPARE, SPARE:-SPARE].float()


def ours(lens: Lens, blur_px: np.ndarray, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Left, right, sharp in linear light, H x W, by the renderer."""
    colour = torch.from_numpy(texture(seed)).expand(3, -1, -1)
    layer = Layer(colour, torch.ones(colour.shape[1:]), torch.from_numpy(blur_px).float())
    left, right = render([layer], lens, SPARE)[:, 1]
    return left, right, cut(colour[1])


def flat(blur_px: float) -> np.ndarray:
    return np.full((HEIGHT + 2 * SPARE, WIDTH + 2 * SPARE), blur_px)


def plain(blur_px: float, share: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """The same, in another way: a disc drawn by oversampling, its two halves mixed by `share`; positive blur only."""
    fine = 9
    side = 2 * int(blur_px + 2) + 1
    axis = (np.arange(side * fine) + 0.5) / fine - side / 2
    x, y = np.meshgrid(axis, axis)
    disc = (np.hypot(x, y) <= blur_px).astype(float)
    kernels = [(disc * (1 + sign * share * np.sign(x))).reshape(side, fine, side, fine).sum((1, 3)) for sign in (-1, 1)]
    views = [fftconvolve(texture(seed), kernel / kernel.sum(), mode="same") for kernel in kernels]
    return *(cut(view) for view in views), cut(texture(seed))


@pytest.mark.parametrize(("blur_px", "rho"), [(3.0, 0.4), (9.0, 0.25), (-6.0, 0.5), (15.0, 0.35)])
def test_our_own_blur_and_rho_come_out(blur_px: float, rho: float) -> None:
    left, right, sharp = ours(replace(TYPICAL, rho=rho), flat(blur_px))
    found = fit_field(left, right, sharp)
    assert float(found.good.double().mean()) > 0.95
    assert float(found.blur_px[found.good].median()) == pytest.approx(blur_px, rel=0.02)
    assert float(found.blur_px[found.good].std()) < 0.1 + 0.02 * abs(blur_px)
    assert float(found.rho[found.split].median()) == pytest.approx(rho, rel=0.015)
    assert float(found.disparity_px[found.good].median()) == pytest.approx(rho * blur_px, rel=0.01)


@pytest.mark.parametrize(("blur_px", "share"), [(5.5, 0.5), (10.0, 0.3)])
def test_the_blur_and_rho_of_plain_half_discs_come_out(blur_px: float, share: float) -> None:
    rho = share * 8 / (3 * np.pi)
    left, right, sharp = plain(blur_px, share)
    found = fit_field(left, right, sharp)
    assert float(found.blur_px[found.good].median()) == pytest.approx(blur_px, rel=0.03)
    # A ramp is fitted to what is a step, which gives 6 to 7 % too much; the shape, once known, takes most of it back.
    raw = float(found.rho[found.split].median())
    assert raw == pytest.approx(rho, rel=0.08)
    encode = Tone().encode
    patches = find_patches(*map(encode, (left, right, sharp)), found)
    shape = fit_shape(patches, Tone())
    assert shape is not None
    assert shape.choices["split"].value > 0.95
    assert abs(shape.choices["rim"].value) < 0.05
    assert raw * shape.rho_ratio == pytest.approx(rho, rel=0.02)
    assert abs(raw * shape.rho_ratio - rho) < 0.4 * abs(raw - rho)


def test_what_is_in_focus_has_no_blur_and_no_rho() -> None:
    left, right, sharp = ours(replace(TYPICAL, rho=0.4), flat(0.0))
    found = fit_field(left, right, sharp)
    assert float(found.blur_px[found.good].abs().max()) == 0
    assert not bool(found.split.any()) and bool(found.rho[found.good].isnan().all())


def test_a_slope_of_blur_is_followed_from_window_to_window() -> None:
    columns = np.arange(WIDTH + 2 * SPARE) - SPARE - (WIDTH - 1) / 2
    slope = np.broadcast_to(6 + 0.02 * columns, flat(0).shape).copy()
    left, right, sharp = ours(replace(TYPICAL, rho=0.4), slope)
    found = fit_field(left, right, sharp)
    wanted = 6 + 0.02 * found.x * WIDTH / 2
    assert float((found.blur_px - wanted)[found.good].abs().mean()) < 0.1  # the ends are 4.5 px apart on either side


@pytest.mark.parametrize("down", [0.0, 0.8])
def test_a_sharp_picture_aside_is_moved_back(down: float) -> None:
    left, right, sharp = ours(replace(TYPICAL, rho=0.4), flat(5.0))
    away = torch.nn.functional.grid_sample(
        sharp[None, None],
        torch.stack(
            torch.meshgrid(
                torch.linspace(-1, 1, HEIGHT) + 2 * down / (HEIGHT - 1), torch.linspace(-1, 1, WIDTH), indexing="ij"
            )[::-1],
            -1,
        )[None]
        + torch.tensor([2 * 1.2 / (WIDTH - 1), 0.0]),
        "bicubic",
        "reflection",
        align_corners=True,
    )[0, 0]
    back = align(left, right, away)
    inner = slice(8, -8)
    before, after = ((x - sharp)[inner, inner].square().mean().sqrt() for x in (away, back))
    assert float(after) < 0.35 * float(before)
    found = fit_field(left, right, back)
    assert float(found.shift_x_px[found.good].abs().median()) < 0.1
    assert float(found.blur_px[found.good].median()) == pytest.approx(5, rel=0.06)


@pytest.mark.parametrize(
    "lens", [Lens(rho=0.3, softness_px=0.3, softness_rel=0.15, rim=-0.5), Lens(0.3, 0.6, 3.0, 0.8, 0.3, 0.04)]
)
def test_softness_rim_and_split_come_out(lens: Lens) -> None:
    left, right, sharp = ours(lens, flat(11.0))
    found = fit_field(left, right, sharp)
    patches = find_patches(*map(Tone().encode, (left, right, sharp)), found)
    shape = fit_shape(patches, Tone())
    assert shape is not None and len(patches) >= 3
    # Softness and rim can stand in for one another, and so can rho and a split that clips no more than it must: each
    # alone is known to a step of its grid. What they give together, the kernels, is what has to be right.
    assert shape.choices["softness_rel"].value == pytest.approx(lens.softness_rel, abs=0.04)
    assert shape.choices["rim"].value == pytest.approx(lens.rim, abs=0.31)
    assert shape.choices["split"].value == pytest.approx(lens.split, abs=0.21)
    true, fitted, typical = (
        kernels(replace(one, rho=lens.rho, softness_px=lens.softness_px), 11.0, reach=22)
        for one in (lens, shape.lens, TYPICAL)
    )
    off = float((fitted - true).abs().sum()) / 2  # the share of the light of one view that lies elsewhere
    assert off < 0.105 and off < 0.6 * float((typical - true).abs().sum()) / 2
    for choice in shape.choices.values():
        assert choice.low - 1e-6 <= choice.value <= choice.high + 1e-6 and choice.high > choice.low


@pytest.mark.parametrize("contrast", [0.0, 0.5])
def test_the_contrast_of_the_tone_curve_comes_out(contrast: float) -> None:
    left, right, sharp = ours(replace(TYPICAL, rho=0.4), flat(8.0))
    tone = Tone(contrast)
    shown = [quantise(tone.encode(x), 8) for x in (left, right, sharp)]
    found = fit_field(*map(Tone(0.3).decode, shown))
    choice = fit_tone(find_patches(*shown, found))
    assert choice is not None and choice.value == pytest.approx(contrast, abs=0.08)  # the grid's steps are 0.2


def test_too_few_patches_tell_no_shape() -> None:
    assert fit_shape([], Tone()) is None
    assert fit_tone([Patch(torch.zeros(2, 96, 96), torch.zeros(184, 184), 5.0)] * 2) is None


@pytest.mark.parametrize(("blur_px", "rho"), [(6.0, 0.35), (-10.0, 0.45)])
def test_two_views_alone_tell_blur_and_rho(blur_px: float, rho: float) -> None:
    left, right, _ = ours(replace(TYPICAL, rho=rho), flat(blur_px))
    found = fit_blind(left, right)
    known = found.rho.isfinite()
    assert float(known.double().mean()) > 0.9
    assert float(found.blur_px[known].median()) == pytest.approx(blur_px, rel=0.05)
    assert float(found.rho[known].median()) == pytest.approx(rho, rel=0.05)


@pytest.mark.parametrize("disparity_px", [-3.4, 0.0, 1.25, 7.7])
def test_shifts_along_rows_are_found(disparity_px: float) -> None:
    left = texture()
    ramp = np.exp(-2j * np.pi * np.fft.fftfreq(left.shape[1]) * disparity_px)
    right = np.fft.ifft(np.fft.fft(left, axis=1) * ramp, axis=1).real
    found = match_rows(cut(left), cut(right))
    assert bool(found.isfinite().all())
    # Between whole pixels the parabola through the correlations draws to the nearer one.
    assert float((found - disparity_px).abs().max()) < 0.1
    assert float(found.median()) == pytest.approx(disparity_px, abs=0.06 if disparity_px else 0.005)


def test_what_differs_or_is_flat_is_not_matched() -> None:
    a, b = cut(texture(0)), cut(texture(1))
    assert not bool(match_rows(a, b).isfinite().any())
    assert not bool(match_rows(torch.full_like(a, 0.5), torch.full_like(a, 0.5)).isfinite().any())
    assert match_rows(a[:50], b[:50]).numel() == 0


@pytest.mark.parametrize(("tilt", "offset"), [(0.0, 0.0), (0.05, 0.0), (-0.02, 0.03)])
def test_shading_comes_out(tilt: float, offset: float) -> None:
    left, right, _ = ours(replace(TYPICAL, rho=0.4), flat(5.0))
    shaded = Sensor(shading=tilt).expose(torch.stack([left, right])[:, None].expand(-1, 3, -1, -1) * 0.9)[:, 1]
    line = fit_shading(shaded[0] * (1 - offset), shaded[1] * (1 + offset))
    assert line.tilt == pytest.approx(tilt, abs=0.0015)
    assert line.offset == pytest.approx(offset, abs=0.0008)
    assert abs(line.tilt - tilt) < 2 * line.tilt_error < 0.004


@pytest.mark.parametrize(("shot", "read"), [(2e-4, 0.0), (0.0, 3e-3), (1e-4, 2e-3)])
def test_noise_comes_out_and_blur_does_not_pass_for_it(shot: float, read: float) -> None:
    smooth = gaussian_filter(texture(3, 480, 640), 6).clip(0.02, 0.9)
    views = torch.from_numpy(np.stack([smooth, smooth]))[:, None].expand(-1, 3, -1, -1)
    noisy = Sensor(shot=shot, read=read).expose(views, torch.Generator().manual_seed(0))[:, 1]
    shown = quantise(Tone().encode(noisy), 16)
    noise = fit_noise(shown[0], shown[1], Tone(), 16)
    assert noise is not None
    for light, within in ((0.1, 0.1), (0.5, 0.03)):  # little of the picture is so dark
        assert noise.shot * light + noise.read**2 == pytest.approx(shot * light + read**2, rel=within)
    clean = fit_noise(*quantise(Tone().encode(views[:, 1]), 8), Tone(), 8)
    rounding = (1 / 255) ** 2 / 12
    assert clean is not None and clean.shot * 0.5 + clean.read**2 < 0.01 * rounding


@pytest.mark.parametrize("quality", [60, 85])
def test_the_loss_by_coding_comes_out_as_a_quality(quality: int) -> None:
    left, right, _ = ours(replace(TYPICAL, rho=0.4), flat(0.0))
    views = [Tone().encode(view).expand(3, -1, -1) for view in (left, right)]
    # Each view on a grid of its own: equal errors in both could not be seen.
    coded = [as_jpeg(views[0], quality, "444"), as_jpeg(views[1].roll(3, 2), quality, "444").roll(-3, 2)]
    disparity = match_rows(coded[0][1], coded[1][1])
    error = coding_error(coded[0][1], coded[1][1], disparity)
    assert error is not None
    found = equal_quality(coded[0], disparity, error)
    # An upper bound: what both views lose alike does not show. At most half of the way to no loss at all is missed.
    assert found is not None and quality <= found <= quality + (100 - quality) / 2
    exact = coding_error(views[0][1], views[1][1], disparity)
    assert exact is not None and exact < 1e-3 and equal_quality(views[0], disparity, exact) is None


def test_spectra_are_those_of_noise() -> None:
    rng = np.random.default_rng(0)
    white = torch.from_numpy(rng.normal(0.5, 0.1, (160, 192))).float()
    found = spectra(white, torch.ones(3, 4, dtype=torch.bool))
    assert found.shape == (12, len(FREQUENCIES) - 1)
    assert float(found[:, 3:].mean()) == pytest.approx(-20, abs=0.5)


def test_edges_are_those_of_a_disc_cut_in_two() -> None:
    """A straight edge under k_R lies d / 2 further along, and rises over two radii."""
    height, width = flat(0).shape
    step = np.broadcast_to(np.where((np.arange(width) // 60) % 2, 0.7, 0.2), (height, width))
    rough = step + 0.02 * np.random.default_rng(0).standard_normal((height, width))
    colour = torch.from_numpy(rough).float().expand(3, -1, -1)
    lens = Lens(rho=0.5)
    left, right = render([Layer(colour, torch.ones(height, width), torch.full((height, width), 8.0))], lens, SPARE)[
        :, 1
    ]
    sharp = cut(colour[1])
    found = fit_field(left, right, sharp)
    first, second = (edge_profiles(view, sharp, found, 6, 10) for view in (left, right))
    assert len(first) > 20 and first.shape[1] == len(EDGE_STEPS)
    middles = [float(EDGE_STEPS[(p.median(0).values > 0.5).nonzero()[0, 0]]) for p in (first, second)]
    assert middles[1] - middles[0] == pytest.approx(0.5, abs=0.2)  # rho, in radii
    assert float(first.median(0).values[EDGE_STEPS < -1.1].abs().max()) < 0.05


def test_moving_a_set_of_numbers_costs_its_distance() -> None:
    values = torch.randn(500, generator=torch.Generator().manual_seed(0))
    assert moved(values, values + 3) == pytest.approx(3, abs=1e-3)
    assert moved(values, values.flip(0)) == 0


def test_a_robust_fit_passes_over_outliers() -> None:
    x = torch.linspace(-1, 1, 60, dtype=torch.float64)
    y = 2 * x + 1
    y[::7] += 30
    line = robust_fit(torch.stack([x, torch.ones_like(x)], 1), y, 0.1)
    assert line.tolist() == pytest.approx([2, 1], abs=0.01)


def test_pictures_that_do_not_fit_are_a_mistake() -> None:
    a = torch.rand(100, 120)
    with pytest.raises(ValueError, match="three pictures of one size"):
        fit_field(a, a, a[:, 1:])
    with pytest.raises(ValueError, match="96 px or more"):
        fit_field(a[:90], a[:90], a[:90])
