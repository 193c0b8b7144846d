"""A run that was interrupted, in whatever way, ends as one that was not: bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops

import dualpix
from dualpix.machine.files import LEFTOVERS
from dualpix.training import train
from dualpix.training.curve import points, read_log
from dualpix.training.recipes import Recipe, to_dict
from dualpix.weights import checkpoint
from same_state import same

Start = Callable[..., subprocess.Popen]
STEPS, PAUSE = 24, 12


@pytest.fixture
def recipe(quick: Callable[..., Recipe]) -> Recipe:
    late = {"final_steps": 6, "final_batch": 3, "final_crop": 48}
    return quick(steps=STEPS, validate_every=PAUSE, keep_minutes=0.0, fresh=0.4, **late)


@pytest.fixture
def written(recipe: Recipe, tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(to_dict(recipe)))
    return path


def state(run: Path) -> dict[str, Any]:
    return torch.load(run / "last.pt", weights_only=True)


def assert_as_if_nothing_had_happened(run: Path, whole: Path) -> None:
    assert state(run)["learner"]["step"] == STEPS
    assert same(state(run)["learner"], state(whole)["learner"])
    losses, scores = points(read_log(run / "log.jsonl"))
    expected_losses, expected_scores = points(read_log(whole / "log.jsonl"))
    assert dict(expected_losses).keys() == {20, STEPS}
    assert {step: loss for step, loss in losses if step in (20, STEPS)} == dict(expected_losses)
    assert scores == expected_scores and len(scores) == 2


def test_stopped_and_killed_runs_end_as_whole_ones(
    recipe: Recipe, written: Path, photos: Path, tmp_path: Path, start: Start
) -> None:
    """Each has scenes of its own, so that what was rendered is part of the comparison."""
    stopped, killed, whole = (tmp_path / name / "run" for name in ("stopped", "killed", "whole"))
    processes = {run: start(run, written, photos, PAUSE) for run in (stopped, killed)}
    train(recipe, whole, photos=[photos])
    for process in processes.values():
        assert json.loads(process.stdout.readline())["step"] == PAUSE

    processes[stopped].send_signal(signal.SIGINT)
    out, err = processes[stopped].communicate("\n", timeout=300)
    assert (processes[stopped].returncode, err) == (0, "")
    assert json.loads(out.splitlines()[-1])["step"] == PAUSE + 1
    assert state(stopped)["learner"]["step"] == PAUSE + 1

    processes[killed].kill()
    processes[killed].wait(timeout=60)
    assert state(killed)["learner"]["step"] == PAUSE - 1, "killed before the state after the pause was written"

    for run in (stopped, killed):
        assert not same(state(run)["learner"], state(whole)["learner"])
        train(recipe, run, photos=[photos])
        assert_as_if_nothing_had_happened(run, whole)
        assert not list(run.glob(LEFTOVERS))


def test_a_longer_run_is_a_shorter_one_resumed(quick: Callable[..., Recipe], photos: Path, tmp_path: Path) -> None:
    """With the constant rate that `stable` has before its fall."""
    long = quick(steps=6, decay_steps=1)
    train(long, tmp_path / "long", photos=[photos])
    train(replace(long, steps=3, decay_steps=0), tmp_path / "short", photos=[photos])
    told: list[dict] = []
    train(long, tmp_path / "short", photos=[photos], report=told.append)
    assert told[0] == {"resumed_at_step": 3}
    assert same(state(tmp_path / "long")["learner"], state(tmp_path / "short")["learner"])


def test_larger_crops_for_the_last_steps_can_be_decided_on_late(
    quick: Callable[..., Recipe], photos: Path, tmp_path: Path
) -> None:
    plain = quick(steps=2, decay_steps=0)
    grown = replace(plain, steps=4, final_steps=2, final_crop=48, final_batch=1)
    train(grown, tmp_path / "whole", photos=[photos])
    train(plain, tmp_path / "run", photos=[photos])
    train(grown, tmp_path / "run", photos=[photos])
    assert same(state(tmp_path / "whole")["learner"], state(tmp_path / "run")["learner"])
    train(replace(plain, steps=4), tmp_path / "small", photos=[photos])
    assert not same(state(tmp_path / "whole")["learner"], state(tmp_path / "small")["learner"])


def test_a_state_without_losses_is_taken_too(quick: Callable[..., Recipe], photos: Path, tmp_path: Path) -> None:
    """As runs had them that began before losses were kept."""
    train(quick(steps=2), tmp_path / "run", photos=[photos])
    old = state(tmp_path / "run")
    del old["losses"]
    torch.save(old, tmp_path / "run" / "last.pt")
    train(quick(steps=3), tmp_path / "run", photos=[photos])
    assert state(tmp_path / "run")["learner"]["step"] == 3


def test_stopped_before_the_first_validation_there_are_weights_all_the_same(
    quick: Callable[..., Recipe], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualpix.training.REPORT_EVERY", 1)

    def interrupt(line: dict[str, Any]) -> None:
        if line.get("step") == 2:
            signal.raise_signal(signal.SIGTERM)

    weights = train(quick(steps=50), tmp_path / "run", photos=[photos], report=interrupt)
    assert weights == tmp_path / "run" / "last.safetensors" and weights.exists()
    assert state(tmp_path / "run")["learner"]["step"] == 3
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_sigterm_changes_nothing_and_a_second_ctrl_c_interrupts(
    quick: Callable[..., Recipe], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of several processes gets SIGTERM twice when all of them are signalled."""
    monkeypatch.setattr("dualpix.training.REPORT_EVERY", 1)

    def stopping(number: int) -> Callable[[dict[str, Any]], None]:
        def report(line: dict[str, Any]) -> None:
            if line.get("step") == 2:
                signal.raise_signal(number)
                signal.raise_signal(number)

        return report

    train(quick(steps=50), tmp_path / "ended", photos=[photos], report=stopping(signal.SIGTERM))
    assert state(tmp_path / "ended")["learner"]["step"] == 3
    with pytest.raises(KeyboardInterrupt):
        train(quick(steps=50), tmp_path / "interrupted", photos=[photos], report=stopping(signal.SIGINT))


