"""Fields of recipes under the names that they had up to version 0.1.0."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dualpix.errors import RecipeError
from dualpix.training import train
from dualpix.training.former_names import FORMER
from dualpix.training.recipes import RECIPES, Recipe, current_changes, find_recipe, from_dict, to_dict
from same_state import same

Make = Callable[..., Recipe]

# The recipe.json of `restormer`, as version 0.1.0 wrote it at commit 13242f6.
WRITTEN = """{
"network": "restormer", "arguments": {}, "start": "", "teacher": "", "taught": 1.0, "loss": "mae", "optimiser":
"adamw", "rate": 0.0003, "momentum": 0.9, "second_momentum": 0.999, "weight_decay": 0.0001, "schedule": "stable",
"steps": 20000, "warmup_steps": 0, "decay_steps": 13900, "halve_every": 10000, "batch": 4, "crop": 64, "late_steps":
8000, "late_batch": 1, "late_crop": 128, "average": 0.999, "clip": 0.01, "precision": "fp32", "seed": 0, "scene":
256, "pool": 1500, "fresh": 0.5, "sharp_aperture": 0.18181818181818182, "compressed": 0.8, "codecs": ["jpeg",
"vp8"], "far_px": [4.0, 24.0], "shade": 0.5, "light": {}, "layout": {}, "augment": true, "negate_depth": false,
"simulated": 0.0, "validate_every": 500, "keep_minutes": 10.0}"""

VALUES = {"rate": 2e-3, "average": 0.5, "clip": 0.3, "taught": 0.25, "late_steps": 4, "late_batch": 3, "late_crop": 64}
"""Some value for each field that kept all but its name."""


def former_dict(recipe: Recipe) -> dict[str, Any]:
    """What version 0.1.0 wrote of a recipe."""
    settings = to_dict(recipe)
    del settings["minutes"]  # which came later
    settings["momentum"], settings["second_momentum"] = settings.pop("betas")
    return settings | {old: settings.pop(new) for old, new in FORMER.items() if new != "betas"}


def test_a_recipe_written_by_the_version_before_is_read_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert from_dict(json.loads(WRITTEN)) == RECIPES["restormer"]
    assert json.loads(json.dumps(former_dict(RECIPES["restormer"]))) == json.loads(WRITTEN)


def test_former_keywords_and_attributes_work_and_name_the_current_ones() -> None:
    assert VALUES.keys() | {"momentum", "second_momentum"} == FORMER.keys()
    for old, value in VALUES.items():
        with pytest.warns(DeprecationWarning, match=f"{old} is called {FORMER[old]} now"):
            made = Recipe(**{old: value})
        assert made == Recipe(**{FORMER[old]: value})
        with pytest.warns(DeprecationWarning, match=f"{old} is called"):
            changed = replace(RECIPES["restormer"], **{old: value})
        assert changed == replace(RECIPES["restormer"], **{FORMER[old]: value})
        with pytest.warns(DeprecationWarning, match=f"{old} is called"):
            assert getattr(changed, old) == value
    with pytest.raises(AttributeError, match="colour"):
        _ = made.colour


def test_one_of_the_betas_alone_leaves_the_other_as_it_is() -> None:
    with pytest.warns(DeprecationWarning, match="momentum is the first number of betas now"):
        assert Recipe(momentum=0.5).betas == (0.5, 0.99)
    with pytest.warns(DeprecationWarning, match="second_momentum is the second number of betas now"):
        assert replace(RECIPES["paper"], second_momentum=0.5).betas == (0.9, 0.5)
    with pytest.warns(DeprecationWarning):
        assert find_recipe("paper", {"momentum": "0.5"}).betas == (0.5, 0.999)
    assert from_dict({"momentum": 0.5}, RECIPES["paper"]) == replace(RECIPES["paper"], betas=(0.5, 0.999))
    with pytest.warns(DeprecationWarning, match="second_momentum is"):
        assert RECIPES["paper"].second_momentum == 0.999


def test_what_is_typed_is_told_and_not_warned_of() -> None:
    told: list[str] = []
    typed = {"rate": "3e-4", "second_momentum": "0.95", "steps": "7", "late_crop": "48"}
    current = current_changes("tiny", typed, told.append)
    assert current == {"learning_rate": "3e-4", "betas": "[0.9, 0.95]", "steps": "7", "final_crop": "48"}
    assert [hint.split()[0] for hint in told] == ["rate", "second_momentum", "late_crop"]
    wanted = replace(RECIPES["tiny"], learning_rate=3e-4, betas=(0.9, 0.95), steps=7, final_crop=48)
    assert find_recipe("tiny", current) == wanted


def test_both_names_at_once_are_refused() -> None:
    says = "rate is the former name of learning_rate, and both are given"
    with pytest.raises(RecipeError, match=says):
        Recipe(rate=1e-3, learning_rate=1e-3)
    with pytest.raises(RecipeError, match=says):
        find_recipe("cpu", {"learning_rate": "1", "rate": "1"})
    with pytest.raises(RecipeError, match="momentum is the former name of betas"):
        from_dict({"betas": [0.9, 0.99], "momentum": 0.9})
    with pytest.raises(RecipeError, match=r"betas=\[fast, 0.99\]"):
        find_recipe("cpu", current_changes("cpu", {"momentum": "fast"}, lambda hint: None))


def test_a_run_of_the_version_before_goes_on_bit_for_bit(quick: Make, photos: Path, tmp_path: Path) -> None:
    recipe = quick(steps=3, decay_steps=1, final_steps=1, final_batch=1, betas=(0.8, 0.97))
    train(recipe, tmp_path / "whole", photos=[photos])
    run = tmp_path / "run"
    train(replace(recipe, steps=2, decay_steps=0, final_steps=0), run, photos=[photos])
    settings = former_dict(from_dict(json.loads((run / "recipe.json").read_text())))
    (run / "recipe.json").write_text(json.dumps(settings))
    state = torch.load(run / "last.pt", weights_only=True)
    first = state.pop("best_score")
    torch.save(state | {"best_merit": first}, run / "last.pt")
    train(recipe, run, photos=[photos])
    ends = [torch.load(folder / "last.pt", weights_only=True) for folder in (run, tmp_path / "whole")]
    assert same(ends[0]["learner"], ends[1]["learner"]) and ends[0]["best_score"] == max(first, ends[1]["best_score"])
    assert from_dict(json.loads((run / "recipe.json").read_text())) == recipe
