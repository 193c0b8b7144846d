"""Guard of `benchmarks/judge.py`: its kernels, its measure of false texture, and the rule for shipping weights."""

import copy
import importlib
import json
import math
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from dualpix.simulation.render import Layer

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NAMES = ("pupils", "scenes", "windows", "figures", "table", "items", "kept")


@pytest.fixture(scope="module")
def judging() -> SimpleNamespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return SimpleNamespace(**{name: importlib.import_module(f"judging.{name}") for name in NAMES})


def centroid(kernel: torch.Tensor) -> float:
    """How far right of its middle a kernel's light lies, in pixels."""
    axis = torch.arange(kernel.shape[-1], dtype=kernel.dtype) - kernel.shape[-1] // 2
    return float((kernel.sum(0) * axis).sum())


@pytest.mark.parametrize("ratio", [1 / 2.2, 1 / 1.6, 1.0, 1.6, 2.2, 3.3])
@pytest.mark.parametrize("blur_px", [-6.0, 5.0, 14.0])
def test_one_sided_kernels(judging: SimpleNamespace, ratio: float, blur_px: float) -> None:
    """The wanted ratio of areas, each kernel of sum 1, content behind the focus further right in R, and no less wide a
    disc than the blur says."""
    pupil = judging.pupils.Pupil(((0.0, ratio),), width=0.7)
    u, w, (left, right) = judging.pupils.openings(pupil, blur_px)
    assert float(right.sum() / left.sum()) == pytest.approx(ratio, rel=1e-4)
    pair = judging.pupils.kernel_pair(pupil, blur_px)
    assert pair.sum((1, 2)).tolist() == pytest.approx([1, 1])
    disparity = centroid(pair[1]) - centroid(pair[0])
    assert disparity * blur_px > 0
    expected = blur_px * float((right * u).sum() / right.sum() - (left * u).sum() / left.sum())
    assert disparity == pytest.approx(expected, abs=0.02)
    assert float(torch.hypot(u, w).max()) == pytest.approx(1, abs=0.05)


def test_ratio_follows_the_radius(judging: SimpleNamespace) -> None:
    pupil = judging.pupils.Pupil(judging.scenes.CRESCENT_RATIOS, 0.5, -0.3)
    for blur_px, wanted in ((4.0, 3.3), (-14.0, 2.0), (15.0, math.sqrt(2.0 * 1.4)), (20.0, 1.4)):
        _, _, (left, right) = judging.pupils.openings(pupil, blur_px)
        assert float(right.sum() / left.sum()) == pytest.approx(wanted, rel=1e-4)


def test_the_renderer_spreads_a_point_by_its_kernels(judging: SimpleNamespace) -> None:
    """A bright point on black, behind the focus: both views show the kernels, and no light is lost."""
    colour = torch.zeros(3, 96, 96)
    colour[:, 48, 48] = 1
    pupil = judging.pupils.Pupil(((0.0, 1.6),))
    views = judging.pupils.render([Layer(colour, torch.ones(96, 96), torch.full((96, 96), 6.0))], pupil, 16)
    assert views.shape == (2, 3, 64, 64)
    pair = judging.pupils.kernel_pair(pupil, 6.0).float()
    half = pair.shape[-1] // 2
    around = slice(32 - half, 33 + half)
    for view, kernel in zip(views, pair, strict=True):
        torch.testing.assert_close(view[1, around, around], kernel, atol=1e-5, rtol=0)


def test_an_object_in_front_hides_what_is_behind(judging: SimpleNamespace) -> None:
    white, black, everywhere = torch.ones(3, 64, 64), torch.zeros(3, 64, 64), torch.ones(64, 64)
    alpha = torch.zeros(64, 64)
    alpha[:, 32:] = 1
    layers = [Layer(white, everywhere, 8 * everywhere), Layer(black, alpha, 0 * everywhere)]
    views = judging.pupils.render(layers, judging.pupils.Pupil(), 16)
    assert float(views[..., 18:].max()) < 1e-3
    assert float(views[..., :14].min()) > 0.999


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    """192 x 256, in [0, 1], with power falling as that of photographs."""
    frequency = np.hypot(np.fft.fftfreq(192)[:, None], np.fft.rfftfreq(256)[None])
    white = np.fft.rfft2(np.random.default_rng(0).standard_normal((192, 256)))
    field = np.fft.irfft2(white / np.maximum(frequency, 1 / 192), (192, 256))
    return np.clip(0.5 + 0.15 * field / field.std(), 0, 1)


