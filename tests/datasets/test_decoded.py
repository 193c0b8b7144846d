"""A data set kept decoded is the same data set, of which what nobody wants is never decoded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dualpix.datasets import Dpdd, Folder
from dualpix.datasets.decoded import Decoded, FromFiles, stored
from dualpix.errors import DataError, PairError, PictureError
from dualpix.io.decoded import DecodedPictures


@pytest.fixture
def folder(tmp_path: Path, write_png: Callable) -> Path:
    for number in range(3):
        for place, value in (("left", 10), ("right", 20), ("sharp", 30), ("center", 40)):
            write_png(tmp_path / place / f"{number}.png", value + number)
    (tmp_path / "center" / "1.png").unlink()
    (tmp_path / "blur").mkdir()
    np.save(tmp_path / "blur" / "2.npy", np.ones((16, 24), np.float32))
    return tmp_path


def decoded(data: FromFiles, tmp_path: Path, *names: str) -> Decoded:
    return Decoded(data, DecodedPictures(tmp_path / "kept"), names)


def test_samples_are_those_of_the_data_set(folder: Path) -> None:
    data = Folder(folder)
    found = decoded(data, folder, "center", "sharp", "blur_px")
    assert len(found) == 3 and found.files == data.files and found.found == data.found
    for number in range(3):
        sample, wanted = found[number], data[number]
        assert sample.keys() == wanted.keys() and sample["name"] == wanted["name"]
        assert all(torch.equal(sample[key], x) for key, x in wanted.items() if key != "name")
        assert all(x.is_contiguous() for key, x in sample.items() if key != "name")


def test_what_nobody_wants_is_never_decoded(folder: Path) -> None:
    for place in ("center", "sharp"):
        for path in (folder / place).iterdir():
            path.write_bytes(b"no picture")
    found = decoded(Folder(folder), folder)
    assert sorted(found[2]) == ["left", "name", "right"]
    assert len(list((folder / "kept").iterdir())) == 2
    with pytest.raises(PictureError, match=r"sharp/2\.png"):
        decoded(Folder(folder), folder, "sharp")[2]


def test_it_refuses_what_the_data_set_refuses(folder: Path, write_png: Callable) -> None:
    write_png(folder / "right" / "0.png", height=17)
    np.save(folder / "blur" / "2.npy", np.ones((5, 5), np.float32))
    found = decoded(Folder(folder), folder, "blur_px")
    with pytest.raises(PairError, match=r"24 x 16.*24 x 17"):
        found[0]
    with pytest.raises(DataError, match="is not a blur map"):
        found[2]


def test_a_sample_is_stored_as_in_its_file_and_any_other_as_it_is(tmp_path: Path, write_png: Callable) -> None:
    for place in ("inputL", "inputR"):
        write_png(tmp_path / place / "0.png", 7)
    kept = stored(decoded(Dpdd(tmp_path), tmp_path, "center"), 0)
    assert kept["left"].dtype == torch.uint8 and kept["left"].unique().tolist() == [7] and "center" not in kept
    sample = {"name": "one"}
    assert stored([sample], 0) is sample
