"""JPEG, VP8 and H.264 as people's files have been through them."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.errors import MachineError
from dualpix.simulation.coding import as_h264, as_jpeg, as_vp8


@pytest.fixture
def picture() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(64), torch.arange(80), indexing="ij")
    return torch.stack([x / 80, y / 64, 0.5 + 0.4 * torch.sin(x / 3)])


def test_jpeg_loses_a_little_and_less_at_high_quality(picture: torch.Tensor) -> None:
    worse, better = (float((as_jpeg(picture, quality, "444") - picture).abs().mean()) for quality in (50, 95))
    assert 0 < better < worse < 0.05
    coarse = as_jpeg(picture, 95, "420")
    assert coarse.shape == picture.shape and coarse.dtype == torch.float32
    assert float((coarse - picture).abs().mean()) > better


def test_vp8_is_what_another_webp_reader_sees(picture: torch.Tensor) -> None:
    pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=60, method=4)
    expected = torch.from_numpy(np.asarray(Image.open(file), dtype=np.float32) / 255).permute(2, 0, 1)
    error = float((expected - picture).square().mean().sqrt())
    ours = as_vp8(picture, 60)
    assert ours.shape == picture.shape and ours.dtype == torch.float32
    assert float((ours - picture).square().mean().sqrt()) == pytest.approx(error, rel=0.2)
    assert float((ours - expected).square().mean().sqrt()) < error / 2


def test_h264_loses_more_at_higher_rate_factors_and_halves_the_colours(picture: torch.Tensor) -> None:
    errors = [float((as_h264(picture, factor) - picture).square().mean().sqrt()) for factor in (4, 20, 40)]
    assert errors[0] < errors[1] < errors[2] < 0.1
    grey = picture.mean(0).expand(3, -1, -1)
    best = as_h264(grey, 0)
    assert best.shape == grey.shape and best.dtype == torch.float32
    assert float((best - grey).abs().mean()) < 1.5 / 255, "4:2:0 takes nothing from grey"
    stripes = torch.stack([torch.arange(80) % 2, 1 - torch.arange(80) % 2, torch.zeros(80)])[:, None].expand(-1, 64, -1)
    assert float((as_h264(stripes.float(), 0) - stripes).abs().mean()) > 20 / 255, "and most from coloured stripes"


def test_without_pyav_it_says_what_to_install(picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MachineError, match=r"pip install -e '\.\[video\]'"):
        as_h264(picture, 16)
