"""Repeat a run from what its folder holds, and compare the weights that come out."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from dualpix.errors import CheckpointError, DataError, DualpixError, RecipeError, option
from dualpix.machine import threads
from dualpix.training import train
from dualpix.training.past_run import PastRun, read_run
from dualpix.training.recipes import Recipe
from dualpix.training.run_folder import Listener
from dualpix.training.sources import Data
from dualpix.weights import checkpoint

DATA = ("photos", "depths", "data", "validation")

COMPARED = ("version", "commit", "torch", "device", "precision", "processes", "threads")
"""Of the log's line on how a run began, what can change the bits of its weights; beside data and machine."""

MACHINE = ("system", "processor", "python", "numpy")


@dataclass(frozen=True)
class Repetition:
    """How a repeated run ended.

    Args:
        step: After which step.
        largest_difference: Between the last weights of both runs, over all parameters; 0 if they are the same to the
            bit, None if they were not compared.
        reason: Why they were not compared; "" if they were.
        original: The run that was repeated.
    """

    step: int
    largest_difference: float | None
    reason: str
    original: Path

    def __str__(self) -> str:
        if self.largest_difference is None:
            return f"The weights were not compared: {self.reason}."
        if not self.largest_difference:
            return f"The last weights, of step {self.step}, are those of {self.original} to the bit."
        return (
            f"The last weights, of step {self.step}, differ from those of {self.original} by at most"
            f" {self.largest_difference:.3g}."
        )


@dataclass(frozen=True)
class Repeatable:
    """A run of which everything is known that its repetition needs.

    Args:
        run: The run.
        recipe: Its recipe, with the precision that it learnt in, and weights that it started from where they lie.
        step: That of its last weights.
        weights: Its last weights, by name; None if its folder holds none.
        given: The arguments of `train` that name its data.
    """

    run: PastRun
    recipe: Recipe
    step: int
    weights: Mapping[str, torch.Tensor] | None
    given: Mapping[str, Any]

    @property
    def processes(self) -> int:
        """How many shared its work when it began."""
        count = _start(self.run).get("processes", 1)
        return count if isinstance(count, int) and count > 0 else 1

    def differences(self, now: Mapping[str, Any]) -> str:
        """One sentence on what differs between a line of a log on how a run began and that of this one."""
        told, unknown = [], []
        starts = [_flat(start) for start in self.run.starts] or [{}]
        for name, value in _flat(now).items():
            former = list(dict.fromkeys(str(start[name]) for start in starts if start.get(name) is not None))
            if not former:
                unknown.append(name)
            elif former != [str(value)]:
                told.append(f"{name} {value}, was {' and '.join(former)}")
        text = f"Differs from {self.run.folder}: {'; '.join(told)}." if told else ""
        text = text or f"Nothing that the log of {self.run.folder} records differs now."
        return text + (f" It does not record: {', '.join(unknown)}." if unknown else "")


def again(
    run: str | Path,
    folder: str | Path,
    *,
    photos: Sequence[str | Path] = (),
    depths: str | Path | None = None,
    data: Data | None = None,
    validation: Sequence[Data] = (),
    report: Listener | None = None,
    track: str = "",
) -> Repetition:
    """Repeat `run` in the run folder `folder`, by its recipe, up to the step of its last weights.

    Before the first step a note, to `report` and in the log, says what differs: versions, commit, machine, threads,
    processes, data. The same call again resumes.

    Args:
        run: A run folder, in which nothing is changed.
        folder: A new one.
        photos: As `train` has them, like the three that follow; by default the data are taken from where they lay.
        depths: See `photos`.
        data: See `photos`.
        validation: See `photos`.
        report: See `train`.
        track: See `train`.

    Returns:
        Whether the last weights are the same; as text, one sentence.

    Raises:
        RecipeError: `run` is no run, is going on, or began with the state of another; or `folder` is the same.
        DataError: Its data are gone, or it does not say where they lie.
        CheckpointError: Its last weights are damaged.
    """
    repeatable = find_repeatable(run, folder, photos=photos, depths=depths, data=data, validation=validation)
    with _threads(_start(repeatable.run).get("threads")):
        train(
            repeatable.recipe,
            folder,
            **repeatable.given,
            report=report,
            begun=repeatable.differences,
            is_last=lambda step: step >= repeatable.step,
            track=track,
        )
    return _compared(repeatable, Path(folder) / "last.safetensors")


def find_repeatable(run: str | Path, folder: str | Path, **given: Any) -> Repeatable:
    """Read `run`, and find what its repetition in `folder` needs; `given` and errors are those of `again`."""
    past = read_run(run)
    if past.folder.resolve() == Path(folder).resolve():
        raise RecipeError(f"{run} cannot be repeated in its own folder; give {option('output', None)} another one.")
    if past.is_going_on():
        raise RecipeError(f"The training in {run} is going on; wait until it has ended.")
    if past.starts and min(start["began_at_step"] for start in past.starts) > 0:
        raise RecipeError(
            f"{run} began at step {past.starts[0]['began_at_step']} with the state of another run, which is gone;"
            " repeat one that began at step 0."
        )
    if past.recipe.minutes:
        raise RecipeError(
            f"{run} ended by the clock, after {past.recipe.minutes:g} minutes, so its rates are not those of any other"
            " run; repeat one that ended by its steps."
        )
    step, weights = _last(past)
    return Repeatable(past, _recipe(past), step, weights, _places(past, given))


