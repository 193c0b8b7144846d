"""How the learning rate goes over a run: a warm-up, and one of three ways down."""

import math

from dualpix.training.recipes import Recipe

WARM_SHARE, FALL_SHARE = 0.1, 0.2
"""Of the time of a run that ends by the clock: the longest warm-up, and the fall."""


def rate_at(recipe: Recipe, step: int, share: float | None = None) -> float:
    """The learning rate of a step, counted from 0.

    share: Of its time, what is over, for a run that ends by the clock.
    """
    if share is not None:
        warm = max(min(1.0, (step + 1) / max(1, recipe.warmup_steps)), min(1.0, share / WARM_SHARE))
        return recipe.learning_rate * warm * min(1.0, max(0.0, (1 - share) / FALL_SHARE))
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    if recipe.schedule == "halving":
        fall = 0.5 ** (step // recipe.halve_every)
    elif recipe.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / recipe.steps)))
    else:
        fall = min(1.0, max(0.0, (recipe.steps - step) / max(1, recipe.decay_steps)))
    return recipe.learning_rate * warm * fall
