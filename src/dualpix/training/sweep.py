"""A small sweep: one run for each combination of values of a recipe's fields, each for some minutes; then compared."""

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from dualpix.errors import CheckpointError, DataError, RecipeError
from dualpix.machine.files import parse_json, write_whole
from dualpix.plugins import PluginError
from dualpix.training import train
from dualpix.training.compare import RunComparison, compare
from dualpix.training.past_run import read_run
from dualpix.training.recipes import Recipe, find_recipe
from dualpix.training.run_folder import Listener

SPENT = "sweep.json"
"""The file in a sweep's folder with the minutes that each run has had, by its name."""

LONGEST_NAME = 100


@dataclass(frozen=True)
class Sweep:
    """What a sweep has come to.

    Args:
        comparison: Of all runs that have begun.
        failures: Why combinations could not be learnt, by the name of the run, such as a learning rate that is too
            high.
    """

    comparison: RunComparison
    failures: Mapping[str, str]


def sweep(
    recipe: str,
    fields: Mapping[str, Sequence[Any]],
    folder: str | Path,
    *,
    minutes: float = 5.0,
    report: Listener | None = None,
    **given: Any,
) -> Sweep:
    """Train every combination in turn, each in a folder of its own in `folder`; the same call again resumes.

    Runs that have had their minutes are kept as they are; more `minutes` let them go on. Minutes count from the first
    step, validations included, so that rendering, which the runs share, counts for none. A run that was killed
    gets its minutes anew, from its last checkpoint.

    Args:
        recipe: A name in RECIPES, which all runs begin with.
        fields: Values by field, as text or as what JSON has.
        folder: Where the runs, `runs.md` and `curves.png` go.
        minutes: How long each run learns, unless its steps are taken before.
        report: Called with the lines of the logs, and before each with `run`, its name, `of_runs` and `steps`.
        given: What `train` learns from: `photos`, `depths`, `data`, `validation`.

    Returns:
        The comparison of the runs, see `training.compare`, and what failed.

    Raises:
        RecipeError: There is no such recipe or field, or a value is not accepted; or no run could be learnt.
        DataError: The data cannot be used.
        KeyboardInterrupt: The sweep was stopped; everything is saved.
    """
    folder, failures = Path(folder), dict[str, str]()
    runs = _combinations(recipe, fields)
    if minutes <= 0:
        raise RecipeError(f"A run of {minutes:g} minutes learns nothing; give more.")
    for number, (name, one) in enumerate(runs.items(), 1):
        if report is not None:
            report({"run": name, "of_runs": f"{number} of {len(runs)}", "steps": one.steps})
        try:
            _learn(one, folder, name, minutes, report, given)
        except (RecipeError, CheckpointError, PluginError) as error:
            failures[name] = str(error)
    begun = [folder / name for name in runs if name not in failures or _has_begun(folder / name)]
    if not begun:
        raise RecipeError(f"No run could be learnt: {next(iter(failures.values()))}")
    comparison = compare(begun)
    comparison.save(folder)
    return Sweep(comparison, failures)


def _learn(
    recipe: Recipe, folder: Path, name: str, minutes: float, report: Listener | None, given: Mapping[str, Any]
) -> None:
    had = _spent(folder).get(name, 0.0)
    if had >= minutes or _is_whole(folder / name, recipe):
        return
    began: list[float] = []

    def had_now() -> float:
        return had + (time.monotonic() - began[0]) / 60 if began else had

    def is_last(step: int) -> bool:
        if not began:
            began.append(time.monotonic())
        return had_now() >= minutes

    try:
        train(recipe, folder / name, report=report, is_last=is_last, rendered_first=True, **given)
    except DataError as error:
        if not began:
            raise
        # All data were read before the first step, so what fails after it is this combination's own, such as a network
        # that gives no numbers any more.
        raise RecipeError(error.args[0]) from error
    finally:
        if began:
            now = had_now()
            write_whole(folder / SPENT, json.dumps(_spent(folder) | {name: now}, indent=2).encode())
    if had_now() < minutes and not _is_whole(folder / name, recipe):
        raise KeyboardInterrupt


def _has_begun(run: Path) -> bool:
    """Whether a run that failed can be compared all the same."""
    with suppress(RecipeError):
        read_run(run)
        return True
    return False


def _is_whole(run: Path, recipe: Recipe) -> bool:
    return (run / "last.pt").exists() and read_run(run).steps >= recipe.steps


def _spent(folder: Path) -> dict[str, float]:
    try:
        known = parse_json((folder / SPENT).read_text())
    except (OSError, ValueError):
        return {}
    pairs = known.items() if isinstance(known, dict) else ()
    return {name: float(value) for name, value in pairs if isinstance(value, int | float)}


def _combinations(recipe: str, fields: Mapping[str, Sequence[Any]]) -> dict[str, Recipe]:
    """All recipes by the names of their runs, so that a wrong value is found before anything is learnt."""
    empty = [field for field, values in fields.items() if not values]
    if empty:
        raise RecipeError(f"There is no value for {', '.join(empty)}; give one or more.")
    texts = {
        field: [one if isinstance(one, str) else json.dumps(one) for one in ones] for field, ones in fields.items()
    }
    runs = {}
    for values in product(*texts.values()):
        changes = dict(zip(texts, values, strict=True))
        varied = {field: value for field, value in changes.items() if len(texts[field]) > 1}
        runs[_name(varied or changes or {"recipe": recipe})] = find_recipe(recipe, changes)
    return runs


def _name(changes: Mapping[str, str]) -> str:
    """The changes as the name of a folder on any system; where letters are replaced, a digest tells them apart."""
    text = ",".join(f"{field}={value}" for field, value in changes.items())
    name = re.sub(r"[^\w.+=,-]", "_", text, flags=re.ASCII)[:LONGEST_NAME]
    return name if name == text else f"{name}-{hashlib.blake2b(text.encode(), digest_size=3).hexdigest()}"


def values_in(text: str) -> list[str]:
    """Return the values in a text, separated by commas; those inside brackets, braces and quotes separate nothing.

    Example:
        >>> values_in("[2, 12],[4, 24]"), values_in("3e-4,1e-3")
        (['[2, 12]', '[4, 24]'], ['3e-4', '1e-3'])
    """
    parts, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter in "[{") - (letter in "]}")
        if letter == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
