"""The renderer: what it must not change, its symmetries, and where things land."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from pieces import LENSES, MARGIN, OFF_AXIS, SIDE, WHOLE, disc_and_bar, inner, plane, psnr_db, slanted, texture
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from torch import Tensor

from dualpix.simulation.kernels import Lens, kernels, reach_px
from dualpix.simulation.render import Layer, composite, margin_px, nodes_between, render, scatter, slices
from dualpix.simulation.spreading import fast_size

each_lens = pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES)
any_lens = pytest.mark.parametrize("lens", (LENSES | OFF_AXIS).values(), ids=LENSES | OFF_AXIS)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def crowd(rng: np.random.Generator, colour: Tensor | None = None) -> list[Layer]:
    """A slanted background and five objects of all kinds, some slanted, some only partly in the picture."""
    y, x = np.mgrid[:WHOLE, :WHOLE]
    layers = [plane(texture(rng) if colour is None else colour, slanted(8, 0.06, -0.03))]
    for blur_px in (5.0, 2.3, 0.0, -3.0, -9.0):
        cy, cx = rng.uniform(5, WHOLE - 5, 2)
        alpha = torch.from_numpy(
            (rng.uniform(6, 16) - np.hypot(y - cy, (x - cx) * rng.uniform(1, 6))).clip(0, 1)
        ).float()
        tilt = slanted(blur_px, *rng.uniform(-0.05, 0.05, 2)) if blur_px else blur_px
        layers.append(plane(texture(rng) if colour is None else colour, tilt, alpha))
    return layers


def mirrored(layers: Sequence[Layer]) -> list[Layer]:
    return [Layer(*(thing.flip(-1) for thing in (layer.colour, layer.alpha, layer.blur_px))) for layer in layers]


# What must not change.


@any_lens
def test_white_stays_white_however_it_is_cut_up(rng: np.random.Generator, lens: Lens) -> None:
    seen = render(crowd(rng, torch.ones(3, WHOLE, WHOLE)), lens, MARGIN)
    assert float((seen - 1).abs().max()) < 1e-3


def test_no_surface_outshines_itself() -> None:
    """Pixels of different blur may pile up on one spot; what is there can still be no brighter than they are."""
    colour = torch.full((3, WHOLE, WHOLE), 0.7)
    bent = 6 + 5 * torch.sin(torch.arange(WHOLE) / 3).expand(WHOLE, WHOLE)
    scene = [plane(torch.zeros(3, WHOLE, WHOLE), 0.0), plane(colour, bent, disc_and_bar())]
    _, cover, _ = scatter(scene[1], Lens(), MARGIN)
    seen = render(scene, Lens(), MARGIN)
    assert float(cover.max()) <= 1 + 1e-6
    assert float(seen.max()) == pytest.approx(0.7, abs=1e-5)


def test_a_constant_surface_stays_constant_on_any_depths(rng: np.random.Generator) -> None:
    depths = torch.from_numpy(gaussian_filter(rng.standard_normal((WHOLE, WHOLE)), 6)).float() * 60
    colour = torch.tensor([0.2, 0.5, 0.8])[:, None, None].expand(3, WHOLE, WHOLE)
    seen = render([plane(colour, depths.clamp(-12, 12))], Lens(softness_px=0.3), MARGIN + 4)
    assert float((seen - torch.tensor([0.2, 0.5, 0.8])[:, None, None]).abs().max()) < 1e-3


@any_lens
@pytest.mark.parametrize("blur_px", [0.0, 0.6, -3.3, 11.0])
def test_the_light_of_a_point_is_kept(lens: Lens, blur_px: float) -> None:
    dark = torch.zeros(3, WHOLE, WHOLE)
    dark[:, 40, 47] = torch.tensor([1.0, 10.0, 100.0])
    seen = render([plane(dark, blur_px)], lens, MARGIN).double().sum((2, 3))
    for view in seen:
        assert view.tolist() == pytest.approx([1, 10, 100], rel=1e-4)


@any_lens
def test_the_focal_plane_is_left_as_it_is(rng: np.random.Generator, lens: Lens) -> None:
    colour = texture(rng, smooth_px=0)
    for view in render([plane(colour, 0.0)], replace(lens, softness_px=0.0), MARGIN):
        assert torch.allclose(view, inner(colour), atol=1e-6)


@pytest.mark.parametrize("lens", [Lens(rho=0.4), Lens(rho=0.3, skew=0.2, rim=0.5)], ids=["ramp", "skewed"])
def test_an_opaque_object_in_focus_hides_what_is_behind(rng: np.random.Generator, lens: Lens) -> None:
    behind, front, alpha = texture(rng), texture(rng, smooth_px=0), disc_and_bar()
    seen = render([plane(behind, 7.0), plane(front, 0.0, alpha)], lens, MARGIN)
    opaque = inner(alpha) == 1
    assert opaque.sum() > 500
    for view in seen:
        assert torch.allclose(view[:, opaque], inner(front)[:, opaque], atol=2e-6)


def test_a_blurred_object_in_front_of_a_sharp_one_lets_it_through_softly(rng: np.random.Generator) -> None:
    alpha = disc_and_bar()
    behind = render(
        [plane(torch.zeros(3, WHOLE, WHOLE), 0.0), plane(torch.ones(3, WHOLE, WHOLE), -5.0, alpha)], Lens(), MARGIN
    )
    cover = behind[:, 0].mean(0)
    spread = fftconvolve(alpha.numpy(), kernels(Lens(), -5.0).mean(0).numpy(), mode="same")
    assert np.allclose(cover, spread[MARGIN:-MARGIN, MARGIN:-MARGIN], atol=1e-5)
    assert 0.1 < float(cover[(cover > 0.05) & (cover < 0.95)].mean()) < 0.9


@any_lens
@pytest.mark.parametrize("blur_px", [0.6, -3.3, 11.0])
def test_the_whole_aperture_sees_the_mean_of_its_halves(rng: np.random.Generator, lens: Lens, blur_px: float) -> None:
    """Of one surface. Where one hides another, halves look past its edge differently."""
    for layer in (plane(texture(rng), blur_px), plane(texture(rng), blur_px, disc_and_bar())):
        (light, cover, place), (halves, covers, same) = (scatter(layer, lens, MARGIN, one) for one in (True, False))
        assert place == same and light.shape[0] == cover.shape[0] == 1
        assert torch.allclose(light[0], halves.mean(0), atol=3e-6)
        assert torch.allclose(cover[0], covers.mean(0), atol=3e-6)
    assert render(crowd(rng), lens, MARGIN, whole=True).shape == (1, 3, SIDE, SIDE)


# Symmetries.


@each_lens
@pytest.mark.parametrize("blur_px", [0.4, 2.0, -6.5])
def test_the_other_side_of_the_focal_plane_exchanges_the_views(
    rng: np.random.Generator, lens: Lens, blur_px: float
) -> None:
    colour = texture(rng)
    here, there = (render([plane(colour, c)], lens, MARGIN) for c in (blur_px, -blur_px))
    assert torch.allclose(here, there.flip(0), atol=1e-6)


@each_lens
def test_a_mirrored_scene_gives_mirrored_views_exchanged(rng: np.random.Generator, lens: Lens) -> None:
    layers = crowd(rng)
    there = render(mirrored(layers), lens, MARGIN)
    assert torch.allclose(render(layers, lens, MARGIN), there.flip(0).flip(-1), atol=2e-6)


@each_lens
def test_each_view_blurred_as_the_other_is_the_same_picture(rng: np.random.Generator, lens: Lens) -> None:
    """L * k_R = R * k_L on a surface of constant depth, with a convolution that is not the renderer's."""
    blur_px = 4.3
    views = render([plane(texture(rng), blur_px)], lens, MARGIN).double().numpy()
    left, right = kernels(lens, blur_px).double().numpy()
    crossed = [fftconvolve(view[1], kernel, mode="valid") for view, kernel in zip(views, (right, left), strict=True)]
    assert np.abs(crossed[0] - crossed[1]).max() < 1e-5
    assert np.abs(views[0] - views[1]).max() > 1e-2