def _start(run: PastRun) -> Mapping[str, Any]:
    return run.starts[0] if run.starts else {}


def _flat(start: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared of a start, in words for people."""
    data, machine = _table(start, "data"), _table(start, "machine")
    return (
        {name: start.get(name) for name in COMPARED if name in start}
        | {name: machine[name] for name in MACHINE if name in machine}
        | {f"fingerprint of {name}": value for name, value in data.items()}
    )


def _table(start: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = start.get(name)
    return found if isinstance(found, dict) else {}


def _last(run: PastRun) -> tuple[int, Mapping[str, torch.Tensor] | None]:
    path = run.folder / "last.safetensors"
    if not path.exists():
        if not run.steps:
            raise RecipeError(f"{run.folder} has taken no step, so there is nothing to repeat.")
        return min(run.steps, run.recipe.steps), None
    found = checkpoint.load(path)
    step = found.extra.get("step")
    if not isinstance(step, int) or step < 1:
        raise CheckpointError(f"{path} does not say of which step it is; repeat another run.")
    return step, found.network.state_dict()


def _recipe(run: PastRun) -> Recipe:
    changes: dict[str, Any] = {}
    precision, recipe = _start(run).get("precision"), run.recipe
    if recipe.precision == "auto" and precision in ("fp32", "bf16"):
        changes["precision"] = precision
    for name, weights in (("start", recipe.start), ("teacher", recipe.teacher)):
        there = _where(run, weights)
        if weights and there.is_file():
            changes[name] = str(there)
    return replace(recipe, **changes)


def _where(run: PastRun, place: str) -> Path:
    """A place that a run names, as seen from the folder it worked in; from the present one if that is not known."""
    folder = _start(run).get("folder")
    path = _at_home(place)
    return _at_home(folder) / path if isinstance(folder, str) else path.absolute()


def _at_home(place: str) -> Path:
    try:
        return Path(place).expanduser()
    except RuntimeError:  # a user without a home
        return Path(place)


def _places(run: PastRun, given: Mapping[str, Any]) -> dict[str, Any]:
    """Where its data lie: as given now, as the log says, or as its command does."""
    start = _start(run)
    named = _table(start, "given") if "given" in start else _of_command(str(start.get("command", "")))
    places: dict[str, Any] = {}
    for name in DATA:
        one_of_many = name in ("photos", "validation")
        now = given.get(name)
        if now is not None and not (one_of_many and not now):
            places[name] = now
            continue
        words = named.get(name)
        found = [_where(run, word) for word in ([words] if isinstance(words, str) else words or ())]
        for place in found:
            if not place.exists():
                raise DataError(
                    f"{place}, which {run.folder} learnt from, is gone; say where it is by {_option(name)}."
                )
        if found:
            places[name] = found if one_of_many else found[0]
    for name, kind in (("photos", "photos"), ("data", "pairs")):
        if kind in _table(start, "data") and name not in places:
            raise DataError(f"{run.folder} does not say where its {kind} lie; give them by {_option(name)}.")
    if not {"photos", "data"} & set(places):
        raise DataError(
            f"{run.folder} does not say what it has learnt from; give that by {_option('photos')} or {_option('data')}."
        )
    return places


def _option(name: str) -> str:
    return {
        "photos": option("photos", None),
        "depths": option("depths", None),
        "data": option("data", None),
        "validation": option("validation", None),
    }[name]


def _of_command(command: str) -> dict[str, Any]:
    """The places of data in a command that an older version has kept."""
    try:
        words = [part for word in shlex.split(command) for part in _split(word)]
    except ValueError:
        return {}
    places: dict[str, Any] = {}
    for flag, word in pairwise(words):
        name = flag.removeprefix("-" * 2)
        if name != flag and name in ("photos", "validation"):
            places.setdefault(name, []).append(word)
        elif name != flag and name in DATA:
            places[name] = word
    return places


def _split(word: str) -> list[str]:
    flag, equals, value = word.partition("=")
    return [flag, value] if equals and flag.startswith("-") else [word]


@contextmanager
def _threads(count: Any) -> Iterator[None]:
    """As many threads as the run had, unless the user has chosen; sums over another number differ in their bits."""
    before = torch.get_num_threads()
    if isinstance(count, int) and count > 0 and threads.chosen() is None and "WORLD_SIZE" not in os.environ:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _compared(original: Repeatable, path: Path) -> Repetition:
    place = original.run.folder
    try:
        made = checkpoint.load(path)
    except DualpixError as error:
        return Repetition(0, None, str(error).rstrip("."), place)
    step = int(made.extra.get("step", 0))
    if original.weights is None:
        return Repetition(step, None, f"{place} holds no last.safetensors", place)
    if step != original.step:
        return Repetition(step, None, f"this run has stopped after step {step} of {original.step}", place)
    tensors = made.network.state_dict()
    if tensors.keys() != original.weights.keys():
        return Repetition(step, None, "the networks have other parameters", place)
    pairs = [(one.double(), tensors[name].double()) for name, one in original.weights.items()]
    largest = max((float((one - two).abs().max()) for one, two in pairs if one.numel()), default=0.0)
    return Repetition(step, largest, "", place)
