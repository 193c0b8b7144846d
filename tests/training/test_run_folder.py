"""The run folder: what is written, what is refused, and what is said."""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import torch

from dualpix import networks
from dualpix.errors import CheckpointError, DataError, RecipeError
from dualpix.machine.files import LEFTOVERS
from dualpix.training import train
from dualpix.training.clock import PARTS
from dualpix.training.learner import Learner
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe, from_dict
from dualpix.training.run_folder import RunFolder
from dualpix.weights import checkpoint

Make = Callable[..., Recipe]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "one"


@pytest.fixture
def begun(run: Path, quick: Make) -> Iterator[tuple[RunFolder, Learner]]:
    """A run that has been kept once."""
    folder, learner = RunFolder(run, quick(), Processes(), None), Learner(quick())
    folder.begin(learner)
    folder.save(learner)
    yield folder, learner
    folder.close()


def take(folder: RunFolder, loss: float, **seconds: float) -> None:
    """A step on two crops of 32 px, which took so long."""
    folder.count(loss, 2, 32)
    for part, spent in seconds.items():
        folder.clock.seconds[part] += spent


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_it_promises(run: Path, quick: Make, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.figure")
    told: list[dict] = []
    recipe = quick(validate_every=2, keep_minutes=0.0)
    best = train(recipe, run, photos=[photos], report=told.append)
    files = {"recipe.json", "log.jsonl", "curve.png", "last.pt", "best.safetensors", "last.safetensors"}
    assert {path.name for path in run.iterdir()} == files
    assert {path.suffix for path in (run.parent / "scenes").rglob("*") if path.is_file()} == {".npy"}
    assert len(list((run.parent / "scenes" / "photos").iterdir())) == 12
    assert not list(run.parent.rglob(LEFTOVERS))
    assert from_dict(json.loads((run / "recipe.json").read_text())) == recipe

    lines = log(run)
    assert [line for line in lines if "began_at_step" not in line] == [
        {"time": line["time"], **shown} for line, shown in zip(lines[1:], told, strict=True)
    ]
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    start, first, last = lines[0], lines[1], lines[-1]
    parameters = sum(one.numel() for one in networks.create(recipe.network, **recipe.arguments).parameters())
    assert (start["began_at_step"], start["processes"], start["parameters"]) == (0, 1, parameters)
    assert (first["step"], first["best"]) == (2, True) and first["validation"]["psnr"] > 10
    assert (last["step"], last["validation"].keys()) == (3, first["validation"].keys())
    progress = lines[-2]
    assert progress["step"] == 3 and progress["hours_left"] == 0 and progress["loss"] > 0
    assert progress["pictures_per_s"] > 0 and progress["sharing"] < 0.05
    assert all(0 <= progress[part] < 1 for part in PARTS) and progress["computing"] > 0 and progress["validating"] > 0
    assert sum(progress[part] for part in PARTS) == pytest.approx(1, abs=0.01)

    found = checkpoint.load(best)
    assert best == run / "best.safetensors" and found.name == recipe.network
    assert from_dict(found.recipe) == recipe
    assert found.scores["psnr"] == max(line["validation"]["psnr"] for line in lines if "validation" in line)
    assert found.extra["step"] in (2, 3)


def test_a_finished_run_has_nothing_left_to_do(run: Path, quick: Make, photos: Path) -> None:
    train(quick(steps=1), run, photos=[photos])
    before = (run / "last.pt").read_bytes()
    assert train(quick(steps=1), run, photos=[photos]) == run / "best.safetensors"
    assert (run / "last.pt").read_bytes() == before


def test_another_recipe_is_refused_and_the_fields_are_named(run: Path, quick: Make, begun: tuple) -> None:
    begun[0].close()
    with pytest.raises(RecipeError) as caught:
        RunFolder(run, quick(learning_rate=1e-3, crop=16), Processes(), None)
    assert "another recipe (learning_rate 0.0004 -> 0.001, crop 32 -> 16)" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 7),
        ("decay_steps", 7),
        ("final_steps", 7),
        ("ema_decay", 0.7),
        ("validate_every", 7),
        ("keep_minutes", 7),
    ],
)
def test_what_alters_no_step_taken_may_change(run: Path, quick: Make, begun: tuple, field: str, value: float) -> None:
    begun[0].close()
    RunFolder(run, quick(**{field: value}), Processes(), None).close()


