"""The recipes of a trunk and of its stages."""

import json
from dataclasses import replace
from pathlib import Path

from dualpix.errors import DualpixError, RecipeError
from dualpix.tables import pick
from dualpix.training.agreement import FREE_TO_CHANGE
from dualpix.training.recipes import RECIPES, Recipe, from_dict, to_dict
from learning.settings import Plan

ENDLESS = 10**9
MEANS_IN_A_FALL = 4
"""The running mean of a stage covers the last of so many parts of its fall: one of a thousand steps, as a trunk has it,
would still be made of the steps before."""


def trunk_recipe(plan: Plan, number: int, start: str, teacher: str) -> Recipe:
    """At a constant rate, without end. Every trunk has scenes of its own: a later one has seen those of the earlier.

    start: in place of the plan's, unless empty. Raises `RecipeError`.
    """
    recipe = from_dict(plan.fields, pick(RECIPES, plan.recipe, "recipe"))
    if recipe.schedule != "stable" or recipe.final_steps:
        raise RecipeError(f"The trunk of {plan.name} goes on at one rate: schedule=stable and final_steps=0, please.")
    seed = recipe.seed + number - 1
    return replace(recipe, steps=ENDLESS, decay_steps=0, seed=seed, start=start or recipe.start, teacher=teacher)


def stage_recipe(trunk: Recipe, step: int, fall: int) -> Recipe:
    """From `step` on the rate falls to 0 in `fall` steps."""
    ema_decay = min(trunk.ema_decay, max(0.0, 1 - MEANS_IN_A_FALL / fall))
    return replace(trunk, steps=step + fall, decay_steps=fall, ema_decay=ema_decay)


def read_recipe(run: Path) -> Recipe:
    """Raises `RecipeError` for one that cannot be read, or is of another version of dualpix."""
    try:
        return from_dict(json.loads((run / "recipe.json").read_text()))
    except (OSError, ValueError, TypeError, DualpixError) as error:
        raise RecipeError(f"{run / 'recipe.json'} cannot be read: {error}.") from error


def differences(own: Recipe, wanted: Recipe) -> list[str]:
    """What keeps a run with the recipe `own` from going on with `wanted`."""
    before, now = (json.loads(json.dumps(to_dict(recipe))) for recipe in (own, wanted))
    free = FREE_TO_CHANGE | {"start"}
    return [f"{name} {before[name]} -> {now[name]}" for name in now if name not in free and before[name] != now[name]]
