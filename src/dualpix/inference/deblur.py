"""Deblur a pair: the two views of a photograph in, one picture out that is sharp everywhere.

The only place where pictures are cut into full-width bands and put together again. Bands are never cut left-right:
networks match along whole rows.
"""

import warnings as python_warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from dualpix.errors import CheckpointError, MachineError, PairError, memory_told
from dualpix.inference import engines, planning, scales
from dualpix.inference.engines import AnyRunner
from dualpix.inference.engines.memory import cost_of, probe_rows
from dualpix.inference.planning import Plan
from dualpix.io import PictureLike, as_picture
from dualpix.machine import threads
from dualpix.machine.modes import settled
from dualpix.networks import MAPPERS, NETWORKS, Network
from dualpix.pairs import inspect_views, read_pair, require_pair
from dualpix.pairs.flips import TURNS
from dualpix.pairs.sample import Sample, mean_view
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import Checkpoint

WeightsLike: TypeAlias = "str | Path | Checkpoint | nn.Module | None"
Progress: TypeAlias = Callable[[int, int], None]

MOST_HALVINGS = 6
"""By then bands are mostly the rows around them, and still smaller ones would hardly need less."""


@dataclass(frozen=True)
class Deblurred:
    """`picture`: float32 RGB 3 x H x W in [0, 1] on the CPU; `plan`: how it was run; `warnings`: what looks odd about
    the pair, or had to be done differently, one sentence each; `verdict`: what `inspect` says of the pair."""

    picture: Tensor
    plan: Plan
    warnings: tuple[str, ...]
    verdict: str = ""


@settled()
def deblur(
    left: PictureLike,
    right: PictureLike,
    weights: WeightsLike = None,
    *,
    memory: str | int | None = None,
    band_rows: int | None = None,
    precision: str = "auto",
    device: str | torch.device = "auto",
    engine: str = "auto",
    mirror: bool = False,
    scale: str = "auto",
    progress: Progress | None = None,
) -> Tensor:
    """Return the sharp picture of a pair, float32 RGB 3 x H x W in [0, 1].

    `left`, `right`: paths of picture files, Pillow images, or arrays or tensors, H x W x 3 or 3 x H x W, or H x W in
    grey, 8 or 16-bit integers or floats in [0, 1], with the disparity along rows.
    `weights`: shipped weights by name, a checkpoint file or one that `dualpix export` wrote, a `Checkpoint` or a
    network; None takes the default ones.
    `memory`: the most the process may use ("2GB" or bytes); None leaves room for other programs, and tries smaller
    bands should the memory run out.
    `band_rows`: cut into bands of that many rows, whatever the memory; None decides.
    `precision`: "auto", "fp32" or "bf16", with OpenVINO "int8" too; `device`: "auto", "cpu", "cuda", ...
    `engine`: "torch", "openvino" or "onnx"; "auto" is torch, but for files that `dualpix export` wrote for another.
    `mirror`: the mean of four results, of the pair as it is, mirrored, upside down, and both: a little better, in four
    times the time.
    `scale`: "1/4" deblurs at a quarter of the size as well, for what is blurred widely; "1" at full size alone; "auto"
    as the pair's disparity asks.
    `progress`: called as `progress(done, total)` with the number of bands.

    What looks odd about the pair is given as a Python warning, and does not stop it. Raises `PictureError`,
    `PairError`, `CheckpointError` or `MachineError`.
    """
    with memory_told():
        sample = as_sample(left, right)
    done = deblur_pair(
        sample,
        weights,
        memory=memory,
        band_rows=band_rows,
        precision=precision,
        device=device,
        engine=engine,
        mirror=mirror,
        scale=scale,
        progress=progress,
    )
    for warning in done.warnings:
        python_warnings.warn(warning, stacklevel=3)  # past `settled`
    return done.picture


@settled()
def deblur_pair(
    sample: Sample,
    weights: WeightsLike = None,
    *,
    memory: str | int | None = None,
    band_rows: int | None = None,
    precision: str = "auto",
    device: str | torch.device = "auto",
    engine: str = "auto",
    mirror: bool = False,
    scale: str = "auto",
    strict: bool = False,
    progress: Progress | None = None,
) -> Deblurred:
    """Like `deblur`, for a sample (`left`, `right` and, where known, `center`), with the plan and the warnings.

    `strict`: what looks odd about the pair raises `PairError` before any work is done.
    """
    with memory_told():
        return _deblurred(
            sample, weights, (memory, band_rows, mirror), (engine, precision, device), strict, progress, scale
        )


