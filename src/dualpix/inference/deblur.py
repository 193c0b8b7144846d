"""Deblur a pair: the two views of a photograph in, one picture out that is sharp everywhere."""

import warnings as python_warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack, cast

import torch
from torch import Tensor, nn

from dualpix.errors import CheckpointError, MachineError, PairError, machine_told, option
from dualpix.inference import engines, scales, selective
from dualpix.inference.bands import Done, Progress, run_bands, run_fitting
from dualpix.inference.blending import blend
from dualpix.inference.comparison import compare
from dualpix.inference.engines import AnyRunner
from dualpix.inference.finder import gives_disparity
from dualpix.inference.guard import watch
from dualpix.inference.options import DeblurOptions, Keywords, options_of
from dualpix.inference.planning import Plan
from dualpix.inference.pyramid import run_scales
from dualpix.inference.sharp_zone import find_zone
from dualpix.inference.summary import RunReport, summarise
from dualpix.inference.windows import Once, run_where
from dualpix.io import PictureLike, as_picture
from dualpix.io.staging import as_place
from dualpix.machine import threads
from dualpix.machine.modes import settled
from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS, Network
from dualpix.pairs import inspection_of, lay_along_rows, read_pair, require_pair, restore_orientation
from dualpix.pairs.brightness import match_brightness
from dualpix.pairs.flips import FLIPS
from dualpix.pairs.matching import noise_of
from dualpix.pairs.sample import Sample, mean_view
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    from dualpix.inference.all_in_focus import AllInFocus, FoundDisparity

WeightsLike: TypeAlias = "str | Path | Checkpoint | nn.Module | None"
Run: TypeAlias = Callable[[AnyRunner], Done]


@dataclass(frozen=True)
class Deblurred:
    """What became of a pair.

    Args:
        picture: The sharp picture, float32 RGB 3 x H x W in [0, 1] on the CPU.
        plan: How it was computed.
        warnings: What looks odd about the pair, or had to be done differently, one sentence each.
        verdict: What `inspect` says about the pair.
        report: How much was changed, and whether the weights know such blur.
        mask: If only a part was made sharp, 1 there and 0 where the picture is as it was taken, 1 x H x W; else None.
        scene: What a picture that was refocused was made from.
    """

    picture: Tensor
    plan: Plan
    warnings: tuple[str, ...]
    verdict: str = ""
    mask: Tensor | None = None
    scene: "AllInFocus | None" = None
    report: RunReport | None = None


@settled()
def deblur(
    left: PictureLike,
    right: PictureLike,
    weights: WeightsLike = None,
    options: DeblurOptions | None = None,
    *,
    progress: Progress | None = None,
    **keywords: Unpack[Keywords],
) -> Tensor:
    """Return the sharp picture of a pair.

    What looks odd about the pair is given as a Python warning, and does not stop it.

    Args:
        left: path of a picture file, Pillow image, or array or tensor, H x W x 3 or 3 x H x W, or H x W in grey, 8 or
            16-bit integers or floats in [0, 1].
        right: the other view, in the same way.
        weights: shipped weights by name, a checkpoint file or one that `dualpix export` wrote, a `Checkpoint` or a
            network; None takes the default ones.
        options: how it is made, see `DeblurOptions`.
        progress: called as `progress(done, total)` with the number of bands.
        keywords: fields of `DeblurOptions` one by one, such as `memory="2GB"`, `precision="fp32"` or `mirror=True`;
            they go before `options`.

    Returns:
        The picture, float32 RGB 3 x H x W in [0, 1].

    Raises:
        PictureError: a view cannot be read.
        PairError: these are not two views of one photograph.
        CheckpointError: the weights cannot be used.
        MachineError: this machine cannot do what the options ask.

    Example:
        >>> import dualpix
        >>> sharp = dualpix.deblur("left.png", "right.png", precision="fp32")
        >>> sharp.shape, sharp.dtype
        (torch.Size([3, 96, 128]), torch.float32)
    """
    chosen = options_of(options, keywords)
    if chosen.layout is not None:
        raise PairError("layout= says how one file holds both views, and here are two; read it with `open_views`.")
    with machine_told():
        sample = as_sample(left, right)
        require_pair(sample["left"], sample["right"])
        sample = lay_along_rows(sample, chosen.turn, chosen.swap)
    done = deblur_pair(sample, weights, chosen, progress=progress)
    for warning in done.warnings:
        python_warnings.warn(warning, stacklevel=3)  # past `settled`
    return restore_orientation(done.picture, sample)


