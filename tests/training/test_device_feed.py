"""Batches made on a device: those of the CPU's feed, without a question to the device."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from dualpix.simulation.samples import Simulated
from dualpix.simulation.store import Rendered
from dualpix.training.device_feed import DeviceFeed
from dualpix.training.feed import Feed, Moving
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe
from dualpix.training.sources import scenes_of

Make = Callable[..., Recipe]
NAMES = ("left", "right", "sharp", "center", "blur_px")


def scenes(recipe: Recipe) -> Simulated:
    photos = [torch.randint(256, (3, 90, 90), generator=torch.Generator().manual_seed(n)).byte() for n in range(3)]
    return scenes_of(recipe, photos, 10**9, recipe.seed)


@pytest.mark.parametrize("changes", [{}, {"negate_depth": True, "augment": False}])
def test_its_batches_are_those_of_the_feed(quick: Make, tmp_path: Path, changes: dict) -> None:
    """Before, within and after a whole turn of the pool; a level apart where rounding decides."""
    recipe = quick(batch=4, pool=20, fresh=4.0, compressed=0.0, seed=2, **changes)
    simulated = scenes(recipe)
    here = Feed(Moving(Rendered(simulated, tmp_path, ("center", "blur_px")), recipe), recipe, NAMES)
    with closing(DeviceFeed(simulated, recipe, NAMES)) as there:
        for step in (0, 30):
            wanted, found = here.batch(step), there.batch(step)
            for name in NAMES:
                far = (found[name] - wanted[name]).abs()
                assert float(far.max()) <= (0.02 if name == "blur_px" else 1.01 / 255), (name, step)
                assert float((far > 1e-6).float().mean()) < 0.02 or name == "blur_px"
                assert found[name].is_contiguous(memory_format=torch.channels_last)


def test_several_processes_cut_what_one_would(quick: Make) -> None:
    recipe = quick(batch=2, pool=16)
    simulated = scenes(recipe)
    with closing(DeviceFeed(simulated, recipe, NAMES[:3])) as one:
        whole = one.batch(3)
    parts = []
    for rank in range(2):
        with closing(DeviceFeed(simulated, recipe, NAMES[:3], Processes(rank, 2).share)) as each:
            parts.append(each.batch(3))
    assert all(torch.equal(torch.cat([part[name] for part in parts]), whole[name]) for name in whole)


def test_the_device_is_never_asked_for_a_value(quick: Make) -> None:
    recipe = quick(batch=2, pool=16, compressed=0.0)
    with closing(DeviceFeed(scenes(recipe), recipe, NAMES, device=torch.device("meta"))) as feed:
        batch = feed.batch(0)
    assert {pictures.device.type for pictures in batch.values()} == {"meta"} and len(batch["left"]) == 2