def test_worms_are_texture_that_the_truth_has_not(judging: SimpleNamespace, texture: np.ndarray) -> None:
    count = len(judging.windows.windows(texture))
    radius = np.full(count, 8.0)

    def worms(output: np.ndarray, radius_px: np.ndarray = radius) -> dict[str, float]:
        return judging.windows.worms(*judging.windows.excess(output, texture, radius_px), radius_px)

    stripes = texture + 0.2 * np.sin(2 * np.pi * 0.15 * np.arange(256))
    assert worms(texture)["all"] == 0
    assert worms(judging.windows.disc_blur(texture, 8))["all"] < 0.01
    assert worms(stripes)["all"] == worms(stripes)["7-10 px"] > 1
    assert math.isnan(worms(stripes)["> 14 px"])
    # Stripes below the first zero are no false texture, nor are those in a window that is not known to be blurred.
    assert worms(texture + 0.1 * np.sin(2 * np.pi * 0.03 * np.arange(256)))["all"] < 0.1
    assert not judging.windows.excess(stripes, texture, np.full(count, np.nan))[0].any()
    some = np.where(np.arange(count) < count // 4, np.nan, radius)
    assert worms(stripes, some)["all"] > 1


def test_radius_is_found(judging: SimpleNamespace, texture: np.ndarray) -> None:
    same = SimpleNamespace(go=lambda picture: picture)
    for radius in (0, 4, 7, 10, 15, 16):
        blurred = judging.windows.disc_blur(texture, radius) if radius else texture
        found = judging.windows.fitted_radius(blurred, texture, same.go, same.go)
        assert np.median(found) == pytest.approx(radius, abs=0.3)
    flat = np.full((128, 128), 0.5)
    assert np.isnan(judging.windows.fitted_radius(flat + 1e-3, flat, same.go, same.go)).all()


def figures_of_a_network(judging: SimpleNamespace) -> dict:
    figures: dict = {name: {"gain_db": 2.0, "gain_ssim": 0.1} for name in judging.figures.SHARES}
    for group in figures.values():
        group["q"] = judging.figures.quality(group["gain_db"], group["gain_ssim"])
    return figures | {"worms": {"phone": {"all": 0.10}}}


def changed(judging: SimpleNamespace, figures: dict, worms: float = 0.0, **gains: tuple[float, float]) -> dict:
    """`gains`: change in dB and SSIM by group."""
    new = copy.deepcopy(figures)
    for name, (gain_db, gain_ssim) in gains.items():
        group = new[name]
        group["gain_db"] += gain_db
        group["gain_ssim"] += gain_ssim
        group["q"] = judging.figures.quality(group["gain_db"], group["gain_ssim"])
    new["worms"]["phone"]["all"] *= 1 + worms
    return new


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"phone": (0.46, 0.0)}, []),
        ({"phone": (0.43, 0.0)}, ["score"]),
        ({"phone": (0.8, 0.0), "flat": (-0.05, 0.0)}, []),
        ({"phone": (0.8, 0.0), "flat": (-0.06, 0.0)}, ["flat loses 0.060 dB"]),
        ({"phone": (0.8, 0.0), "previews": (0.0, -0.0015)}, []),
        ({"phone": (0.8, 0.0), "previews": (0.0, -0.0016)}, ["previews loses 0.0016 SSIM"]),
        ({"phone": (-0.06, 0.02)}, ["phone loses 0.060 dB"]),
        ({"phone": (0.8, 0.0), "kernels": (-0.3, 0.0), "simulated": (-0.3, 0.0)}, []),
        ({"phone": (0.8, 0.0), "worms": 0.05}, []),
        ({"phone": (0.8, 0.0), "worms": 0.051}, ["worms"]),
        ({"phone": (0.8, 0.0), "worms": -0.5}, []),
        ({"phone": (-0.2, -0.01), "worms": 0.2}, ["score", "phone loses", "phone loses", "worms"]),
    ],
)
def test_every_clause_of_shipping(judging: SimpleNamespace, change: dict, words: list[str]) -> None:
    old = figures_of_a_network(judging)
    verdict = judging.figures.ships(changed(judging, old, **change), old)
    assert verdict.ships == (not words)
    assert len(verdict.objections) == len(words)
    assert all(word in objection for word, objection in zip(words, verdict.objections, strict=True))


def test_no_verdict_without_every_group(judging: SimpleNamespace) -> None:
    old = figures_of_a_network(judging)
    for missing in ("flat", "worms"):
        part = {name: figures for name, figures in old.items() if name != missing}
        with pytest.raises(ValueError, match="every group"):
            judging.figures.ships(part, old)


