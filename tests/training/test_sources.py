"""What is learnt from and what is tried on: simulated or real, never the same."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode

from dualpix.datasets import Folder
from dualpix.errors import DataError, RecipeError
from dualpix.evaluation import blurred, score, scoring
from dualpix.evaluation.results import Scores
from dualpix.io import write_picture
from dualpix.networks.spec import NetworkSpec
from dualpix.simulation.photos import read_photos
from dualpix.simulation.samples import Simulated
from dualpix.training import sources, train
from dualpix.training.feed import Feed
from dualpix.training.recipes import Recipe
from dualpix.training.sources import open_sources
from dualpix.weights import checkpoint

Make = Callable[..., Recipe]
SIDE = 48


class Echo(torch.nn.Module):
    """Returns the left view, and remembers what it was shown."""

    spec = NetworkSpec(("left", "right"), receptive_radius_px=0)

    def __init__(self) -> None:
        super().__init__()
        self.only = torch.nn.Parameter(torch.zeros(1))
        self.shown: list[float] = []

    def __deepcopy__(self, memo: dict) -> "Echo":
        return self

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if left.shape[-2] == SIDE:
            self.shown.append(round(float(left.mean()) * 255))
        return left + 0 * self.only


def write_scenes(root: Path, values: list[int], split: str = "") -> Path:
    """Scenes of one grey each, in a plain folder or as a split of DPDD: the left view has `value`, the right one more,
    the sharp picture two more."""
    places = {"left": "left", "right": "right", "sharp": "sharp"}
    if split:
        places = {"left": f"{split}_l/source", "right": f"{split}_r/source", "sharp": f"{split}_c/target"}
    for more, place in enumerate(places.values()):
        (root / place).mkdir(parents=True, exist_ok=True)
        for value in values:
            pixels = np.full((SIDE, SIDE, 3), value + more, dtype=np.uint8)
            pixels[::2] += 1  # a constant picture looks to the checks as if a view were missing
            pixels[::2, ::2] -= 1
            Image.fromarray(pixels).save(root / place / f"{value:03d}.png")
    return root


def learnt(source: object, recipe: Recipe) -> set[int]:
    with closing(Feed(source, recipe, ("left", "right", "sharp"))) as feed:
        return {round(float(crop.mean()) * 255) - 2 for step in range(40) for crop in feed.batch(step)["sharp"]}


def tried(validator: Callable) -> set[int]:
    echo = Echo()
    validator(echo)
    return set(echo.shown)


def test_a_tenth_of_the_photographs_is_held_out(quick: Make, photos: Path, tmp_path: Path) -> None:
    everything = read_photos([photos])
    source, _ = open_sources(quick(), tmp_path, [photos])
    used = source.scenes.simulated.photos
    assert len(used) == 11 and all(torch.equal(a, b) for a, b in zip(used, everything, strict=False))
    given, _ = open_sources(quick(), tmp_path, [photos], validation=[photos])
    assert len(given.scenes.simulated.photos) == 12


def test_the_trial_shows_the_photographs_held_out(
    quick: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by colour: the photographs held out are blue, the others red; patterns without photographs aside."""
    for number, path in enumerate(sorted(photos.iterdir())):
        colour = (10, 10, 200) if number == 11 else (200, 10, 10)
        Image.new("RGB", (80, 72), colour).save(path)
    monkeypatch.setattr(sources, "VALIDATION_PICTURES", 24)
    kept: list[dict] = []

    def keep(network: object, samples: object, protocol: str, device: object) -> object:
        kept.extend(samples[index] for index in range(len(samples)))
        raise DataError("enough")

    monkeypatch.setattr(sources, "score", keep)
    source, validator = open_sources(quick(), tmp_path, [photos])
    with pytest.raises(DataError, match="enough"):
        validator(Echo())
    trained = [source.scenes[index] for index in range(24)]

    def tints(samples: list[dict]) -> tuple[int, int]:
        """How many pictures show pure red, and how many pure blue, somewhere."""
        red, blue = ([(x[c] - x[1] > 0.4) & (x[c] - x[2 - c] > 0.4) for x in (s["sharp"] for s in samples)]
                     for c in (0, 2))  # fmt: skip
        return sum(bool(m.float().mean() > 0.3) for m in red), sum(bool(m.float().mean() > 0.3) for m in blue)

    assert len(kept) == len(trained) == 24
    (red_trained, blue_trained), (red_tried, blue_tried) = tints(trained), tints(kept)
    assert red_trained > 5 and blue_tried > 5
    assert blue_trained <= red_trained / 3 and red_tried <= blue_tried / 3


