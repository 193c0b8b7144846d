"""The pair is made by hand: a textured scene whose content lies `D` pixels further right in the right view."""

import pytest
import torch

from dualpix.errors import DataError
from dualpix.pairs.flips import augment, exchange_views, flip_vertical, mirror, random_crop
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, margin_px, render

D = 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def sample() -> dict:
    scene = torch.rand(3, 40, 60, generator=seeded())
    return {
        "left": scene[..., D:-D],
        "right": scene[..., : -2 * D],
        "center": scene[..., D:-D],
        "sharp": scene[..., D:-D],
        "blur_px": torch.linspace(1, 9, 40 * 54).view(1, 40, 54),
        "name": "made by hand",
    }


def disparity(sample: dict) -> int:
    """x_right - x_left of the best match, by trying all shifts: independent of how the package sees it."""
    left, right = sample["left"], sample["right"]
    inner = slice(8, -8)

    def mismatch(shift: int) -> float:
        return float((torch.roll(left, shift, dims=-1) - right)[..., inner].abs().mean())

    return min(range(-7, 8), key=mismatch)


def test_the_hand_made_pair_is_what_it_says(sample: dict) -> None:
    assert disparity(sample) == D
    assert disparity({"left": sample["left"].flip(-1), "right": sample["right"].flip(-1)}) == -D


def test_a_mirror_keeps_the_disparity(sample: dict) -> None:
    mirrored = mirror(sample)
    assert disparity(mirrored) == D
    assert torch.equal(mirrored["left"], sample["right"].flip(-1))
    assert torch.equal(mirrored["sharp"], sample["sharp"].flip(-1))
    assert torch.equal(mirrored["blur_px"], sample["blur_px"].flip(-1))


def test_turning_over_keeps_the_disparity(sample: dict) -> None:
    turned = flip_vertical(sample)
    assert disparity(turned) == D
    assert torch.equal(turned["left"], sample["left"].flip(-2))
    assert torch.equal(turned["blur_px"], sample["blur_px"].flip(-2))


def test_exchanging_the_views_negates_depth(sample: dict) -> None:
    exchanged = exchange_views(sample)
    assert disparity(exchanged) == -D
    assert torch.equal(exchanged["blur_px"], -sample["blur_px"])
    assert torch.equal(exchanged["sharp"], sample["sharp"])


@pytest.mark.parametrize("turn", [mirror, flip_vertical, exchange_views])
def test_twice_is_not_at_all(sample: dict, turn) -> None:
    before = {key: sample[key].clone() for key in ("left", "right", "sharp", "blur_px")}
    twice = turn(turn(sample))
    for key, picture in before.items():
        assert torch.equal(twice[key], picture)
        assert torch.equal(sample[key], picture), "the sample given was changed"
    assert twice["name"] == "made by hand"


def test_a_crop_is_the_same_window_everywhere(sample: dict) -> None:
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(54.0), indexing="ij")
    place = torch.stack([rows, columns, rows * columns])
    crop = random_crop({**sample, "left": place, "right": place, "center": place, "sharp": place}, 16, seeded())
    for key in ("right", "center", "sharp"):
        assert torch.equal(crop[key], crop["left"])
    top, left = int(crop["left"][0, 0, 0]), int(crop["left"][1, 0, 0])
    assert torch.equal(crop["left"], place[:, top : top + 16, left : left + 16])
    assert torch.equal(crop["blur_px"], sample["blur_px"][:, top : top + 16, left : left + 16])
    assert crop["left"].untyped_storage().nbytes() == 3 * 16 * 16 * 4


def test_crops_reach_every_border(sample: dict) -> None:
    place = torch.arange(40.0).view(1, 40, 1) * 100 + torch.arange(54.0)
    generator = seeded()
    corners = [random_crop({"left": place, "right": place}, 38, generator)["left"][0, 0, 0] for _ in range(200)]
    assert {int(corner) // 100 for corner in corners} == {0, 1, 2}
    assert {int(corner) % 100 for corner in corners} == set(range(17))


def test_a_crop_may_be_the_whole_height_but_no_more(sample: dict) -> None:
    assert random_crop(sample, 40, seeded())["left"].shape == (3, 40, 40)
    with pytest.raises(DataError, match="41 x 41 does not fit into 'made by hand', which is 54 x 40"):
        random_crop(sample, 41, seeded())


@pytest.mark.parametrize(("negate_depth", "seen"), [(False, {D}), (True, {D, -D})])
def test_augment_draws_every_turn_and_keeps_the_sign_of_defocus(sample: dict, negate_depth: bool, seen: set) -> None:
    generator = seeded(1)
    outcomes = [augment(sample, 40, generator, negate_depth=negate_depth) for _ in range(40)]
    assert {disparity(outcome) for outcome in outcomes} == seen
    for outcome in outcomes:
        assert (disparity(outcome) > 0) == (float(outcome["blur_px"].mean()) > 0)
    corners = [outcome["blur_px"].abs()[0, (0, 0, -1, -1), (0, -1, 0, -1)].argmin().item() for outcome in outcomes]
    assert set(corners) == {0, 1, 2, 3}, "the corner that was the top left one went to each of the four"


def test_one_seed_gives_one_augmentation(sample: dict) -> None:
    first, second, other = (augment(sample, 24, seeded(seed), negate_depth=True) for seed in (5, 5, 6))
    assert torch.equal(first["left"], second["left"]) and torch.equal(first["blur_px"], second["blur_px"])
    assert not torch.equal(first["left"], other["left"])


def scene() -> list[Layer]:
    """A slanted background behind the focal plane, and off its centre a disc in front of it."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    disc = ((rows - 25).hypot(columns - 50) < 12).float()
    textures = torch.rand(2, 3, 64, 80, generator=seeded())
    return [
        Layer(textures[0], torch.ones(64, 80), 2 + columns / 30 + rows / 60),
        Layer(textures[1], disc, torch.full((64, 80), -3.0)),
    ]


def photograph(layers: list[Layer]) -> dict:
    lens = Lens()
    left, right = render(layers, lens, margin_px(lens, layers))
    return {"left": left, "right": right}


@pytest.mark.parametrize(("turn", "axis"), [(mirror, -1), (flip_vertical, -2)])
def test_a_mirrored_photograph_is_one_of_the_mirrored_scene(turn, axis: int) -> None:
    mirrored_scene = [
        Layer(layer.colour.flip(axis), layer.alpha.flip(axis), layer.blur_px.flip(axis)) for layer in scene()
    ]
    turned, truth = turn(photograph(scene())), photograph(mirrored_scene)
    for view in ("left", "right"):
        torch.testing.assert_close(turned[view], truth[view], atol=1e-4, rtol=0)
    assert float((truth["left"] - truth["right"]).abs().mean()) > 0.02, "views as alike as these would hide an error"


def test_exchanged_views_are_a_photograph_of_negated_depth() -> None:
    plane = [scene()[0]]
    exchanged = exchange_views(photograph(plane))
    truth = photograph([Layer(plane[0].colour, plane[0].alpha, -plane[0].blur_px)])
    for view in ("left", "right"):
        torch.testing.assert_close(exchanged[view], truth[view], atol=1e-4, rtol=0)


def test_without_mirrors_a_crop_is_the_same_crop_as_it_was(sample: dict) -> None:
    for seed in range(8):
        found = augment(sample, 16, seeded(seed), mirrors=False)
        wanted = random_crop(sample, 16, seeded(seed))
        assert all(torch.equal(found[name], wanted[name]) for name in ("left", "right", "sharp", "blur_px"))
