"""One look-up for every table (NETWORKS, LOSSES, METRICS, RECIPES, ...), and for names that were changed."""

import sys
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

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


def former_names(module: str, current: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for `module` by which former names lead to the current ones, with a DeprecationWarning.

    Args:
        module: Its `__name__`.
        current: From former names to names that the module has.
    """

    def find(name: str) -> Any:
        if name not in current:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is called {current[name]} now.", DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], current[name])

    return find
