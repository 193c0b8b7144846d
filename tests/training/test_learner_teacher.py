"""Runs whose target is, in part, what a network that has learnt already makes of the same crops."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualpix import networks
from dualpix.errors import CheckpointError, RecipeError
from dualpix.training import train
from dualpix.training.learner import Learner
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe
from dualpix.weights import checkpoint

Make = Callable[..., Recipe]
SMALL = {"widths": [8, 8, 8, 8], "depths": [1] * 7, "max_disparity": 4}


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """Weights of a network of other arguments than that of `quick()`, whose pictures leave the range of 0 to 1."""
    torch.manual_seed(5)
    network = networks.create("mccnet-fast", **SMALL)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.2)
    return checkpoint.save(tmp_path / "teacher.safetensors", network, "mccnet-fast", SMALL)


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: torch.rand(2, 3, 32, 32, generator=generator) for name in ("left", "right", "sharp")}


@pytest.mark.parametrize("share", [1.0, 0.25, 0.0])
def test_what_the_teacher_makes_takes_its_share_of_the_target(
    quick: Make, teacher: Path, batch: dict[str, Tensor], share: float
) -> None:
    """One step moves the weights as a step without a teacher on the mixed pictures does."""
    made = checkpoint.load(teacher).network(batch["left"], batch["right"]).detach()
    assert made.min() < 0 or made.max() > 1, "or this does not see whether they are clipped"
    mixed = batch | {"sharp": share * made.clamp(0, 1) + (1 - share) * batch["sharp"]}
    taught, plain = Learner(quick(teacher=str(teacher), distillation=share)), Learner(quick())
    losses = [one.learn(given, Processes())[0] for one, given in ((taught, batch), (plain, mixed))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, two in zip(taught.masters, plain.masters, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)


def test_the_teacher_itself_learns_nothing(quick: Make, teacher: Path, photos: Path, tmp_path: Path) -> None:
    before = teacher.read_bytes()
    learner = Learner(quick(teacher=str(teacher)))
    kept = [parameter.clone() for parameter in learner.teacher.parameters()]
    crops = {name: torch.rand(2, 3, 32, 32) for name in ("left", "right", "sharp")}
    learner.learn(crops, Processes())
    assert all(torch.equal(one, two) for one, two in zip(kept, learner.teacher.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in learner.teacher.parameters())
    assert len(learner.masters) == len(list(networks.create("mccnet-fast", **quick().arguments).parameters()))
    train(quick(teacher=str(teacher)), tmp_path / "run", photos=[photos])
    assert teacher.read_bytes() == before


def test_a_run_with_a_teacher_learns_resumes_and_says_so(
    quick: Make, teacher: Path, photos: Path, tmp_path: Path
) -> None:
    recipe = quick(teacher=str(teacher), steps=4, decay_steps=0)
    train(recipe, tmp_path / "whole", photos=[photos])
    run = tmp_path / "run"
    train(replace(recipe, steps=2), run, photos=[photos])
    train(recipe, run, photos=[photos])
    train(replace(recipe, teacher=""), tmp_path / "other", photos=[photos])
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True)["learner"] for name in ("run", "whole")]
    assert all(torch.equal(one, two) for one, two in zip(states[0]["masters"], states[1]["masters"], strict=True))
    other = torch.load(tmp_path / "other" / "last.pt", weights_only=True)["learner"]
    assert not all(torch.equal(one, two) for one, two in zip(states[0]["masters"], other["masters"], strict=True))
    assert json.loads((run / "log.jsonl").read_text().splitlines()[0])["teacher"] == str(teacher)
    assert checkpoint.read_card(run / "last.safetensors")["recipe"]["teacher"] == str(teacher)


def test_it_is_given_the_views_it_knows(quick: Make, tmp_path: Path) -> None:
    """Among what a batch has to hold are a teacher's views, too."""
    network = networks.create("kpac")
    assert network.spec.views == ("center",)
    path = checkpoint.save(tmp_path / "kpac.safetensors", network, "kpac", {})
    assert set(Learner(quick(teacher=str(path), crop=48)).names) == {"left", "right", "sharp", "center"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"network": "mccnet", "arguments": {}, "crop": 40}, "the teacher, 'mccnet-fast', needs a multiple of 16"),
        ({"network": "dmenet", "arguments": {}, "loss": "blur-map"}, "the recipe's network is 'dmenet'"),
    ],
)
def test_teachers_that_will_not_do(quick: Make, teacher: Path, changes: dict, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Learner(quick(teacher=str(teacher), **changes))
    assert says in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"There is no weights file nowhere"):
        Learner(quick(teacher="nowhere"))


def test_a_network_that_maps_blur_is_no_teacher(quick: Make, tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path / "map.safetensors", networks.create("dmenet"), "dmenet", {})
    with pytest.raises(RecipeError, match=r"is of 'dmenet'"):
        Learner(quick(teacher=str(path)))