@settled()
def deblur_pair(
    sample: Sample,
    weights: WeightsLike = None,
    options: DeblurOptions | None = None,
    *,
    strict: bool = False,
    progress: Progress | None = None,
    **keywords: Unpack[Keywords],
) -> Deblurred:
    """Like `deblur`, for a sample (`left`, `right` and, where known, `center`), with the plan and the warnings.

    Args:
        sample: the views as they are to be used: options that say how files are read change nothing any more. Only if
            nothing says how they lie (`quarter_turns`) are they turned as the options say, and the picture back.
        weights: as `deblur` takes them.
        options: as `deblur` takes them.
        strict: what looks odd about the pair raises `PairError` before any work is done.
        progress: as `deblur` takes it.
        keywords: as `deblur` takes them.
    """
    chosen = options_of(options, keywords)
    with machine_told():
        require_pair(sample["left"], sample["right"])
        laid = sample if "quarter_turns" in sample else lay_along_rows(sample, chosen.turn)
        done = _deblurred(laid, weights, chosen, strict, progress)
        return done if laid is sample else oriented(done, laid)


def oriented(done: Deblurred, views: Sample) -> Deblurred:
    """`done` with its picture and mask turned the way the file of `views` lay."""
    mask = None if done.mask is None else restore_orientation(done.mask, views)
    return replace(done, picture=restore_orientation(done.picture, views), mask=mask)


def _deblurred(
    sample: Sample, weights: WeightsLike, options: DeblurOptions, strict: bool, progress: Progress | None
) -> Deblurred:
    found = inspection_of(sample)
    odd = list(found.odd.values())
    if strict and odd:
        advice = f"To go on all the same, give {option('force')}."
        if "swapped" in found.odd:
            advice = f"To exchange the views, give {option('swap')}; to go on all the same, {option('force')}."
        if "upright" in found.odd:
            ways = f"{option('turn', 'left')} or {option('turn', 'right')}"
            advice = f"To say which way, give {ways}; to go on all the same, {option('force')}."
        raise PairError(" ".join([*odd, advice]))
    left, right, matched = match_brightness(sample["left"], sample["right"])
    given, sample = sample, {**sample, "left": left, "right": right}
    warnings = [*sample.get("notes", ()), *odd, *([matched] if matched else [])]
    network = open_network(weights)
    mask = selective.prepare(network, given, options)
    steps, told = scales.choose_for(network, found.matches, (left.shape[1], left.shape[2]), options.scale)
    warnings += told
    threads.follow()
    depth = _depth_for(options, sample, network, steps[0])
    noise = noise_of(left)
    zone = find_zone(left, right, noise) if options.only_blurred else None

    def run(runner: AnyRunner) -> Done:
        once: Once = partial(_run, runner, options)
        if zone is not None:
            once = run_where(once, runner, zone)
        if steps == (1,):
            return once(sample, progress=progress)
        return run_scales(once, network, sample, steps, options, progress)

    pixels = 0 if options.limits_memory else left[0].numel()  # PyTorch makes the most of little memory
    runner, (picture, plan, notes) = _run_chosen(network, options, pixels, run)
    if runner.precision != "fp32" and not _is_finite(picture):
        warnings.append(f"{runner.precision} gave NaN or infinity for this pair, so it was computed again in fp32.")
        picture, plan, notes = run(engines.start(network, runner.engine, "fp32", options.device))
    inputs = _pick_views(sample, runner.spec.views)
    skipped = 0.0 if zone is None else zone.restore(picture, left, right)
    seen = watch(picture, inputs, sample["name"], plan.scales[0], options.guard)
    picture, mask = selective.apply(picture, given, mask, network, steps[0], options)
    picture = blend(picture, given["left"], given["right"], options.strength)
    is_whole = mask is None and options.strength == 1
    report = summarise(
        seen.comparison if is_whole else compare(picture, inputs, seen.comparison.block_px),
        noise,
        found.matches,
        recipe_of(weights),
        plan.scales,
        scale=options.scale,
        tells_disparity=gives_disparity(network),
        mixed_in=seen.mixed_in,
        skipped=skipped,
        computed=plan.computed,
    )
    said = (*warnings, *notes, *seen.notes)
    if depth is None:
        return Deblurred(picture, plan, said, found.verdict, mask, report=report)
    scene = depth.scene(picture)
    return Deblurred(scene.seen(scene.refocus), plan, said, found.verdict, mask, scene, report)


