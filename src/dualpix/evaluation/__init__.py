"""Evaluate: how good are these methods on this data? Three steps, each of use alone.

`predict` lets a method write one picture for each sample; `score` compares a folder of pictures, made by this or any
other program, with the truth; `table` joins scores, sizes and seconds. `evaluate` does all three and draws a figure.
`choose("all")` names the methods of the paper's Table 1.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Unpack

import torch

from dualpix.datasets import Sample, Samples, open_dataset, require_samples
from dualpix.datasets.outputs import PicturesIn
from dualpix.errors import DataError, MachineError
from dualpix.evaluation.candidates import INPUT, Candidate, MethodLike, open_candidate
from dualpix.evaluation.drawing import draw
from dualpix.evaluation.peak import can_measure, peak_bytes
from dualpix.evaluation.predicting import Method, Predictions, blurred, each, predict
from dualpix.evaluation.results import Row, Scores, table
from dualpix.evaluation.scoring import found, score
from dualpix.evaluation.systems import TABLE_PX, TABLE_ROWS, System, choose, size_of
from dualpix.inference.options import DeblurOptions, Keywords, options_of
from dualpix.machine.modes import settled
from dualpix.tables import former_names
from dualpix.weights import checkpoint

__all__ = [
    "INPUT",
    "TABLE_ROWS",
    "Evaluation",
    "Method",
    "MethodLike",
    "Predictions",
    "System",
    "blurred",
    "choose",
    "draw",
    "evaluate",
    "predict",
    "score",
]

__getattr__ = former_names(__name__, {"SYSTEMS": "TABLE_ROWS"})


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Args:
        rows: One for each method, the input first.
        summary: The text of `summary.md`.
        folder: Where the files are.
        failures: From (method, picture) to a sentence, what failed.
        warnings: Likewise, what looked odd.
    """

    rows: tuple[Row, ...]
    summary: str
    folder: Path
    failures: dict[tuple[str, str], str]
    warnings: dict[tuple[str, str], str]


@settled()
def evaluate(
    data: str | Path | Samples,
    methods: Mapping[str, MethodLike] | None = None,
    folder: str | Path = "evaluation",
    *,
    protocol: str = "dpdd-16bit",
    extra: Sequence[str] = (),
    options: DeblurOptions | None = None,
    peak_memory: bool = False,
    overwrite: bool = False,
    scenes: int = 6,
    progress: Callable[[str, int, int], None] | None = None,
    **keywords: Unpack[Keywords],
) -> Evaluation:
    """Compare methods with each other and with the blurred input.

    A picture that fails is listed, and the others go on. A row of `TABLE_ROWS` without weights, or that needs what the
    data do not have, does not run and says so.

    Args:
        data: A folder that `open_dataset` takes, or a data set.
        methods: From label to method; None takes the default weights.
        folder: Where `<label>/<name>.png` for each method that has to run, `pictures.csv`, `methods.csv`, `summary.md`
            and `comparison.png` go.
        protocol: The bit depth and the metrics, a name in `evaluation.metrics.PROTOCOLS`.
        extra: More metrics, names in `evaluation.metrics.METRICS`.
        options: Those of `deblur`, but for `guard`: what is measured is the network, and nothing is mixed in.
        peak_memory: Run each method once more, on the first picture, to measure its memory (see `evaluation.peak`).
        overwrite: Let the folder hold files already, and replace them.
        scenes: How many samples `comparison.png` shows.
        progress: Called as `progress(label, done, total)` after each picture.
        **keywords: Fields of `options`.

    Raises:
        DataError: No sample has a sharp picture, or the folder is not empty and `overwrite` is not set.
        DualpixError: The data or a method cannot be opened.
    """
    chosen = replace(options_of(options, keywords), guard=False)
    dataset = open_dataset(data) if isinstance(data, str | Path) else require_samples(data)
    extra = (extra,) if isinstance(extra, str) else extra
    place = _prepare(Path(folder), overwrite)
    # All methods are opened, and the input is scored, before hours of work: what is wrong shows at once.
    named = {checkpoint.DEFAULT_WEIGHTS: checkpoint.DEFAULT_WEIGHTS} if methods is None else methods
    if not isinstance(named, Mapping):
        raise DataError(f"A thing of type {type(named).__name__} does not name methods; give a dict of them by label.")
    first = next((sample for _, sample in each(dataset, {})), None)
    candidates = [open_candidate(label, thing, chosen).on(first) for label, thing in named.items()]
    rows = [Row(INPUT, score(blurred, dataset, protocol, extra), views=("center",), source="the centre view as it is")]
    outputs: dict[str, Method] = {INPUT: blurred}
    known = rows[0].scores.notes  # on the data, and so no method's own
    warnings = {(INPUT, name): " ".join(notes) for name, notes in known.items() if notes}
    for one in candidates:
        row = _row(one, protocol)
        if not one.unavailable_reason:
            step = partial(progress, one.label) if progress else None
            made = Predictions(one.folder or place / one.label)
            if one.method is not None:
                made = predict(dataset, one.method, made.folder, overwrite=overwrite, progress=step)
            row = _filled(row, made, score(made.folder, dataset, protocol, extra))
            outputs[one.label] = PicturesIn(made.folder)
            for name, notes in row.scores.notes.items():
                odd = dict.fromkeys([*made.warnings.get(name, ()), *notes])
                if own := [note for note in odd if note not in known.get(name, ())]:
                    warnings[one.label, name] = " ".join(own)
        if peak_memory and one.method is not None and first is not None and can_measure(named[one.label]):
            try:
                row = replace(row, peak_bytes=peak_bytes(one.label, named[one.label], first, chosen))
            except MachineError as error:
                warnings[one.label, first["name"]] = str(error)
        rows.append(row)
    summary = table(rows, place, f"Evaluation on {found(dataset)}", _setting(first, peak_memory), warnings)
    draw(dataset, outputs, rows, place / "comparison.png", scenes)
    failures = {(row.method, name): why for row in rows for name, why in row.failures.items()}
    return Evaluation(tuple(rows), summary, place, failures, warnings)


def _row(one: Candidate, protocol: str) -> Row:
    """What is known of a method before it runs."""
    return Row(
        one.label,
        Scores(protocol),
        counts=size_of(one.network),
        views=one.views,
        weights=one.weights,
        source=one.source,
        unavailable_reason=one.unavailable_reason,
        advice=one.advice,
    )


def _filled(row: Row, made: Predictions, scores: Scores) -> Row:
    source = "; ".join([row.source, *dict.fromkeys(made.plans.values())])
    return replace(row, scores=scores, seconds=made.seconds, failures=scores.failures | made.failures, source=source)


def _prepare(folder: Path, overwrite: bool) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not overwrite and any(folder.iterdir()):
            raise DataError(f"The folder {folder} is not empty; give another for the results, or allow overwriting.")
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be made: {error.strerror or error}; choose another.") from error
    return folder


def _setting(first: Sample | None, peak_memory: bool) -> list[str]:
    height, width = TABLE_PX
    machine = f"on {platform.machine()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
    size = "" if first is None else f"{first['left'].shape[-1]} x {first['left'].shape[-2]} pixels "
    notes = [
        f"Parameters and operations of the network alone, at {width} x {height} pixels, whatever the size of the data.",
        f"Seconds for pictures like the first, {size}{machine}.",
    ]
    return [*notes, "Peak memory of the whole process on the first picture."] if peak_memory else notes