def test_ssim_counts_as_the_house_has_it(judging: SimpleNamespace) -> None:
    assert judging.figures.quality(0.1, 0) == pytest.approx(judging.figures.quality(0, 0.003), rel=2e-3)
    assert sum(judging.figures.SHARES.values()) == pytest.approx(1)


def test_scenes_fit_and_stay_as_they_are(judging: SimpleNamespace) -> None:
    scenes: ModuleType = judging.scenes
    assert len(scenes.SCENES) == len(scenes.NATIVE) == 12
    for number, scene in enumerate(scenes.SCENES):
        farthest = max(abs(blur) for blur in (*scene.blur_px, *(thing.blur_px for thing in scene.things)))
        for variant in scenes.KERNELS:
            assert scenes.pupil_of(variant, number).reach_px(farthest + 2) <= scenes.MARGIN
        for thing in scene.things:
            assert 0.002 < float(scenes.mask(thing, 448, 576).mean()) < 0.2
    ratios = [scenes.pupil_of("one-sided 2.2", number).ratio(5) for number in range(12)]
    assert sorted(set(ratios)) == pytest.approx([1 / 2.2, 2.2])


def test_what_was_made_is_kept_until_a_file_changes(judging: SimpleNamespace, tmp_path: Path) -> None:
    source, made = tmp_path / "source", []
    source.write_bytes(b"one")

    def make() -> dict[str, np.ndarray]:
        made.append(source.read_bytes())
        return {"length": np.array(len(made))}

    def kept() -> int:
        return int(judging.kept.kept(tmp_path / "store", "group 1", [source], make)["length"])

    assert [kept(), kept()] == [1, 1]
    source.write_bytes(b"two")
    assert [kept(), kept()] == [2, 2]
    next(path for path in (tmp_path / "store").iterdir()).write_bytes(b"damaged")
    source.write_bytes(b"one")
    kept()
    source.write_bytes(b"two")
    assert kept() >= 2


def test_the_table_marks_what_became_worse(judging: SimpleNamespace) -> None:
    pair = {"input": [24.0, 0.7], "output": [27.0, 0.8]}
    window = {"radius_px": [4.0, 15.0], "x": [0.0, 0.9], "errors before": [0.01, 0.01], "errors after": [0.02, 0.005]}
    power = {"excess": [0.5, 0.0], "power": [1.0, 2.0]}
    records = {"phone": [pair | window | power], "simulated": [power | {"radius_px": [4.0, 15.0]}]}
    figures = judging.figures.assembled(records, ("phone", "worms"))
    written = judging.table.table({"a": figures, "b": figures})
    assert "| phone: dB (gain) / SSIM | 24.00 / 0.7000 | 27.00 (+3.00) / 0.8000 | 27.00 (+3.00) / 0.8000 |" in written
    assert "3-7 px, centre (50% of the windows): gain dB |  | -3.01 ! | -3.01 ! |" in written
    assert "> 14 px, sides (50% of the windows): gain dB |  | +3.01 | +3.01 |" in written
    assert figures["worms"]["phone"]["3-7 px"] == 0.5
    assert judging.figures.score(figures) is None


def test_the_first_weights_are_the_yardstick(
    judging: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole command, with made-up records instead of measurements."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    judge = importlib.import_module("judge")

    def measured(weights: str, *_: object) -> dict[str, list[dict]]:
        decibels = 28.0 if weights == "better" else 27.0
        shared = {"input": [24.0, 0.7, 23.5], "output": [decibels, 0.8, decibels - 0.5]}
        shared |= {"edges before": [0.02, 0.01], "edges after": [0.01, 0.005], "seconds": 2.0, "preparing": 1.0}
        shared |= {"radius_px": [4.0], "excess": [0.1], "power": [1.0], "x": [0.0]}
        shared |= {"errors before": [0.01], "errors after": [0.005], "focused": [38.0, 39.0]}
        variants = {"simulated": judging.scenes.SIMULATED, "kernels": judging.scenes.KERNELS}
        groups = [group for group in judging.items.GROUPS if group not in judging.items.NEEDS]
        return {group: [shared | {"variant": v} for v in variants.get(group, ("",))] for group in groups}

    monkeypatch.setattr(judge, "measured", measured)
    out = tmp_path / "out.json"
    monkeypatch.setattr("sys.argv", ["judge.py", "old", "better", "same", "--out", str(out)])
    judge.main()
    said = capsys.readouterr().out
    assert "better ships." in said
    assert "same does not ship: the score changes by +0.000" in said
    found = json.loads(out.read_text())
    assert found["weights"]["better"]["score"] - found["weights"]["old"]["score"] == pytest.approx(0.5)
    assert found["objections"]["better"] == [] and len(found["objections"]["same"]) == 1