def test_stopped_before_the_first_step_it_is_interrupted(
    quick: Callable[..., Recipe], photos: Path, tmp_path: Path
) -> None:
    def interrupt(line: dict[str, Any]) -> None:
        assert "rendering" in line
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(quick(pool=60), tmp_path / "run", photos=[photos], report=interrupt, rendered_first=True)
    assert not (tmp_path / "run" / "last.pt").exists() and len(list(tmp_path.rglob("*px-*/*.npy"))) == 50


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def said(run: Path) -> list[tuple[int, str]]:
    """What each line of the log about a step is, in order."""
    return [(line["step"], "score" if "validation" in line else "loss") for line in lines_of(run) if "step" in line]


def test_killed_between_its_last_files_a_run_ends_as_a_whole_one(
    quick: Callable[..., Recipe], photos: Path, tmp_path: Path
) -> None:
    """The state is written before the weights: a run that died in between has nothing left to do but these."""
    recipe = quick(steps=3, validate_every=2, keep_minutes=0.0)
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(recipe, whole, photos=[photos])
    train(replace(recipe, steps=2), tmp_path / "shorter", photos=[photos])
    for name in ("behind", "missing", "cut"):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        weights = run / "last.safetensors"
        if name == "behind":
            shutil.copy(tmp_path / "shorter" / "last.safetensors", weights)
        else:
            weights.write_bytes(weights.read_bytes()[:900]) if name == "cut" else weights.unlink()
        train(recipe, run, photos=[photos])
        own, other = (checkpoint.load(folder / "last.safetensors") for folder in (run, whole))
        assert same(own.network.state_dict(), other.network.state_dict()) and own.extra["step"] == 3
        assert said(run) == said(whole)


