"""Whether a recipe fits the run that it is to go on with."""

import json
from dataclasses import replace
from pathlib import Path

from dualpix.errors import DualpixError, RecipeError, shortened
from dualpix.machine.files import parse_json
from dualpix.training.recipes import Recipe, from_dict, to_dict

MOST_STEPS = 2**53

FREE_TO_CHANGE = {"steps", "decay_steps", "final_steps", "final_batch", "final_crop"}
FREE_TO_CHANGE |= {"ema_decay", "validate_every", "keep_minutes", "minutes"}
"""Fields that a resumed run may change: before the last steps, which some of them govern, none alters a step that has
been taken, except `steps` of a cosine; the running mean is beside the steps, and none depends on it."""


def agreed(folder: Path, recipe: Recipe) -> tuple[Recipe, int]:
    """Return the recipe, once it is known to be that of the run in `folder`, and the most steps it can have taken.

    Where the run started stays true. Raises `RecipeError` for another recipe, or one that cannot be read.
    """
    path = folder / "recipe.json"
    if not path.exists():
        return recipe, recipe.steps
    try:
        own = from_dict(parse_json(path.read_text()))
        # One that ended by the clock has taken any number.
        most = max(own.steps, recipe.steps) if not own.minutes else MOST_STEPS
        recipe = replace(recipe, start=own.start)
        before, now = (json.loads(json.dumps(to_dict(r))) for r in (own, recipe))
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, TypeError, DualpixError) as error:
        raise RecipeError(
            f"{path} is damaged or of another version of dualpix; name another run folder to start anew."
        ) from error
    free = FREE_TO_CHANGE - ({"steps"} if recipe.schedule == "cosine" else set())
    changed = [f"{name} {before[name]} -> {now[name]}" for name in now if now[name] != before[name]]
    changed = [change for change in changed if change.split()[0] not in free]
    if changed:
        raise RecipeError(
            f"{folder} holds a run with another recipe ({shortened(', '.join(changed))}); name another run"
            " folder, or take the same recipe to resume."
        )
    return recipe, most
