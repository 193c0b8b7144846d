"""EBDB: exact on the edges its formula is made for, as wrong as is known on discs, and each step for itself."""

import numpy as np
import pytest
import skimage
import torch
from scipy import ndimage
from scipy.ndimage import gaussian_filter
from scipy.special import erf
from torch import Tensor

from dualpix.classical import ebdb
from dualpix.classical.pictures import GAMMA, STUDIO_BLACK, linear_luma
from dualpix.errors import PictureError, RecipeError

SIDE = 64
MIDDLE = 32
OFFSETS_PX = np.arange(SIDE) - float(MIDDLE)
# Returned sigma for a step blurred by a disc of each radius, by the second scale: measured by others on the release.
RADII_PX = (1, 2, 4, 6, 8, 10)
KNOWN_RESPONSES = {
    1.25: (0.52, 1.21, 3.40, 5.66, 7.76, 9.81),
    2.0: (0.51, 1.14, 2.93, 5.23, 7.49, 9.61),
    2.5: (0.51, 1.12, 2.76, 4.88, 7.19, 9.41),
}


def gaussian_step(sigma_px: float) -> np.ndarray:
    return 0.5 + 0.5 * erf(OFFSETS_PX / (np.sqrt(2) * sigma_px))


def disc_step(radius_px: float) -> np.ndarray:
    x = np.clip(OFFSETS_PX / radius_px, -1, 1)
    return 0.5 + (x * np.sqrt(1 - x * x) + np.arcsin(x)) / np.pi


def luma_of(profile: np.ndarray) -> np.ndarray:
    """A picture of vertical edges in linear light, H W."""
    return np.tile(0.15 + 0.5 * profile, (SIDE, 1)).astype(np.float32)


def picture_of(luma: np.ndarray) -> Tensor:
    """The display-encoded grey picture 3 H W whose linear luma this is."""
    encoded = (np.maximum(luma, STUDIO_BLACK**GAMMA) ** (1 / GAMMA) - STUDIO_BLACK) / (219 / 255)
    return torch.from_numpy(encoded.astype(np.float32)).expand(3, -1, -1)


def middle_edge(luma: np.ndarray, place: int, disc: bool = False) -> float:
    """The blur found on the middle column, if the edge were last seen at that place of the scales."""
    edges = np.zeros(luma.shape, dtype=bool)
    edges[MIDDLE, MIDDLE] = True
    return float(ebdb.edge_blur(luma, edges, np.array([place]), disc)[0])


