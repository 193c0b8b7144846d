"""How a picture is run: on which device, in which precision, and whole or in bands of rows that fit the memory.

An output pixel depends on a limited number of rows above and below (`NetworkSpec.receptive_radius_px`), so a band that
is computed together with that many rows around it equals the same rows of the whole picture. The price is that the rows
around it are computed twice; hence as few bands as the memory allows. What a row costs is measured, not tabulated: the
network runs on a few rows of the full width while the bytes of its tensors are counted.
"""

import math
import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from dualpix.errors import MachineError, ran_out_of_memory
from dualpix.inference import rates
from dualpix.machine import limits

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

LEAST_GAIN = 1.15
"""On a CPU, bf16 is used if it is at least so many times as fast as fp32."""

PROCESS_BYTES = 480_000_000
"""What Python with PyTorch occupies before any picture is opened (about 330 MB), and what the allocator wastes between
tensors, which varies by 140 MB from run to run on a busy machine.
"""

COMFORT_BYTES = 2_400_000_000
"""Without a limit by the user, no more than this is used as long as that makes no more than `MOST_EXTRA` more work."""

MOST_EXTRA = 0.25
"""The share of rows computed twice above which using more memory is better."""

FREE_SHARE = 0.6
"""The share of the free memory that is used without a limit by the user."""

WORKSPACE_FACTOR = 1.2
"""Memory inside a single operation, which counting tensors does not see, as a factor on the tensors' bytes."""

Band = tuple[int, int]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Plan:
    """How a picture is run.

    Args:
        bands: (first, last + 1) row of each band.
        overlap_px: Rows computed above and below each of them.
        precision: One of `PRECISIONS`, or "int8".
        device: As PyTorch writes it, with the engine if that is another one.
        peak_bytes: The expected peak memory of the process.
        mirror: Whether the result is the mean over four flips.
        gain: How many times as fast as fp32 bf16 was measured to be on this processor; None if that played no part.
        engine_gain: How many times as fast as PyTorch OpenVINO was measured to be; None if that played no part.
        scales: The reductions at which the picture is run, the coarsest first.
        emulated: Whether the processor has no instructions for the precision, so that PyTorch takes several times as
            long as in fp32.
        windows: In how many rectangles of the picture it is run; None for all of the picture.
        computed: Pixels that they compute, with what lies around them, as a share of the picture's.
    """

    bands: tuple[Band, ...]
    overlap_px: int
    precision: str
    device: str
    peak_bytes: int
    mirror: bool = False
    gain: float | None = None
    engine_gain: float | None = None
    scales: tuple[int, ...] = (1,)
    emulated: bool = False
    windows: int | None = None
    computed: float = 1.0

    @property
    def size(self) -> str:
        """How much is computed at once, in words."""
        first, last = self.bands[0]
        return f"bands of {last - first} rows" if len(self.bands) > 1 else f"all {last} rows at once"

    def __str__(self) -> str:
        how = self._parts()
        how += ", mean of 4 mirrored" if self.mirror else ""
        others = " and ".join(f"1/{step}" for step in self.scales[:-1])
        how += f", joined with {others} of the size" if others else ""
        why = [] if self.gain is None else [f"bf16 measured {self.gain:.1f} times as fast as fp32"]
        why += (
            [] if self.engine_gain is None else [f"OpenVINO measured {self.engine_gain:.1f} times as fast as PyTorch"]
        )
        why += [f"emulated and slow: this processor has no {self.precision}"] if self.emulated else []
        measured = f" ({', '.join(why)})" if why else ""
        return f"{how}, {self.precision} on {self.device}{measured}, about {self.peak_bytes / 1e9:.1f} GB"

    def _parts(self) -> str:
        if self.windows == 0:
            return "nothing computed"
        if self.windows is not None:
            what = "1 window" if self.windows == 1 else f"{self.windows} windows"
            return f"{what} of {100 * self.computed:.0f} % of the pixels"
        rows = self.bands[0][1] - self.bands[0][0]
        return "whole" if len(self.bands) == 1 else f"{len(self.bands)} bands of {rows} rows"


