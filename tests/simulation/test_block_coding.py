"""Coding as tensor operations against the codecs themselves: how much is lost, where in the spectrum, and to what."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dualpix.simulation.block_coding import (
    H264,
    VP8,
    coded_together,
    h264_step,
    jpeg_together,
    video_together,
    vp8_step,
)
from dualpix.simulation.coding import Coding, as_h264, as_vp8
from dualpix.simulation.developer import smooth
from made_textures import natural_texture

BANDS = ((0.0, 0.06), (0.06, 0.125), (0.125, 0.25), (0.25, 0.75))  # cycles a pixel


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    """Textures as photographs have them, in colour, sharp and blurred, in whole levels."""
    colourful = torch.stack([natural_texture(128, 128, seed) for seed in range(2)])
    sharp = 0.8 * colourful[:, :1] + 0.2 * colourful
    return (torch.cat([sharp, smooth(sharp, 1.5)]).clamp(0, 1) * 255).round() / 255


def lost_db(error: Tensor) -> float:
    return float(-10 * torch.log10(error.square().mean()))


def spectrum_db(error: Tensor) -> np.ndarray:
    power = torch.fft.fft2(error.mean(1)).abs().square().mean(0)
    axis = torch.fft.fftfreq(len(power))
    frequency = torch.hypot(axis[:, None], axis[None])
    bands = [power[(frequency >= low) & (frequency < high)].mean() for low, high in BANDS]
    return np.array([float(10 * torch.log10(band)) for band in bands])


@pytest.mark.parametrize("subsampling", ["444", "420"])
@pytest.mark.parametrize("quality", [75, 92, 97])
def test_jpeg_is_what_pillow_makes(pictures: Tensor, quality: int, subsampling: str) -> None:
    def by_pillow(picture: Tensor) -> Tensor:
        file = io.BytesIO()
        pixels = (picture * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0 if subsampling == "444" else 2)
        return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 255

    real = torch.stack([by_pillow(picture) for picture in pictures])
    ours = jpeg_together(pictures, [quality] * len(pictures), [subsampling] * len(pictures))
    assert lost_db(ours - pictures) == pytest.approx(lost_db(real - pictures), abs=0.1)
    assert lost_db(ours - real) > 46


@pytest.mark.parametrize(("codec", "quality"), [("h264", 8), ("h264", 16), ("h264", 22), ("vp8", 70), ("vp8", 95)])
def test_video_loses_as_much_and_at_the_same_frequencies(pictures: Tensor, codec: str, quality: int) -> None:
    real = torch.stack([(as_h264 if codec == "h264" else as_vp8)(picture, quality) for picture in pictures])
    step, model = (h264_step(quality), H264) if codec == "h264" else (vp8_step(quality), VP8)
    ours = video_together(pictures, [step] * len(pictures), model)
    assert lost_db(ours - pictures) == pytest.approx(lost_db(real - pictures), abs=0.7)
    assert np.abs(spectrum_db(ours - pictures) - spectrum_db(real - pictures)).max() < 2


def test_each_picture_has_its_own_coding_and_sides_may_be_odd(pictures: Tensor) -> None:
    odd = pictures[..., :61, :77]
    codings = [None, Coding("jpeg", 80, "420"), Coding("h264", 20), Coding("vp8", 70)]
    together = coded_together(odd, codings)
    assert torch.equal(together[0], odd[0])
    for number, coding in enumerate(codings):
        alone = coded_together(odd[number : number + 1], [coding])[0]
        assert torch.equal(together[number], alone) and alone.shape == odd[number].shape
        assert coding is None or 0 < float((alone - odd[number]).abs().mean()) < 0.05