# Where things land.


def test_behind_the_focal_plane_lies_further_right_in_the_right_view(rng: np.random.Generator) -> None:
    for blur_px in (6.0, -6.0):
        dark = torch.zeros(3, WHOLE, WHOLE)
        dark[:, 44, 45] = 1
        left, right = render([plane(dark, blur_px)], Lens(rho=0.5), MARGIN)[:, 0].double()
        columns = torch.arange(SIDE) + MARGIN - 45.0
        assert float((right.sum(0) * columns).sum()) == pytest.approx(blur_px / 4, rel=0.01)
        assert float((left.sum(0) * columns).sum()) == pytest.approx(-blur_px / 4, rel=0.01)


@pytest.mark.parametrize("lens", [Lens(rho=0.22), Lens(rho=0.6, split=0.7), Lens(rho=0.848, split=1.0), LENSES["soft"]])
def test_disparity_is_measured_as_rho_times_blur(rng: np.random.Generator, lens: Lens) -> None:
    """By the phase between periodic, striped pictures at the lowest frequencies, where only the shift matters."""
    period, margin = 256, 16
    wave = texture(rng, 1, period, smooth_px=4.0).expand(3, 48, period)
    colour = torch.cat([wave[..., -margin:], wave, wave[..., :margin]], 2)
    blurs = [-12.0, -5.0, -2.0, -0.6, 0.1, 0.3, 1.0, 3.3, 8.0, 12.0]
    measured = [shift_px(*render([plane(colour, c)], lens, margin)[:, 1]) for c in blurs]
    x, d = np.array(blurs), np.array(measured)
    slope = (x * d).sum() / (x * x).sum()
    assert slope == pytest.approx(lens.rho, rel=0.03)
    assert 1 - ((d - slope * x) ** 2).sum() / (d * d).sum() > 0.999


