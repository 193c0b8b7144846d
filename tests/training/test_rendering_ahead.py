"""The process that renders ahead: does it, keeps its distance, and ends with the training."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from dualpix.machine.files import LEFTOVERS
from dualpix.simulation.samples import Simulated
from dualpix.simulation.store import Rendered
from dualpix.training import rendering_ahead
from dualpix.training.feed import scenes_at
from dualpix.training.recipes import Recipe
from dualpix.training.rendering_ahead import AHEAD, RenderingAhead, remove_leftovers

RECIPE = Recipe(scene=128, batch=2, pool=40, fresh=1.0)
ORDER = partial(scenes_at, RECIPE)


def scenes(folder: Path) -> Rendered:
    return Rendered(Simulated([], size=16, count=10**6, depth=8), folder)


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_there(pid: int) -> bool:
    """Whether a process runs; one that has ended but is not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.npy"))


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_it_renders_as_far_ahead_as_it_should(tmp_path: Path, count: int) -> None:
    def of_steps(first: int, last: int) -> list[int]:
        return sorted({number for step in range(first, last + 1) for number in ORDER(step)})

    with RenderingAhead(scenes(tmp_path), ORDER, 2, 2 + AHEAD + 6, count) as ahead:
        processes = ahead.processes
        wait_for(lambda: numbers(tmp_path) == of_steps(3, 2 + AHEAD))
        time.sleep(0.3)
        assert numbers(tmp_path) == of_steps(3, 2 + AHEAD), "those of the steps to come, and nothing too far"
        for step in range(3, 12):
            ahead.reach(step)
        wait_for(lambda: all(process.poll() is not None for process in processes))
        assert {process.returncode for process in processes} == {0}
    assert numbers(tmp_path) == of_steps(3, 2 + AHEAD + 5) and not list(tmp_path.glob(LEFTOVERS))
    some = numbers(tmp_path)[20]
    kept, fresh = scenes(tmp_path)[some], scenes(tmp_path / "here")[some]
    assert all((kept[name] == fresh[name]).all() for name in ("left", "right", "sharp"))


def test_it_ends_in_the_middle_of_its_work(tmp_path: Path) -> None:
    with RenderingAhead(scenes(tmp_path), ORDER, 0, 10**6) as ahead:
        wait_for(lambda: len(numbers(tmp_path)) > 2)
    assert ahead.processes[0].returncode == 0 and not list(tmp_path.glob(LEFTOVERS))


PROGRAM = """
import sys, time
from pathlib import Path
from dualpix.simulation.store import Rendered
from dualpix.simulation.samples import Simulated
from dualpix.training.rendering_ahead import RenderingAhead
from functools import partial
from dualpix.training.feed import scenes_at
from dualpix.training.recipes import Recipe
scenes = Rendered(Simulated([], size=16, count=10**6, depth=8), Path(sys.argv[1]))
order = partial(scenes_at, Recipe(scene=128, batch=2, pool=40, fresh=1.0))
with RenderingAhead(scenes, order, 0, 10**6) as ahead:
    print(ahead.processes[0].pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_it_ends_with_a_training_that_is_killed(tmp_path: Path) -> None:
    training = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with training:
        pid = int(training.stdout.readline())
        wait_for(lambda: len(numbers(tmp_path)) > 2)
        training.kill()
    wait_for(lambda: not is_there(pid))
    assert not list(tmp_path.glob(LEFTOVERS))


def test_old_leftovers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    store.mkdir()
    old = [store / name for name in ("old.part", ".dualpix-0a.partial")] + [tmp_path / ".dualpix-0b.partial"]
    new, scene = store / ".dualpix-0c.partial", store / "0000001.npy"
    for path in (*old, new, scene):
        path.touch()
    for path in (*old, scene):
        os.utime(path, (0, 0))
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "nowhere")
    assert sorted(tmp_path.rglob("*")) == [store, new, scene]
    monkeypatch.setattr(rendering_ahead, "STALE_S", -1.0)
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.rglob("*")) == [store, scene]