def test_each_line_stands_once_whatever_was_learnt_again(
    quick: Callable[..., Recipe], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualpix.training.REPORT_EVERY", 2)
    recipe = quick(steps=8, validate_every=3, ema_decay=0.5, keep_minutes=9.0)
    train(recipe, tmp_path / "whole", photos=[photos])
    run = tmp_path / "run"
    train(replace(recipe, steps=4), run, photos=[photos])
    kept = (run / "last.pt").read_bytes()
    train(recipe, run, photos=[photos])
    (run / "last.pt").write_bytes(kept)  # as if killed before the state of step 8 was written
    with (run / "log.jsonl").open("ab") as file:
        file.write(b'[1, 2]\n\xff\xfe\n{"step": 9, "lo')
    train(recipe, run, photos=[photos])
    at_the_end_of_four = [(4, "score")]
    assert [one for one in said_of(run) if one not in at_the_end_of_four] == said(tmp_path / "whole")
    assert not list(run.glob(LEFTOVERS))

    (run / "last.pt").unlink()
    train(recipe, run, photos=[photos])
    assert said(run) == said(tmp_path / "whole"), "begun anew, nothing is left of what was before"


def said_of(run: Path) -> list[tuple[int, str]]:
    return [(line["step"], "score" if "validation" in line else "loss") for line in read_log(run / "log.jsonl")[1:]
            if "step" in line]  # fmt: skip


def test_a_terminal_that_is_closed_stops_a_run_with_everything_kept(
    quick: Callable[..., Recipe], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualpix.training.REPORT_EVERY", 1)

    def hang_up(line: dict[str, Any]) -> None:
        if line.get("step") == 2:
            signal.raise_signal(signal.SIGHUP)

    train(quick(steps=50), tmp_path / "run", photos=[photos], report=hang_up)
    assert state(tmp_path / "run")["learner"]["step"] == 3
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        train(quick(steps=5), tmp_path / "on", photos=[photos], report=hang_up)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert state(tmp_path / "on")["learner"]["step"] == 5


def test_a_run_says_what_it_learnt_from_and_that_it_was_given_something_else(
    quick: Callable[..., Recipe], photos: Path, tmp_path: Path
) -> None:
    run, moved = tmp_path / "run", tmp_path / "elsewhere"
    weights = train(quick(steps=1), run, photos=[photos])
    began = lines_of(run)[0]
    assert (
        began["version"] == dualpix.__version__ and began["command"] and set(began["data"]) == {"photos", "validation"}
    )
    assert checkpoint.read_card(weights)["extra"]["data"] == began["data"]
    photos.rename(moved)
    told: list[dict] = []
    train(quick(steps=2), run, photos=[moved], report=told.append)
    assert not [line for line in told if "note" in line], "the same photographs in another place"
    (moved / "00.png").write_bytes((moved / "01.png").read_bytes())
    train(quick(steps=3), run, photos=[moved], report=told.append)
    (note,) = (line["note"] for line in told if "note" in line)
    assert note.startswith("the data (photos) are others than this run has had so far")
    assert note in [line.get("note") for line in lines_of(run)]


def test_nobody_has_to_read_what_a_training_prints(photos: Path, tmp_path: Path) -> None:
    """As in `dualpix train ... | head`, and on a full disk."""
    pairs = photos.with_name("pairs")  # unlike simulated ones, rendered by no further process
    for shift, name in enumerate(("left", "right", "sharp")):
        (pairs / name).mkdir(parents=True)
        for path in list(photos.iterdir())[:3]:
            ImageChops.offset(Image.open(path), shift, 0).save(pairs / name / path.name)
    data = ["--data", str(pairs), "--validation", str(pairs)]
    words = ["train", "tiny", "steps=2", "validate_every=2", "crop=32", *data, "-o"]
    command = [sys.executable, "-W", "error", "-m", "dualpix"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*command, *words, tmp_path / "full"], stdout=full, stderr=subprocess.PIPE, env=environment
        )
    process = subprocess.Popen(
        [*command, *words, tmp_path / "head"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=300), said, ended.returncode, ended.stderr) == (0, b"", 0, b"")
    assert state(tmp_path / "full")["learner"]["step"] == state(tmp_path / "head")["learner"]["step"] == 2
