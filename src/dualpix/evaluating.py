"""Evaluate: how good are these methods on this data? Three steps, each of use alone.

`predict` lets a method write one picture for each sample; `score` compares a folder of pictures, made by this or any
other program, with the truth; `table` joins scores, sizes and seconds. `evaluate` does all three and draws a figure.
"""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from dualpix import checkpoint
from dualpix.checkpoint import Checkpoint
from dualpix.data import Sample, Samples, mean_view, open_dataset
from dualpix.data.outputs import PicturesIn
from dualpix.deblurring import Deblurred, deblur_pair
from dualpix.errors import DataError, DualpixError, PictureError
from dualpix.figures import Scene, comparison
from dualpix.images import write_picture
from dualpix.metrics import measure
from dualpix.networks.counting import Counts, count
from dualpix.results import Row, Scores, table

Method: TypeAlias = Callable[[Sample], Tensor | Deblurred]
"""From a sample, whose `sharp` it must not look at, to the sharp picture, 3 x H x W in [0, 1]. A network with settings
of its own is one too: `partial(deblur_pair, weights=network, precision="fp32")`."""

MethodLike: TypeAlias = nn.Module | Checkpoint | Method | str | Path
"""A network, a checkpoint, a function, the name or file of weights, or a folder of pictures made by another program."""

INPUT = "input"
"""The label of the blurred photograph itself, which every method has to beat."""


@dataclass(frozen=True)
class Predictions:
    """What `predict` did, by sample name: the `seconds` each picture took, how it was run (`plans`), what looked odd
    about its pair (`warnings`), and why a picture is missing (`failures`)."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: one row for each method, the input first; the text of the summary; where the files are;
    and, from (method, picture) to a sentence, what failed and what looked odd."""

    rows: tuple[Row, ...]
    summary: str
    folder: Path
    failures: dict[tuple[str, str], str]
    warnings: dict[tuple[str, str], str]


