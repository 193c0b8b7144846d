"""Moving pictures, read back by Pillow."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.errors import PictureError
from dualpix.io import Metadata
from dualpix.io.animation import check_animation, write_animation


def test_frames_are_read_back_in_order_turned_upright(tmp_path: Path) -> None:
    frames = [torch.full((3, 20, 32), level) for level in (0.1, 0.5, 0.9)]
    frames[0][:, :, :16] = 0.9
    path = tmp_path / "moving.webp"
    size = write_animation(path, frames, 80, metadata=Metadata(orientation=6))
    assert path.stat().st_size == size
    with Image.open(path) as moving:
        assert (moving.n_frames, moving.size, moving.info["loop"]) == (3, (20, 32), 0)
        levels = []
        for number in range(3):
            moving.seek(number)
            levels.append(np.asarray(moving.convert("RGB"), float) / 255)
            assert moving.info["duration"] == 80
    assert [round(frame[24:].mean(), 1) for frame in levels] == [0.1, 0.5, 0.9]
    assert levels[0][:12].mean() == pytest.approx(0.9, abs=0.03)


def test_what_cannot_be_written_is_told_before(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"end its name in \.webp"):
        check_animation(tmp_path / "moving.gif")
    (tmp_path / "there.webp").write_bytes(b"")
    with pytest.raises(PictureError, match="exists already"):
        check_animation(tmp_path / "there.webp")
