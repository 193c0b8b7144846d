"""What `evaluate` compares, made ready: weights, networks, functions, others' pictures and the rows of `TABLE_ROWS`.

Everything is opened here before anything runs, so that what is wrong shows before hours of work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from dualpix.datasets import Sample
from dualpix.errors import CheckpointError, DataError, MachineError, option, told
from dualpix.evaluation.methods import METHODS, by_defocus_estimator
from dualpix.evaluation.predicting import Method
from dualpix.evaluation.systems import TABLE_ROWS, System
from dualpix.inference.deblur import deblur_pair
from dualpix.inference.options import DeblurOptions
from dualpix.networks import DEFOCUS_ESTIMATORS
from dualpix.networks.spec import spec_of
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import Checkpoint

MethodLike: TypeAlias = nn.Module | Checkpoint | Method | System | str | Path
"""A network, a checkpoint, a function, a row of `TABLE_ROWS`, the name or file of weights, or a folder of pictures made
by another program."""

INPUT = "input"
"""The label of the blurred photograph itself, which every method has to beat."""

PHOTOGRAPHED = ("left", "right", "center")
"""What all data have, or what is made from it; anything else only simulated data have."""


@dataclass(frozen=True)
class Candidate:
    """A method made ready to fill a folder with pictures.

    method: None if it cannot run, or if `folder` holds its pictures already.
    folder: where another program's pictures are; None for what has to run.
    network: what its size is counted on. views: what it takes, where known.
    weights: where its weights come from, in a few words; source: what it is, in words.
    unavailable_reason: why it cannot run, in two or three words, "" if it can; advice: what to do about that.
    """

    label: str
    method: Method | None = None
    folder: Path | None = None
    network: nn.Module | None = None
    views: tuple[str, ...] = ()
    weights: str = ""
    source: str = ""
    unavailable_reason: str = ""
    advice: str = ""

    def on(self, sample: Sample | None) -> "Candidate":
        """The same, or one that says why it is unavailable, if data like `sample` do not have all of its views."""
        missing = [] if sample is None else [view for view in self.views if view not in (*PHOTOGRAPHED, *sample)]
        if self.method is None or not missing:
            return self
        advice = f"the data do not have {' and '.join(missing)}, which this method takes; `dualpix simulate` writes it"
        return replace(self, method=None, unavailable_reason=f"no {', '.join(missing)}", advice=advice)


def open_candidate(label: str, thing: MethodLike, options: DeblurOptions) -> Candidate:
    """`options` are those of `deblur_pair`. A file of weights whose `label` is that of a row is taken for that row.

    Raises `CheckpointError` or `DataError` if there is no such thing, or if it does not fit the row.
    """
    if not isinstance(label, str) or label == INPUT or not label.strip(". ") or set(label) & set("/\\\0"):
        raise DataError(f"A method cannot be called {label!r}: its label names a folder, and {INPUT!r} is taken.")
    if isinstance(thing, System):
        return _open_system(label, thing, options, None)
    if isinstance(thing, str | Path) and Path(thing).is_dir():
        source = f"pictures made elsewhere, in {Path(thing).name}"
        return Candidate(label, folder=Path(thing), weights="unknown", source=source)
    if isinstance(thing, str | Path):
        _refuse_row(thing)
        shipped = isinstance(thing, str) and thing in checkpoint.WEIGHTS
        opened = checkpoint.load(thing)
        if label in TABLE_ROWS and not (shipped and thing == TABLE_ROWS[label].weights):
            return _open_system(label, TABLE_ROWS[label], options, opened)
        return _open_checkpoint(label, opened, options, shipped)
    if isinstance(thing, Checkpoint):
        return _open_checkpoint(label, thing, options, False)
    if isinstance(thing, nn.Module):
        views, source = spec_of(thing).views, f"network {type(thing).__name__}"
        return Candidate(
            label, partial(deblur_pair, weights=thing, options=options), network=thing, views=views, source=source
        )
    if not callable(thing):
        raise DataError(
            f"The method {label!r} is of type {type(thing).__name__}; give weights, a network or a function."
        )
    return Candidate(label, thing, views=getattr(thing, "views", ()), source=f"a function{_alone(options)}")


def _refuse_row(thing: str | Path) -> None:
    """Raise `DataError` where the label of a row stands in place of weights, of which there is no such file."""
    row = next((label for label in TABLE_ROWS if label.lower() == str(thing).lower()), None)
    if row is not None and thing not in checkpoint.WEIGHTS and not Path(thing).exists():
        way = option("methods", row, python=f"methods=choose({row!r})")
        raise DataError(f"{str(thing)!r} is a row of the paper's table and no file of weights; give {way}.")


def _method(label: str, value: str) -> str:
    return option("method", f"{label}={value}", python=f"methods={{{label!r}: {value!r}}}")


def _open_system(label: str, system: System, options: DeblurOptions, opened: Checkpoint | None) -> Candidate:
    """`opened` are weights of the user's own; without them the shipped ones are taken."""
    if opened is None and not system.has_weights:
        advice = told(f"train some with `dualpix train`, and give the file: {_method(label, 'FILE')}")
        blank = system.blank()
        known = {"network": blank, "views": system.views, "source": str(system)}
        return Candidate(label, weights="none", unavailable_reason="no weights", advice=advice, **known)  # type: ignore[arg-type]
    if opened is not None and opened.name != system.network:
        takes = f"takes those of {system.network!r}" if system.network else "takes none"
        raise CheckpointError(
            f"{opened.path} holds weights of the network {opened.name!r}, but the row {label} {takes};"
            f" give other weights, or another label: {_method('mine', opened.path.name)}."
        )
    if not system.weights:
        method = METHODS[system.method]
        try:
            method.require()
        except MachineError as error:
            return Candidate(
                label,
                views=method.views,
                weights="none needed",
                source=str(system),
                unavailable_reason="no package",
                advice=str(error)[:-1],
            )
        source = f"{system}{_alone(options)}"
        return Candidate(label, method, views=method.views, weights="none needed", source=source)
    shipped = opened is None
    opened = opened or checkpoint.load(system.weights)
    made = _open_checkpoint(label, opened, options, shipped, system.method)
    same = shipped or dict(opened.arguments) == dict(system.arguments)
    return made if same else replace(made, source=f"{made.source}; the row itself is {system}")