def test_the_length_of_a_cosine_may_not_change(run: Path, quick: Make) -> None:
    with_cosine = quick(schedule="cosine")
    folder = RunFolder(run, with_cosine, Processes(), None)
    folder.begin(learner := Learner(with_cosine))
    folder.save(learner)
    folder.close()
    with pytest.raises(RecipeError, match="steps 3 -> 4"):
        RunFolder(run, replace(with_cosine, steps=4), Processes(), None)


def test_a_recipe_from_before_a_field_existed_is_the_same(run: Path, quick: Make, begun: tuple) -> None:
    begun[0].close()
    settings = json.loads((run / "recipe.json").read_text())
    del settings["negate_depth"]
    (run / "recipe.json").write_text(json.dumps(settings))
    RunFolder(run, quick(), Processes(), None).close()
    with pytest.raises(RecipeError, match="negate_depth False -> True"):
        RunFolder(run, quick(negate_depth=True), Processes(), None)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"rate": 1e999}', '{"colour": 3}', '{"steps": "many"}'])
def test_a_damaged_recipe_is_one_sentence(run: Path, quick: Make, begun: tuple, text: str) -> None:
    begun[0].close()
    (run / "recipe.json").write_text(text)
    with pytest.raises(RecipeError, match=r"recipe.json is damaged or of another version"):
        RunFolder(run, quick(), Processes(), None)


def test_a_run_that_goes_on_is_left_alone(run: Path, quick: Make, begun: tuple) -> None:
    """Before anything is decided, and whoever has replaced the log in the meantime."""
    begun[0].lines.undo(0)
    for _ in range(2):
        with pytest.raises(RecipeError, match="A training is going on in"):
            RunFolder(run, quick(), Processes(), None)
    begun[0].close()
    second = RunFolder(run, quick(), Processes(), None)
    second.begin(Learner(quick()))
    second.close()


def test_a_state_is_replaced_whole_or_not_at_all(run: Path, begun: tuple) -> None:
    """Stands for a full disk: a process that may not write files longer than a few kilobytes."""
    folder, learner = begun
    before = (run / "last.pt").read_bytes()
    learner.step = 5
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"last.pt cannot be written: .*; make room"):
            folder.save(learner)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (run / "last.pt").read_bytes() == before and not list(run.glob(LEFTOVERS))
    folder.save(learner)
    assert torch.load(run / "last.pt", weights_only=True)["learner"]["step"] == 5


def test_only_the_better_weights_are_kept(run: Path, begun: tuple) -> None:
    folder, learner = begun
    for psnr, best in ((20.0, True), (19.0, False), (21.0, True), (21.0, False)):
        learner.step += 1
        folder.validate(learner, lambda network, psnr=psnr: {"psnr": psnr})
        assert log(run)[-1]["best"] is best
    card = checkpoint.read_card(folder.best)
    assert (card["scores"], card["extra"]["step"]) == ({"psnr": 21.0}, 3)


