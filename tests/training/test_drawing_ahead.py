"""Scenes decided in other processes: the same ones, also when such a process dies."""

from contextlib import closing

import pytest
import torch

from dualpix.simulation.batch import BatchSimulator
from dualpix.simulation.samples import Simulated
from dualpix.training.drawing_ahead import DrawingAhead


@pytest.mark.parametrize("count", [0, 1])
def test_scenes_are_those_that_would_be_decided_here(count: int) -> None:
    simulated = Simulated([], 32, 40, seed=3)
    batches = BatchSimulator(simulated)
    with closing(DrawingAhead(simulated, count)) as ahead:
        orders = [ahead.draw(indices) for indices in (range(3), [39, 20])]
        found = [shot for order in orders for shot in order.result(120)]
        if count:
            ahead.processes[0].kill()
        found += ahead.draw([5]).result(120)
        with pytest.raises(IndexError, match="sample 40 of 40"):
            ahead.draw([40]).result(120)
    wanted = batches.draw([0, 1, 2, 39, 20, 5])
    assert [shot.name for shot in found] == [shot.name for shot in wanted]
    ours, theirs = (batches.render(shots)["left"] for shots in (found, wanted))
    assert torch.equal(ours, theirs)
    assert all(process.poll() is not None for process in ahead.processes)
    assert not any(thread.is_alive() for thread in ahead.threads)