def texture(height: int, width: int) -> np.ndarray:
    """Blocks of grey with hard edges, several pixels wide, in linear light."""
    blocks = np.random.default_rng(5).uniform(0.1, 0.8, (height // 16, width // 16))
    return blocks.repeat(16, 0).repeat(16, 1).astype(np.float32)


def test_the_helper_pictures_have_the_luma_that_they_say() -> None:
    luma = luma_of(gaussian_step(2))
    np.testing.assert_allclose(linear_luma(picture_of(luma).numpy()), luma, rtol=1e-5)


@pytest.mark.parametrize("place", [3, 5, 8])
@pytest.mark.parametrize("sigma_px", [0.75, 1, 1.5, 2, 3, 4])
def test_gaussian_edges_are_measured_within_two_percent(sigma_px: float, place: int) -> None:
    assert middle_edge(luma_of(gaussian_step(sigma_px)), place) == pytest.approx(sigma_px, rel=0.02)


@pytest.mark.parametrize("second_px", [1.25, 2.5])
@pytest.mark.parametrize("sigma_px", [0.25, 0.5, 1, 4])
def test_the_formula_is_exact_for_slopes_that_pixels_are_too_coarse_to_hold(sigma_px: float, second_px: float) -> None:
    fine = np.arange(-40, 40, 0.01)
    edge = 0.5 + 0.5 * erf(fine / (np.sqrt(2) * sigma_px))
    first, second = (np.gradient(gaussian_filter(edge, scale / 0.01)).max() for scale in (1, second_px))
    assert float(ebdb.blur_from_ratio(np.array(first / second), second_px)) == pytest.approx(sigma_px, rel=0.005)


def test_an_edge_finer_than_pixels_can_hold_is_measured_within_a_tenth() -> None:
    assert middle_edge(luma_of(gaussian_step(0.5)), 8) == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("sigma_px", [0.75, 1.5, 3])
@pytest.mark.parametrize("mode", ["fast", "faithful"])
def test_the_whole_map_of_one_edge_is_its_blur(sigma_px: float, mode: str) -> None:
    sigma_map = ebdb.blur_map(picture_of(luma_of(gaussian_step(sigma_px))), mode)
    assert sigma_map.shape == (SIDE, SIDE) and sigma_map.dtype == torch.float32
    torch.testing.assert_close(sigma_map, torch.full((SIDE, SIDE), float(sigma_px)), rtol=0.02, atol=0)


@pytest.mark.parametrize("second_px", KNOWN_RESPONSES)
def test_discs_are_misread_as_is_known(second_px: float) -> None:
    found = np.interp(RADII_PX, *ebdb.disc_response(second_px))
    np.testing.assert_allclose(found, KNOWN_RESPONSES[second_px], rtol=0.03)
    place = int(np.flatnonzero(second_px == 0.5 * ebdb.SCALES)[0])
    drawn = [middle_edge(luma_of(disc_step(radius_px)), place) for radius_px in (2, 4)]
    np.testing.assert_allclose(drawn, KNOWN_RESPONSES[second_px][1:3], rtol=0.03)


@pytest.mark.parametrize("radius_px", [2, 4, 6, 8])
def test_told_of_discs_it_gives_half_their_radius(radius_px: float) -> None:
    assert middle_edge(luma_of(disc_step(radius_px)), 8, disc=True) == pytest.approx(radius_px / 2, rel=0.03)


def test_blur_ends_at_five_pixels_and_impossible_ratios_give_none() -> None:
    assert middle_edge(luma_of(gaussian_step(9)), 8) == 5
    ratios = np.float32([0.5, 1.0, 3.0])  # a slope that grows, that stays, that falls faster than a hard edge's
    np.testing.assert_array_equal(ebdb.blur_from_ratio(ratios, 2), [0, 0, 0])


def test_an_edge_alone_is_measured_at_the_coarsest_scale() -> None:
    edges, last, found = ebdb.edge_scales(luma_of(gaussian_step(1)))
    assert set(np.flatnonzero(edges.any(axis=0))) <= {MIDDLE - 1, MIDDLE}
    assert set(last) == {8} and set(found) == {9}


def noisy(picture: Tensor, seed: int | None) -> Tensor:
    """Off by 1e-7 either way, about the last bit of a float32 pixel: as far as processors differ."""
    if seed is None:
        return picture
    signs = torch.rand(picture.shape, generator=torch.Generator().manual_seed(seed)).sub(0.5).sign()
    return (picture + 1e-7 * signs).clamp(0, 1)


def perfect_step(sigma_px: float, left: float = 0.15, right: float = 0.65) -> Tensor:
    """A step half-way between columns 31 and 32, whose slopes on either side are equal."""
    profile = 0.5 + 0.5 * erf((OFFSETS_PX + 0.5) / (np.sqrt(2) * sigma_px))
    return picture_of(np.tile(left + (right - left) * profile, (SIDE, 1)))


@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("levels", [(0.15, 0.65), (0.65, 0.15), (0.5, 0.5005)])
def test_no_last_bit_decides_which_side_of_a_perfect_step_is_the_edge(
    levels: tuple[float, float], turned: bool, seed: int | None
) -> None:
    picture = noisy(perfect_step(1, *levels), seed)
    luma = linear_luma((picture.transpose(1, 2) if turned else picture).numpy())
    edges, last, found = ebdb.edge_scales(luma.T if turned else luma)
    expected = np.zeros((SIDE, SIDE), dtype=bool)
    expected[1:-1, [MIDDLE - 1, MIDDLE]] = True  # Canny's own rule: equals stand; the border has no neighbours
    np.testing.assert_array_equal(edges, expected)
    assert set(last) == {8} and set(found) == {9}


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("sigma_px", [1, 2])
def test_a_perfect_step_has_the_blur_that_it_was_given(sigma_px: float, seed: int | None) -> None:
    """Half a pixel beside its middle a Gaussian edge is flatter, and the more so at the finer scale."""
    second_px = 2.5
    slopes = [np.exp(-0.125 / (sigma_px**2 + scale**2)) / np.hypot(sigma_px, scale) for scale in (1, second_px)]
    square = (slopes[0] / slopes[1]) ** 2
    expected = float(np.sqrt((second_px**2 - square) / (square - 1)))
    sigma_map = ebdb.blur_map(noisy(perfect_step(sigma_px), seed))
    torch.testing.assert_close(sigma_map, torch.full((SIDE, SIDE), expected), rtol=0.01, atol=0)
    assert expected == pytest.approx(sigma_px, rel=0.15)


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_an_even_ramp_ties_in_slope_threshold_and_ratio_and_still_gives_one_answer(seed: int | None) -> None:
    """All slopes are the greatest slope, and the two of the ratio are one."""
    luma = np.tile(np.linspace(0.1, 0.8, SIDE), (SIDE, 1))
    picture = noisy(picture_of(luma), seed)
    inner = (slice(1, -1), slice(16, -16))
    edges, _, _ = ebdb.edge_scales(linear_luma(picture.numpy()))
    assert edges[inner].all()
    for place in (3, 5, 8):
        whole = np.full((SIDE, SIDE), np.nan)
        whole[edges] = ebdb.edge_blur(linear_luma(picture.numpy()), edges, np.full(np.count_nonzero(edges), place))
        assert (whole[inner] == 5).all()


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_without_ties_the_edges_are_those_of_skimage(scale: float) -> None:
    luma = gaussian_filter(np.random.default_rng(8).random((90, 110)), 1.5)
    smooth = gaussian_filter(luma, scale, mode="nearest")
    slope = np.hypot(*(ndimage.sobel(smooth, axis=axis) for axis in (0, 1)))
    borders = np.linspace(0, slope.max(), 65)
    high = next(border for border in borders[1:] if np.mean(slope < border) > 0.7)
    how = {"sigma": 0, "low_threshold": 0.4 * high, "high_threshold": high, "mode": "nearest"}
    expected = skimage.feature.canny(smooth, **how)
    assert 200 < np.count_nonzero(expected) < 4000
    assert np.count_nonzero(ebdb.canny(luma, scale) != expected) <= 2


def test_edges_close_together_are_measured_at_a_finer_scale() -> None:
    bar = np.abs(OFFSETS_PX) <= 2
    _, last, _ = ebdb.edge_scales(luma_of(gaussian_filter(bar.astype(float), 0.5)))
    assert len(last) and last.max() < 8


def ring(side: int) -> np.ndarray:
    edges = np.zeros((side, side), dtype=bool)
    edges[[2, -3], 2:-2] = edges[2:-2, [2, -3]] = True
    return edges


def dense_solution(edges: np.ndarray, values: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The equations of the paper written out, one row for each edge pixel."""
    where = np.argwhere(edges)
    near = np.abs(where[:, None] - where[None]).max(axis=2) == 1
    system = np.diag(1 + found + 2 * 10 * near.sum(axis=1)) - 2 * 10 * near
    return np.linalg.solve(system, (1 + found) * values)


def test_the_contour_filter_solves_the_equations_of_the_paper() -> None:
    random = np.random.default_rng(6)
    edges = random.random((14, 17)) < 0.3
    count = np.count_nonzero(edges)
    values, found = random.random(count).astype(np.float32), random.integers(4, 10, count)
    np.testing.assert_allclose(
        ebdb.along_contours(edges, values, found), dense_solution(edges, values, found), rtol=1e-5
    )


def test_a_constant_passes_the_contour_filter_and_an_outlier_does_not() -> None:
    edges = ring(24)
    count = np.count_nonzero(edges)
    values, found = np.full(count, 2, dtype=np.float32), np.full(count, 9)
    np.testing.assert_allclose(ebdb.along_contours(edges, values, found), 2, rtol=1e-6)
    values[30] = 5
    trusted = ebdb.along_contours(edges, values, found)
    found[30] = 4
    doubted = ebdb.along_contours(edges, values, found)
    assert 2 < doubted[30] < trusted[30] < 3


def test_contours_do_not_touch_one_another() -> None:
    edges = np.zeros((12, 30), dtype=bool)
    edges[3, 2:28] = edges[8, 2:28] = True
    values, found = np.repeat(np.float32([1, 4]), 26), np.full(52, 6)
    np.testing.assert_allclose(ebdb.along_contours(edges, values, found), values, rtol=1e-6)
    np.testing.assert_allclose(
        ebdb.along_contours(edges[:6], values[:26] + np.arange(26, dtype=np.float32), found[:26]),
        ebdb.along_contours(edges, values + np.tile(np.arange(26, dtype=np.float32), 2), found)[:26],
        rtol=1e-6,
    )


def test_two_halves_with_two_blurs_are_told_apart() -> None:
    blocks = texture(96, 192)
    luma = np.concatenate([gaussian_filter(blocks, 1)[:, :96], gaussian_filter(blocks, 2.5)[:, 96:]], axis=1)
    sigma_map = ebdb.blur_map(picture_of(luma))
    assert float(sigma_map[:, :72].median()) == pytest.approx(1, abs=0.25)
    assert float(sigma_map[:, 120:].median()) == pytest.approx(2.5, abs=0.5)


@pytest.mark.parametrize("kind", ["noise", "hard edge", "8-bit"])
def test_odd_pictures_still_give_a_map_in_range(kind: str) -> None:
    random = np.random.default_rng(7)
    picture = {
        "noise": random.random((3, 40, 52)),
        "hard edge": np.broadcast_to(np.arange(52) >= 20, (3, 40, 52)),
        "8-bit": np.round(255 * gaussian_filter(random.random((3, 40, 52)), (0, 6, 6))) / 255,
    }[kind]
    sigma_map = ebdb.blur_map(torch.from_numpy(picture.astype(np.float32)))
    assert sigma_map.isfinite().all() and sigma_map.min() >= 0 and sigma_map.max() <= 5


@pytest.mark.parametrize("value", [0.0, 0.37, 1.0])
def test_a_picture_without_edges_is_refused(value: float) -> None:
    with pytest.raises(PictureError, match="no clear edge"):
        ebdb.blur_map(torch.full((3, 40, 48), value))


def test_bad_pictures_and_modes_are_refused() -> None:
    good = picture_of(luma_of(gaussian_step(1)))
    bad = good.clone()
    bad[1, 5, 5] = torch.nan
    with pytest.raises(PictureError, match="not numbers"):
        ebdb.blur_map(bad)
    with pytest.raises(PictureError, match=r"64 x 31 pixels, but .* needs 32"):
        ebdb.blur_map(good[:, :31])
    with pytest.raises(RecipeError, match=r"quick.*fast, faithful"):
        ebdb.blur_map(good, "quick")
    with pytest.raises(ValueError, match="3 H W"):
        ebdb.blur_map(good[None])
