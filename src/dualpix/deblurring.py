"""Deblur a pair: the two views of a photograph in, one picture out that is sharp everywhere.

The only place where pictures are padded to what a network needs, cut into full-width bands and put together again.
Bands are never cut left-right: networks match along whole rows.
"""

import copy
import inspect
import math
import warnings as python_warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dualpix import checkpoint, planning
from dualpix.checkpoint import Checkpoint
from dualpix.data.samples import Sample, mean_view
from dualpix.errors import MachineError, PairError
from dualpix.images import check_pair, read_pair, read_picture
from dualpix.networks import Network
from dualpix.planning import Plan

PictureLike: TypeAlias = "str | Path | np.ndarray[Any, Any] | Tensor"
WeightsLike: TypeAlias = "str | Path | Checkpoint | nn.Module | None"
Progress: TypeAlias = Callable[[int, int], None]

PROBE_ROWS = 16
MIN_SIDE = 16


@dataclass(frozen=True)
class Deblurred:
    """`picture`: float32 RGB 3 x H x W in [0, 1] on the CPU; `plan`: how it was run; `warnings`: what looks odd about
    the pair, or had to be done differently, one sentence each."""

    picture: Tensor
    plan: Plan
    warnings: tuple[str, ...]


def deblur(
    left: PictureLike,
    right: PictureLike,
    weights: WeightsLike = None,
    *,
    memory: str | int | None = None,
    band_rows: int | None = None,
    precision: str = "auto",
    device: str | torch.device = "auto",
    progress: Progress | None = None,
) -> Tensor:
    """Return the sharp picture of a pair, float32 RGB 3 x H x W in [0, 1].

    `left`, `right`: paths of picture files, or pictures as arrays or tensors, H x W x 3 or 3 x H x W, 8 or 16-bit
    integers or floats in [0, 1], with the disparity along rows.
    `weights`: shipped weights by name, a checkpoint file, a `Checkpoint` or a network; None takes the default ones.
    `memory`: the most the process may use ("2GB" or bytes); None leaves room for other programs.
    `band_rows`: cut into bands of that many rows, whatever the memory; None decides.
    `precision`: "auto", "fp32" or "bf16"; `device`: "auto", "cpu", "cuda", ...
    `progress`: called as `progress(done, total)` with the number of bands.

    What looks odd about the pair is given as a Python warning. Raises `PictureError`, `PairError`, `CheckpointError`
    or `MachineError`.
    """
    done = deblur_pair(
        as_sample(left, right),
        weights,
        memory=memory,
        band_rows=band_rows,
        precision=precision,
        device=device,
        progress=progress,
    )
    for warning in done.warnings:
        python_warnings.warn(warning, stacklevel=2)
    return done.picture


def deblur_pair(
    sample: Sample,
    weights: WeightsLike = None,
    *,
    memory: str | int | None = None,
    band_rows: int | None = None,
    precision: str = "auto",
    device: str | torch.device = "auto",
    progress: Progress | None = None,
) -> Deblurred:
    """Like `deblur`, for a sample (`left`, `right` and, where known, `center`), with the plan and the warnings."""
    network = _open_network(weights)
    views = _pick_views(sample, network.views)
    warnings = check_pair(sample["left"], sample["right"])
    runner = Runner(network, precision, device)
    plan = make_plan(runner, views, memory, band_rows)
    picture, plan = _run_within_memory(runner, views, plan, memory, progress)
    if not bool(torch.isfinite(picture).all()) and runner.precision != "fp32":
        warnings = [*warnings, "bf16 gave NaN or infinity for this pair, so it was computed again in fp32."]
        runner = Runner(network, "fp32", device)
        plan = make_plan(runner, views, memory, band_rows)
        picture, plan = _run_within_memory(runner, views, plan, memory, progress)
    if not bool(torch.isfinite(picture).all()):
        raise PairError("The network gives NaN or infinity for this pair; try other weights.")
    return Deblurred(picture.clamp_(0, 1), plan, tuple(warnings))