def shift_px(left: Tensor, right: Tensor) -> float:
    """x_right - x_left of two pictures that repeat from edge to edge."""
    order = np.arange(1, 3)
    cross = (np.fft.fft(right)[:, order] * np.fft.fft(left)[:, order].conj()).sum(0)
    frequency = order / left.shape[1]
    return float(-(np.angle(cross) * frequency * abs(cross)).sum() / (2 * np.pi * frequency**2 * abs(cross)).sum())


def test_twice_the_size_with_twice_the_blur_is_the_same_picture(rng: np.random.Generator) -> None:
    large = [plane(texture(rng, 2 * WHOLE, 2 * WHOLE, 2.0), 10.0)]
    alpha = torch.nn.functional.interpolate(disc_and_bar()[None, None], scale_factor=2.0, mode="nearest")[0, 0]
    large.append(plane(texture(rng, 2 * WHOLE, 2 * WHOLE, 2.0), -4.0, alpha))

    def half(picture: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(picture, 2)

    small = [plane(half(x.colour), float(x.blur_px[0, 0]) / 2, half(x.alpha[None])[0]) for x in large]
    seen = half(render(large, Lens(rho=0.5), 2 * MARGIN))
    assert psnr_db(seen, render(small, Lens(rho=0.5), MARGIN)) > 40


def test_the_same_scene_gives_the_same_views(rng: np.random.Generator) -> None:
    layers = crowd(rng)
    assert torch.equal(render(layers, Lens(), MARGIN), render(layers, Lens(), MARGIN))


# Parts.


def test_only_what_can_be_seen_is_computed_and_nothing_is_missed(rng: np.random.Generator) -> None:
    """A layer cut to the picture before it is transformed gives what the whole layer gives."""
    for layer in crowd(rng)[1:]:
        light, cover, place = scatter(layer, Lens(softness_px=0.4), MARGIN)
        whole_light, whole_cover, whole_place = scatter(layer, Lens(softness_px=0.4))
        seen, whole = torch.zeros(2, 4, SIDE, SIDE), torch.zeros(2, 4, WHOLE, WHOLE)
        seen[..., *place] = torch.cat([light, cover], 1)
        whole[..., *whole_place] = torch.cat([whole_light, whole_cover], 1)
        assert torch.allclose(seen, inner(whole), atol=2e-6)


@pytest.mark.parametrize("where", [(0, 0), (WHOLE - 1, 3), (MARGIN, WHOLE - MARGIN - 1), (MARGIN - 4, 40), (44, 44)])
@pytest.mark.parametrize("blur_px", [0.0, 3.7, -14.0, 28.0])
def test_lone_points_land_where_convolution_puts_them(where: tuple[int, int], blur_px: float) -> None:
    """Points at and beyond the edges, and kernels larger than the picture: nothing wraps round."""
    alpha = torch.zeros(WHOLE, WHOLE)
    alpha[where] = 1
    light, cover, place = scatter(plane(torch.full((3, WHOLE, WHOLE), 0.5), blur_px, alpha), Lens(), MARGIN)
    seen = torch.zeros(2, 4, SIDE, SIDE)
    seen[..., *place] = torch.cat([light, cover], 1)
    for view, kernel in zip(seen, kernels(Lens(), blur_px), strict=True):
        wanted = fftconvolve(alpha.numpy(), kernel.numpy())
        reach = kernel.shape[0] // 2
        wanted = wanted[reach + MARGIN :, reach + MARGIN :][:SIDE, :SIDE]
        assert np.allclose(view[3], wanted, atol=1e-6)
        assert np.allclose(view[0], 0.5 * wanted, atol=1e-6)


@pytest.mark.parametrize("opaque", [True, False])
@pytest.mark.parametrize("tilt", [(0.06, 0.0), (0.0, -0.05), (0.03, 0.03)])
def test_large_slanted_surfaces_are_scattered_as_if_in_one_piece(
    rng: np.random.Generator, tilt: tuple[float, float], opaque: bool
) -> None:
    """Slice by slice over the whole surface, by a convolution that is not the renderer's; one corner lies flat on a
    slice, so that a part of the surface has that one only."""
    side, margin, lens = 300, 16, Lens(rho=0.4, skew=0.2, softness_px=0.3)
    blur_px = slanted(2, *tilt, side, side)
    blur_px[:200, :200] = 2.0
    alpha = torch.ones(side, side)
    if not opaque:
        alpha[torch.from_numpy(gaussian_filter(rng.standard_normal((side, side)), 9)) < 0] = 0
    colour = texture(rng, side, side)
    light, cover, place = scatter(Layer(colour, alpha, blur_px), lens, margin)
    cut = slices(blur_px, nodes_between(float(blur_px.min()), float(blur_px.max())))

    def spread(plane: Tensor, view: int) -> np.ndarray:
        parts = [
            fftconvolve((plane * share).double().numpy(), kernels(lens, node)[view].double().numpy(), mode="same")
            for node, share in cut
            if share is not None
        ]
        return np.sum(parts, 0)[margin:-margin, margin:-margin][place]

    for view in (0, 1):
        wanted = spread(alpha, view)
        excess = wanted.clip(1)
        assert np.allclose(cover[view, 0].numpy(), wanted / excess, atol=2e-5)
        assert np.allclose(light[view, 1].numpy(), spread(colour[1] * alpha, view) / excess, atol=2e-5)


@pytest.mark.parametrize("blur_px", [9.0, -14.0, 28.0])
def test_kernels_may_be_larger_than_the_picture(blur_px: float) -> None:
    alpha = torch.zeros(20, 20)
    alpha[9, 11] = 1
    light, _, _ = scatter(plane(torch.ones(3, 20, 20), blur_px, alpha), Lens(), 2)
    for view, kernel in zip(light[:, 0], kernels(Lens(), blur_px), strict=True):
        middle = kernel.shape[0] // 2
        wanted = kernel[middle - 7 : middle + 9, middle - 9 : middle + 7]
        assert torch.allclose(view, wanted, atol=1e-6)


def test_an_object_out_of_sight_changes_nothing(rng: np.random.Generator) -> None:
    alpha = torch.zeros(WHOLE, WHOLE)
    background = plane(texture(rng), 3.0)
    alone = render([background], Lens(), MARGIN)
    assert torch.equal(render([background, plane(texture(rng), 0.0, alpha)], Lens(), MARGIN), alone)
    alpha[:3, :3] = 1
    assert torch.equal(render([background, plane(texture(rng), 0.0, alpha)], Lens(), MARGIN), alone)


def test_pictures_need_not_be_square(rng: np.random.Generator) -> None:
    scene = [plane(texture(rng), 4.0), plane(texture(rng), -2.0, disc_and_bar())]
    low = [Layer(x.colour[:, 20:-20], x.alpha[20:-20], x.blur_px[20:-20]) for x in scene]
    assert torch.allclose(render(low, Lens(), MARGIN), render(scene, Lens(), MARGIN)[..., 20:-20, :], atol=2e-6)


def test_the_margin_is_all_that_edges_need(rng: np.random.Generator) -> None:
    lens = Lens(rho=0.5, softness_px=0.4)
    layers = crowd(rng)
    margin = margin_px(lens, layers)
    assert margin == max(reach_px(lens, float(x.blur_px.abs().max())) for x in layers)
    spare = 20 - margin
    assert spare > 0
    wide = [plane(texture(rng, 100, 100), slanted(8, 0.06, -0.03, 100, 100))]
    cut = [Layer(x.colour[:, spare:-spare, spare:-spare], x.alpha[spare:-spare, spare:-spare],
                 x.blur_px[spare:-spare, spare:-spare]) for x in wide]  # fmt: skip
    assert torch.allclose(render(wide, lens, 20), render(cut, lens, margin), atol=1e-3)


def test_the_picture_in_focus_shows_the_nearest_of_everything(rng: np.random.Generator) -> None:
    colours, alpha = [texture(rng) for _ in range(2)], disc_and_bar()
    sharp, blur_px = composite([plane(colours[0], 5.0), plane(colours[1], -2.0, alpha)], MARGIN)
    assert torch.allclose(sharp, inner(alpha * colours[1] + (1 - alpha) * colours[0]))
    assert torch.equal(blur_px, torch.where(inner(alpha) > 0.5, -2.0, 5.0))


def test_slices_add_up_and_keep_the_mean_blur(rng: np.random.Generator) -> None:
    blur_px = torch.from_numpy(rng.uniform(-13.7, 27.2, (40, 50))).float()
    nodes = nodes_between(float(blur_px.min()), float(blur_px.max()))
    assert nodes[0] <= blur_px.min() and nodes[-1] >= blur_px.max()
    cut = slices(blur_px, nodes)
    assert torch.allclose(sum(share for _, share in cut), torch.ones(40, 50), atol=1e-6)
    assert torch.allclose(sum(node * share for node, share in cut), blur_px, atol=1e-4)
    assert all(float(share.min()) >= 0 for _, share in cut)


def test_fast_sizes_are_long_enough_and_not_much_longer() -> None:
    for length in range(1, 2000):
        assert length <= fast_size(length) < length * 1.08 + 32
