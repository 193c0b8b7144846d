"""Plain PGM and PPM that may have lost their end."""

from pathlib import Path

import numpy as np
import pytest

from dualpix.errors import PictureError
from dualpix.io import read_picture


def test_a_plain_file_that_ends_in_a_number_is_told(tmp_path: Path, make) -> None:
    levels = make["smooth"](np.uint16)
    words = " ".join(map(str, levels.ravel()))
    path = tmp_path / "a.ppm"
    for end, told in (("", True), ("\n", False), (" # by hand\n", False)):
        path.write_text(f"P3 48 40 65535\n{words}{end}")
        assert bool([note for note in read_picture(path).notes if "cut short" in note]) is told


def test_what_lies_behind_the_samples_is_told_and_changes_nothing(tmp_path: Path, make) -> None:
    levels, path = make["smooth"](), tmp_path / "a.ppm"
    for behind in (b"xyz", b"\n", b"P"):
        path.write_bytes(b"P6 48 40 255\n" + levels.tobytes() + behind)
        picture = read_picture(path)
        assert np.abs(picture.pixels.numpy().transpose(1, 2, 0) - levels / 255).max() < 1e-6
        assert picture.notes == (f"a.ppm holds {len(behind)} bytes after its samples: they are ignored.",)


def test_lines_that_end_as_in_texts_of_windows(tmp_path: Path, make) -> None:
    levels, path = make["smooth"](), tmp_path / "a.ppm"
    path.write_bytes(b"P6\r\n48 40\r\n255\r\n" + levels.tobytes())
    picture = read_picture(path)
    assert picture.notes == () and np.abs(picture.pixels.numpy().transpose(1, 2, 0) - levels / 255).max() < 1e-6
    path.write_bytes(b"P6\r\n48 40\r\n255\r" + levels.tobytes())  # the first sample may be anything
    assert np.abs(read_picture(path).pixels.numpy().transpose(1, 2, 0) - levels / 255).max() < 1e-6


def test_a_size_that_no_file_has_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 2147483647 2147483647 65535\n\0\0")
    with pytest.raises(PictureError, match=r"declares 2147483647 x 2147483647 pixels"):
        read_picture(path)