def _depth_for(options: DeblurOptions, sample: Sample, network: Network, coarsest: int) -> "FoundDisparity | None":
    """What refocusing needs to know before the pair is deblurred, if that is asked for."""
    if options.refocus is None:
        return None
    from dualpix.inference.all_in_focus import FoundDisparity  # with the renderer, which others need not wait for

    return FoundDisparity(options.refocus, sample, network, coarsest, options)


def _run_chosen(network: Network, options: DeblurOptions, pixels: int, run: Run) -> tuple[AnyRunner, Done]:
    runner = engines.start(network, options.engine, options.precision, options.device, pixels=pixels)
    try:
        return runner, run(runner)
    except MachineError:
        if runner.engine == "torch" or runner.engine_gain is None:
            raise
    # Chosen for being faster, it needs more memory, and may fail where PyTorch does not.
    runner = engines.start(network, "torch", options.precision, options.device)
    return runner, run(runner)


def _is_finite(picture: Tensor) -> bool:
    return bool(torch.isfinite(picture).all())


def as_sample(left: PictureLike, right: PictureLike) -> Sample:
    """Read, or convert to float32 RGB 3 x H x W in [0, 1], the two views. Raises `PictureError` or `PairError`."""
    if isinstance(left, str | PathLike) and isinstance(right, str | PathLike):
        return dict(read_pair(as_place(left), as_place(right)))
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
    if type(network) in DEFOCUS_ESTIMATORS.values():
        what = str(weights.path) if isinstance(weights, Checkpoint) else "This"
        raise CheckpointError(
            f"{what} is a {type(network).__name__}, which maps the blur and does not undo it; give the weights of a"
            f" network that makes a picture: {', '.join(NETWORKS)}."
        )
    return cast(Network, network)


def recipe_of(weights: WeightsLike) -> Mapping[str, Any]:
    """By which recipe `weights`, as `deblur` takes them, were trained; nothing of a bare network."""
    if isinstance(weights, nn.Module):
        return {}
    if isinstance(weights, Checkpoint):
        return weights.recipe
    recipe: Mapping[str, Any] = checkpoint.read_card(weights or checkpoint.DEFAULT_WEIGHTS)["recipe"]
    return recipe


def _run(
    runner: AnyRunner, options: DeblurOptions, sample: Sample, progress: Progress | None, held_bytes: int = 0
) -> Done:
    views = _pick_views(sample, runner.spec.views)
    run = partial(_run_plan, runner, sample, progress=progress)
    return run_fitting(runner, views, run, options.memory, options.band_rows, options.mirror, held_bytes)


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
    for number, (axes, turn) in enumerate(FLIPS.items()):
        step = partial(_tell, progress, number) if progress is not None else None
        output = run_bands(runner, _pick_views(turn(pair), runner.spec.views), plan, step)
        mean += output.flip(axes) / len(FLIPS)
    return mean


def _tell(progress: Progress, number: int, done: int, total: int) -> None:
    if done < total or number + 1 == len(FLIPS):
        progress(number * total + done, len(FLIPS) * total)


def _pick_views(sample: Sample, names: Sequence[str]) -> list[Tensor]:
    """The named views, in order; a missing centre view is the mean of the others."""
    known = {name: sample[name] for name in ("left", "right", "center") if name in sample}
    return [known[name] if name in known else mean_view(sample["left"], sample["right"]) for name in names]