def as_sample(left: PictureLike, right: PictureLike) -> Sample:
    """Read, or convert to float32 RGB 3 x H x W in [0, 1], the two views. Raises `PictureError` or `PairError`."""
    if isinstance(left, str | Path) and isinstance(right, str | Path):
        return read_pair(left, right)
    if not isinstance(left, str | Path) and not isinstance(right, str | Path) and left.dtype != right.dtype:
        raise PairError(f"The views have different types, {left.dtype} and {right.dtype}; give both in the same type.")
    return {"left": _as_picture(left, "left"), "right": _as_picture(right, "right"), "name": "pair"}


def _as_picture(picture: PictureLike, view: str) -> Tensor:
    if isinstance(picture, str | Path):
        return read_picture(picture).pixels
    tensor = picture.detach().cpu() if isinstance(picture, Tensor) else torch.from_numpy(np.array(picture))
    if tensor.ndim == 3 and tensor.shape[0] != 3 and tensor.shape[2] == 3:
        tensor = tensor.permute(2, 0, 1)
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise PairError(
            f"The {view} view has shape {' x '.join(map(str, tensor.shape))}; give H x W x 3 or 3 x H x W, in RGB."
        )
    scale = {torch.uint8: 255, torch.uint16: 65535}.get(tensor.dtype, 1)
    if scale == 1 and not tensor.is_floating_point():
        raise PairError(f"The {view} view has type {tensor.dtype}; give uint8, uint16, or floats in [0, 1].")
    pixels = tensor.to(torch.float32) / scale
    if scale == 1:
        _check_range(pixels, view)
    return pixels.contiguous()


def _check_range(pixels: Tensor, view: str) -> None:
    if pixels.numel() == 0:
        return
    low, high = (float(bound) for bound in torch.aminmax(pixels))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise PairError(f"The {view} view holds NaN or infinity; repair or replace those pixels.")
    if low < 0 or high > 1:
        raise PairError(f"The {view} view has values from {low:g} to {high:g}; scale or clip them to [0, 1].")


def _open_network(weights: WeightsLike) -> Network:
    if isinstance(weights, nn.Module):
        return cast(Network, weights)
    if isinstance(weights, Checkpoint):
        return cast(Network, weights.network)
    return cast(Network, checkpoint.load(checkpoint.DEFAULT_WEIGHTS if weights is None else weights).network)


def _pick_views(sample: Sample, names: Sequence[str]) -> list[Tensor]:
    """The named views, in order, after checking that they can be run at all; a missing centre view is their mean."""
    left, right = sample["left"], sample["right"]
    if left.shape != right.shape:
        sizes = " and ".join(f"{view.shape[-1]} x {view.shape[-2]}" for view in (left, right))
        raise PairError(f"The views have different sizes, {sizes} pixels; give the two views of one photograph.")
    if min(left.shape[-2:]) < MIN_SIDE:
        raise PairError(
            f"The views are {left.shape[-1]} x {left.shape[-2]} pixels; they need at least {MIN_SIDE} on each side."
        )
    known: dict[str, Tensor] = {"left": left, "right": right}
    if "center" in names:
        known["center"] = sample["center"] if "center" in sample else mean_view(left, right)
    return [known[name] for name in names]


