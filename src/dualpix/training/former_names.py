"""Names that fields of a recipe had up to version 0.1.0: read without a word from files, with a hint from people."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic_core import ArgsKwargs

from dualpix.errors import RecipeError

FORMER = {
    "rate": "learning_rate",
    "momentum": "betas",
    "second_momentum": "betas",
    "average": "ema_decay",
    "clip": "grad_clip",
    "taught": "distillation",
    "late_steps": "final_steps",
    "late_batch": "final_batch",
    "late_crop": "final_crop",
}
"""From a former name to today's."""

HALVES = ("momentum", "second_momentum")
"""The former fields that `betas` holds, in its order."""


def with_current_names(settings: Mapping[str, Any], betas: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
    """Rename the former fields among the settings of a recipe.

    Args:
        settings: From fields, by former or current names, to values of any kind, which stay as they are.
        betas: Two values, of which the one is taken that `momentum` or `second_momentum` alone leaves open.

    Returns:
        The settings by current names, and one sentence for each former name that was found.

    Raises:
        RecipeError: A field is given by its former and by its current name.
    """
    former = [name for name in settings if name in FORMER]
    current = {name: value for name, value in settings.items() if name not in FORMER}
    for name in former:
        if FORMER[name] in current:
            raise RecipeError(
                f"{name} is the former name of {FORMER[name]}, and both are given; give the latter alone."
            )
    pair = list(betas)
    for name in former:
        if name in HALVES:
            pair[HALVES.index(name)] = settings[name]
        current[FORMER[name]] = pair if name in HALVES else settings[name]
    return current, [_hint(name) for name in former]


def _hint(name: str) -> str:
    if name in HALVES:
        return f"{name} is the {('first', 'second')[HALVES.index(name)]} number of betas now."
    return f"{name} is called {FORMER[name]} now."


def take_former_names(cls: Any, given: ArgsKwargs) -> ArgsKwargs:
    """Rename the keywords with which a record is made, with a DeprecationWarning; raises `RecipeError` as above."""
    keywords = given.kwargs or {}
    former = FORMER.keys() & keywords
    if not former:
        return given
    known = {field.name: field.default for field in fields(cls)}
    betas = keywords.get("betas", known["betas"])
    if keywords.keys() >= known.keys():  # `dataclasses.replace` adds all fields, as they were, to those that are given
        keywords = {name: value for name, value in keywords.items() if name not in {FORMER[one] for one in former}}
    current, hints = with_current_names(keywords, betas)
    for hint in hints:
        warnings.warn(hint, DeprecationWarning, stacklevel=3)
    return ArgsKwargs(given.args, current)


def former_value(record: Any, name: str) -> Any:
    """Return the value of a former field, with a DeprecationWarning; raises AttributeError for any other name."""
    if name not in FORMER:
        raise AttributeError(f"{type(record).__name__} has no field {name!r}")
    warnings.warn(_hint(name), DeprecationWarning, stacklevel=2)
    value = getattr(record, FORMER[name])
    return value[HALVES.index(name)] if name in HALVES else value
