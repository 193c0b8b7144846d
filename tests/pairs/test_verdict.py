"""What two views are said to be, in numbers and in a few words."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

import dualpix
from dualpix.io import read_picture
from dualpix.pairs import check_pair, inspect_views
from dualpix.pairs.verdict import EITHER, GOOD, IN_FOCUS, UNKNOWN, VERDICTS
from dualpix.simulation.light import Light, draw_lens
from dualpix.simulation.render import Layer, render


def test_numbers_of_a_pair_whose_blur_is_known(defocused) -> None:
    """All of it behind the focus by 8 px of blur, which moves the two views 4 px apart."""
    left, right = defocused(8)
    found = inspect_views(left, right * 0.98)
    assert found.across.low_px <= found.across.middle_px <= found.across.high_px
    assert found.across.middle_px == pytest.approx(4, rel=0.25)
    assert abs(found.down.middle_px) < 0.2 and found.brightness_ratio == pytest.approx(0.98, abs=1e-4)
    assert found.behind > 20 and found.in_front == 0
    assert (found.order, found.verdict, found.odd) == ("left, right", GOOD, {})


def test_lengths_are_those_of_the_picture_and_not_of_its_reduction(defocused) -> None:
    left, right = (view.repeat_interleave(5, 1).repeat_interleave(5, 2) for view in defocused(3.0))
    found = inspect_views(left, right)
    assert found.matches.reduction == 2
    assert found.across.middle_px == pytest.approx(5 * 1.5, rel=0.25)


def test_each_kind_of_oddity_has_its_words(defocused) -> None:
    """Swapped, on its side, moved apart, one view twice, uneven, and another scene."""
    left, right = defocused(0, 6)
    noise = 0.01 * torch.randn(left.shape, generator=torch.Generator().manual_seed(0))
    cases = {
        "swapped": (right, left),
        "vertical": (left.transpose(1, 2), right.transpose(1, 2)),
        "misaligned": (left[:, 3:], right[:, :-3]),
        "still": (left, (left + noise).clamp(0, 1)),
        "brightness": (left, right * 0.38),
        "stereo": (left[:, :, 4:], left[:, :, :-4]),
        "strange": (left, defocused(0, 6, seed=1)[1]),
    }
    assert cases.keys() | {"upright"} == VERDICTS.keys()  # that one only after turning, see test_turning.py
    for kind, pair in cases.items():
        found = inspect_views(*pair)
        assert list(found.odd) == [kind] and found.verdict == VERDICTS[kind]
        assert check_pair(*pair) == list(found.odd.values())
        assert found.order == {"swapped": "swapped", "brightness": "left, right", "misaligned": "left, right"}.get(
            kind, "unknown"
        )


def test_the_worst_is_said_first(defocused) -> None:
    left, right = defocused(0, 6)
    found = inspect_views(right, left * 0.38)
    assert set(found.odd) == {"brightness", "swapped"} and found.verdict == VERDICTS["swapped"]


def test_as_much_in_front_as_behind_gives_no_order(defocused) -> None:
    found = inspect_views(*defocused(-6, 0, 6))
    assert found.behind > 5 and found.in_front > 5
    assert (found.order, found.verdict) == ("unknown", EITHER)


@pytest.mark.parametrize("size", [16, 63, 70])
def test_too_small_to_tell(defocused, size: int) -> None:
    found = inspect_views(*(view[:, :size, :size] for view in defocused(0, 6)))
    assert (found.order, found.verdict, found.odd) == ("unknown", UNKNOWN, {})
    assert (found.across is None) == (len(found.matches.across) == 0)


def bundled() -> tuple[torch.Tensor, torch.Tensor]:
    """The pair inside the package, 640 x 480: small enough that nothing is reduced, which would even out the noise; at
    a third of its contrast."""
    folder = Path(dualpix.__file__).parent / "demo_pair"
    return tuple(0.33 + 0.33 * read_picture(folder / f"{name}.png").pixels for name in ("left", "right"))


def noisy(view: torch.Tensor, sigma: float, seed: int) -> torch.Tensor:
    """With independent noise of `sigma` of 255 levels."""
    noise = torch.randn(view.shape, generator=torch.Generator().manual_seed(seed))
    return (view + sigma / 255 * noise).clamp(0, 1)


@pytest.mark.parametrize("sigma", [5, 12, 20, 30])
def test_noise_does_not_make_a_pair_look_strange(sigma: float) -> None:
    """20 is about ISO 25,600 of a full frame, unprocessed."""
    left, right = bundled()
    clean = inspect_views(left, right)
    found = inspect_views(noisy(left, sigma, 1), noisy(right, sigma, 2))
    assert found.odd == {} and found.order == clean.order == "left, right"
    assert found.matches.found >= 0.95 * found.matches.textured
    assert 0.1 * clean.matches.textured < found.matches.textured <= 1.05 * clean.matches.textured
    assert found.across.middle_px == pytest.approx(clean.across.middle_px, abs=0.5)


@pytest.mark.parametrize("sigma", [5, 12, 20, 30])
@pytest.mark.parametrize("kind", ["upside down", "mirrored", "shifted"])
def test_different_pictures_are_strange_under_noise_too(kind: str, sigma: float) -> None:
    left, right = bundled()
    other = {"upside down": right.flip(1), "mirrored": right.flip(2), "shifted": right.roll(100, 2)}[kind]
    assert "strange" in inspect_views(noisy(left, sigma, 1), noisy(other, sigma, 2)).odd


@pytest.mark.parametrize("sigma", [5, 12, 20])
def test_noise_hides_neither_swapped_views_nor_a_pair_on_its_side(sigma: float) -> None:
    left, right = (noisy(view, sigma, seed) for seed, view in enumerate(bundled()))
    assert list(inspect_views(right, left).odd) == ["swapped"]
    assert list(inspect_views(left.transpose(1, 2), right.transpose(1, 2)).odd) == ["vertical"]


@pytest.mark.parametrize("sigma", [20, 60])
def test_noise_alone_is_too_little_to_tell(sigma: float) -> None:
    found = inspect_views(*(noisy(torch.full((3, 480, 640), 0.4), sigma, seed) for seed in (1, 2)))
    assert found.verdict == UNKNOWN and found.odd == {} and found.matches.textured == 0


def coded(view: torch.Tensor, quality: int, sampling: int = 2) -> torch.Tensor:
    """A JPEG of it, by Pillow."""
    buffer = BytesIO()
    levels = (255 * view).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(levels).save(buffer, "JPEG", quality=quality, subsampling=sampling)
    return torch.from_numpy(np.asarray(Image.open(buffer)) / np.float32(255)).permute(2, 0, 1)


@pytest.mark.parametrize(("one", "other"), [(None, 80), (80, 95), (None, 60), (90, 60)])
def test_one_photograph_coded_twice_is_no_pair(one: int | None, other: int) -> None:
    """By content that coding hardly moves, whatever it does to each block."""
    left = read_picture(Path(dualpix.__file__).parent / "demo_pair" / "left.png").pixels
    first = left if one is None else coded(left, one, 0)
    for view in (first, first * 0.9):
        assert list(inspect_views(view, coded(left, other)).odd) == ["still"]


@pytest.mark.parametrize("quality", [60, 80])
def test_coding_makes_no_copy_of_a_pair(quality: int) -> None:
    left, right = bundled()
    assert inspect_views(coded(left, quality), coded(right, quality)).odd == {}


@pytest.mark.parametrize(
    ("across", "down", "kind"),
    [(2, 0, "stereo"), (5, 0, "stereo"), (-8, 0, "stereo"), (0, 4, "misaligned"), (4, 3, "misaligned")],
)
def test_a_sharp_picture_moved_evenly_is_no_pair(across: int, down: int, kind: str) -> None:
    sharp = read_picture(Path(dualpix.__file__).parent / "demo_pair" / "sharp.png").pixels
    moved = sharp.roll((down, across), (1, 2))
    assert list(inspect_views(sharp, moved).odd) == [kind]
    assert list(inspect_views(noisy(sharp, 10, 1), noisy(moved, 10, 2)).odd) == [kind]


@pytest.mark.parametrize("blur_px", [8, 12])
def test_blur_that_moves_all_of_it_evenly_is_a_pair(defocused, blur_px: float) -> None:
    """As far as the sharp picture above, but blurred as that takes."""
    assert inspect_views(*defocused(blur_px)).odd == {}


def test_noise_of_full_range_is_too_little_to_tell() -> None:
    dice = torch.Generator().manual_seed(0)
    assert inspect_views(*(torch.rand(3, 400, 500, generator=dice) for _ in "lr")).verdict == UNKNOWN


def test_everything_in_focus_stops_nothing() -> None:
    """Of one sharp view and the same with as little disparity as f/20 leaves, smoothly over the picture."""
    sharp = read_picture(Path(dualpix.__file__).parent / "demo_pair" / "sharp.png").pixels
    right = torch.lerp(sharp, sharp.roll(1, 2), 0.04)
    found = inspect_views(noisy(sharp, 2, 1), noisy(right, 2, 2))
    assert (found.odd, found.verdict) == ({}, IN_FOCUS)


def test_every_verdict_is_explained_on_a_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cameras.md").read_text()
    assert [
        verdict for verdict in (*VERDICTS.values(), GOOD, EITHER, IN_FOCUS, UNKNOWN) if f"| {verdict} |" not in page
    ] == []


def test_wide_blur_through_unlike_halves_is_a_pair_still() -> None:
    """Hardly any fine detail is common to the two kernels, so it is looked for at half the size; other scenes are
    refused there too."""
    lens = draw_lens(np.random.default_rng([7, 0, 1]), Light(one_sided=1.0))
    cells = np.random.default_rng(0).random((80, 80, 3), dtype=np.float32)
    pairs = []
    for turn in range(2):
        colour = torch.from_numpy(np.rot90(cells, turn).repeat(4, 0).repeat(4, 1).copy()).permute(2, 0, 1)
        plane = Layer(colour, torch.ones(320, 320), torch.full((320, 320), 9.0))
        pairs.append(render([plane], lens, 32).clamp(0, 1))
    for left, right in pairs:
        assert inspect_views(left, right).matches.reduction == 2
        assert inspect_views(left, right).odd == {}
    assert list(inspect_views(pairs[0][0], pairs[1][1]).odd) == ["strange"]


def test_larger_blocks_see_what_lies_beyond_the_reach_of_others() -> None:
    """Half of the picture 6 px apart, the other half, of coarse detail alone, 24 px, twice as far as blocks look."""
    drawn = torch.Generator().manual_seed(0)

    def texture(px: int) -> torch.Tensor:
        small = torch.rand(1, 3, 576 // px, 448 // px, generator=drawn)
        return functional.interpolate(small, (576, 448), mode="bicubic", align_corners=False)[0].clamp(0, 1)

    fine, coarse = texture(6), texture(32)
    views = [torch.cat([fine[..., a : a + 400], coarse[..., b : b + 400]], 2) for a, b in ((6, 24), (0, 0))]
    found = inspect_views(*views).matches
    assert found.reduction == 1 and found.across.abs().max() < 12
    assert found.farther_px == found.widest_px == pytest.approx(24, rel=0.1)
    near = inspect_views(fine[..., 4:], fine[..., :-4]).matches
    assert near.farther_px == 0 and near.widest_px == pytest.approx(4, rel=0.1)
