"""What is said when a run is given up, because its loss is no number any more."""

from dualpix.errors import RecipeError
from dualpix.networks import NETWORKS
from dualpix.training.losses import LOSSES
from dualpix.training.objectives import OBJECTIVES
from dualpix.training.recipes import Recipe


def no_numbers(recipe: Recipe, step: int, failures: int) -> RecipeError:
    """The error after so many `failures` in a row, which names what other packages have brought to the run.

    Args:
        recipe: Of the run.
        step: The last that was taken.
        failures: Steps whose loss or gradient was not finite.
    """
    asked = ((LOSSES, recipe.loss), (OBJECTIVES, recipe.loss), (NETWORKS, recipe.network))
    origins = [origin for table, name in asked if (origin := table.origin_of(name))]
    tell = f", or tell those who made {', and '.join(map(str, origins))}" if origins else ""
    return RecipeError(
        f"The loss or its gradient has not been a number for {failures} steps in a row, up to step {step}; start a new"
        f" run with a lower learning_rate, or with precision=fp32{tell}."
    )
