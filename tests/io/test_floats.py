"""Planes of floats as TIFF: as they are, with metadata, and in no other format."""

from pathlib import Path

import pytest
import tifffile
import torch

from dualpix.errors import PictureError
from dualpix.io import Metadata
from dualpix.io.floats import encode_floats


def test_numbers_stay_as_they_are(tmp_path: Path) -> None:
    plane = torch.tensor([[[-3.5, torch.inf, 0.0], [1e30, -torch.inf, 2.0**-140]]])
    path = tmp_path / "a.tiff"
    path.write_bytes(encode_floats(path, plane, Metadata(software="made by hand")))
    with tifffile.TiffFile(tmp_path / "a.tiff") as file:
        page = file.pages[0]
        assert torch.equal(torch.from_numpy(page.asarray()), plane[0])
        assert page.tags["Software"].value == "made by hand" and page.predictor == 1


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"cannot hold floating-point numbers; end its name in \.tif or \.tiff"):
        encode_floats(tmp_path / "a.png", torch.zeros(1, 2, 2))
