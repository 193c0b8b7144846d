"""Every recipe trains: its network, made narrow, its loss, its optimiser, through the whole of `train`."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.networks import DEFOCUS_ESTIMATORS
from dualpix.training import train
from dualpix.training.curve import read_log
from dualpix.training.learner import Learner
from dualpix.training.processes import Processes
from dualpix.training.recipes import RECIPES, Recipe
from dualpix.weights import checkpoint

Make = Callable[..., Recipe]

NARROW: dict[str, dict[str, Any]] = {
    "dpdnet": {"widths": [8, 8, 8, 8, 8]},
    "rdpd": {"widths": [8, 8, 8, 8, 8]},
    "mdp": {"width": 4},
    "kpac": {"width": 4},
    "dmenet": {"width": 4},
    "ifan": {"channels": 4, "filters": 2},
    "restormer": {"channels": 8, "blocks": [1, 1, 1, 1], "refinement": 1},
}
SMALL: dict[str, Any] = {"scene": 48, "crop": 32, "batch": 2, "pool": 2, "fresh": 0.0, "steps": 2, "validate_every": 2}
ROWS = [name for name, recipe in RECIPES.items() if recipe.network in NARROW]


def small(name: str, **changes: Any) -> Recipe:
    recipe = RECIPES[name]
    arguments = recipe.arguments | NARROW[recipe.network]
    return replace(recipe, arguments=arguments, final_steps=0, final_crop=0, final_batch=0, **(SMALL | changes))


@pytest.fixture
def pairs(photos: Path, tmp_path: Path) -> Path:
    """Three pairs in the layout of DPDD, and one to validate on: photographs, further right in the right view."""
    root = tmp_path / "DPDD"
    for number, path in enumerate(sorted(photos.iterdir())[:4]):
        split = "val" if number == 3 else "train"
        sharp = np.asarray(Image.open(path).convert("RGB"))
        views = {"l/source": sharp, "r/source": np.roll(sharp, 2, 1), "c/source": sharp, "c/target": sharp}
        for place, picture in views.items():
            (root / f"{split}_{place}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / f"{split}_{place}" / f"{number}.png")
    return root


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_log(run / "log.jsonl") if "loss" in line]


@pytest.mark.parametrize("name", ROWS)
def test_every_recipe_trains(name: str, photos: Path, pairs: Path, tmp_path: Path) -> None:
    recipe = small(name)
    weights = train(recipe, tmp_path / "run", photos=[photos], data=pairs if recipe.simulated else None)
    found = losses(tmp_path / "run")
    assert found and all(math.isfinite(loss) for loss in found)
    made = checkpoint.load(weights)
    assert made.name == recipe.network
    assert ("blur_mae_px" in made.scores) == (recipe.network in DEFOCUS_ESTIMATORS) != ("psnr" in made.scores)
    train(replace(recipe, steps=3, validate_every=3), tmp_path / "run", photos=[photos],
          data=pairs if recipe.simulated else None)  # fmt: skip
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["learner"]["step"] == 3


def test_the_first_phase_of_mdp_is_where_the_second_starts(photos: Path, tmp_path: Path) -> None:
    train(small("mdp", loss="multi-task-views"), tmp_path / "first", photos=[photos])
    weights = tmp_path / "first" / "last.safetensors"
    told: list[dict] = []
    train(small("mdp", start=str(weights)), tmp_path / "second", photos=[photos], report=told.append)
    assert told[0]["step"] == 0 and "validation" in told[0]


def test_dropout_is_the_same_in_a_run_that_was_interrupted(photos: Path, tmp_path: Path) -> None:
    recipe = small("dpdnet", steps=4, validate_every=100)
    train(recipe, tmp_path / "whole", photos=[photos])
    train(replace(recipe, steps=2), tmp_path / "run", photos=[photos])
    torch.manual_seed(12345)
    train(recipe, tmp_path / "run", photos=[photos])
    whole, resumed = (torch.load(tmp_path / run / "last.pt", weights_only=True)["learner"] for run in ("whole", "run"))
    assert all(
        torch.equal(*pair) for key in ("masters", "means") for pair in zip(whole[key], resumed[key], strict=True)
    )


def some_batch(recipe: Recipe) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = (recipe.batch, 3, recipe.crop, recipe.crop)
    batch = {name: torch.rand(size, generator=generator) for name in ("left", "right", "center", "sharp")}
    return batch | {"blur_px": 9 * torch.randn(recipe.batch, 1, recipe.crop, recipe.crop, generator=generator)}


def test_dropout_differs_by_seed_step_and_process_and_leaves_the_callers_numbers_alone() -> None:
    recipe = small("dpdnet", learning_rate=0.0)

    def loss(rank: int = 0, step: int = 0, **changes: Any) -> float:
        learner = Learner(replace(recipe, **changes))
        learner.step = step
        with torch.no_grad():
            for master, same in zip(learner.masters, Learner(recipe).masters, strict=True):
                master.copy_(same)
        return learner.learn(some_batch(recipe), Processes(rank, 1))[0]

    torch.manual_seed(3)
    first = loss()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn) and loss() == first
    assert len({first, loss(rank=1), loss(step=1), loss(seed=1)}) == 4


def test_the_statistics_of_a_network_are_part_of_its_state() -> None:
    """Those of DMENet's normalisation, which no gradient moves."""
    recipe = small("dmenet")
    learner, again = Learner(recipe), Learner(recipe)
    for _ in range(2):
        learner.learn(some_batch(recipe), Processes())
    state = learner.state()
    assert not all(torch.equal(a, b) for a, b in zip(state["buffers"], again.state()["buffers"], strict=True))
    again.restore(state)
    center = some_batch(recipe)["center"]
    assert torch.equal(again.averaged()(center), learner.averaged()(center))
    del state["buffers"]
    Learner(recipe).restore(state)  # as runs had it that began before they were kept


def test_the_map_of_the_blur_is_learnt_by_heart() -> None:
    recipe = small("dmenet", learning_rate=3e-3, ema_decay=0.0)
    learner = Learner(recipe)
    batch = some_batch(recipe) | {"blur_px": torch.full((recipe.batch, 1, recipe.crop, recipe.crop), -4.0)}
    first, *_, last = [learner.learn(batch, Processes())[0] for _ in range(25)]
    assert last < 0.8 * first
