"""One look-up for every table (NETWORKS, LOSSES, METRICS, RECIPES, ...)."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from dualpix.errors import RecipeError

Thing = TypeVar("Thing")


def pick(table: Mapping[str, Thing], name: str, what: str) -> Thing:
    """Return `table[name]`.

    `what` is the word for one entry ("network", "loss"), used in the message of the `RecipeError` that an unknown
    name raises: it lists all names and suggests the nearest.
    """
    if name in table:
        return table[name]
    near = get_close_matches(name, table, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise RecipeError(f"There is no {what} called {name!r}; choose from: {', '.join(table)}.{hint}")
