"""The store of rendered scenes: what is read is what was rendered, whatever happens to the files."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dualpix.machine.files import LEFTOVERS
from dualpix.simulation.samples import Simulated
from dualpix.simulation.scenes import Layout
from dualpix.simulation.store import PICTURES, Rendered, store_name


@pytest.fixture
def simulated() -> Simulated:
    return Simulated([], size=32, count=20, seed=1, depth=8)


@pytest.fixture
def store(simulated: Simulated, tmp_path: Path) -> Rendered:
    return Rendered(simulated, tmp_path / "scenes")


def test_a_kept_scene_is_the_rendered_one_to_the_last_bit(store: Rendered, simulated: Simulated) -> None:
    fresh = store[3]
    assert store.has(3) and not store.has(4) and len(store) == 20
    kept, wanted = store[3], simulated[3]
    assert set(kept) == {*PICTURES, "name"}
    for key in PICTURES:
        assert torch.equal(fresh[key], kept[key])
        assert torch.equal(kept[key], wanted[key])


def test_the_combined_view_and_the_blur_are_kept_where_they_are_wanted(simulated: Simulated, tmp_path: Path) -> None:
    index = next(index for index in range(20) if torch.as_tensor(simulated[index]["blur_px"]).min() < 0)
    store, wanted = Rendered(simulated, tmp_path, more=("center", "blur_px")), simulated[index]
    fresh, kept = store[index], store[index]
    assert set(kept) == {*PICTURES, "center", "blur_px", "name"} and kept["blur_px"].shape == (1, 32, 32)
    for key in (*PICTURES, "center"):
        assert torch.equal(fresh[key], kept[key]) and torch.equal(kept[key], torch.as_tensor(wanted[key]))
    blur = torch.as_tensor(wanted["blur_px"])
    assert torch.equal(kept["blur_px"], blur.half().float()) and torch.equal(fresh["blur_px"], kept["blur_px"])
    assert np.load(next(tmp_path.iterdir())).shape == (14, 32, 32)
    assert store_name(simulated, ("center",)) == store_name(simulated) + "-center"


def test_what_is_kept_is_not_rendered_again(store: Rendered) -> None:
    store.render(0)
    path = next(store.folder.iterdir())
    np.save(path, np.full((9, 32, 32), 51, dtype=np.uint8))
    assert float(store[0]["right"].mean()) == pytest.approx(0.2)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"not an array at all"])
def test_damaged_files_are_rendered_again(store: Rendered, damage: bytes) -> None:
    whole = store[5]
    path = next(store.folder.iterdir())
    path.write_bytes(damage)
    assert torch.equal(store[5]["left"], whole["left"])
    assert np.load(path).shape == (9, 32, 32)


def test_a_file_cut_short_is_rendered_again(store: Rendered) -> None:
    whole = store[5]
    path = next(store.folder.iterdir())
    path.write_bytes(path.read_bytes()[:-100])
    assert torch.equal(store[5]["sharp"], whole["sharp"])


@pytest.mark.skipif(os.name != "posix", reason="permissions as Unix has them")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_who_may_read_a_scene_is_up_to_the_umask(store: Rendered, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        store.render(0)
    finally:
        os.umask(before)
    assert next(store.folder.iterdir()).stat().st_mode & 0o777 == mode


def test_killed_in_the_middle_there_is_no_half_scene(store: Rendered) -> None:
    """By the system, when all is written but the name."""
    code = f"""
import os, pathlib, signal
from dualpix.machine import files
from dualpix.simulation.store import Rendered
from dualpix.simulation.samples import Simulated
from dualpix.machine.files import LEFTOVERS
files.os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
Rendered(Simulated([], size=32, count=20, seed=1, depth=8), pathlib.Path({str(store.folder)!r})).render(3)
"""
    killed = subprocess.run([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert not store.has(3) and [path.match(LEFTOVERS) for path in store.folder.iterdir()] == [True]
    assert torch.equal(torch.as_tensor(store[3]["left"]), torch.as_tensor(store.simulated[3]["left"]))


def test_old_scenes_are_forgotten_and_nothing_else(store: Rendered) -> None:
    for index in (0, 1, 7):
        store.render(index)
    store.forget(7)
    assert [store.has(index) for index in (0, 1, 7)] == [False, False, True]
    Rendered(store.simulated, store.folder / "nowhere").forget(7)


def test_a_failure_leaves_no_file(store: Rendered) -> None:
    in_the_way = store.folder / "0000000.npy"
    in_the_way.mkdir(parents=True)
    with pytest.raises(OSError):
        store.render(0)
    assert list(store.folder.iterdir()) == [in_the_way]


def test_stores_are_named_by_all_that_changes_pictures(simulated: Simulated) -> None:
    photo = torch.zeros(3, 64, 64, dtype=torch.uint8)
    others = [
        replace(simulated, seed=2),
        replace(simulated, size=48),
        replace(simulated, sharp_aperture=4 / 22),
        replace(simulated, compressed=0.5),
        replace(simulated, layout=Layout(single=0.1)),
        replace(simulated, photos=[photo]),
        replace(simulated, photos=[photo + 1]),
    ]
    names = [store_name(one) for one in (simulated, *others)]
    assert len(set(names)) == len(names)
    assert store_name(replace(simulated, count=1000)) == names[0]
    assert names[0].startswith("32px-")
