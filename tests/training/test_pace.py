"""Runs that end by the clock: the whole schedule inside the minutes, and what is there when they are over."""

import itertools
import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from dualpix.cli import app
from dualpix.errors import RecipeError
from dualpix.training import train
from dualpix.training.again import again
from dualpix.training.learner import Learner
from dualpix.training.pace import LEAST_STEPS, MARKS, MEASURED_STEP, ByClock
from dualpix.training.processes import Processes
from dualpix.training.recipes import RECIPES, Recipe
from dualpix.training.run_folder import RunFolder
from dualpix.training.schedules import rate_at
from dualpix.weights import checkpoint

Make = Callable[..., Recipe]


class Ticking:
    """A clock that each reading moves on by `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.ticks = itertools.count(seconds, seconds)

    def __call__(self) -> float:
        return next(self.ticks)


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_the_rate_follows_the_time() -> None:
    recipe = Recipe(learning_rate=1.0, minutes=5.0, warmup_steps=100)
    by_hand = {(0, 0.0): 0.01, (49, 0.01): 0.5, (9, 0.05): 0.5, (9, 0.1): 1.0, (200, 0.5): 1.0, (200, 0.8): 1.0}
    by_hand |= {(300, 0.9): 0.5, (300, 0.99): 0.05, (300, 1.0): 0.0, (300, 1.2): 0.0}
    assert {at: rate_at(recipe, *at) for at in by_hand} == pytest.approx(by_hand)


def test_a_run_takes_its_whole_schedule(
    quick: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that moves when it is looked at, since other programs may slow any real one."""
    ticking = Ticking(0.5)
    monkeypatch.setattr(RunFolder, "seconds", lambda run: run.spent + ticking())
    run, recipe = tmp_path / "run", quick(minutes=1.0)
    weights = train(recipe, run, photos=[photos])
    lines = lines_of(run)
    reports = [line for line in lines if "loss" in line]
    highest, last = max(line["rate"] for line in reports), reports[-1]
    assert highest == recipe.learning_rate and last["rate"] < 0.35 * highest and last["hours_left"] == 0
    assert last["step"] >= LEAST_STEPS
    kept = torch.load(run / "last.pt", weights_only=True)
    assert kept["learner"]["step"] == checkpoint.read_card(run / "last.safetensors")["extra"]["step"] == last["step"]
    scores = [line for line in lines if "validation" in line]
    assert 1 <= len(scores) <= MARKS and weights.exists()
    finished = (run / "last.pt").read_bytes()
    train(recipe, run, photos=[photos])
    assert (run / "last.pt").read_bytes() == finished, "its time is over"
    train(replace(recipe, minutes=1.5), run, photos=[photos])
    assert lines_of(run)[-1]["step"] > last["step"], "more minutes let it go on"
    with pytest.raises(RecipeError, match="ended by the clock"):
        again(run, tmp_path / "repeated")


@pytest.mark.slow
def test_a_run_ends_within_its_minutes(
    quick: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of the processor, which other programs do not move on."""
    began = time.process_time()
    monkeypatch.setattr(RunFolder, "seconds", lambda run: run.spent + time.process_time() - began)
    train(quick(minutes=0.6), tmp_path / "run", photos=[photos])
    assert time.process_time() - began < 60 * 0.6 + 2.0


@pytest.mark.slow
def test_killed_it_goes_on_with_the_time_it_had_left(
    quick: Make, photos: Path, tmp_path: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the kill by a clock that moves when it is looked at, since other programs may slow any real one."""
    recipe, run = quick(minutes=4.0, keep_minutes=0.0), tmp_path / "run"
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(recipe.__dict__))
    process = start(run, file, photos)
    for line in process.stdout:
        if json.loads(line).get("step", 0) >= LEAST_STEPS:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (run / "last.pt").exists() and (run / "last.safetensors").exists() and lines_of(run)
    spent, ticking = torch.load(run / "last.pt", weights_only=True)["spent"], Ticking(1.0)
    monkeypatch.setattr(RunFolder, "seconds", lambda run: run.spent + ticking())
    train(recipe, run, photos=[photos])
    last = [line for line in lines_of(run) if "loss" in line][-1]
    assert spent < 60 * last["hours"] * 60 <= 60 * 4.0 and last["rate"] < 0.35 * recipe.learning_rate


def test_a_time_too_short_for_a_schedule_is_one_sentence(quick: Make) -> None:
    learner = Learner(quick(minutes=1.0))
    learner.step, learner.shares = MEASURED_STEP, (0.4, 0.5)
    with pytest.raises(RecipeError, match=r"minutes=1 is too short .* a step takes 5.9 s; give at least 2"):
        ByClock(learner.recipe, lambda: 30.0, Processes()).is_over(learner)
    learner.step, learner.shares = 2, (0.7, 0.9)
    with pytest.raises(RecipeError, match="there was time for 2"):
        ByClock(learner.recipe, lambda: 60.0, Processes()).is_over(learner)
    learner = Learner(quick(minutes=1.0))
    with pytest.raises(RecipeError, match="making ready has taken most of it"):
        ByClock(learner.recipe, Ticking(50.0), Processes()).prepared(learner, lambda network: {"psnr": 1.0}, 1)


def test_a_batch_beyond_a_cpu_is_refused_before_its_first_step(quick: Make) -> None:
    learner = Learner(quick(minutes=0.5, batch=100_000))
    before = [master.clone() for master in learner.masters]
    with pytest.raises(RecipeError, match=r"a step takes [\d.]+ s or more on this CPU; give at least"):
        ByClock(learner.recipe, lambda: 1.0, Processes()).prepared(learner, lambda network: {"psnr": 1.0}, 1)
    assert learner.step == 0 and learner.network.training
    assert all(torch.equal(one, two) for one, two in zip(before, learner.masters, strict=True))


def test_the_last_validation_is_left_out_where_there_is_no_time_for_it(quick: Make) -> None:
    pace = ByClock(quick(minutes=1.0), lambda: 50.0, Processes())
    pace.validated(9.0)
    assert pace.has_time_to_validate()
    pace.kept(0.6)
    assert not pace.has_time_to_validate()


def test_what_the_minutes_exclude_is_told(photos: Path, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        given = ["train", *words, "--photos", str(photos), "-o", str(tmp_path / "run")]
        result = CliRunner().invoke(app, given)
        assert result.exit_code in (1, 2)
        return " ".join(result.output.replace("│", " ").split())

    assert "steps=5 says when the run ends too" in said("tiny", "steps=5", "--minutes", "1")
    assert "0 minutes are no time to learn" in said("tiny", "--minutes", "0")
    assert "final_steps=8000 count from the end of `steps`" in said("restormer", "--minutes", "1")
    assert "too short for a schedule" in said("tiny", "--minutes", "0.001")
    with pytest.raises(RecipeError, match="final_steps=0"):
        replace(RECIPES["restormer"], minutes=1.0)
