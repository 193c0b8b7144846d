"""Deblur a pair: the two views of a photograph in, one picture out that is sharp everywhere."""

import warnings as python_warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from dualpix.errors import CheckpointError, MachineError, PairError, memory_told
from dualpix.inference import engines
from dualpix.inference.bands import Done, Progress, run_bands, run_fitting
from dualpix.inference.engines import AnyRunner
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
Limits: TypeAlias = tuple[str | int | None, int | None, bool]  # memory, rows of a band, mirrored
Machine: TypeAlias = tuple[str, str, str | torch.device]  # engine, precision, device
Run: TypeAlias = Callable[[AnyRunner], Done]


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
    `engine`: "torch", "openvino" or "onnx"; "auto" is the engine of a file that `dualpix export` wrote, or else torch,
    or OpenVINO for large pictures where it is installed and was measured to be faster.
    `mirror`: the mean of four results, of the pair as it is, mirrored, upside down, and both: a little better, in four
    times the time.
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
    strict: bool = False,
    progress: Progress | None = None,
) -> Deblurred:
    """Like `deblur`, for a sample (`left`, `right` and, where known, `center`), with the plan and the warnings.

    `strict`: what looks odd about the pair raises `PairError` before any work is done.
    """
    with memory_told():
        return _deblurred(sample, weights, (memory, band_rows, mirror), (engine, precision, device), strict, progress)


def _deblurred(
    sample: Sample,
    weights: WeightsLike,
    limits: Limits,
    machine: Machine,
    strict: bool,
    progress: Progress | None,
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
    run = partial(_run, sample=sample, limits=limits, progress=progress)
    pixels = left[0].numel() if limits[:2] == (None, None) else 0  # PyTorch makes the most of little memory
    runner, (picture, plan, notes) = _run_chosen(network, machine, pixels, run)
    if runner.precision != "fp32" and not _is_finite(picture):
        warnings.append(f"{runner.precision} gave NaN or infinity for this pair, so it was computed again in fp32.")
        picture, plan, notes = run(engines.start(network, runner.engine, "fp32", machine[2]))
    if not _is_finite(picture):
        raise PairError(f"The network gives NaN or infinity for {sample['name']}; try other weights.")
    return Deblurred(picture.clamp_(0, 1), plan, (*warnings, *notes), found.verdict)


def _run_chosen(network: Network, machine: Machine, pixels: int, run: Run) -> tuple[AnyRunner, Done]:
    runner = engines.start(network, *machine, pixels=pixels)
    try:
        return runner, run(runner)
    except MachineError:
        if runner.engine == "torch" or runner.engine_gain is None:
            raise
    # Chosen for being faster, it needs more memory, and may fail where PyTorch does not.
    runner = engines.start(network, "torch", *machine[1:])
    return runner, run(runner)


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


def _run(runner: AnyRunner, sample: Sample, limits: Limits, progress: Progress | None) -> Done:
    views = _pick_views(sample, runner.spec.views)
    return run_fitting(runner, views, partial(_run_plan, runner, sample, progress=progress), *limits)


def _run_plan(runner: AnyRunner, sample: Sample, plan: Plan, progress: Progress | None) -> Tensor:
    if plan.mirror:
        return run_mirrored(runner, sample, plan, progress)
    return run_bands(runner, _pick_views(sample, runner.spec.views), plan, progress)


def run_mirrored(runner: AnyRunner, sample: Sample, plan: Plan, progress: Progress | None = None) -> Tensor:
    """The mean over the four ways `sample` can lie, each run as `plan` says and turned back; as `run_bands` returns it.

    Whole pictures are turned, not bands, so that bands start where they would in a picture that came in like that.
    """
    pair = {name: sample[name] for name in {"left", "right", *runner.spec.views} if name in sample}
    mean = torch.zeros_like(sample["left"])
    for number, (axes, turn) in enumerate(TURNS.items()):
        step = partial(_tell, progress, number) if progress is not None else None
        output = run_bands(runner, _pick_views(turn(pair), runner.spec.views), plan, step)
        mean += output.flip(axes) / len(TURNS)
    return mean


def _tell(progress: Progress, number: int, done: int, total: int) -> None:
    if done < total or number + 1 == len(TURNS):
        progress(number * total + done, len(TURNS) * total)


def _pick_views(sample: Sample, names: Sequence[str]) -> list[Tensor]:
    """The named views, in order; a missing centre view is the mean of the others."""
    known = {name: sample[name] for name in ("left", "right", "center") if name in sample}
    return [known[name] if name in known else mean_view(sample["left"], sample["right"]) for name in names]
