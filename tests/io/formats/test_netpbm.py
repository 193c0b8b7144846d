"""Plain PGM and PPM that may have lost their end."""

from pathlib import Path

import numpy as np

from dualpix.io import read_picture


def test_a_plain_file_that_ends_in_a_number_is_told(tmp_path: Path, make) -> None:
    levels = make["smooth"](np.uint16)
    words = " ".join(map(str, levels.ravel()))
    path = tmp_path / "a.ppm"
    for end, told in (("", True), ("\n", False), (" # by hand\n", False)):
        path.write_text(f"P3 48 40 65535\n{words}{end}")
        assert bool([note for note in read_picture(path).notes if "cut short" in note]) is told