class Runner:
    """A network made ready to run on rows of a picture: a copy of its own, in the precision and on the device chosen.

    Networks that offer `correction(*views)`, what they add to the mean of the views, are run in bf16 with that mean
    added in fp32, so that the picture keeps all its bits.
    """

    def __init__(self, network: Network, precision: str, device: str | torch.device) -> None:
        adds_input = hasattr(network, "correction") and bool(getattr(network, "residual", True))
        self.device = planning.choose_device(device)
        self.precision = planning.choose_precision(precision, self.device, adds_input)
        self.dtype = planning.PRECISIONS[self.precision]
        self.multiple = network.multiple
        self.reach_px: int | None = getattr(network, "reach_px", None)
        self.n_views = len(network.views)
        ready = copy.deepcopy(cast(nn.Module, network)).eval()
        ready.to(device=self.device, dtype=self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weight_bytes = sum(value.nbytes for value in ready.state_dict().values())
        self._adds_mean = adds_input and self.precision != "fp32"
        self._call: Callable[..., Tensor] = ready.correction if self._adds_mean else ready  # type: ignore[assignment]
        self._masks_width = "width" in inspect.signature(ready.forward).parameters

    @torch.no_grad()
    def __call__(self, views: Sequence[Tensor]) -> Tensor:
        """Return the output for `views`, C x H x W each, as float32 3 x H x W on the CPU, not clipped."""
        height, width = views[0].shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = [functional.pad(view[None].float(), padding, mode="replicate") for view in views]
        inputs = [view.to(self.device, self.dtype, memory_format=torch.channels_last) for view in padded]
        # Columns past the picture's own would take part in matching along the row, and so change every pixel of it.
        masked = {"width": width} if self._masks_width and padding[1] else {}
        output = self._call(*inputs, **masked)[0, :, :height, :width].float().cpu()
        return output + mean_view(views[0], views[1]) if self._adds_mean else output


def make_plan(
    runner: Runner, views: Sequence[Tensor], memory: str | int | None = None, band_rows: int | None = None
) -> Plan:
    """Decide how `views` are cut, from the memory that `runner` is measured to need a row.

    Raises `MachineError` if the memory does not suffice.
    """
    height, width = views[0].shape[-2:]
    reach = runner.reach_px or 0
    probe = math.ceil(PROBE_ROWS / runner.multiple) * runner.multiple
    pictures = sum(view.nbytes for view in views) + 2 * 4 * views[0].numel()
    cost = planning.measure_cost(
        lambda rows: runner([torch.zeros(view.shape[0], rows, width) for view in views]),
        probe,
        planning.PROCESS_BYTES + 2 * runner.weight_bytes + pictures,
    )
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
    return Plan(bands, reach, runner.precision, str(runner.device), cost.peak_bytes(tallest))


def _checked_rows(band_rows: int, height: int, runner: Runner) -> int:
    if band_rows < 1:
        raise ValueError(f"band_rows must be at least 1, not {band_rows}")
    if runner.reach_px is None and band_rows < height:
        raise MachineError("This network sees the whole picture, so it cannot be run in bands; leave band_rows out.")
    return band_rows


def _run_within_memory(
    runner: Runner, views: Sequence[Tensor], plan: Plan, memory: str | int | None, progress: Progress | None
) -> tuple[Tensor, Plan]:
    """Run the plan; should the memory run out all the same, run it again in bands of half the rows."""
    while True:
        try:
            return run_bands(runner, views, plan, progress), plan
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            rows = plan.bands[0][1] - plan.bands[0][0]
            if runner.reach_px is None or rows <= runner.multiple:
                raise MachineError("The memory ran out; free some, or make the picture smaller.") from None
        plan = make_plan(runner, views, memory, rows // 2)


def _out_of_memory(error: Exception) -> bool:
    texts = ("can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in texts)


def run_bands(runner: Runner, views: Sequence[Tensor], plan: Plan, progress: Progress | None = None) -> Tensor:
    """Run each band of `plan` together with the rows around it; returns float32 3 x H x W, not clipped."""
    height, width = views[0].shape[-2:]
    picture = torch.empty(3, height, width)
    for number, (first, last) in enumerate(plan.bands):
        if progress is not None:
            progress(number, len(plan.bands))
        top, bottom = planning.around((first, last), height, runner.multiple, plan.overlap_px)
        output = runner([view[:, top:bottom] for view in views])
        picture[:, first:last] = output[:, first - top : last - top]
    if progress is not None:
        progress(len(plan.bands), len(plan.bands))
    return picture
