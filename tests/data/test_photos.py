"""Folders of photographs, read as bytes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dualpix.data.photos import read_photos
from dualpix.errors import DataError, PictureError


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
    assert len(read_photos([tmp_path])) == 1
    assert len(read_photos([str(tmp_path)], smallest_px=63)) == 3


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