def _deblurred(
    sample: Sample,
    weights: WeightsLike,
    limits: tuple[str | int | None, int | None, bool],
    machine: tuple[str, str, str | torch.device],
    strict: bool,
    progress: Progress | None,
    scale: str = "auto",
) -> Deblurred:
    left, right = sample["left"], sample["right"]
    require_pair(left, right)
    found = inspect_views(left, right)
    odd = list(found.odd.values())
    if strict and odd:
        raise PairError(f"{' '.join(odd)} To go on all the same, give --anyway (strict=False).")
    warnings = [*sample.get("notes", ()), *odd]
    network = open_network(weights)
    threads.follow()
    runner = engines.start(network, *machine)
    picture, plan, notes = _run(runner, sample, *limits, progress)
    if runner.precision != "fp32" and not _is_finite(picture):
        warnings.append(f"{runner.precision} gave NaN or infinity for this pair, so it was computed again in fp32.")
        again = engines.start(network, machine[0], "fp32", machine[2])
        picture, plan, notes = _run(again, sample, *limits, progress)
    if not _is_finite(picture):
        raise PairError(f"The network gives NaN or infinity for {sample['name']}; try other weights.")
    steps = scales.choose(found.matches, scale, (left.shape[1], left.shape[2]))
    if len(steps) > 1 and scales.can_join(network):
        from dualpix.inference.pyramid import joined  # which needs the disparity, and that this file

        picture = joined(
            picture, sample, network, partial(_run, runner, memory=limits[0], rows=None, mirror=limits[2]), steps
        )
        plan = replace(plan, scales=steps)
    return Deblurred(picture.clamp_(0, 1), plan, (*warnings, *notes), found.verdict)


def _is_finite(picture: Tensor) -> bool:
    return bool(torch.isfinite(picture).all())


def as_sample(left: PictureLike, right: PictureLike) -> Sample:
    """Read, or convert to float32 RGB 3 x H x W in [0, 1], the two views. Raises `PictureError` or `PairError`."""
    if isinstance(left, str | PathLike) and isinstance(right, str | PathLike):
        return dict(read_pair(Path(left), Path(right)))
    a, b = as_picture(left, "left view"), as_picture(right, "right view")
    if a.kind != b.kind and "file" not in (a.kind, b.kind):
        raise PairError(f"The views have different types, {a.kind} and {b.kind}; give both in the same type.")
    if a.grey != b.grey:
        kinds = " and ".join("grey" if view.grey else "in colour" for view in (a, b))
        raise PairError(f"The views differ in channels ({kinds}); give both in the same way.")
    views = {"left": a.pixels, "right": b.pixels}
    return {name: view.cpu().to(torch.float32).contiguous() for name, view in views.items()} | {"name": "pair"}


def open_network(weights: WeightsLike) -> Network:
    """The network of `weights`, as `deblur` takes them. Raises `CheckpointError` for one that makes no picture."""
    if not isinstance(weights, nn.Module | Checkpoint | str | PathLike | None):
        what = type(weights).__name__
        raise CheckpointError(f"Weights cannot be a {what}; give a name, a file, a `Checkpoint` or a network.")
    if not isinstance(weights, nn.Module | Checkpoint):
        weights = checkpoint.load(checkpoint.DEFAULT_WEIGHTS if weights is None else weights)
    network = weights.network if isinstance(weights, Checkpoint) else weights
    if type(network) in MAPPERS.values():
        what = str(weights.path) if isinstance(weights, Checkpoint) else "This"
        raise CheckpointError(
            f"{what} is a {type(network).__name__}, which maps the blur and does not undo it; give the weights of a"
            f" network that makes a picture: {', '.join(NETWORKS)}."
        )
    return cast(Network, network)


def _pick_views(sample: Sample, names: Sequence[str]) -> list[Tensor]:
    """The named views, in order; a missing centre view is the mean of the others."""
    known = {name: sample[name] for name in ("left", "right", "center") if name in sample}
    return [known[name] if name in known else mean_view(sample["left"], sample["right"]) for name in names]


@settled()
def make_plan(
    runner: AnyRunner,
    views: Sequence[Tensor],
    memory: str | int | None = None,
    band_rows: int | None = None,
    mirror: bool = False,
) -> Plan:
    """Decide how `views` are cut, from the memory that `runner` is measured to need a row.

    `mirror`: they are run four times, mirrored in between. Raises `MachineError` if the memory does not suffice.
    """
    height, width = views[0].shape[-2:]
    reach = runner.reach_px or 0
    kept = 4 if mirror else 1  # float32 pictures besides the views: results, and what is made of them
    pictures = (2 if mirror else 1) * sum(view.nbytes for view in views) + kept * 4 * views[0].numel()
    cost = cost_of(runner, height, width).besides(planning.PROCESS_BYTES + 2 * runner.weight_bytes + pictures)
    if band_rows is not None:
        bands = planning.split(height, _checked_rows(band_rows, height, runner), runner.multiple)
    elif memory is not None:
        limit = planning.parse_memory(memory)
        bands = planning.choose_bands(height, runner.multiple, runner.reach_px, cost, limit, limit)
    else:
        limit = int(planning.FREE_SHARE * planning.free_bytes(runner.device)) + planning.PROCESS_BYTES
        bands = planning.choose_bands(height, runner.multiple, runner.reach_px, cost, limit, planning.COMFORT_BYTES)
    contexts = [planning.around(band, height, runner.multiple, reach) for band in bands]
    tallest = max(last - first for first, last in contexts)
    device = str(runner.device) if runner.engine == "torch" else f"{runner.device}, {runner.engine}"
    return Plan(bands, reach, runner.precision, device, cost.peak_bytes(tallest), mirror, runner.gain)


