"""Layers out of a picture and its depth: nothing that is seen changes, edges are cut, and what is made up is lawful."""

import numpy as np
import pytest
import torch
from pieces import psnr_db, texture
from torch import Tensor

from dualpix.errors import DataError
from dualpix.simulation.camera import CAMERAS
from dualpix.simulation.depth import JUMP_PX, blur_from_depth, cuts_between_jumps, layers_from_blur, push_pull
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, composite, render

CAMERA = CAMERAS["5d-mark-iv-50mm-f4"]
SIDE = 72


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def scene() -> tuple[Tensor, Tensor]:
    """A wall, a floor that comes nearer, a box on it at the focus, and a pole in front of all: blur and object."""
    y, x = torch.meshgrid(torch.arange(SIDE).float(), torch.arange(SIDE).float(), indexing="ij")
    blur, which = torch.full((SIDE, SIDE), 6.0), torch.zeros(SIDE, SIDE, dtype=torch.long)
    floor = y > 40
    blur[floor], which[floor] = (6 - (y - 40) * 0.12)[floor], 1
    box = (y > 25) & (y < 60) & (x > 10) & (x < 50)
    blur[box], which[box] = 0.0, 2
    pole = (x - 52).abs() < 5
    blur[pole], which[pole] = -5.0, 3
    return blur, which


def largest_jump(layer: Layer) -> float:
    """Within what is seen of a layer."""
    inside = layer.alpha > 0.5
    jumps = [
        (
            (layer.blur_px.diff(dim=axis)).abs() * (inside.narrow(axis, 1, SIDE - 1) & inside.narrow(axis, 0, SIDE - 1))
        ).max()
        for axis in (0, 1)
    ]
    return float(max(jumps))


def test_layers_show_the_picture_again(rng: np.random.Generator) -> None:
    colour, (blur, _) = texture(rng, SIDE, SIDE), scene()
    layers = layers_from_blur(colour, blur)
    sharp, seen_blur = composite(layers, 0)
    assert torch.allclose(sharp, colour, atol=1e-6)
    assert torch.equal(seen_blur, blur)
    assert bool((layers[0].alpha == 1).all())


def test_no_layer_has_an_edge_within(rng: np.random.Generator) -> None:
    blur, _ = scene()
    assert float(blur.diff(dim=1).abs().max()) > 4 * JUMP_PX
    layers = layers_from_blur(texture(rng, SIDE, SIDE), blur)
    assert len(layers) >= 3
    for layer in layers[1:]:
        assert largest_jump(layer) <= JUMP_PX + 0.5  # made-up depth may bend a little more
    means = [float(layer.blur_px[layer.alpha > 0.5].mean()) for layer in layers]
    assert means == sorted(means, reverse=True)


def test_a_surface_without_edges_is_one_layer(rng: np.random.Generator) -> None:
    blur = torch.linspace(-6, 9, SIDE).expand(SIDE, SIDE)
    (only,) = layers_from_blur(texture(rng, SIDE, SIDE), blur)
    assert torch.equal(only.blur_px, blur) and bool((only.alpha == 1).all())


def test_the_fewest_cuts_part_all_edges() -> None:
    rows = torch.tensor([[0.0, 5.0, 5.0], [0.5, 4.0, 9.0], [0.0, 0.9, 1.8]])
    cuts = cuts_between_jumps(rows)
    pairs = [(rows[1:], rows[:-1]), (rows[:, 1:], rows[:, :-1])]
    for a, b in pairs:
        for one, other in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True):
            low, high = sorted((one, other))
            if high - low > JUMP_PX:
                assert any(low < cut < high for cut in cuts), (low, high, cuts)
    assert len(cuts) == 2 and cuts == sorted(cuts)  # by hand: one between 0.9 and 4, one between 5 and 9


def test_what_is_behind_goes_on_behind(rng: np.random.Generator) -> None:
    """Behind a pole before a red wall and a blue floor there is more red wall and more blue floor, at their depths."""
    blur, _ = scene()
    colour = torch.zeros(3, SIDE, SIDE)
    colour[0, :41], colour[2, 41:] = 0.8, 0.6
    colour[:, :, 47:58] = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    blur = torch.where(torch.arange(SIDE) < 46, blur, torch.where((torch.arange(SIDE) - 52).abs() < 6, -5.0, blur))
    layers = layers_from_blur(colour, blur)
    hidden, hidden_blur = composite(layers[:-1], 0)
    assert hidden[0, 10, 52] == pytest.approx(0.8, abs=0.02) and hidden[2, 65, 52] == pytest.approx(0.6, abs=0.02)
    assert float(hidden[1, :, 52].max()) < 0.02, "the pole's green went behind itself"
    assert float(hidden_blur[10, 52]) == pytest.approx(6, abs=0.3)
    assert float(hidden_blur[65, 52]) == pytest.approx(3, abs=0.5)