def test_a_curve_is_drawn_where_there_is_something_new(begun: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.figure")
    folder, learner = begun
    curve = folder.folder / "curve.png"
    take(folder, 0.5, computing=1.0)
    folder.report_progress(1, 1e-3)
    folder.validate(learner, lambda network: {"psnr": 20.0})
    curve.unlink()
    folder.save(learner)
    assert not curve.exists(), "drawn a moment before"
    folder.log({"note": "new"})
    folder.save(learner, draws=False)
    assert not curve.exists()
    folder.save(learner)
    assert curve.read_bytes().startswith(b"\x89PNG")


def test_of_several_processes_one_writes(run: Path, quick: Make) -> None:
    told: list[dict] = []
    folder = RunFolder(run, quick(), Processes(rank=1), told.append)
    folder.begin(learner := Learner(quick()))
    take(folder, 0.1, computing=1.0)
    folder.report_progress(1, 1e-3)
    folder.save(learner)
    folder.validate(learner, lambda network: pytest.fail("the first process validates"))
    assert not run.exists() and told == []


def test_progress_is_counted_since_the_last_report(run: Path, begun: tuple) -> None:
    folder, _ = begun
    for loss in (0.1, 0.3, float("nan")):
        take(folder, loss, feeding=1.0, computing=5.0, sharing=1.0, updating=1.0)
    folder.clock.seconds |= {"validating": 6.0, "keeping": 2.0}
    folder.report_progress(1, 1e-3)
    line = log(run)[-1]
    assert (line["loss"], line["skipped"], line["pictures_per_s"]) == (0.2, 1, 3 * 2 / 24)
    expected = {"feeding": 3, "computing": 15, "sharing": 3, "updating": 3, "validating": 6, "keeping": 2}
    assert {part: line[part] for part in PARTS} == pytest.approx({p: s / 32 for p, s in expected.items()}, abs=1e-3)
    assert line["hours_left"] == pytest.approx(2 * 8 / 3600, abs=1e-3)
    take(folder, float("inf"), feeding=1.0)
    folder.report_progress(2, 1e-3, early=True)
    assert log(run)[-1]["loss"] is None
    take(folder, 0.5, updating=1.0)
    folder.report_progress(3, 1e-3)
    assert (log(run)[-1]["loss"], log(run)[-1]["skipped"], log(run)[-1]["pictures_per_s"]) == (0.5, 1, 2)


def test_what_is_left_is_counted_in_pixels(run: Path, quick: Make) -> None:
    """Of 10 steps one is taken in a second; of the 9 left, 3 have four times as many pixels."""
    folder = RunFolder(run, recipe := quick(steps=10, final_steps=3, final_batch=8), Processes(), None)
    folder.begin(Learner(recipe))
    take(folder, 0.1, computing=1.0)
    folder.report_progress(1, 1e-3)
    folder.close()
    assert log(run)[-1]["hours_left"] == pytest.approx((6 + 3 * 4) / 3600, abs=1e-3)
    assert log(run)[-1]["pictures_per_s"] == 2


def test_an_unfinished_line_of_the_log_stays_alone(run: Path, quick: Make, begun: tuple) -> None:
    begun[0].close()
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    folder = RunFolder(run, quick(), Processes(), None)
    folder.begin(Learner(quick()))
    folder.close()
    assert json.loads((run / "log.jsonl").read_text().splitlines()[-1])["began_at_step"] == 0


def test_bad_data_leaves_no_folder(run: Path, quick: Make, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="either folders of photographs"):
        train(quick(), run)
    with pytest.raises(DataError, match="nowhere"):
        train(quick(), run, photos=[tmp_path / "nowhere"])
    with pytest.raises(RecipeError, match="crop=40"):
        train(quick(crop=40), run, photos=[photos])
    assert not run.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_an_os_error(run: Path, quick: Make, photos: Path) -> None:
    run.parent.mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        train(quick(), run, photos=[photos])


def test_scenes_far_behind_are_deleted(run: Path, quick: Make, photos: Path) -> None:
    train(quick(steps=8, fresh=0.5), run, photos=[photos], left_behind=1)
    kept = sorted(int(path.stem) for path in (run.parent / "scenes").glob("*px-*/*.npy"))
    assert kept[0] == 8 // 2 - 1, "the pool begins at 4; one scene before it may stay"


def test_a_training_outside_the_main_thread_runs(run: Path, quick: Make, photos: Path) -> None:
    """As in a notebook's or a web page's worker, where Python allows no handlers for signals."""
    with ThreadPoolExecutor() as pool:
        assert pool.submit(train, quick(steps=1), run, photos=[photos]).result().exists()