def test_a_single_photograph_has_to_do_for_both(quick: Make, photos: Path, tmp_path: Path) -> None:
    for path in sorted(photos.iterdir())[1:]:
        path.unlink()
    source, _ = open_sources(quick(), tmp_path, [photos])
    assert len(source.scenes.simulated.photos) == 1


def test_scenes_of_other_settings_have_another_place(quick: Make, photos: Path, tmp_path: Path) -> None:
    recipes = [quick(), quick(seed=1), quick(compressed=0.0), quick(far_px=(1.0, 2.0)), quick(sharp_aperture=0.2)]
    recipes += [quick(codecs=("jpeg",)), quick(shade=1.0)]
    places = [open_sources(recipe, tmp_path, [photos])[0].scenes.folder for recipe in recipes]
    assert len(set(places)) == len(places)
    assert open_sources(quick(learning_rate=1.0), tmp_path, [photos])[0].scenes.folder == places[0]
    fewer = open_sources(quick(), tmp_path, [photos], validation=[photos])[0].scenes.folder
    assert fewer != places[0], "other photographs, other scenes"


def test_the_last_tenth_of_plain_pairs_is_held_out(quick: Make, tmp_path: Path) -> None:
    values = list(range(10, 130, 10))
    source, validator = open_sources(quick(), tmp_path, data=write_scenes(tmp_path / "pairs", values))
    assert learnt(source, quick(batch=8)) == set(values[:-1])
    assert tried(validator) == {120}


def test_pairs_can_be_validated_on_others(quick: Make, tmp_path: Path) -> None:
    data, others = write_scenes(tmp_path / "a", [10, 20]), write_scenes(tmp_path / "b", [50, 60])
    source, validator = open_sources(quick(), tmp_path, data=data, validation=[others])
    assert learnt(source, quick()) == {10, 20} and tried(validator) == {50, 60}
    with pytest.raises(DataError, match="validated on one other; 2 were given"):
        open_sources(quick(), tmp_path, data=data, validation=[others, others])


def test_of_dpdd_the_right_splits_are_taken(quick: Make, tmp_path: Path) -> None:
    root = tmp_path / "DPDD"
    for split, values in (("train", [10, 20]), ("val", [50]), ("test", [90])):
        write_scenes(root, values, split)
    source, validator = open_sources(quick(), tmp_path, data=root)
    assert learnt(source, quick()) == {10, 20} and tried(validator) == {50}


def test_without_a_validation_split_the_test_split_is_left_alone(quick: Make, tmp_path: Path) -> None:
    root = tmp_path / "DPDD"
    write_scenes(root, [10, 20, 30], "train")
    write_scenes(root, [90], "test")
    source, validator = open_sources(quick(), tmp_path, data=root)
    assert learnt(source, quick(batch=8)) == {10, 20} and tried(validator) == {30}


def test_a_folder_of_one_split_is_divided(quick: Make, tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "one", [10, 20, 30])
    for before, after in (("left", "inputL"), ("right", "inputR"), ("sharp", "target")):
        (root / before).rename(root / after)
    source, validator = open_sources(quick(), tmp_path, data=root)
    assert learnt(source, quick(batch=8)) == {10, 20} and tried(validator) == {30}


def test_a_large_set_is_tried_in_part(quick: Make, tmp_path: Path, few_validated: int) -> None:
    values = list(range(10, 130, 10))
    others = write_scenes(tmp_path / "b", values)
    _, validator = open_sources(quick(), tmp_path, data=write_scenes(tmp_path / "a", [10, 20]), validation=[others])
    shown = tried(validator)
    assert len(shown) == few_validated and min(shown) == 10 and max(shown) > 80


def test_a_trial_scores_the_network_it_is_given(quick: Make, tmp_path: Path) -> None:
    """The sharp picture is two levels brighter than the left view: mean squared error (2/255)^2, in all pixels."""
    _, validator = open_sources(quick(), tmp_path, data=write_scenes(tmp_path / "a", [10, 20]))
    assert validator(Echo())["psnr"] == pytest.approx(20 * np.log10(255 / 2), abs=1e-3)


