"""Cut pictures into bands of full width, run a network on each, and put the outputs together again.

This is the only place where that is done. Bands are never cut left-right: networks match along whole rows.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from dualpix.errors import MachineError, option
from dualpix.inference import planning, rates
from dualpix.inference.engines import AnyRunner
from dualpix.inference.engines.memory import cost_of, probe_rows
from dualpix.inference.planning import Plan
from dualpix.machine.modes import settled

Progress: TypeAlias = Callable[[int, int], None]
Done: TypeAlias = tuple[Tensor, Plan, tuple[str, ...]]  # the picture, not clipped; the plan; notes for the user

MOST_HALVINGS = 6
"""After so many, a band consists mostly of the rows around it, and a smaller one would need hardly less memory."""


@settled()
def make_plan(
    runner: AnyRunner,
    views: Sequence[Tensor],
    memory: str | int | None = None,
    band_rows: int | None = None,
    mirror: bool = False,
    held_bytes: int = 0,
) -> Plan:
    """Decide how `views` are cut into bands, from the memory that a row was measured to need.

    Args:
        runner: The network in an engine.
        views: The pictures it takes, 3 x H x W each.
        memory: The most that the process may use ("2GB" or bytes); None uses part of what is free.
        band_rows: Rows of a band, whatever memory they need; None chooses.
        mirror: The views are run four times, flipped.
        held_bytes: What else is in memory meanwhile.

    Raises:
        MachineError: The memory does not suffice, or the network cannot be run in bands.
    """
    height, width = views[0].shape[-2:]
    reach = runner.spec.receptive_radius_px or 0
    kept = 4 if mirror else 1  # float32 pictures besides the views: results and their mean
    pictures = (2 if mirror else 1) * sum(view.nbytes for view in views) + kept * 4 * views[0].numel() + held_bytes
    cost = cost_of(runner, height, width).besides(planning.PROCESS_BYTES + 2 * runner.weight_bytes + pictures)
    if band_rows is not None:
        bands = planning.split(height, _checked_rows(band_rows, height, runner), runner.spec.size_multiple)
    elif memory is not None:
        limit = planning.parse_memory(memory)
        bands = planning.choose_bands(
            height, runner.spec.size_multiple, runner.spec.receptive_radius_px, cost, limit, limit
        )
    else:
        limit = int(planning.FREE_SHARE * planning.free_bytes(runner.device)) + planning.PROCESS_BYTES
        # Comfort is for the other programs of the machine, which use no memory of a GPU.
        comfort = limit if runner.device.type == "cuda" else planning.COMFORT_BYTES
        bands = planning.choose_bands(
            height, runner.spec.size_multiple, runner.spec.receptive_radius_px, cost, limit, comfort
        )
    contexts = [planning.around(band, height, runner.spec.size_multiple, reach) for band in bands]
    tallest = max(last - first for first, last in contexts)
    device = str(runner.device) if runner.engine == "torch" else f"{runner.device}, {runner.engine}"
    return Plan(
        bands,
        reach,
        runner.precision,
        device,
        cost.peak_bytes(tallest),
        mirror,
        runner.gain,
        runner.engine_gain,
        emulated=device == "cpu" and rates.emulates(runner.precision),
    )


def _checked_rows(band_rows: int, height: int, runner: AnyRunner) -> int:
    planning.check_band_rows(band_rows)
    if runner.spec.receptive_radius_px is None and band_rows < height:
        raise MachineError("This network sees the whole picture, so it cannot be run in bands; leave band_rows out.")
    return band_rows


def run_fitting(
    runner: AnyRunner,
    views: Sequence[Tensor],
    run: Callable[[Plan], Tensor],
    memory: str | int | None = None,
    rows: int | None = None,
    mirror: bool = False,
    held_bytes: int = 0,
) -> Done:
    """Plan for `views` and run; if the memory runs out all the same, run again in bands of half the rows.

    Args:
        runner: The network in an engine.
        views: The pictures it takes, 3 x H x W each.
        run: Computes the picture by a plan.
        memory: As in `make_plan`.
        rows: Rows of a band, as `band_rows` in `make_plan`.
        mirror: As in `make_plan`.
        held_bytes: As in `make_plan`.

    Returns:
        The picture, the plan by which it was made, and a sentence for the user if the memory ran out on the way.

    Raises:
        MachineError: Nothing fits, or the memory ran out in a plan that the user chose.
    """
    is_chosen = memory is not None or rows is not None
    sizes: list[str] = []
    while True:
        plan = _plan(runner, views, memory, rows, mirror, held_bytes)
        sizes.append(plan.size)
        picture = planning.unless_out_of_memory(partial(run, plan))
        if picture is not None:
            return picture, plan, _notes(sizes)
        if is_chosen:
            asked = option("band-rows", None) if rows is not None else option("memory", None)
            raise MachineError(f"The memory ran out with {sizes[-1]}, as {asked} asks; give less, or leave it out.")
        rows = _halve(runner, plan, len(sizes))


def _halve(runner: AnyRunner, plan: Plan, times: int) -> int:
    """Return the rows for bands smaller than those of `plan`; this is the `times`-th time."""
    tried = plan.bands[0][1] - plan.bands[0][0]
    if runner.spec.receptive_radius_px is None or tried <= runner.spec.size_multiple or times > MOST_HALVINGS:
        raise MachineError(
            f"The memory ran out even with {plan.size} (about {plan.peak_bytes / 1e9:.1f} GB); free some, or make "
            "the picture smaller."
        )
    return tried // 2


def _plan(
    runner: AnyRunner,
    views: Sequence[Tensor],
    memory: str | int | None,
    rows: int | None,
    mirror: bool,
    held_bytes: int,
) -> Plan:
    plan = planning.unless_out_of_memory(partial(make_plan, runner, views, memory, rows, mirror, held_bytes))
    if plan is None:  # No band is smaller than the few rows that are run to measure the memory of a row.
        tried = 2 * probe_rows(runner, views[0].shape[1])
        raise MachineError(
            f"The memory ran out while trying {tried} rows of the picture; free some, or make the picture narrower."
        )
    return plan


def _notes(sizes: Sequence[str]) -> tuple[str, ...]:
    if len(sizes) == 1:
        return ()
    return (f"The memory ran out with {sizes[0]}, so the picture was computed in {sizes[-1]}.",)


@settled()
def run_bands(
    runner: AnyRunner, views: Sequence[Tensor], plan: Plan, progress: Progress | None = None, channels: int = 3
) -> Tensor:
    """Run each band of `plan` together with the rows around it.

    Args:
        runner: The network in an engine.
        views: The pictures it takes, 3 x H x W each.
        plan: Made for pictures of this size.
        progress: Called as `progress(done, total)` with numbers of bands; it may raise to stop.
        channels: Of the output.

    Returns:
        float32, `channels` x H x W, not clipped.
    """
    height, width = views[0].shape[-2:]
    picture = torch.empty(channels, height, width)
    for number, (first, last) in enumerate(plan.bands):
        if progress is not None:
            progress(number, len(plan.bands))
        top, bottom = planning.around((first, last), height, runner.spec.size_multiple, plan.overlap_px)
        output = runner([view[:, top:bottom] for view in views])
        picture[:, first:last] = output[:, first - top : last - top]
    if progress is not None:
        progress(len(plan.bands), len(plan.bands))
    return picture
