"""A batch that the memory is too small for: real steps, whose network refuses large batches as PyTorch does."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dualpix.errors import MachineError
from dualpix.networks.mccnet_fast.model import MCCNetFast
from dualpix.training import train
from dualpix.training.learner import Learner
from dualpix.training.parts import sum_of_parts
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe

Make = Callable[..., Recipe]


def refuse(monkeypatch: pytest.MonkeyPatch, above: int) -> list[int]:
    """Let the network's forward pass run out of memory for more crops than that; returns the sizes it was asked for."""
    forward, asked = MCCNetFast.forward, []

    def limited(network: MCCNetFast, *views: torch.Tensor) -> torch.Tensor:
        asked.append(len(views[0]))
        if len(views[0]) > above:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        made: torch.Tensor = forward(network, *views)
        return made

    monkeypatch.setattr(MCCNetFast, "forward", limited)
    return asked


def batch_of(crops: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {name: torch.rand(crops, 3, 32, 32, generator=generator) for name in ("left", "right", "sharp")}


def test_a_step_in_parts_is_that_of_the_whole_batch(quick: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parted = Learner(quick()), Learner(quick())
    one, _ = whole.learn(batch_of(5), Processes())
    asked = refuse(monkeypatch, above=2)
    two, _ = parted.learn(batch_of(5), Processes())
    assert parted.parts == 4 and two == pytest.approx(one, rel=1e-5)
    gradients = [[master.grad for master in learner.masters] for learner in (whole, parted)]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)
    asked.clear()
    parted.learn(batch_of(5), Processes())
    assert max(asked) <= 2, "what has not fitted is not tried again"


def test_a_run_goes_on_in_parts_and_says_so(
    quick: Make, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = quick(steps=3, batch=4)
    refuse(monkeypatch, above=2)
    train(recipe, tmp_path / "run", photos=[photos])
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    notes = [line["note"] for line in lines if "note" in line]
    assert notes == ["The memory is too small for a batch at once; it is computed in 2 parts."]
    assert lines[-1]["step"] == 3


def test_too_little_memory_for_one_crop_is_one_sentence(quick: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Learner(quick())
    refuse(monkeypatch, above=0)
    with pytest.raises(MachineError, match=r"^The memory is too small to learn from one crop of 32 px"):
        learner.learn(batch_of(2), Processes())


def test_other_errors_stay_what_they_are() -> None:
    def broken(part: dict[str, torch.Tensor], share: float, last: bool) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        sum_of_parts(broken, lambda: None, batch_of(2))