def evaluate(
    data: str | Path | Samples,
    methods: Mapping[str, MethodLike] | None = None,
    folder: str | Path = "evaluation",
    *,
    protocol: str = "dpdd-16bit",
    extra: Sequence[str] = (),
    memory: str | int | None = None,
    precision: str = "auto",
    device: str = "auto",
    mirror: bool = False,
    overwrite: bool = False,
    scenes: int = 6,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Compare `methods` (from label to method; None takes the default weights) with each other and with the input.

    Writes into `folder`: `<label>/<name>.png` for each method that has to run, `pictures.csv`, `summary.md` and
    `comparison.png`, which shows `scenes` of the samples. `protocol` and `extra` are those of `metrics.measure`;
    `memory`, `precision`, `device` and `mirror` those of `deblur`. `progress` is called as
    `progress(label, done, total)`. A picture that fails is listed, and the others go on. Raises `DataError` for data
    without any sharp picture or for a folder that is not empty (unless `overwrite`), and what opening the data or a
    method raises.
    """
    dataset = open_dataset(data) if isinstance(data, str | Path) else data
    place = _prepare(Path(folder), overwrite)
    run = partial(deblur_pair, memory=memory, precision=precision, device=device, mirror=mirror)
    # All methods are opened, and the input is scored, before hours of work: what is wrong shows at once.
    named = {checkpoint.DEFAULT_WEIGHTS: checkpoint.DEFAULT_WEIGHTS} if methods is None else methods
    candidates = [_open(label, method, place / label, run) for label, method in named.items()]
    rows = [Row(INPUT, score(blurred, dataset, protocol, extra), source="the centre view as it is")]
    outputs: dict[str, Method] = {INPUT: blurred}
    warnings: dict[tuple[str, str], str] = {}
    size_px = _first_size(dataset)
    for one in candidates:
        step = partial(progress, one.label) if progress else None
        made = Predictions(one.folder)
        if one.method is not None:
            made = predict(dataset, one.method, one.folder, overwrite=overwrite, progress=step)
        scores = score(one.folder, dataset, protocol, extra)
        counts = None if one.network is None else _count(one.network, size_px)
        source = "; ".join([one.source, *dict.fromkeys(made.plans.values())])
        rows.append(Row(one.label, scores, made.seconds, scores.failures | made.failures, counts, source))
        outputs[one.label] = PicturesIn(one.folder)
        warnings |= {(one.label, name): " ".join(odd) for name, odd in made.warnings.items()}
    summary = table(rows, place, f"Evaluation on {_found(dataset)}", _setting(size_px))
    draw(dataset, outputs, rows, place / "comparison.png", scenes)
    failures = {(row.method, name): why for row in rows for name, why in row.failures.items()}
    return Evaluation(tuple(rows), summary, place, failures, warnings)


def predict(
    dataset: Samples,
    method: Method | nn.Module,
    folder: str | Path,
    *,
    depth: int = 16,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Let `method` deblur every sample and write `<folder>/<name>.png`, 16 or 8 bit (`depth`).

    A sample that fails is noted and the others go on. Files that exist are refused, or with `overwrite` replaced, and
    then a sample that fails keeps none. `progress` is called as `progress(done, total)`.
    """
    made = Predictions(Path(folder))
    made.folder.mkdir(parents=True, exist_ok=True)
    run = _as_method(method)
    for number, sample in _each(dataset, made.failures):
        name = sample["name"]
        try:
            start = time.perf_counter()
            output = run(sample)
            seconds = time.perf_counter() - start
            picture = _checked(output, sample)
            write_picture(made.folder / f"{name}.png", picture, depth=depth, overwrite=overwrite)
        except Exception as error:
            made.failures[name] = _sentence(error)
            if overwrite:
                (made.folder / f"{name}.png").unlink(missing_ok=True)
        else:
            made.seconds[name] = seconds
            if isinstance(output, Deblurred):
                made.plans[name] = str(output.plan)
                made.warnings.update({name: output.warnings} if output.warnings else {})
        if progress is not None:
            progress(number + 1, len(dataset))
    return made


def score(
    outputs: str | Path | Method | nn.Module,
    dataset: Samples,
    protocol: str = "dpdd-16bit",
    extra: Sequence[str] = (),
) -> Scores:
    """Compare `outputs` with the sharp picture of every sample that has one.

    `outputs` is a folder of pictures, found by name (`PicturesIn`), or a method that makes each picture on the spot,
    which is how a trainer validates. `protocol` and `extra` are those of `metrics.measure`. A picture that is missing,
    unreadable or of another size is noted and the others go on. Raises `DataError` if no sample has a sharp picture.
    """
    blank = torch.zeros(3, 64, 64)
    measure(blank, blank, protocol, extra)  # An unknown name or a missing package is no fault of any picture.
    scores = Scores(protocol)
    run = PicturesIn(outputs) if isinstance(outputs, str | Path) else _as_method(outputs)
    for _, sample in _each(dataset, scores.failures):
        if "sharp" not in sample:
            continue
        name = sample["name"]
        try:
            scores.pictures[name] = measure(_checked(run(sample), sample), sample["sharp"], protocol, extra)
        except Exception as error:
            scores.failures[name] = _sentence(error)
    if isinstance(run, PicturesIn):
        for name, why in run.taken_twice().items():
            scores.pictures.pop(name, None)
            scores.failures[name] = why
    if not scores.pictures and not scores.failures:
        raise DataError(f"There is nothing to score: none of {_found(dataset)} has a sharp picture to compare with.")
    return scores


def blurred(sample: Sample) -> Tensor:
    """The method that does nothing: the centre view, or the mean of the two where there is none."""
    center: Tensor = sample["center"] if "center" in sample else mean_view(sample["left"], sample["right"])
    return center


def draw(
    dataset: Samples, outputs: Mapping[str, Method], rows: Sequence[Row], path: str | Path, scenes: int = 6
) -> None:
    """Write a picture of `scenes` samples, spread evenly over the data: the input and the details of every output.

    A method whose picture is missing is left out of that scene. Writes nothing if `scenes` is 0.
    """
    psnr = {(row.method, name): numbers["psnr"] for row in rows for name, numbers in row.scores.pictures.items()}
    shown = min(scenes, len(dataset))
    drawn = []
    for _, sample in _each(dataset, {}, [number * len(dataset) // shown for number in range(shown)]):
        pictures = {}
        for label, method in outputs.items():
            with suppress(Exception):  # it is in the list of failures already
                picture = _checked(method(sample), sample)
                known = (label, sample["name"]) in psnr
                pictures[f"{label} {psnr[label, sample['name']]:.2f} dB" if known else label] = picture
        if pictures:
            drawn.append(Scene(sample["name"], pictures, sample.get("sharp")))
    if drawn:
        write_picture(path, comparison(drawn), depth=8, overwrite=True)


@dataclass(frozen=True)
class _Candidate:
    """A method made ready: it is to fill `folder`, or has done so already if `method` is None."""

    label: str
    folder: Path
    method: Method | None = None
    network: nn.Module | None = None
    source: str = ""


def _open(label: str, thing: MethodLike, folder: Path, run: Callable[..., Deblurred]) -> _Candidate:
    """`run` is `deblur_pair` with its settings. Raises `CheckpointError` or `DataError` if there is no such thing."""
    if label == INPUT or not label.strip(". ") or set(label) & set("/\\\0"):
        raise DataError(f"A method cannot be called {label!r}: its label names a folder, and {INPUT!r} is taken.")
    if isinstance(thing, str | Path) and Path(thing).is_dir():
        return _Candidate(label, Path(thing), source=f"pictures made elsewhere, in {Path(thing).name}")
    if isinstance(thing, str | Path):
        thing = checkpoint.load(thing)
    if isinstance(thing, Checkpoint):
        source = f"network {thing.name}, weights {thing.path.name}"
        return _Candidate(label, folder, partial(run, weights=thing), thing.network, source)
    if isinstance(thing, nn.Module):
        return _Candidate(label, folder, partial(run, weights=thing), thing, f"network {type(thing).__name__}")
    return _Candidate(label, folder, thing, source="a function")


def _prepare(folder: Path, overwrite: bool) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not overwrite and any(folder.iterdir()):
            raise DataError(f"The folder {folder} is not empty; give another for the results, or allow overwriting.")
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be made: {error.strerror or error}; choose another.") from error
    return folder


def _as_method(thing: Method | nn.Module) -> Method:
    return partial(deblur_pair, weights=thing) if isinstance(thing, nn.Module) else thing


def _each(
    dataset: Samples, failures: dict[str, str], numbers: Iterable[int] | None = None
) -> Iterator[tuple[int, Sample]]:
    """The samples that can be read, with their numbers; those that cannot are noted."""
    for number in range(len(dataset)) if numbers is None else numbers:
        try:
            sample = dataset[number]
        except Exception as error:
            failures[f"sample {number + 1}"] = _sentence(error)
        else:
            yield number, sample


def _checked(output: Tensor | Deblurred, sample: Sample) -> Tensor:
    picture = output.picture if isinstance(output, Deblurred) else output
    if picture.shape != sample["left"].shape:
        sizes = [" x ".join(map(str, reversed(thing.shape))) for thing in (picture, sample["left"])]
        raise PictureError(f"The picture is {sizes[0]}, but the views are {sizes[1]} (width x height x channels).")
    if not bool(torch.isfinite(picture).all()):
        raise PictureError("The picture holds NaN or infinity.")
    return picture.detach().float().cpu()


def _sentence(error: Exception) -> str:
    """One line that says what went wrong; for anything but our own errors, with its type."""
    text = " ".join(str(error).split())
    return text if isinstance(error, DualpixError) else f"{type(error).__name__}: {text}"


def _first_size(dataset: Samples) -> tuple[int, int] | None:
    """Height and width of the first sample that can be read."""
    for _, sample in _each(dataset, {}):
        height, width = sample["left"].shape[-2:]
        return height, width
    return None


def _count(network: nn.Module, size_px: tuple[int, int] | None) -> Counts | None:
    """Size and operations of `network` on a picture of that size, padded as `deblur` pads it; None if uncountable."""
    if size_px is None:
        return None
    multiple = int(getattr(network, "multiple", 1))
    height, width = (-(-side // multiple) * multiple for side in size_px)
    try:
        return count(network, height, width)
    except Exception:  # a network of the user's own may not run on shapes alone, which is no reason to lose its scores
        return None


def _found(dataset: Samples) -> str:
    return getattr(dataset, "found", "") or f"{len(dataset)} samples"


def _setting(size_px: tuple[int, int] | None) -> list[str]:
    machine = f"Seconds on {platform.machine()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}."
    return [f"Operations at {size_px[1]} x {size_px[0]} pixels.", machine] if size_px else [machine]