def test_an_object_goes_on_behind_a_nearer_one_but_not_through_it(rng: np.random.Generator) -> None:
    """The box ends at the pole: it reaches on behind the pole's near side, and the wall behind its far side."""
    blur, which = scene()
    box = layers_from_blur(texture(rng, SIDE, SIDE), blur)[1]
    assert bool((box.alpha[which == 2] == 1).all()) and bool((box.alpha[which < 2] == 0).all())
    assert float(box.alpha[40, 49]) == 1 and float(box.blur_px[40, 49]) == pytest.approx(0, abs=0.1)
    assert float(box.alpha[40, 56]) == 0 and float(box.alpha[5, 52]) == 0


def test_views_are_nearly_those_of_the_true_scene(rng: np.random.Generator) -> None:
    """Against the same scene whose hidden parts are known, and far nearer to it than with blackness behind."""
    _, which = scene()
    smooth = [texture(rng, SIDE, SIDE, 3.0) for _ in range(2)]
    pole = (which == 3).float()
    flat = torch.full((SIDE, SIDE), 6.0)
    truth = [Layer(smooth[0], torch.ones(SIDE, SIDE), flat), Layer(smooth[1], pole, torch.full((SIDE, SIDE), -5.0))]
    colour, seen_blur = composite(truth, 0)
    made = layers_from_blur(colour, seen_blur)
    black = [Layer(made[0].colour * (1 - pole), made[0].alpha, made[0].blur_px), made[1]]
    wanted, ours, naive = (render(layers, Lens(), 12) for layers in (truth, made, black))
    assert psnr_db(ours, wanted) > 35
    assert psnr_db(ours, wanted) > psnr_db(naive, wanted) + 8


def test_depth_in_metres_becomes_blur_in_pixels() -> None:
    depth = torch.full((40, 50), 2.0)
    depth[:, 25:] = torch.inf
    blur = blur_from_depth(depth, CAMERA)
    assert float(blur[20, 5]) == pytest.approx(CAMERA.blur_px(2.0))
    assert float(blur[20, 40]) == pytest.approx(CAMERA.blur_at_infinity_px)
    assert set(blur.unique().tolist()) == {float(blur[20, 5]), float(blur[20, 40])}


def test_gaps_are_filled_from_behind_and_edges_made_hard() -> None:
    depth = torch.full((60, 60), 3.0)
    depth[:, 30:] = 0.8
    depth[:, 29] = 1.4  # a mixture of both sides, as resampling makes it
    depth[10:20, 24:36] = 0
    depth[40, 10] = torch.nan
    depth[50, 15] = 0.5  # a lone wrong pixel
    blur = blur_from_depth(depth, CAMERA)
    sides = {round(CAMERA.blur_px(z), 3) for z in (3.0, 0.8)}
    assert {round(value, 3) for value in blur.unique().tolist()} == sides
    assert float(blur[15, 26]) == float(blur[15, 31]) == pytest.approx(CAMERA.blur_px(3.0))
    assert float(blur[40, 10]) == float(blur[50, 15]) == pytest.approx(CAMERA.blur_px(3.0))
    assert float(blur[30, 40]) == pytest.approx(CAMERA.blur_px(0.8))


@pytest.mark.parametrize(
    ("depth_m", "message"),
    [
        (torch.zeros(20, 20), "holds no depth above zero; give metres"),
        (torch.full((20, 20), torch.nan), "holds no depth above zero"),
        (torch.full((20, 20), 0.1), r"A point 0\.1 m away would have a blur of -138 px, but 64 px is the most"),
    ],
)
def test_depth_that_will_not_do_is_refused(depth_m: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        blur_from_depth(depth_m, CAMERA)


def test_push_and_pull_keep_what_is_known_and_stay_within_it(rng: np.random.Generator) -> None:
    values = torch.from_numpy(rng.random((2, 37, 53))).float()
    known = torch.from_numpy(rng.random((37, 53)) < 0.1).float()
    filled = push_pull(values, known)
    assert torch.equal(filled * known, values * known)
    for channel, source in zip(filled, values, strict=True):
        seen = source[known == 1]
        assert float(channel.min()) >= float(seen.min()) - 1e-5 and float(channel.max()) <= float(seen.max()) + 1e-5
    lone = torch.zeros(37, 53)
    lone[3, 4] = 1
    assert torch.allclose(push_pull(values, lone), values[:, 3:4, 4:5].expand_as(values), atol=1e-6)
