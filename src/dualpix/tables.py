"""One look-up for every table (NETWORKS, LOSSES, METRICS, RECIPES, ...), and for names that were changed."""

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from dualpix.errors import RecipeError

Thing = TypeVar("Thing")


def pick(table: Mapping[str, Thing], name: str, what: str) -> Thing:
    """Return `table[name]`.

    Args:
        table: Such as `NETWORKS` or `LOSSES`.
        name: The key to look up.
        what: The word for one entry in the message: "network", "loss".

    Raises:
        RecipeError: There is no such name; the message lists all names and suggests the nearest.

    Example:
        >>> pick({"mix": 1, "mse": 2}, "mse", "loss")
        2
        >>> pick({"mix": 1, "mse": 2}, "mixed", "loss")
        Traceback (most recent call last):
        dualpix.errors.RecipeError: There is no loss called 'mixed'; choose from: mix, mse. Did you mean 'mix'?
    """
    if name in table:
        return table[name]
    raise RecipeError(f"There is no {what} called {name!r}; choose from: {', '.join(table)}.{nearest(table, name)}")


def nearest(names: Iterable[str], name: str) -> str:
    """A sentence, to follow another, that suggests the name most like one that does not exist; "" if none is."""
    near = get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def former_names(module: str, current: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module, by which former names still work, with a DeprecationWarning.

    Args:
        module: The module's `__name__`.
        current: From each former name to a name that the module has now.
    """

    def find(name: str) -> Any:
        if name not in current:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is called {current[name]} now.", DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], current[name])

    return find
