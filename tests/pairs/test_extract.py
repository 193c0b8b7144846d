"""Views out of one file, written as two."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dualpix.errors import PictureError
from dualpix.pairs.extract import extract

BOTH = np.random.default_rng(0).integers(0, 65536, (32, 80, 3), dtype=np.uint16)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "both.tif", BOTH, photometric="rgb", metadata=None)
    return tmp_path / "both.tif"


def test_into_a_folder_at_full_depth(both: Path) -> None:
    """What goes in at 16 bits comes out bit for bit."""
    done = extract(both, both.parent / "new" / "views", layout="side-by-side")
    assert [path.name for path in (done.left, done.right)] == ["both_L.tif", "both_R.tif"]
    assert done.size == (40, 32) and done.notes == ()
    np.testing.assert_array_equal(tifffile.imread(done.left), BOTH[:, :40])
    np.testing.assert_array_equal(tifffile.imread(done.right), BOTH[:, 40:])


def test_into_two_files_exchanged(both: Path) -> None:
    left, right = both.with_name("a.png"), both.with_name("b.tif")
    extract(both, left, right, layout="side-by-side", swap=True)
    np.testing.assert_array_equal(tifffile.imread(right), BOTH[:, :40])
    assert left.is_file()


def test_side_marks_are_not_doubled(tmp_path: Path) -> None:
    for side, level in (("left", 9000), ("right", 20000)):
        levels = np.full((48, 64), level, ">u2")
        (tmp_path / f"t_{side}.pgm").write_bytes(b"P5 64 48 65535 " + levels.tobytes())
    done = extract(tmp_path / "t_right.pgm", tmp_path)
    assert (done.left.name, done.right.name) == ("t_L.tif", "t_R.tif")
    assert tifffile.imread(done.left).shape == (48, 64)
    assert len(done.notes) == len(set(done.notes)) > 0


@pytest.mark.parametrize("there", ["both_L.tif", "both_R.tif"])
def test_nothing_is_overwritten_unasked_and_nothing_written_by_half(both: Path, there: str) -> None:
    (both.parent / there).write_text("mine")
    with pytest.raises(PictureError, match=f"{there} exists already"):
        extract(both, both.parent, layout="side-by-side")
    assert sorted(path.name for path in both.parent.iterdir()) == ["both.tif", there]
    extract(both, both.parent, layout="side-by-side", overwrite=True)
    assert (both.parent / there).read_bytes() != b"mine"


def test_the_input_is_never_overwritten(both: Path) -> None:
    with pytest.raises(PictureError, match="is one of the inputs"):
        extract(both, both, both.with_name("b.tif"), layout="side-by-side", overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(both), BOTH)


def test_one_file_for_both_views_is_refused(both: Path) -> None:
    with pytest.raises(PictureError, match=r"a\.tif was named for both views"):
        extract(both, both.with_name("a.tif"), both.with_name("a.tif"), layout="side-by-side")


def test_a_file_where_a_folder_should_be_is_refused(both: Path) -> None:
    with pytest.raises(PictureError, match=r"both\.tif is a file; give a folder, or the names of both files"):
        extract(both, both, layout="side-by-side")
    with pytest.raises(PictureError, match=r"left\.png looks like a file; give a folder, or the names of both files"):
        extract(both, both.with_name("left.png"), layout="side-by-side")


def test_killed_between_its_two_files_both_are_there_for_the_next_run(both: Path) -> None:
    code = """if True:
        import os, signal, sys
        from dualpix.pairs.extract import extract
        names, link = [], os.link

        def take(*words):
            if names:
                os.kill(os.getpid(), signal.SIGKILL)
            names.append(link(*words))

        os.link = take
        extract(*sys.argv[1:], layout="side-by-side")
    """
    views = both.parent / "views"
    killed = subprocess.run([sys.executable, "-c", code, str(both), str(views)], capture_output=True, timeout=100)
    assert killed.returncode == -signal.SIGKILL and not (views / "both_R.tif").exists()
    with pytest.raises(PictureError, match=r"both_L\.tif exists already"):
        extract(both, views, layout="side-by-side")
    assert sorted(path.name for path in views.iterdir()) == ["both_L.tif", "both_R.tif"]
    np.testing.assert_array_equal(tifffile.imread(views / "both_R.tif"), BOTH[:, 40:])