def _checked_rows(band_rows: int, height: int, runner: AnyRunner) -> int:
    if band_rows < 1:
        raise MachineError(f"band_rows must be at least 1, not {band_rows}; leave it out to have it chosen.")
    if runner.reach_px is None and band_rows < height:
        raise MachineError("This network sees the whole picture, so it cannot be run in bands; leave band_rows out.")
    return band_rows


def _run(
    runner: AnyRunner,
    sample: Sample,
    memory: str | int | None,
    rows: int | None,
    mirror: bool,
    progress: Progress | None,
) -> tuple[Tensor, Plan, tuple[str, ...]]:
    views = _pick_views(sample, runner.views)
    return run_fitting(runner, views, partial(_run_plan, runner, sample, progress=progress), memory, rows, mirror)


def run_fitting(
    runner: AnyRunner,
    views: Sequence[Tensor],
    run: Callable[[Plan], Tensor],
    memory: str | int | None = None,
    rows: int | None = None,
    mirror: bool = False,
) -> tuple[Tensor, Plan, tuple[str, ...]]:
    """Plan for `views` and `run`: what it gives, how it was run, and what to tell the user of that.

    Should the memory run out all the same, run again in bands of half the rows, unless the user chose them. Raises
    `MachineError` if nothing fits.
    """
    is_chosen = memory is not None or rows is not None
    sizes: list[str] = []
    while True:
        plan = _plan(runner, views, memory, rows, mirror)
        sizes.append(plan.size)
        picture = planning.unless_out_of_memory(partial(run, plan))
        if picture is not None:
            return picture, plan, planning.told(sizes)
        if is_chosen:
            asked = "band_rows=" if rows is not None else "memory= (--memory)"
            raise MachineError(f"The memory ran out with {sizes[-1]}, as {asked} asks; give less, or leave it out.")
        rows = _halve(runner, plan, len(sizes))


def _halve(runner: AnyRunner, plan: Plan, times: int) -> int:
    """The rows of smaller bands than those of `plan`, for the `times`-th time."""
    tried = plan.bands[0][1] - plan.bands[0][0]
    if runner.reach_px is None or tried <= runner.multiple or times > MOST_HALVINGS:
        raise MachineError(
            f"The memory ran out even with {plan.size} (about {plan.peak_bytes / 1e9:.1f} GB); free some, or make "
            "the picture smaller."
        )
    return tried // 2


def _run_plan(runner: AnyRunner, sample: Sample, plan: Plan, progress: Progress | None) -> Tensor:
    if plan.mirror:
        return run_mirrored(runner, sample, plan, progress)
    return run_bands(runner, _pick_views(sample, runner.views), plan, progress)


def _plan(runner: AnyRunner, views: Sequence[Tensor], memory: str | int | None, rows: int | None, mirror: bool) -> Plan:
    plan = planning.unless_out_of_memory(partial(make_plan, runner, views, memory, rows, mirror))
    if plan is None:  # No band is smaller than the few rows that were run to measure what a row needs.
        tried = 2 * probe_rows(runner, views[0].shape[1])
        raise MachineError(
            f"The memory ran out while trying {tried} rows of the picture; free some, or make the picture narrower."
        )
    return plan


@settled()
def run_bands(
    runner: AnyRunner, views: Sequence[Tensor], plan: Plan, progress: Progress | None = None, channels: int = 3
) -> Tensor:
    """Run each band of `plan` together with the rows around it; returns float32 `channels` x H x W, not clipped."""
    height, width = views[0].shape[-2:]
    picture = torch.empty(channels, height, width)
    for number, (first, last) in enumerate(plan.bands):
        if progress is not None:
            progress(number, len(plan.bands))
        top, bottom = planning.around((first, last), height, runner.multiple, plan.overlap_px)
        output = runner([view[:, top:bottom] for view in views])
        picture[:, first:last] = output[:, first - top : last - top]
    if progress is not None:
        progress(len(plan.bands), len(plan.bands))
    return picture


def run_mirrored(runner: AnyRunner, sample: Sample, plan: Plan, progress: Progress | None = None) -> Tensor:
    """The mean over the four ways `sample` can lie, each run as `plan` says and turned back; as `run_bands` returns it.

    Whole pictures are turned, not bands, so that bands start where they would in a picture that came in like that.
    """
    pair = {name: sample[name] for name in {"left", "right", *runner.views} if name in sample}
    mean = torch.zeros_like(sample["left"])
    for number, (axes, turn) in enumerate(TURNS.items()):
        step = partial(_tell, progress, number) if progress is not None else None
        output = run_bands(runner, _pick_views(turn(pair), runner.views), plan, step)
        mean += output.flip(axes) / len(TURNS)
    return mean


def _tell(progress: Progress, number: int, done: int, total: int) -> None:
    if done < total or number + 1 == len(TURNS):
        progress(number * total + done, len(TURNS) * total)
