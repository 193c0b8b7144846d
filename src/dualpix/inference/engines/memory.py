"""What memory a runner needs for a picture: measured on a few rows, once for each size."""

import math
from weakref import WeakKeyDictionary

from dualpix.inference import planning
from dualpix.inference.engines import AnyRunner

PROBE_ROWS, PROBE_WIDTH = 16, 128
"""What is run to measure what a row needs: a few rows of full width; by runners that have `steady_state_rows` so many,
but narrow ones, for what these need is proportional to the width."""

_KNOWN: WeakKeyDictionary[AnyRunner, dict[tuple[int, int], planning.Cost]] = WeakKeyDictionary()


def cost_of(runner: AnyRunner, height: int, width: int) -> planning.Cost:
    """What the network's tensors need, for a picture of this size; it takes two runs of a few rows the first time."""
    known = _KNOWN.setdefault(runner, {})
    rows = probe_rows(runner, height)
    if (rows, width) not in known:
        probe_width = width if runner.spec.steady_state_rows is None else min(width, PROBE_WIDTH)
        known[rows, width] = planning.measure_cost(
            lambda rows: runner.dry_run(rows, probe_width), rows, 0, width / probe_width, runner.workspace_factor
        )
    return known[rows, width]


def probe_rows(runner: AnyRunner, height: int) -> int:
    """The fewer rows of the two that are run to measure."""
    rows = PROBE_ROWS if runner.spec.steady_state_rows is None else min(runner.spec.steady_state_rows, height)
    return math.ceil(rows / runner.spec.size_multiple) * runner.spec.size_multiple
