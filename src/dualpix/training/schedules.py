"""How the learning rate goes over a run: a warm-up, and one of three ways down."""

import math

from dualpix.training.recipes import Recipe


def rate_at(recipe: Recipe, step: int) -> float:
    """The learning rate of a step, counted from 0."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    if recipe.schedule == "halving":
        fall = 0.5 ** (step // recipe.halve_every)
    elif recipe.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / recipe.steps)))
    else:
        fall = min(1.0, max(0.0, (recipe.steps - step) / max(1, recipe.decay_steps)))
    return recipe.learning_rate * warm * fall
