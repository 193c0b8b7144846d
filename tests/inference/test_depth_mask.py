"""Depth masks: levels as told, white near, whatever the range. See test_disparity.py for the command."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from dualpix.errors import PictureError
from dualpix.inference.depth_mask import depth_mask, write_depth_mask
from dualpix.inference.disparity import Disparity


def test_near_is_white_and_the_range_that_of_the_confidence() -> None:
    """1001 disparities from -4 to 6, of which 1 % are left out at either end; far outliers of no confidence are too."""
    values = torch.cat([torch.linspace(-4, 6, 1001), torch.tensor([-60.0, 60.0])])[None, None]
    sure = (values.abs() < 10).float()
    mask = depth_mask(Disparity(values, sure))
    assert mask.nearest_px == pytest.approx(-3.9, abs=0.02) and mask.farthest_px == pytest.approx(5.9, abs=0.02)
    wanted = np.clip((mask.farthest_px - values.numpy()) / (mask.farthest_px - mask.nearest_px), 0, 1)
    np.testing.assert_allclose(mask.levels.numpy(), wanted, atol=1e-5)
    assert mask.levels[0, 0, 0] == 1 and mask.levels[0, 0, 1000] == 0 and mask.levels[0, 0, 1002] == 0
    assert mask.focus_level == pytest.approx(float(mask.levels[0, 0, 400]), abs=1e-4)


def test_unsure_places_take_the_depth_of_their_surface() -> None:
    """Two surfaces, of which a third is sure and the rest says something else."""
    is_left = (torch.arange(96) < 48).expand(64, 96)
    true = torch.where(is_left, -3.0, 4.0)
    sure = (torch.arange(64)[:, None] % 3 == 0).expand(64, 96).float()
    found = Disparity(torch.where(sure > 0, true, torch.tensor(0.5))[None], sure[None])
    guide = torch.where(is_left, 0.2, 0.8).expand(3, -1, -1)
    levels = depth_mask(found, guide).levels[0]
    assert float((levels - is_left.float()).abs().mean()) < 0.05
    assert float((depth_mask(found).levels[0] - is_left.float()).abs().mean()) > 0.2


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_a_wall_is_grey(confidence: float) -> None:
    mask = depth_mask(Disparity(torch.full((1, 8, 9), 2.0), torch.full((1, 8, 9), confidence)))
    assert (mask.nearest_px, mask.farthest_px) == (1.5, 2.5) and bool((mask.levels == 0.5).all())
    assert mask.focus_level == 2.5


def test_masks_are_written_in_16_bits_or_not_at_all(tmp_path: Path) -> None:
    levels = torch.linspace(0, 1, 400).view(1, 20, 20)
    write_depth_mask(tmp_path / "m.tif", levels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "m.tif"), np.round(levels[0].numpy() * 65535))
    with pytest.raises(PictureError, match=r"m\.jpg cannot hold a map of 16 bits"):
        write_depth_mask(tmp_path / "m.jpg", levels)
