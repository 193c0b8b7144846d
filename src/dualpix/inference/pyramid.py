"""A picture deblurred at several scales, from the coarsest to full size; `inference.scales` says why.

The coarse scales come first, since what is kept of them is small compared with what full size needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias, cast

from torch import Tensor

from dualpix.inference.bands import Done, Progress, run_bands, run_fitting
from dualpix.inference.engines.pytorch import Runner
from dualpix.inference.finder import Finder
from dualpix.inference.options import DeblurOptions
from dualpix.inference.scales import fineness_of, join, reduce, share_of_finer, share_of_views
from dualpix.networks import Network
from dualpix.pairs.matching import noise_of
from dualpix.pairs.sample import Sample, mean_view

Once: TypeAlias = Callable[..., Done]
"""Runs a sample at one scale; takes `progress`, and `held_bytes`, the memory that is occupied meanwhile."""


def run_scales(
    once: Once,
    network: Network,
    sample: Sample,
    steps: Sequence[int],
    options: DeblurOptions,
    progress: Progress | None = None,
) -> Done:
    """Run `sample` at each reduction, and join the results.

    Args:
        once: Runs a sample at one scale.
        network: One with cross-correlation.
        sample: The pair at full size.
        steps: The reductions, a value of `scales.CHAINS`.
        options: How the picture is made.
        progress: Counts the bands of full size; it is called between the bands of other scales too, since it may raise
            to stop.

    Returns:
        The picture, not clipped; the plan of full size, with the peak memory of all scales; the notes of all scales.
    """
    coarsest, all_bytes = steps[0], sum(value.nbytes for value in sample.values() if isinstance(value, Tensor))
    quiet = None if progress is None else partial(_before_all, progress)
    small = _reduced(sample, coarsest)
    found, plan, notes = find_disparity(Finder(network), [small["left"], small["right"]], options, held_bytes=all_bytes)
    del small
    all_notes, peaks, correction = _at(coarsest, notes), [plan.peak_bytes], None
    for before, step in zip((0, *steps), steps, strict=False):
        here = _reduced(sample, step)
        held_bytes = found.nbytes + (0 if correction is None else correction.nbytes) + (all_bytes if step > 1 else 0)
        picture, plan, notes = once(here, progress=progress if step == 1 else quiet, held_bytes=held_bytes)
        all_notes, peaks = (*all_notes, *_at(step, notes)), [*peaks, plan.peak_bytes]
        left, right = here["left"], here["right"]
        if correction is not None:
            disparity_px, confidence = found[:1] * (coarsest / step), found[1:]
            share = share_of_finer(disparity_px, confidence)
            kept = _kept((left, right), disparity_px, confidence, coarsest) if step == 1 else None
            join(picture, (left, right), correction, before // step, share, coarsest // step, kept)
        if step > 1:
            correction = picture.sub_(mean_view(left, right))
        del here, left, right  # otherwise they would stay in memory, uncounted, while the next scale is run
    return picture, replace(plan, scales=tuple(steps), peak_bytes=max(peaks)), all_notes


def _kept(views: tuple[Tensor, Tensor], disparity_px: Tensor, confidence: Tensor, step: int) -> Tensor:
    """The weight of the mean of the views in the final picture, `step` times smaller."""
    noise = noise_of(views[0])
    return share_of_views(disparity_px, confidence, noise, fineness_of(views, step, noise))


def find_disparity(
    finder: Finder,
    views: Sequence[Tensor],
    options: DeblurOptions,
    progress: Progress | None = None,
    held_bytes: int = 0,
) -> Done:
    """Return disparity in pixels and confidence, 2 H W, of two views 3 H W, with plan and notes.

    `held_bytes` is the memory that is occupied meanwhile.
    """
    runner = Runner(cast(Network, finder), "fp32", options.device)
    run = partial(run_bands, runner, views, progress=progress, channels=2)
    return run_fitting(runner, views, run, options.memory, options.band_rows, held_bytes=held_bytes)


def _reduced(sample: Sample, step: int) -> Sample:
    views: Sample = {name: reduce(sample[name], step) for name in ("left", "right", "center") if name in sample}
    return {**views, "name": sample["name"]}


def _at(step: int, notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(notes) if step == 1 else tuple(f"At 1/{step} of the size: {note}" for note in notes)


def _before_all(progress: Progress, done: int, total: int) -> None:
    progress(0, 1)
