"""Surfaces and shapes: in range, of the right size, decided by the seed, and what their names say."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from dualpix.simulation.painting import Canvas, Painting
from dualpix.simulation.shapes import LETTERS, SHAPES, letters, noise
from dualpix.simulation.textures import TEXTURES, photo

Drawn = Callable[[np.random.Generator, int], Painting]
everything = pytest.mark.parametrize("draw", (TEXTURES | SHAPES).values(), ids=TEXTURES | SHAPES)


def drawn(draw: Drawn, count: int = 8, size: int = 96) -> list[Tensor]:
    return [draw(np.random.default_rng(seed), size)(Canvas()) for seed in range(count)]


@everything
def test_they_are_in_range_and_decided_by_the_seed(draw: Drawn) -> None:
    pictures = drawn(draw)
    for picture, again in zip(pictures, drawn(draw), strict=True):
        assert picture.shape[-2:] == (96, 96) and picture.dtype == torch.float32
        assert bool(torch.isfinite(picture).all())
        assert float(picture.min()) >= 0 and float(picture.max()) <= 1
        assert torch.equal(picture, again)
    assert len({tuple(picture.flatten()[::97].tolist()) for picture in pictures}) > 1


@pytest.mark.parametrize("draw", SHAPES.values(), ids=SHAPES)
def test_shapes_are_masks_with_soft_edges_that_usually_show(draw: Drawn) -> None:
    masks = drawn(draw, 40)
    covers = [float(mask.mean()) for mask in masks]
    assert np.mean([0.005 < cover < 0.95 for cover in covers]) > 0.6
    solid = [float(((mask == 0) | (mask == 1)).float().mean()) for mask in masks]
    assert np.median(solid) > 0.6
    assert min(solid) < 1, "no edge is anti-aliased"


@pytest.mark.parametrize("name", ["bars", "net"])
def test_wires_are_thin(name: str) -> None:
    """A wire is at most 8 px wide: nothing is left after as much is taken off each side."""
    for mask in drawn(SHAPES[name], 12):
        eroded = -torch.nn.functional.max_pool2d(-mask[None], 13, stride=1)[0]
        assert float(eroded.max()) < 0.01


@pytest.mark.parametrize("size", [40, 352])
@pytest.mark.parametrize("seed", range(8))
def test_letters_are_printed_as_pillow_prints_whole_lines(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height = float(np.exp(rng.uniform(np.log(8), np.log(80))))
    font, sheet = ImageFont.load_default(height), Image.new("L", (size, size))
    for line in range(int(size / height) + 1):
        word = "".join(rng.choice(list(LETTERS + "      "), int(2.2 * size / height) + 1))
        ImageDraw.Draw(sheet).text((0, line * height * 1.25), word, fill=255, font=font)
    if rng.random() < 0.4:
        sheet = sheet.rotate(float(rng.uniform(-30, 30)), Image.Resampling.BILINEAR)
    printed = letters(np.random.default_rng(seed), size)(Canvas())
    assert np.array_equal(printed.numpy() * 255, np.asarray(sheet, dtype=np.float32))


@pytest.mark.parametrize("power", [0.8, 1.6])
def test_noise_falls_off_as_it_is_told(power: float) -> None:
    fields = [noise(np.random.default_rng(seed), 128, power)(Canvas()).double().numpy() for seed in range(6)]
    assert np.std(fields[0]) == pytest.approx(1, abs=1e-3)
    amplitude = np.sqrt(np.mean([np.abs(np.fft.fft2(field)) ** 2 for field in fields], axis=0))
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    middle = (frequency > 0.03) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[middle]), np.log(amplitude[middle]), 1)[0]
    assert slope == pytest.approx(-power, abs=0.1)


@pytest.mark.parametrize("size", [40, 64, 200])
def test_photographs_are_cut_to_size_even_if_they_are_smaller(size: int) -> None:
    source = torch.randint(0, 256, (3, 64, 90), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for seed in range(12):
        crop = photo(np.random.default_rng(seed), [source], size)(Canvas([source]))
        assert crop.shape == (3, size, size)
        assert float(crop.min()) >= 0 and float(crop.max()) <= 1.001


def test_a_photograph_prefers_the_part_with_detail() -> None:
    half = torch.full((3, 64, 256), 128, dtype=torch.uint8)
    half[..., 128:] = torch.randint(0, 256, (3, 64, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    detail = [float(photo(np.random.default_rng(seed), [half], 32)(Canvas([half])).std()) for seed in range(60)]
    assert np.mean([one > 0.04 for one in detail]) > 0.7
