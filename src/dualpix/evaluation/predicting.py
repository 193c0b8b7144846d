"""The first step of an evaluation: a method writes one picture for each sample, and what fails is noted."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from dualpix.datasets import Sample, Samples, mean_view
from dualpix.errors import LONGEST_MESSAGE, DataError, DualpixError, PictureError, machine_fault
from dualpix.inference.deblur import Deblurred, deblur_pair
from dualpix.io import write_picture
from dualpix.pairs.sample import check_sample

Method: TypeAlias = Callable[[Sample], Tensor | Deblurred]
"""From a sample, whose `sharp` it must not look at, to the sharp picture, 3 x H x W in [0, 1]. A network with settings
of its own is one too: `partial(deblur_pair, weights=network, precision="fp32")`."""


@dataclass(frozen=True)
class Predictions:
    """What `predict` did, by sample name.

    Args:
        folder: Where the pictures are.
        seconds: What each picture took.
        plans: How it was run.
        warnings: What looked odd about its pair.
        failures: Why a picture is missing.
    """

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def predict(
    dataset: Samples,
    method: Method | nn.Module,
    folder: str | Path,
    *,
    depth: int = 16,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Let a method deblur every sample. One that fails is noted, and the others go on.

    Args:
        dataset: The samples.
        method: A function of a sample, or a network.
        folder: Where `<name>.png` is written for each sample.
        depth: Bits of the files, 8 or 16.
        overwrite: Replace files that exist, and delete those of samples that fail; else such samples fail.
        progress: Called as `progress(done, total)` after each sample.
    """
    made = Predictions(Path(folder))
    made.folder.mkdir(parents=True, exist_ok=True)
    run = as_method(method)
    for number, sample in each(dataset, made.failures):
        name = sample["name"]
        try:
            start = time.perf_counter()
            output = run(sample)
            seconds = time.perf_counter() - start
            picture = checked(output, sample)
            write_picture(made.folder / f"{name}.png", picture, depth=depth, overwrite=overwrite)
        except Exception as error:
            made.failures[name] = sentence(error)
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


def blurred(sample: Sample) -> Tensor:
    """The method that does nothing: the centre view, or the mean of the two where there is none."""
    center: Tensor = sample["center"] if "center" in sample else mean_view(sample["left"], sample["right"])
    return center


def as_method(thing: Method | nn.Module) -> Method:
    """`thing` itself, or a network run by `deblur_pair`, unguarded: it is the network that is measured."""
    return partial(deblur_pair, weights=thing, guard=False) if isinstance(thing, nn.Module) else thing


def each(
    dataset: Samples, failures: dict[str, str], numbers: Iterable[int] | None = None
) -> Iterator[tuple[int, Sample]]:
    """The samples that can be read, with their numbers; those that cannot are noted, and those called as others are."""
    names = set[str]()
    for number in range(len(dataset)) if numbers is None else numbers:
        try:
            sample = check_sample(dataset[number])
            if sample["name"] in names:
                raise DataError(f"Another sample is called {sample['name']!r} too; give each a name of its own.")
            names.add(sample["name"])
        except Exception as error:
            failures[f"sample {number + 1}"] = sentence(error)
        else:
            yield number, sample


def checked(output: Tensor | Deblurred, sample: Sample) -> Tensor:
    """The picture in `output`, float32 on the CPU. Raises `PictureError` if it cannot be one of `sample`."""
    picture = output.picture if isinstance(output, Deblurred) else output
    if not isinstance(picture, Tensor):
        raise PictureError(f"The method gave {type(picture).__name__} and no picture, a tensor 3 x H x W in [0, 1].")
    if picture.shape != sample["left"].shape:
        sizes = [" x ".join(map(str, reversed(thing.shape))) for thing in (picture, sample["left"])]
        raise PictureError(f"The picture is {sizes[0]}, but the views are {sizes[1]} (width x height x channels).")
    if not bool(torch.isfinite(picture).all()):
        raise PictureError("The picture holds NaN or infinity.")
    return picture.detach().float().cpu()


def sentence(error: Exception) -> str:
    """One line that says what went wrong; for anything but our own errors, with its type."""
    if fault := machine_fault(error):
        return fault
    text = " ".join(str(error).split())
    return text if isinstance(error, DualpixError) else f"{type(error).__name__}: {text}"[:LONGEST_MESSAGE]
