"""How much memory a picture needs in an engine: measured on a few rows, once for each size."""

import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dualpix.inference import planning
from dualpix.inference.engines import AnyRunner

PROBE_ROWS, PROBE_WIDTH = 16, 128
"""What is run for measuring: a few rows of full width. Runners with `steady_state_rows` need so many rows, but narrow
ones, since the memory they need is proportional to the width.
"""

_KNOWN: WeakKeyDictionary[AnyRunner, dict[tuple[int, int], planning.Cost]] = WeakKeyDictionary()


def cost_of(runner: AnyRunner, height: int, width: int) -> planning.Cost:
    """Return the memory of the network's tensors for a picture of this size; the first time, a few rows are run."""
    known = _KNOWN.setdefault(runner, {})
    rows = probe_rows(runner, height)
    if (rows, width) not in known:
        probe_width = width if runner.spec.steady_state_rows is None else min(width, PROBE_WIDTH)
        known[rows, width] = measure_cost(
            lambda rows: runner.dry_run(rows, probe_width), rows, 0, width / probe_width, runner.workspace_factor
        )
    return known[rows, width]


def probe_rows(runner: AnyRunner, height: int) -> int:
    """Return the smaller of the two numbers of rows that are run for measuring."""
    rows = PROBE_ROWS if runner.spec.steady_state_rows is None else min(runner.spec.steady_state_rows, height)
    return math.ceil(rows / runner.spec.size_multiple) * runner.spec.size_multiple


def measure_cost(
    run: Callable[[int], object],
    rows: int,
    other_bytes: int,
    widening: float = 1,
    workspace_factor: float = planning.WORKSPACE_FACTOR,
) -> planning.Cost:
    """Measure the memory that a row needs, by running `rows` and twice as many.

    Args:
        run: `run(n)` runs the network on n rows.
        rows: The smaller of the two numbers.
        other_bytes: What is needed besides the network's tensors: the weights and the whole pictures.
        widening: How many times as wide as the input of `run` the picture is.
        workspace_factor: 1 for a network that takes the rows in strips, as then no operation sees all of them.
    """
    small, large = (widening * _living_peak_bytes(run, count) for count in (rows, 2 * rows))
    row_bytes = math.ceil(workspace_factor * max(large - small, 0) / rows)
    return planning.Cost(other_bytes + max(math.ceil(small) - rows * row_bytes, 0), row_bytes)


def _living_peak_bytes(run: Callable[[int], object], rows: int) -> int:
    living = _LivingTensors()
    with living:
        run(rows)
    return living.peak_bytes


class _LivingTensors(TorchFunctionMode):
    """Counts the bytes of all tensors that were made while it is active and are not freed yet."""

    def __init__(self) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._bytes = 0
        self._known: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, Tensor):
                self._count(item.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self._bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self._bytes)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._bytes -= size