def test_a_trial_that_fails_says_why(quick: Make, tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "a", [10, 20])
    _, validator = open_sources(quick(), tmp_path, data=data)
    (data / "left" / "020.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"No picture could be validated on: .*020"):
        validator(Echo())


def test_neither_and_both_are_refused(quick: Make, photos: Path, tmp_path: Path) -> None:
    for given in ({}, {"photos": [photos], "data": photos}):
        with pytest.raises(DataError, match="give one of the two"):
            open_sources(quick(), tmp_path, **given)


def test_simulated_pairs_are_added_to_real_ones_if_the_recipe_says_so(
    quick: Make, photos: Path, tmp_path: Path
) -> None:
    recipe, data = quick(simulated=0.5), write_scenes(tmp_path / "a", [10, 20, 30])
    for given in ({"photos": [photos]}, {"data": data}):
        with pytest.raises(DataError, match=r"simulated=0.5\); give both"):
            open_sources(recipe, tmp_path, **given)
    source, validator = open_sources(recipe, tmp_path, [photos], data)
    assert len(source.simulated.scenes.simulated.photos) == 12 and source.share == 0.5
    assert learnt(source.real, quick(batch=8)) == {10, 20} and tried(validator) == {30}


def test_a_store_keeps_what_is_wanted_and_no_more(quick: Make, photos: Path, tmp_path: Path) -> None:
    names = ("center", "sharp", "blur_px")
    plain, whole = (open_sources(quick(), tmp_path, [photos], names=of)[0].scenes for of in (("left", "sharp"), names))
    assert plain.more == () and whole.more == ("center", "blur_px") and plain.folder != whole.folder
    kept, wanted = whole[0], whole.simulated[0]
    assert torch.equal(kept["center"], wanted["center"])
    torch.testing.assert_close(kept["blur_px"], wanted["blur_px"], rtol=1e-3, atol=1e-6)


class Guess(Echo):
    """Says that all of the picture is blurred by 3 px."""

    spec = NetworkSpec(("center",), receptive_radius_px=0)

    def forward(self, center: torch.Tensor) -> torch.Tensor:
        return torch.full_like(center[:, :1], 3.0)


def test_a_network_that_maps_the_blur_is_tried_by_its_error(
    quick: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = quick(network="dmenet", arguments={})
    blurs: list[torch.Tensor] = []
    look_up = Simulated.__getitem__

    def note(self: object, index: int) -> dict:
        blurs.append(look_up(self, index)["blur_px"])
        return look_up(self, index)

    monkeypatch.setattr(Simulated, "__getitem__", note)
    _, validator = open_sources(recipe, tmp_path, [photos])
    scores = validator(Guess())
    expected = np.mean([np.abs(3 - np.abs(blur.numpy())).mean() for blur in blurs])
    assert len(blurs) == 3 and scores == {"blur_mae_px": pytest.approx(expected, rel=1e-5)}
    assert sources.score_of({"blur_mae_px": 1.0}) > sources.score_of({"blur_mae_px": 2.0})
    assert sources.score_of({"psnr": 2.0}) > sources.score_of({"psnr": 1.0})
    _, validator = open_sources(recipe, tmp_path, data=write_scenes(tmp_path / "a", [10, 20]))
    with pytest.raises(DataError, match="has no blur_px"):
        validator(Guess())


class Mean(Echo):
    """The blurry input."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return (left + right) / 2 + 0 * self.only


def by_heart(quick: Make, steps: int = 160, **changes: object) -> Recipe:
    return quick(steps=steps, batch=4, learning_rate=1e-2, warmup_steps=10, decay_steps=60, grad_clip=1.0, **changes)


def test_real_pairs_are_learnt_by_heart(quick: Make, photos: Path, tmp_path: Path) -> None:
    """Two pairs, blurred by hand: the loss falls, and the result beats the blurry input by far on these very pairs."""
    data = tmp_path / "pairs"
    for number, path in enumerate(sorted(photos.iterdir())[:2]):
        sharp = np.asarray(Image.open(path).convert("RGB").crop((0, 0, 64, 64)), dtype=np.float32)
        blurred = np.mean([np.roll(sharp, shift, 1) for shift in range(-2, 3)], 0)
        views = {"left": np.roll(blurred, -1, 1), "right": np.roll(blurred, 1, 1), "sharp": sharp}
        for name, picture in views.items():
            (data / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.round().astype(np.uint8)).save(data / name / f"{number}.png")
    told: list[dict] = []
    train(by_heart(quick), tmp_path / "run", data=data, validation=[data], report=told.append)
    losses = [line["loss"] for line in told if "loss" in line]
    assert losses[-1] < 0.7 * losses[0]
    _, validator = open_sources(quick(), tmp_path, data=data, validation=[data])
    assert told[-1]["validation"]["psnr"] > validator(Mean())["psnr"] + 2.5


@pytest.mark.slow  # by default real pairs are learnt, through the same loop
def test_simulated_scenes_are_learnt_by_heart(quick: Make, photos: Path, tmp_path: Path) -> None:
    """Two scenes with blur to take away, which not every seed's are."""
    recipe = by_heart(quick, pool=2, compressed=0.0, seed=6)
    told: list[dict] = []
    weights = train(recipe, tmp_path / "run", photos=[photos], report=told.append)
    losses = [line["loss"] for line in told if "loss" in line]
    source, _ = open_sources(recipe, tmp_path / "scenes", [photos])
    scenes = [source.scenes[0], source.scenes[1]]
    gained = [score(network, scenes).mean()["psnr"] for network in (checkpoint.load(weights).network, Mean())]
    assert losses[-1] < 0.8 * losses[0] and gained[0] > gained[1] + 1


def test_light_and_layout_take_their_records_fields_only(quick: Make, photos: Path, tmp_path: Path) -> None:
    scenes = open_sources(quick(light={"rho": [0.2, 0.3]}, layout={"rough": 1}), tmp_path, [photos])[0].scenes.simulated
    assert scenes.light.rho == (0.2, 0.3) and scenes.layout.rough == 1
    for wrong in ({"roh": 0.2}, {"rho": 0.2}, {"rho": [0.2]}, {"one_sided": "half"}, {"one_sided": float("nan")}):
        with pytest.raises(RecipeError, match=r"light=.* because of .*one_sided, rho"):
            open_sources(quick(light=wrong), tmp_path, [photos])
    with pytest.raises(RecipeError, match=r"layout=.* because of rugged.*rough"):
        open_sources(quick(layout={"rugged": 0.5}), tmp_path, [photos])


def test_maps_of_depth_that_are_not_there_are_told(quick: Make, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        open_sources(quick(), tmp_path, [photos], depths=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=rf"no map of depth.*{photos.name}.NAME.png"):
        open_sources(quick(), tmp_path, [photos], depths=tmp_path / "empty")


def test_maps_of_depth_come_with_the_photographs(quick: Make, photos: Path, tmp_path: Path) -> None:
    maps = tmp_path / "depths" / photos.name
    first = sorted(photos.iterdir())[0]
    maps.mkdir(parents=True)
    write_picture(maps / f"{first.stem}.png", torch.linspace(0, 1, 24)[:, None].expand(3, 24, 32), 8)
    source = open_sources(quick(layout={"landscapes": 1.0}), tmp_path, [photos], depths=tmp_path / "depths")[0]
    planes = [len(photo) for photo in source.scenes.simulated.photos]
    assert planes.count(4) == 1 and set(planes) == {3, 4}
    depth = source.scenes.simulated.photos[planes.index(4)][3].float()
    assert float(depth[-4:].mean() - depth[:4].mean()) > 150
    assert source.scenes.simulated[0]["left"].shape[0] == 3


def test_pictures_are_compared_where_a_gpu_has_made_them(
    quick: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks without values, one on a GPU that is not there; what else there is may have no float64."""
    seen, nothing = list[str](), Scores("dpdd-8bit", failures={"one": "it is gone."})
    monkeypatch.setattr(sources, "score", lambda *given, device: seen.append(device.type) or nothing)
    _, validator = open_sources(quick(), tmp_path, data=write_scenes(tmp_path / "a", [10, 20]))
    with FakeTensorMode():
        weights = [torch.empty(2, device=device) for device in ("cpu", "cuda", "meta")]
    for own in weights:
        with pytest.raises(DataError, match="it is gone"):
            validator(torch.nn.ParameterList([own]))
    assert seen == ["cpu", "cuda", "cpu"]


def test_a_device_is_where_pictures_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    compared = Folder(write_scenes(tmp_path / "a", [10, 20]))
    monkeypatch.setattr(scoring, "measure", lambda x, y, *more: seen.append((x.device.type, y.device.type)) or {})
    score(blurred, compared, device="meta")
    assert seen[1:] == [("meta", "meta")] * 2, "the first tries the protocol"
