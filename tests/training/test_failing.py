"""A device that fails in the middle of a run: one sentence; what was reached stays, and the run goes on from there."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dualpix.training import train
from dualpix.training.failing import DeviceFailedError
from dualpix.training.recipes import Recipe
from dualpix.training.state import unpack
from dualpix.weights import checkpoint
from losing import SAID, losing

Make = Callable[..., Recipe]


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(run / "last.safetensors").network.state_dict()


@pytest.mark.parametrize("minutes", [0.0, 5.0])
def test_what_was_reached_stays(quick: Make, photos: Path, tmp_path: Path, minutes: float) -> None:
    """By steps it has kept each of them, by the clock what it begins with; then it fails in the middle of the sixth."""
    run, recipe = tmp_path / "run", quick(steps=8, keep_minutes=0.0 if not minutes else 60.0, minutes=minutes)
    said = rf"device cpu failed after step 5 \({SAID.splitlines()[0]}\); step {0 if minutes else 5} is kept in .*run: "
    with (
        pytest.raises(DeviceFailedError, match=said + "start the same run again, which goes on from there.$"),
        losing(5),
    ):
        train(recipe, run, photos=[photos])
    kept = 0 if minutes else 5
    assert unpack(run / "last.pt")["learner"]["step"] == kept
    assert checkpoint.load(run / "last.safetensors").extra["step"] == kept
    assert [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_it_goes_on_as_if_nothing_had_happened(quick: Make, photos: Path, tmp_path: Path) -> None:
    recipe = quick(steps=6, keep_minutes=0.0)
    with pytest.raises(DeviceFailedError), losing(3):
        train(recipe, tmp_path / "run", photos=[photos])
    for run in ("run", "unbroken"):
        train(recipe, tmp_path / run, photos=[photos])
    one, other = weights_of(tmp_path / "run"), weights_of(tmp_path / "unbroken")
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_before_anything_is_kept_it_says_so(quick: Make, photos: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(DeviceFailedError, match=r"failed after step 0 .* nothing was kept yet in .* start the run"),
        losing(0),
    ):
        train(quick(), tmp_path / "run", photos=[photos])


def test_other_errors_stay_what_they_are(
    quick: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("dualpix.training.learner.Learner.learn", broken)
    with pytest.raises(RuntimeError, match=r"^shapes do not match$"):
        train(quick(), tmp_path / "run", photos=[photos])


@pytest.mark.slow
def test_the_command_ends_with_one_sentence(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", "tiny", "keep_minutes=0", "steps=8", "--photos", str(photos), "-o", str(run)]
    program = [sys.executable, str(Path(__file__).parents[1] / "losing.py"), "4", *words]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(
        "dualpix: The device cpu failed after step 4 (CUDA error: unspecified launch failure)"
    )
    assert unpack(run / "last.pt")["learner"]["step"] == 4
