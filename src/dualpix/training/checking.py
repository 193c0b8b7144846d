"""Every pair is looked at before the first step: one that is damaged or too small would end a run hours later."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor

from dualpix.datasets import Sample, Samples
from dualpix.errors import DataError, PairError
from dualpix.evaluation.predicting import sentence
from dualpix.machine import limits
from dualpix.networks import DEFOCUS_ESTIMATORS
from dualpix.pairs import require_pair
from dualpix.pairs.sample import in_few_words
from dualpix.training.feed import CropSource, Fixed, lack, sizes
from dualpix.training.recipes import Recipe
from dualpix.training.sources import Validator

SHOWN = 4


def check_pairs(
    source: CropSource,
    validator: Validator,
    recipe: Recipe,
    names: Sequence[str],
    progress: Callable[[int, int], None],
    tell: Callable[[str], None] = lambda note: None,
) -> None:
    """Read every real pair that is learnt from or tried on, and let `progress` know after each.

    names: of what a crop has to hold. tell: given a sentence on what looks odd about files. Raises `DataError` that
    names those that cannot be used, and why.
    """
    real = source if isinstance(source, Fixed) else getattr(source, "real", None)
    if real is None:
        return
    crop = max(side for _, side in sizes(recipe))
    tried: Samples | None = getattr(validator, "samples", None)
    sets = [(real.samples, partial(_complaint, names=names, crop=crop))]
    if tried is not None:
        truth = "blur_px" if recipe.network in DEFOCUS_ESTIMATORS else "sharp"
        sets.append((tried, partial(_complaint, names=(truth,), crop=1)))
    total, done, wrong = sum(len(samples) for samples, _ in sets), 0, dict[str, str]()
    odd: dict[str, list[str]] = {}
    for samples, complain in sets:
        for name, why, notes in _looked_at(samples, complain):
            done += 1
            progress(done, total)
            odd[name] = [*dict.fromkeys([*odd.get(name, ()), *notes])]
            if why:
                wrong[name] = why
    for note in in_few_words(odd):
        tell(note)
    if wrong:
        shown = "; ".join(f"{name}: {why.rstrip('.')}" for name, why in list(wrong.items())[:SHOWN])
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise DataError(f"{len(wrong)} of {total} pairs cannot be used ({shown}{more}); take them out of the data.")


def _looked_at(
    samples: Samples | Sequence[Sample], complain: Callable[[Sample], str]
) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Name, complaint and notes of each."""

    def look(number: int) -> tuple[str, str, Sequence[str]]:
        try:
            sample = samples[number]
            return str(sample.get("name", number + 1)), complain(sample), sample.get("notes", ())
        except Exception as error:
            return f"pair {number + 1}", sentence(error), ()

    pool = ThreadPoolExecutor(limits.cores())
    try:
        yield from pool.map(look, range(len(samples)))
    finally:
        pool.shutdown(cancel_futures=True)


def _complaint(sample: Sample, names: Sequence[str], crop: int) -> str:
    """Why nothing can be learnt from a sample, "" if something can."""
    if why := lack(sample, names):
        return why
    pictures = {name: thing for name, thing in sample.items() if isinstance(thing, Tensor)}
    if missing := [name for name in ("left", "right") if name not in pictures]:
        return f"it has no {' and no '.join(missing)}"
    height, width = pictures["left"].shape[-2:]
    for name, picture in pictures.items():
        if picture.ndim != 3 or picture.shape[-2:] != (height, width):
            return f"{name} is {tuple(picture.shape)} and left {tuple(pictures['left'].shape)}"
        if not bool(torch.isfinite(picture).all()):
            return f"{name} holds NaN or infinity"
    if min(height, width) < crop:
        return f"it is {width} x {height} (width x height), smaller than the crop of {crop}"
    try:
        require_pair(pictures["left"], pictures["right"])
    except PairError as error:
        return str(error)
    return ""