def _open_checkpoint(
    label: str, opened: Checkpoint, options: DeblurOptions, shipped: bool, method: str = ""
) -> Candidate:
    """`method` is the entry of METHODS in which the network works, if it does not deblur by itself."""
    if opened.name in DEFOCUS_ESTIMATORS and not method:
        rows = [label for label, system in TABLE_ROWS.items() if system.network == opened.name]
        raise CheckpointError(
            f"{opened.path} holds weights of {opened.name!r}, which maps the blur and does not undo it; give them to"
            f" the method that does: {_method(rows[0] if rows else opened.name, opened.path.name)}."
        )
    run: Callable[..., Any] = partial(deblur_pair, weights=opened, options=options)
    if method:
        run = replace(METHODS[method], weights=None, run=partial(by_defocus_estimator, network=opened.network))
    origin = f", imported from {opened.extra['imported_from']}" if "imported_from" in opened.extra else ""
    weights = "shipped" if shipped else opened.path.name
    about = f"{METHODS[method].about}; " if method else ""
    source = f"{about}network {opened.name}, weights {opened.path.name}{origin}{_told(opened.arguments)}"
    source += _alone(options) if method else ""
    views = spec_of(opened.network).views
    return Candidate(label, run, network=opened.network, views=views, weights=weights + origin, source=source)


def _alone(options: DeblurOptions) -> str:
    """What to say of a method that does not run at the scale which is asked for."""
    return "" if options.scale in ("auto", "1") else f"; at full size alone, not at the scale {options.scale}"


def _told(arguments: Mapping[str, Any]) -> str:
    return "".join(f", {name}={value}" for name, value in arguments.items())
