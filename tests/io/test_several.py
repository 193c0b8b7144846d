"""Files that hold more than one picture: two of one size are views, and of more the first is used and it is said."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dualpix.errors import PairError
from dualpix.io import read_picture
from dualpix.pairs import open_views


def write(make, path: Path, count: int, smaller: bool = False) -> list[np.ndarray]:
    """Pictures of 40 x 48 in one file; `smaller`: all but the first are of half the size."""
    many = [np.roll(make["smooth"](), 7 * number, axis=1) for number in range(count)]
    many = [one[::2, ::2] if smaller and number else one for number, one in enumerate(many)]
    if path.suffix == ".mpo":
        first, *others = (Image.fromarray(one) for one in many)
        first.save(path, "MPO", save_all=True, append_images=others, quality=95)
    elif path.suffix == ".tif":
        for number, one in enumerate(many):
            tifffile.imwrite(path, one, append=number > 0, photometric="rgb", metadata=None)
    else:
        starts = [f"P6 {one.shape[1]} {one.shape[0]} 255\n".encode() for one in many]
        path.write_bytes(b"".join(start + one.tobytes() for start, one in zip(starts, many, strict=True)))
    return many


@pytest.mark.parametrize("ending", [".mpo", ".tif", ".ppm"])
def test_two_pictures_of_one_size_are_the_views(tmp_path: Path, make, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    many = write(make, path, 2)
    views = open_views(path)
    for side, levels in zip(("left", "right"), many, strict=True):
        worst = np.abs(views[side].permute(1, 2, 0).numpy() - levels / 255).max()
        assert worst < (0.25 if ending == ".mpo" else 1e-6)
    assert "the first was taken for the left view" in " ".join(views["notes"])


@pytest.mark.parametrize("ending", [".mpo", ".tif", ".ppm"])
def test_more_pictures_are_told(tmp_path: Path, make, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write(make, path, 3)
    assert f"a{ending} holds 3 pictures of one size: the first is used." in read_picture(path).notes
    with pytest.raises(PairError, match="is one picture"):
        open_views(path)
    with pytest.raises(PairError, match="holds 3 pictures of one size, not two views"):
        open_views(path, layout="two-pictures")


def test_very_many_pictures_are_not_all_counted_nor_read(tmp_path: Path, make) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(70 * (b"P6 24 20 255\n" + bytes(3 * 24 * 20)))
    assert "a.ppm holds more than 64 pictures of one size: the first is used." in read_picture(path).notes
    with pytest.raises(PairError, match="holds more than 64 pictures of one size, not two views"):
        open_views(path, layout="two-pictures")


@pytest.mark.parametrize("ending", [".mpo", ".tif", ".ppm"])
def test_pictures_of_other_sizes_are_told(tmp_path: Path, make, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write(make, path, 3, smaller=True)
    (note,) = read_picture(path).notes
    assert note == f"a{ending} holds further pictures, which are left out: 24 x 20, 24 x 20 pixels."


def test_previews_are_no_pictures(tmp_path: Path, make) -> None:
    small = make["smooth"]()[::2, ::2]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, make["smooth"](), photometric="rgb", metadata=None)
    tifffile.imwrite(path, small, append=True, photometric="rgb", metadata=None, subfiletype=1)
    assert read_picture(path).notes == ()
    write(make, tmp_path / "a.mpo", 2, smaller=True)
    data = (tmp_path / "a.mpo").read_bytes()
    second = data.index(b"MPF\0II*\0") + 4 + 50 + 16  # behind the head of the index and the entry of the first
    assert data[second : second + 4] == bytes(4)
    (tmp_path / "a.mpo").write_bytes(data[:second] + b"\1\0\1\0" + data[second + 4 :])
    assert read_picture(tmp_path / "a.mpo").notes == ()


def test_directories_in_a_ring_end(tmp_path: Path, make) -> None:
    write(make, tmp_path / "a.tif", 2)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        second = tiff.pages[1].offset
        first = tiff.pages[0].offset
    end = second + 2 + 12 * int.from_bytes(data[second : second + 2], "little")
    data[end : end + 4] = first.to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    assert "holds 2 pictures" in " ".join(read_picture(tmp_path / "a.tif").notes)
