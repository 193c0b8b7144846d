import csv
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

from dualpix.datasets import Folder, Sample
from dualpix.errors import CheckpointError, DataError, RecipeError
from dualpix.evaluation import blurred, evaluate, predict, score
from dualpix.inference.deblur import deblur_pair
from dualpix.io import read_picture
from dualpix.networks import NETWORKS
from dualpix.networks.spec import NetworkSpec
from dualpix.weights import checkpoint

Command = Callable[..., tuple[int, str, str]]

NAMES = ["alley", "bridge", "cafe"]
HEIGHT, WIDTH = 44, 70


class Tiny(nn.Module):
    """The mean of the views, sharpened by one convolution."""

    spec = NetworkSpec(("left", "right"), size_multiple=4, receptive_radius_px=1)

    def __init__(self, strength: float = 0.08) -> None:
        super().__init__()
        self.sharpen = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
        kernel = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]]) * strength
        kernel[1, 1] += 1
        self.sharpen.weight = nn.Parameter(kernel.expand(3, 1, 3, 3).clone())

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        sharpened: Tensor = self.sharpen((left + right) / 2)
        return sharpened


def save(path: Path, picture: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pairs with their sharp pictures, blurred along rows to opposite sides."""
    generator = torch.Generator().manual_seed(1)
    for name in NAMES:
        coarse = torch.rand(1, 3, HEIGHT // 4, WIDTH // 4 + 2, generator=generator)
        sharp = nn.functional.interpolate(coarse, size=(HEIGHT + 2, WIDTH + 4), mode="bilinear")[0]
        sharp = sharp + 0.05 * (torch.rand(sharp.shape, generator=generator) - 0.5)
        sharp = sharp.clamp(0, 1)
        blurry = nn.functional.avg_pool2d(sharp[None], 3, 1)[0]  # 3 H W+2
        save(tmp_path / "pairs" / "sharp" / f"{name}.png", sharp[:, 1:-1, 2:-2])
        save(tmp_path / "pairs" / "left" / f"{name}.png", blurry[:, :, 2:])
        save(tmp_path / "pairs" / "right" / f"{name}.png", blurry[:, :, :-2])
    return tmp_path / "pairs"


def as_array(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), dtype=np.float64) / 255


# predict


def test_predict_writes_what_deblur_gives(root: Path, tmp_path: Path) -> None:
    data, network, seen = Folder(root), Tiny(), []
    made = predict(data, network, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert sorted(path.name for path in made.folder.iterdir()) == [f"{name}.png" for name in NAMES]
    assert list(made.seconds) == NAMES and made.failures == {} and min(made.seconds.values()) > 0
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for sample in data:
        picture = read_picture(made.folder / f"{sample['name']}.png")
        assert picture.depth == 16
        expected = deblur_pair(sample, network).picture
        torch.testing.assert_close(picture.pixels, expected, rtol=0, atol=0.6 / 65535)


def test_predict_goes_on_after_a_failure_and_says_what_failed(root: Path, tmp_path: Path) -> None:
    (root / "right" / "alley.png").write_bytes(b"not a picture")

    def method(sample: Sample) -> Tensor:
        if sample["name"] == "bridge":
            raise RuntimeError("out of\nluck")
        return blurred(sample)

    made = predict(Folder(root), method, tmp_path / "out")
    assert list(made.seconds) == ["cafe"]
    assert [path.name for path in made.folder.iterdir()] == ["cafe.png"]
    assert "alley.png" in made.failures["sample 1"]
    assert made.failures["bridge"] == "RuntimeError: out of luck"


def test_predict_refuses_pictures_that_cannot_be_right(root: Path, tmp_path: Path) -> None:
    wrong = {
        "alley": lambda picture: picture[:, :-1],
        "bridge": lambda picture: picture / 0,
        "cafe": lambda picture: picture[0],
    }
    made = predict(Folder(root), lambda sample: wrong[sample["name"]](blurred(sample)), tmp_path / "out")
    assert list(made.failures) == NAMES and made.seconds == {} and list(made.folder.iterdir()) == []
    assert f"{WIDTH} x {HEIGHT - 1}" in made.failures["alley"] and "NaN" in made.failures["bridge"]


def test_predict_overwrites_only_when_told(root: Path, tmp_path: Path) -> None:
    data = Folder(root)
    predict(data, blurred, tmp_path / "out", depth=8)
    again = predict(data, Tiny(), tmp_path / "out")
    assert list(again.failures) == NAMES and all("exists" in why for why in again.failures.values())
    assert read_picture(tmp_path / "out" / "alley.png").depth == 8
    assert predict(data, Tiny(), tmp_path / "out", overwrite=True).failures == {}
    assert read_picture(tmp_path / "out" / "alley.png").depth == 16
    # An old picture must not pass for the one that could not be made.
    predict(data, lambda sample: 1 / 0, tmp_path / "out", overwrite=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupt_is_not_taken_for_a_failure(root: Path, tmp_path: Path) -> None:
    def method(sample: Sample) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(Folder(root), method, tmp_path / "out")


# score


def test_scores_of_a_foreign_folder_equal_scikit_image(root: Path, tmp_path: Path) -> None:
    for number, sample in enumerate(Folder(root)):
        save(tmp_path / "other" / f"{sample['name']}_other.png", (sample["sharp"] * 0.9 + 0.02 * number).clamp(0, 1))
    scores = score(tmp_path / "other", Folder(root), "dpdd-8bit")
    assert scores.protocol == "dpdd-8bit" and scores.failures == {} and list(scores.pictures) == NAMES
    for name, found in scores.pictures.items():
        output = as_array(tmp_path / "other" / f"{name}_other.png")
        target = as_array(root / "sharp" / f"{name}.png")
        expected = structural_similarity(output, target, channel_axis=2, data_range=1.0)
        assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(target, output, data_range=1.0), abs=1e-6)
        assert found["ssim"] == pytest.approx(expected, abs=1e-6)
        assert found["mae"] == pytest.approx(np.abs(output - target).mean(), abs=1e-6)
    assert scores.mean()["psnr"] == pytest.approx(np.mean([found["psnr"] for found in scores.pictures.values()]))


def test_a_method_is_scored_without_files(root: Path, tmp_path: Path) -> None:
    data, network = Folder(root), Tiny()
    predict(data, network, tmp_path / "out")
    from_files = score(tmp_path / "out", data)
    for method in (network, partial(deblur_pair, weights=network)):
        found = score(method, data)
        assert list(found.pictures) == NAMES
        assert found.mean() == pytest.approx(from_files.mean(), abs=1e-4)
    assert from_files.mean()["psnr"] > score(blurred, data).mean()["psnr"]


def test_missing_broken_and_misfit_pictures_are_listed_and_the_rest_is_scored(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(Folder(root), blurred, out)
    (out / "alley.png").unlink()
    save(out / "bridge.png", torch.zeros(3, HEIGHT + 1, WIDTH))
    scores = score(out, Folder(root))
    assert list(scores.pictures) == ["cafe"]
    assert "no picture called alley" in scores.failures["alley"]
    assert f"{WIDTH} x {HEIGHT + 1} x 3" in scores.failures["bridge"]


def test_a_picture_meant_for_another_sample_is_not_scored_twice(root: Path, tmp_path: Path) -> None:
    for folder in ("left", "right", "sharp"):
        (root / folder / "bridge.png").rename(root / folder / "alley_2.png")
    predict(Folder(root), blurred, tmp_path / "out")
    (tmp_path / "out" / "alley.png").unlink()
    scores = score(tmp_path / "out", Folder(root))
    assert list(scores.pictures) == ["alley_2", "cafe"]
    assert "alley_2.png is that of alley_2" in scores.failures["alley"]


def test_samples_without_a_sharp_picture_are_left_out(root: Path) -> None:
    (root / "sharp" / "bridge.png").unlink()
    scores = score(blurred, Folder(root))
    assert list(scores.pictures) == ["alley", "cafe"] and scores.failures == {}
    for name in ("alley", "cafe"):
        (root / "sharp" / f"{name}.png").unlink()
    with pytest.raises(DataError, match="nothing to score"):
        score(blurred, Folder(root))


def test_wrong_names_are_refused_at_once(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="protocol"):
        score(blurred, Folder(root), "dpdd")
    with pytest.raises(RecipeError, match="metric"):
        score(blurred, Folder(root), extra=["vmaf"])
    with pytest.raises(DataError, match="does not exist"):
        score(tmp_path / "none", Folder(root))


# evaluate


def test_evaluate_compares_every_kind_of_method(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "tiny", Tiny)
    weights = checkpoint.save(tmp_path / "best.safetensors", Tiny(0.08), "tiny", {"strength": 0.08})
    predict(Folder(root), Tiny(0.03), tmp_path / "other", depth=8)
    methods = {
        "file": weights,
        "opened": checkpoint.load(weights),
        "network": Tiny(0.03),
        "elsewhere": tmp_path / "other",
        "function": blurred,
    }
    seen: list[str] = []
    found = evaluate(root, methods, tmp_path / "run", progress=lambda label, done, total: seen.append(label))
    assert [row.method for row in found.rows] == ["input", *methods]
    assert found.failures == {} and seen == [label for label in methods if label != "elsewhere" for _ in NAMES]
    psnr = {row.method: row.scores.mean()["psnr"] for row in found.rows}
    assert psnr["input"] < psnr["network"] < psnr["file"] == psnr["opened"]
    assert psnr["function"] == pytest.approx(psnr["input"], abs=1e-3)
    assert psnr["elsewhere"] == pytest.approx(psnr["network"], abs=0.05)

    files = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    made = {f"{label}/{name}.png" for label in methods if label != "elsewhere" for name in NAMES}
    assert files == made | {"summary.md", "pictures.csv", "methods.csv", "comparison.png"}
    with (tmp_path / "run" / "pictures.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(NAMES) * (1 + len(methods))
    counted = {row.method: row.counts for row in found.rows}
    assert counted["elsewhere"] is counted["function"] is counted["input"] is None
    assert counted["network"] is not None and counted["network"].parameters == 27
    assert counted["network"].conv_macs == 27 * 1120 * 1680
    for words in (
        "3 of them with a sharp picture",
        f"{WIDTH} x {HEIGHT} pixels",
        "network tiny, weights best.safetensors",
    ):
        assert words in found.summary


def test_evaluate_goes_on_after_failures_and_lists_them(root: Path, tmp_path: Path) -> None:
    def moody(sample: Sample) -> Tensor:
        if sample["name"] == "bridge":
            raise RuntimeError("not this one")
        return blurred(sample)

    found = evaluate(root, {"moody": moody, "hopeless": lambda sample: 1 / 0, "tiny": Tiny()}, tmp_path / "run")
    assert found.failures[("moody", "bridge")] == "RuntimeError: not this one"
    assert {name for label, name in found.failures if label == "hopeless"} == set(NAMES)
    assert not [name for label, name in found.failures if label == "tiny"]
    assert "- moody, bridge: RuntimeError: not this one" in found.summary
    assert (tmp_path / "run" / "comparison.png").is_file()


def test_the_figure_shows_the_input_every_method_and_the_truth(root: Path, tmp_path: Path) -> None:
    methods = {"one": Tiny(), "two": blurred}
    wide = evaluate(root, methods, tmp_path / "two", scenes=1)
    narrow = evaluate(root, {"one": Tiny()}, tmp_path / "one", scenes=3)
    none = evaluate(root, {"one": Tiny()}, tmp_path / "none", scenes=0)
    shapes = [read_picture(found.folder / "comparison.png").pixels.shape for found in (wide, narrow)]
    assert shapes[0][2] - shapes[1][2] == 248  # one more column of details, with its gap
    assert shapes[1][1] == 3 * shapes[0][1]
    assert not (none.folder / "comparison.png").exists()


def test_what_is_wrong_shows_before_anything_runs(root: Path, tmp_path: Path) -> None:
    ran = []

    def method(sample: Sample) -> Tensor:
        ran.append(sample["name"])
        return blurred(sample)

    place = tmp_path / "run"
    with pytest.raises(CheckpointError, match=r"missing\.safetensors"):
        evaluate(root, {"a": method, "b": tmp_path / "missing.safetensors"}, place)
    for label in ("input", "a/b", "..", ""):
        with pytest.raises(DataError, match="label"):
            evaluate(root, {"a": method, label: method}, place)
    with pytest.raises(RecipeError, match="protocol"):
        evaluate(root, {"a": method}, place, protocol="dpdd")
    with pytest.raises(DataError, match="does not exist"):
        evaluate(tmp_path / "none", {"a": method}, place)
    assert ran == []
    evaluate(root, {"a": method}, place)
    with pytest.raises(DataError, match="not empty"):
        evaluate(root, {"a": method}, place)
    assert len(ran) == len(NAMES)
    assert evaluate(root, {"a": method}, place, overwrite=True).failures == {}


def test_evaluate_takes_the_mean_of_mirrored_results(root: Path, tmp_path: Path) -> None:
    """And the summary says so."""
    once, mean = (
        evaluate(root, {"tiny": Tiny()}, tmp_path / str(flag), scenes=0, mirror=flag) for flag in (False, True)
    )
    assert "mean of 4 mirrored" in mean.summary and "mirrored" not in once.summary
    expected = score(partial(deblur_pair, weights=Tiny(), mirror=True), Folder(root)).mean()
    assert mean.rows[1].scores.mean() == pytest.approx(expected, rel=1e-4)
    assert once.rows[1].scores.mean()["psnr"] != pytest.approx(expected["psnr"], rel=1e-4)


def test_pictures_that_equal_the_truth_are_left_out_of_means_in_db(root: Path, tmp_path: Path) -> None:
    for number, sample in enumerate(Folder(root)):
        changed = (sample["sharp"] * 0.9 + 0.1 * torch.rand(sample["sharp"].shape)) if number else sample["sharp"]
        save(tmp_path / "theirs" / f"{sample['name']}.png", changed)
    done = evaluate(root, {"theirs": tmp_path / "theirs"}, tmp_path / "out", protocol="dpdd-8bit")
    scores = done.rows[1].scores
    others = [as_array(tmp_path / "theirs" / f"{name}.png") for name in NAMES[1:]]
    truths = [as_array(root / "sharp" / f"{name}.png") for name in NAMES[1:]]
    expected = np.mean([peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(truths, others, strict=True)])
    assert scores.mean()["psnr"] == pytest.approx(expected, abs=1e-6) and scores.mean()["psnr-fitted"] < 40
    assert scores.pictures[NAMES[0]]["psnr"] == scores.pictures[NAMES[0]]["psnr-fitted"] == float("inf")
    assert "- theirs, PSNR dB: 1 of 3 pictures equal the sharp one; the mean is that of the others." in done.summary
    assert "- theirs, PSNR fitted dB: 1 of 3" in done.summary and "inf" not in done.summary.split("## Left out")[0]
    all_equal = score(root / "sharp", Folder(root))
    assert all_equal.mean()["psnr"] == float("inf") and all_equal.equal() == {"psnr": 3, "psnr-fitted": 3}


@pytest.mark.parametrize("what", ["sharp", "left", "center"])
def test_grey_pictures_are_not_compared_with_colour(root: Path, tmp_path: Path, what: str) -> None:
    (root / what).mkdir(exist_ok=True)
    Image.open(root / "sharp" / "cafe.png").convert("L").save(root / what / "cafe.png")
    done = evaluate(root, {"same": blurred}, tmp_path / "out")
    assert len(done.rows[1].scores.pictures) == 2
    (why,) = {why for (label, _), why in done.failures.items() if label == "same"}
    assert "'cafe' must all be grey or all in colour" in why and f"{what}/cafe.png has one channel" in why


def test_a_grey_result_is_not_compared_with_colour(root: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    for name in NAMES:
        Image.open(root / "sharp" / f"{name}.png").convert("L").save(tmp_path / "theirs" / f"{name}.png")
    scores = score(tmp_path / "theirs", Folder(root))
    assert not scores.pictures and all("is grey, but" in why for why in scores.failures.values())


def test_what_looks_odd_about_files_is_told_once(root: Path, tmp_path: Path, dualpix: Command) -> None:
    """Of the data under the input, of others' pictures under their own label; alike sentences as one."""
    for path in (*(root / "left").iterdir(), root / "sharp" / "cafe.png"):
        Image.open(path).convert("RGBA").save(path)
    shutil.copytree(root / "sharp", tmp_path / "theirs")
    code, output, errors = dualpix("evaluate", str(root), "-o", str(tmp_path / "out"), "-m", str(tmp_path / "theirs"))
    summary = (tmp_path / "out" / "summary.md").read_text()
    told = [line for line in summary.partition("## What looks odd")[2].splitlines() if line]
    assert code == 0 and len(told) == 3 and summary in output and "alpha" not in errors
    assert told[0].startswith("- input, ") and told[2].startswith("- theirs, cafe: theirs/cafe.png has an")
    assert told[0].endswith(" (The same of 1 more.)") and "sharp/cafe.png has an alpha" in told[1]