@dataclass(frozen=True)
class Cost:
    """Bytes of memory that `rows` rows need at once: `fixed_bytes + rows * row_bytes`."""

    fixed_bytes: int
    row_bytes: int

    def besides(self, other_bytes: int) -> "Cost":
        """Return the cost where `other_bytes` more are needed, however many rows are run."""
        return Cost(self.fixed_bytes + other_bytes, self.row_bytes)

    def peak_bytes(self, rows: int) -> int:
        """Return the bytes for so many rows."""
        return self.fixed_bytes + rows * self.row_bytes


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device called `device`; "auto" is a GPU (CUDA, else Apple's MPS) if there is one, else the CPU.

    Raises:
        MachineError: There is no such device.
    """
    if device == "auto":
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        return torch.device(next(name for name in there if there[name]))
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise MachineError(f"There is no device {str(device)!r} on this machine; use 'auto' or 'cpu'.") from error
    return chosen


def choose_precision(
    precision: str,
    device: torch.device,
    adds_input: bool,
    among: Collection[str] = tuple(PRECISIONS),
    gain: float | None = None,
) -> str:
    """Return one of `among`, by what was asked for and what the device is fast in.

    "auto" takes 16 bits where the device is faster in them and the network's output is a correction added to its input:
    with the 8 bits of a bf16 mantissa, a whole picture would show bands.

    Args:
        precision: "auto", or one of `among`.
        device: Where it is computed.
        adds_input: Whether the network's output is a correction.
        among: The precisions that the engine has.
        gain: What `bf16_gain` returned; on a CPU, bf16 is taken from `LEAST_GAIN` on.

    Raises:
        MachineError: The precision is not one of `among`, or the device lacks it.
    """
    if precision == "auto":
        fast = [name for name in _fast_precisions(device, gain) if name in among]
        return fast[0] if fast and adds_input else "fp32"
    if precision not in among:
        raise MachineError(f"There is no precision {precision!r}; choose from: auto, {', '.join(among)}.")
    try:
        torch.zeros(1, device=device, dtype=PRECISIONS[precision])
    except (RuntimeError, TypeError) as error:
        raise MachineError(f"The device {str(device)!r} cannot compute in {precision}; use auto or fp32.") from error
    return precision


def bf16_gain(precision: str, device: torch.device, adds_input: bool, learning: bool = False) -> float | None:
    """Return how many times as fast as fp32 bf16 is, measured (`rates.bf16_gain`); None where it does not matter.

    It matters on a CPU, if the precision is to be chosen ("auto"), for a network whose output is a correction. The
    arguments are those of `choose_precision`; `learning` measures forward and backward, instead of forward alone.
    """
    if precision != "auto" or device.type != "cpu" or not adds_input:
        return None
    return rates.bf16_gain(learning)


def has_tiles() -> bool:
    """Whether the processor has matrix tiles (Intel AMX)."""
    ask = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return ask is not None and bool(ask())


def _fast_precisions(device: torch.device, gain: float | None) -> tuple[str, ...]:
    """Those in which the device is faster than in fp32, the best first: unlike fp16, bf16 has the range of fp32."""
    if device.type == "cuda":
        # GPUs below compute capability 7.0 have no matrix units, and most are slower in fp16.
        fp16 = ("fp16",) if torch.cuda.get_device_capability(device) >= (7, 0) else ()
        return ("bf16", *fp16) if torch.cuda.is_bf16_supported(including_emulation=False) else fp16
    if device.type == "mps":
        return ("fp16",)  # bf16 needs macOS 14, and is emulated on the first chips
    return ("bf16",) if device.type == "cpu" and gain is not None and gain >= LEAST_GAIN else ()


def check_band_rows(band_rows: int) -> None:
    """Raise `MachineError` if `band_rows` is not a whole number of at least 1."""
    if type(band_rows) is not int or band_rows < 1:
        raise MachineError(f"band_rows must be at least 1, not {band_rows!r}; leave it out to have it chosen.")


def parse_memory(memory: str | int) -> int:
    """Return bytes from a number of bytes, or from a text such as "2GB", "800 MB" or "1.5GiB".

    Raises:
        MachineError: It is no amount of memory.

    Example:
        >>> parse_memory("1.5GB"), parse_memory("1GiB")
        (1500000000, 1073741824)
    """
    units = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?\s*", str(memory).upper())
    if found is None or found[2] not in units or float(found[1]) == 0:
        raise MachineError(f"The memory {memory!r} is not an amount; give for example 2GB, 800MB or a number of bytes.")
    return int(float(found[1]) * units[found[2]])


def free_bytes(device: torch.device) -> int:
    """Return the bytes of memory free for this process: of the GPU, or of the machine within this process's limits."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = [_machine_free_bytes()]
    if device.type == "mps":  # It shares the machine's memory, up to a limit of its own.
        free.append(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    limited = limits.free_bytes()
    free += [] if limited is None else [limited]
    return max(min(free), 0)


def _machine_free_bytes() -> int:
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 4_000_000_000


def unless_out_of_memory(work: Callable[[], Result]) -> Result | None:
    """Return what `work` returns; None if the memory ran out, after freeing all that it held."""
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
    return None


def split(height: int, rows: int, multiple: int) -> tuple[Band, ...]:
    """Cut `height` rows into bands of `rows` rows, rounded up so that each band starts on a multiple of `multiple`.

    Example:
        >>> split(100, 30, 8)
        ((0, 32), (32, 64), (64, 96), (96, 100))
    """
    step = _round_up(rows, multiple)
    return tuple((first, min(first + step, height)) for first in range(0, height, step))


def around(band: Band, height: int, multiple: int, overlap_px: int) -> Band:
    """Return the rows to compute for `band`: `overlap_px` more on both sides, where the picture has them.

    They start on a multiple of `multiple`, and end on one or at `height`.

    Example:
        >>> around((32, 64), 100, 8, 12)
        (16, 80)
    """
    overlap = _round_up(overlap_px, multiple)
    return max(0, band[0] - overlap), min(height, _round_up(band[1], multiple) + overlap)


def choose_bands(
    height: int, multiple: int, reach_px: int | None, cost: Cost, limit_bytes: int, comfort_bytes: int
) -> tuple[Band, ...]:
    """Return the fewest bands that need at most `comfort_bytes`.

    If those would compute more than `MOST_EXTRA` of the rows twice, return the most bands that do not.

    Args:
        height: Of the picture, in rows.
        multiple: Bands start on multiples of it.
        reach_px: Rows above and below that a row depends on; None for the whole picture, which then is one band.
        cost: Memory that rows need.
        limit_bytes: What may be used at most.
        comfort_bytes: What should be used at most.

    Raises:
        MachineError: No bands keep within `limit_bytes`.
    """
    chosen: tuple[Band, ...] | None = None
    needs = []
    for bands in _candidates(height, multiple, reach_px):
        rows = [last - first for first, last in (around(band, height, multiple, reach_px or 0) for band in bands)]
        needs.append(cost.peak_bytes(_round_up(max(rows), multiple)))
        if needs[-1] > limit_bytes:
            continue
        if chosen is not None and sum(rows) > (1 + MOST_EXTRA) * height:
            break
        chosen = bands
        if needs[-1] <= comfort_bytes:
            break
    if chosen is not None:
        return chosen
    why = "" if reach_px is not None else " (this network sees the whole picture, which cannot be cut into bands)"
    raise MachineError(
        f"This picture needs at least {min(needs) / 1e9:.2f} GB of memory{why} and may use {limit_bytes / 1e9:.2f} GB; "
        "allow more, or make the picture smaller."
    )


def _candidates(height: int, multiple: int, reach_px: int | None) -> Iterator[tuple[Band, ...]]:
    """Every way to cut the picture into equal bands, the fewest bands first."""
    steps = math.ceil(height / multiple)
    last = 0
    for count in range(1, 2 if reach_px is None else steps + 1):
        rows = math.ceil(steps / count) * multiple
        if rows != last:
            yield split(height, rows, multiple)
        last = rows


def _round_up(number: int, multiple: int) -> int:
    return math.ceil(number / multiple) * multiple
