"""The process that renders ahead: does it, keeps its distance, and ends with the training."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualpix.machine.files import LEFTOVERS
from dualpix.simulation.samples import Simulated
from dualpix.simulation.store import Rendered
from dualpix.training import rendering_ahead
from dualpix.training.rendering_ahead import AHEAD, RenderingAhead, remove_leftovers


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


def test_it_renders_as_far_ahead_as_it_should(tmp_path: Path) -> None:
    with RenderingAhead(scenes(tmp_path), start=2, end=2 + AHEAD + 5) as ahead:
        process = ahead.process
        wait_for(lambda: scenes(tmp_path).has(2 + AHEAD - 1))
        time.sleep(0.5)
        assert numbers(tmp_path) == list(range(2, 2 + AHEAD)), "nothing before the start, nothing too far"
        for end in range(3, 12):
            ahead.reach(end)
        wait_for(lambda: scenes(tmp_path).has(2 + AHEAD + 4))
        wait_for(lambda: process.poll() is not None)
        assert process.returncode == 0
    assert numbers(tmp_path) == list(range(2, 2 + AHEAD + 5)) and not list(tmp_path.glob(LEFTOVERS))
    kept, fresh = scenes(tmp_path)[70], scenes(tmp_path / "here")[70]
    assert all((kept[name] == fresh[name]).all() for name in ("left", "right", "sharp"))


def test_it_ends_in_the_middle_of_its_work(tmp_path: Path) -> None:
    with RenderingAhead(scenes(tmp_path), start=0, end=10**6) as ahead:
        wait_for(lambda: len(numbers(tmp_path)) > 2)
    assert ahead.process.returncode == 0 and not list(tmp_path.glob(LEFTOVERS))


PROGRAM = """
import sys, time
from pathlib import Path
from dualpix.simulation.store import Rendered
from dualpix.simulation.samples import Simulated
from dualpix.training.rendering_ahead import RenderingAhead
scenes = Rendered(Simulated([], size=16, count=10**6, depth=8), Path(sys.argv[1]))
with RenderingAhead(scenes, 0, 10**6) as ahead:
    print(ahead.process.pid, flush=True)
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
