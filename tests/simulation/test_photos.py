"""Folders of photographs, read as bytes."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.errors import DataError, PictureError
from dualpix.simulation.photos import Photos, read_photos, share_photos


def test_pictures_are_read_as_bytes_in_order(tmp_path: Path, write_png) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 70, 3), dtype=np.uint8)
    write_png(tmp_path / "b" / "2.png", pixels)
    write_png(tmp_path / "b" / "1.png", 7, width=64, height=64)
    write_png(tmp_path / "a" / "3.png", 9, width=90, height=64)
    photos = read_photos([tmp_path / "b", tmp_path / "a"])
    assert [tuple(photo.shape) for photo in photos] == [(3, 64, 64), (3, 64, 70), (3, 64, 90)]
    assert {photo.dtype for photo in photos} == {torch.uint8}
    assert np.array_equal(photos[1].permute(1, 2, 0).numpy(), pixels)
    assert photos[0].unique().tolist() == [7] and photos[2].unique().tolist() == [9]


def test_small_pictures_and_other_files_are_left_out(tmp_path: Path, write_png) -> None:
    write_png(tmp_path / "tall.png", width=63, height=200)
    write_png(tmp_path / "flat.png", width=200, height=63)
    write_png(tmp_path / "good.png", width=64, height=64)
    write_png(tmp_path / ".hidden.png", width=64, height=64)
    write_png(tmp_path / "inside" / "deep.png", width=64, height=64)
    (tmp_path / "notes.txt").write_text("no picture")
    assert len(read_photos([tmp_path])) == len(read_photos(str(tmp_path))) == 1  # and not one folder for each letter
    assert len(read_photos([str(tmp_path)], smallest_px=63)) == 3
    told: list[str] = []
    read_photos([tmp_path], tell=told.append)
    share_photos([tmp_path], tmp_path / "store", tell=told.append)
    read_photos([tmp_path], smallest_px=63, tell=told.append)
    words = "Left out, with fewer than 64 px on a side: 2 of 3 photographs, the first of them"
    assert told == [f"{words} {tmp_path / 'flat.png'}."] * 2


def test_a_folder_without_any_is_named(tmp_path: Path, write_png) -> None:
    write_png(tmp_path / "small.png")
    with pytest.raises(DataError, match=f"no photograph of 64 px or more in {tmp_path}"):
        read_photos([tmp_path])
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        read_photos([tmp_path / "nowhere"])


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no more")
    with pytest.raises(PictureError, match=r"broken\.png"):
        read_photos([tmp_path])


@pytest.fixture
def folders(tmp_path: Path, write_png) -> list[Path]:
    """Five photographs in two folders, one of them too small."""
    for number, side in enumerate((64, 70, 40, 90, 66)):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side + number, 3), dtype=np.uint8)
        write_png(tmp_path / "ab"[number % 2] / f"{number}.png", pixels)
    return [tmp_path / "b", tmp_path / "a"]


def test_shared_photographs_are_those_read(folders: list[Path], tmp_path: Path) -> None:
    store = tmp_path / "store"
    for _ in range(2):  # The second time they are there.
        expected, shared = read_photos(folders), share_photos(folders, store)
        assert len(shared) == len(expected) == 4
        assert all(torch.equal(one, two) for one, two in zip(shared, expected, strict=True))
    assert len(list(store.iterdir())) == 5 and isinstance(shared[1:], Photos)
    assert [len(shared[-1:]), len(shared[:-1])] == [1, 3] and torch.equal(shared[1:][0], expected[1])
    with pytest.raises(DataError, match=f"no photograph of 99 px or more in {folders[0]}"):
        share_photos(folders, store, smallest_px=99)


def test_a_photograph_that_has_changed_is_decoded_again(folders: list[Path], tmp_path: Path, write_png) -> None:
    share_photos(folders, tmp_path / "store")
    write_png(folders[0] / "1.png", 9, width=64, height=64)
    assert share_photos(folders, tmp_path / "store")[0].unique().tolist() == [9]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"not an array at all"])
def test_damaged_files_are_decoded_again(folders: list[Path], tmp_path: Path, damage: bytes) -> None:
    store, expected = tmp_path / "store", read_photos(folders)
    share_photos(folders, store)
    for file in store.iterdir():
        file.write_bytes(damage)
    assert all(torch.equal(one, two) for one, two in zip(share_photos(folders, store), expected, strict=True))
    for file in store.iterdir():
        file.write_bytes(file.read_bytes()[:-100])
    assert all(torch.equal(one, two) for one, two in zip(share_photos(folders, store), expected, strict=True))


def test_a_write_to_one_copy_reaches_no_other(folders: list[Path], tmp_path: Path) -> None:
    one, other = (share_photos(folders, tmp_path / "store") for _ in range(2))
    before = other[0].clone()
    one[0].zero_()
    assert torch.equal(other[0], before) and torch.equal(share_photos(folders, tmp_path / "store")[0], before)


def test_what_is_sent_to_another_process_is_small(folders: list[Path], tmp_path: Path) -> None:
    shared = share_photos(folders, tmp_path / "store")
    sent = pickle.dumps(shared[1:])
    assert len(sent) < 1000
    assert all(torch.equal(one, two) for one, two in zip(pickle.loads(sent), shared[1:], strict=True))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux shows what a process has open")
def test_no_file_stays_open_and_the_memory_is_that_of_the_file(folders: list[Path], tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    shared = share_photos(folders, tmp_path / "store")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    mapped = [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if len(line.split()) == 6]
    assert {str(file) for file in shared.files} <= set(mapped)


def test_killed_in_the_middle_no_half_file_is_taken(folders: list[Path], tmp_path: Path) -> None:
    """At the moment when the second file would get its name."""
    code = f"""
import os, signal
from dualpix.machine import files
from dualpix.simulation.photos import share_photos
rename, done = os.replace, []
def replace(*paths):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(rename(*paths))
files.os.replace = replace
share_photos({[str(folder) for folder in folders]}, __import__("pathlib").Path({str(tmp_path / "store")!r}))
"""
    killed = subprocess.run([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "store").glob("*.npy"))) == 1 and len(list((tmp_path / "store").iterdir())) == 2
    shared, expected = share_photos(folders, tmp_path / "store"), read_photos(folders)
    assert all(torch.equal(one, two) for one, two in zip(shared, expected, strict=True))


def test_what_looks_odd_about_photographs_is_told_from_the_store_too(tmp_path: Path, write_png) -> None:
    for name in ("a", "b"):
        path = write_png(tmp_path / "photos" / f"{name}.png", width=64, height=64)
        Image.open(path).convert("RGBA").save(path)
    for times in range(3):
        told: list[str] = []
        if times:
            share_photos([tmp_path / "photos"], tmp_path / "store", tell=told.append)
        else:
            read_photos([tmp_path / "photos"], tell=told.append)
        alpha = "has an alpha channel (transparency): it is ignored."
        assert told == [f"{tmp_path / 'photos' / 'a.png'} {alpha} (The same of 1 more.)"]
