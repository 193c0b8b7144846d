"""Batches: a function of recipe and step, shared fairly, true in geometry."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from dualpix.errors import DataError
from dualpix.simulation.samples import Simulated
from dualpix.simulation.store import Rendered
from dualpix.training import train
from dualpix.training.feed import Feed, Fixed, Mixed, Moving, pool_of, scenes_at, size_at
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe

Make = Callable[..., Recipe]
VIEWS = ("left", "right")
NAMES = (*VIEWS, "sharp")


class Numbered:
    """Endless scenes of one grey each, which tells their number: index / 1000; the left view is darker."""

    slow = False

    def __getitem__(self, index: int) -> dict:
        grey = torch.full((3, 48, 48), index / 1000)
        return {"left": grey / 2, "right": grey, "sharp": grey, "name": str(index)}


def numbers(batch: dict[str, torch.Tensor]) -> list[int]:
    return [round(float(crop[0, 0, 0]) * 1000) for crop in batch["sharp"]]


def textured(count: int = 3) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(count, 3, 3, 48, 48, generator=generator)
    return [dict(zip(NAMES, three, strict=True)) | {"name": str(n)} for n, three in enumerate(pictures)]


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_batch_is_what_a_network_takes(quick: Make) -> None:
    batch = Feed(Fixed(textured()), quick(batch=4), NAMES).batch(0)
    assert batch.keys() == {"left", "right", "sharp"}
    for pictures in batch.values():
        assert pictures.shape == (4, 3, 32, 32) and pictures.dtype == torch.float32
        assert pictures.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_depends_on_the_step_and_on_nothing_before(quick: Make) -> None:
    recipe = quick(batch=3)
    first, again = (Feed(Fixed(textured()), recipe, NAMES) for _ in range(2))
    batches = [first.batch(step) for step in range(5)]
    torch.manual_seed(1)
    assert equal(again.batch(4), batches[4]) and equal(again.batch(2), batches[2])
    assert not equal(batches[0], batches[1])
    assert not equal(Feed(Fixed(textured()), quick(batch=3, seed=1), NAMES).batch(0), batches[0])


@pytest.mark.parametrize("count", [2, 3, 6])
def test_several_processes_cut_what_one_would(quick: Make, count: int) -> None:
    recipe = quick(batch=6, negate_depth=True)
    whole = Feed(Fixed(textured()), recipe, NAMES).batch(7)
    shares = [Processes(rank, count).share for rank in range(count)]
    parts = [Feed(Fixed(textured()), recipe, NAMES, share).batch(7) for share in shares]
    assert equal({name: torch.cat([part[name] for part in parts]) for name in whole}, whole)


def test_the_last_steps_take_crops_of_their_own(quick: Make) -> None:
    plain = quick(batch=4, steps=10)
    grown = quick(batch=4, steps=10, final_steps=3, final_batch=2, final_crop=48)
    before, after = (Feed(Fixed(textured()), recipe, NAMES) for recipe in (plain, grown))
    assert [tuple(after.batch(step)["left"].shape) for step in (0, 6)] == [(4, 3, 32, 32)] * 2
    assert [tuple(after.batch(step)["sharp"].shape) for step in (7, 9, 10)] == [(2, 3, 48, 48)] * 3
    assert equal(before.batch(6), after.batch(6))
    parts = [Feed(Fixed(textured()), grown, NAMES, Processes(rank, 2).share).batch(8) for rank in range(2)]
    assert equal({name: torch.cat([part[name] for part in parts]) for name in parts[0]}, after.batch(8))
    assert size_at(quick(final_steps=10**6, final_crop=16), 0) == (2, 16), "the crop alone, from the first step"


def test_crops_are_spread_over_scenes_and_places(quick: Make) -> None:
    feed = Feed(Fixed(textured(3)), quick(batch=8), NAMES)
    corners = {tuple(crop[:, 0, 0].tolist()) for step in range(20) for crop in feed.batch(step)["sharp"]}
    assert len(corners) > 150
    feed = Feed(Fixed([Numbered()[number] for number in (10, 20, 30)]), quick(batch=8), NAMES)
    scenes = [number for step in range(60) for number in numbers(feed.batch(step))]
    assert {scenes.count(number) > 120 for number in (10, 20, 30)} == {True}, "of 480, each should have about 160"


def test_the_pool_moves_on(quick: Make) -> None:
    recipe = quick(batch=8, pool=5, fresh=0.5)
    source = Moving(Numbered(), recipe)
    feed = Feed(source, recipe, NAMES)
    assert [source.window(step) for step in (0, 1, 2, 100)] == [(0, 5), (0, 5), (1, 6), (50, 55)]
    assert {n for step in (0, 1) for n in numbers(feed.batch(step))} <= set(range(5))
    assert {n for step in (100, 101) for n in numbers(feed.batch(step))} <= set(range(50, 55))


def test_a_run_begins_without_waiting_for_its_pool(quick: Make, photos: Path, tmp_path: Path) -> None:
    recipe = quick(steps=1, batch=2, pool=1500)
    train(recipe, tmp_path / "run", photos=[photos])
    assert len(list((tmp_path / "scenes").rglob("*px-*/*.npy"))) == len(scenes_at(recipe, 0)) <= 2


@pytest.mark.parametrize("simulated", [0.0, 0.5])
def test_the_scenes_of_a_step_are_known_before_any_is_rendered(quick: Make, simulated: float) -> None:
    """So that other processes can render them in time."""
    recipe = quick(batch=8, pool=50, fresh=0.5, simulated=simulated, seed=3)
    moving, real = Moving(Numbered(), recipe), Fixed([Numbered()[999]])
    feed = Feed(Mixed(moving, real, simulated) if simulated else moving, recipe, NAMES)
    with closing(feed):
        for step in (0, 7, 40):
            drawn = [number for number in numbers(feed.batch(step)) if number != 999]
            assert scenes_at(recipe, step) == list(dict.fromkeys(drawn)) and drawn


def geometry(batch: dict[str, torch.Tensor]) -> list[int]:
    """x_right - x_left for each crop, by trying all shifts."""

    def mismatch(left: torch.Tensor, right: torch.Tensor, shift: int) -> float:
        return float((torch.roll(left, shift, -1) - right)[..., 6:-6].abs().mean())

    pairs = zip(batch["left"], batch["right"], strict=True)
    return [min(range(-5, 6), key=lambda shift: mismatch(left, right, shift)) for left, right in pairs]


@pytest.mark.parametrize(("negate", "expected"), [(False, {3}), (True, {3, -3})])
def test_mirrored_crops_keep_the_order_of_depths(quick: Make, negate: bool, expected: set[int]) -> None:
    """Content lies 3 px further right in the right view, whichever way a crop is turned; unless depth is negated."""
    scene = torch.rand(3, 48, 60, generator=torch.Generator().manual_seed(0))
    sample = {"left": scene[..., 3:-3], "right": scene[..., :-6], "sharp": scene[..., 3:-3], "name": "shifted"}
    recipe = quick(batch=8, negate_depth=negate)
    feed = Feed(Fixed([sample]), recipe, NAMES)
    crops = [feed.batch(step) for step in range(4)]
    assert {shift for batch in crops for shift in geometry(batch)} == expected
    upright = [crop for batch in crops for crop in batch["sharp"] if _is_window(crop, sample["sharp"])]
    assert 0 < len(upright) < 32, "some crops must have been mirrored, and some not"


def _is_window(crop: torch.Tensor, picture: torch.Tensor) -> bool:
    windows = picture.unfold(1, 32, 1).unfold(2, 32, 1)  # 3 rows columns 32 32
    return bool((windows == crop[:, None, None]).all(-1).all(-1).all(0).any())


def test_a_mirrored_crop_is_the_crop_of_a_mirrored_scene(quick: Make) -> None:
    """Every crop of a scene is, turned back by hand, a window of it: of both views and the sharp picture alike."""
    sample = textured(1)[0]
    batch = Feed(Fixed([sample]), quick(batch=16), NAMES).batch(0)
    turns = {(False, False): 0, (True, False): 0, (False, True): 0, (True, True): 0}
    for left, right, sharp in zip(batch["left"], batch["right"], batch["sharp"], strict=True):
        found = []
        for mirrored, over in turns:
            dims = [dim for dim, turned in ((-1, mirrored), (-2, over)) if turned]
            there = {"left": left, "right": right, "sharp": sharp}
            if mirrored:
                there |= {"left": right, "right": left}
            if all(_is_window(picture.flip(dims), sample[name]) for name, picture in there.items()):
                found.append((mirrored, over))
        assert len(found) == 1
        turns[found[0]] += 1
    assert min(turns.values()) > 0


def test_a_third_view_is_made_where_it_is_missing(quick: Make) -> None:
    views = ("left", "center", "right", "sharp")
    samples = textured(1)
    batch = Feed(Fixed(samples), quick(), views).batch(0)
    assert torch.equal(batch["center"], (batch["left"] + batch["right"]) / 2)
    given = [{**samples[0], "center": samples[0]["sharp"]}]
    batch = Feed(Fixed(given), quick(), views).batch(0)
    assert torch.equal(batch["center"], batch["sharp"])


def test_a_pair_without_a_sharp_picture_is_named(quick: Make) -> None:
    sample = {key: thing for key, thing in textured(1)[0].items() if key != "sharp"}
    with pytest.raises(DataError, match=r"'0' has no sharp picture to learn from"):
        Feed(Fixed([sample]), quick(), NAMES).batch(0)
    with pytest.raises(DataError, match=r"'0' has no blur_px to learn from"):
        Feed(Fixed([sample]), quick(), (*VIEWS, "blur_px")).batch(0)
    assert Feed(Fixed([sample]), quick(), VIEWS).batch(0).keys() == {"left", "right"}, "a sharp picture nobody wants"


def test_maps_are_cut_and_turned_with_the_pictures(quick: Make) -> None:
    """The map is the first colour of the sharp picture; mirroring keeps its sign, negated depth turns it."""
    samples = [sample | {"blur_px": sample["sharp"][:1]} for sample in textured()]
    names = (*NAMES, "blur_px")
    batch = Feed(Fixed(samples), quick(batch=16), names).batch(0)
    assert batch["blur_px"].shape == (16, 1, 32, 32) and torch.equal(batch["blur_px"], batch["sharp"][:, :1])
    batch = Feed(Fixed(samples), quick(batch=16, negate_depth=True), names).batch(0)
    signs = (batch["blur_px"] / batch["sharp"][:, :1]).mean((1, 2, 3)).round()
    assert set(signs.tolist()) == {1.0, -1.0}


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_simulated_scenes_are_mixed_with_real_pairs_by_their_share(quick: Make, share: float) -> None:
    """Numbers below 500 are simulated, of a pool that moves on; 900 is real."""
    recipe = quick(batch=8, pool=5, fresh=0.5)
    moving = Moving(Numbered(), recipe)
    source = Mixed(moving, Fixed([Numbered()[900]]), share)
    assert pool_of(source) is pool_of(moving) is moving and pool_of(source.real) is None
    with closing(Feed(source, recipe, NAMES)) as feed:
        found = [numbers(feed.batch(step)) for step in range(100)]
    simulated = [number for batch in found for number in batch if number < 500]
    assert len(simulated) / 800 == pytest.approx(share, abs=0.06)
    assert all(
        step // 2 <= number < step // 2 + 5 for step, batch in enumerate(found) for number in batch if number < 500
    )


def test_scenes_on_disk_and_scenes_rendered_now_are_the_same(quick: Make, tmp_path: Path) -> None:
    scenes = Simulated([], size=48, count=10, depth=8)
    recipe = quick(pool=2)
    fresh, kept = (Feed(Moving(Rendered(scenes, tmp_path), recipe), recipe, NAMES).batch(0) for _ in range(2))
    assert list(tmp_path.glob("*.npy")) and equal(fresh, kept)


def test_slow_pictures_are_read_ahead(quick: Make) -> None:
    """While a step is learnt from, those of the next are read; an error comes when its step does."""
    read: list[int] = []

    class Slow(Fixed):
        def draw(self, step: int, generator: torch.Generator) -> dict:
            read.append(step)
            if len(read) > 6:
                raise DataError("the disk is gone")
            return super().draw(step, generator)

    with closing(Feed(Slow(textured()), quick(batch=2), NAMES)) as feed:
        first = feed.batch(0)
        assert [len(crop.result()["sharp"]) for crop in feed.ordered[1]] == [3, 3] and len(read) == 4
        feed.batch(1)
        feed.batch(2)
        with pytest.raises(DataError, match="the disk is gone"):
            feed.batch(3)
    with closing(Feed(Fixed(textured()), quick(batch=2), NAMES)) as feed:
        assert equal(first, feed.batch(0))
