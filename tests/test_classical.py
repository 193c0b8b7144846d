"""The table of defocus maps, and what it says where the extra is not installed."""

import sys

import pytest
import torch

from dualpix.classical import MAPS
from dualpix.errors import MachineError

STEP = torch.full((3, 40, 44), 0.2)
STEP[:, :, 20:] = 0.7


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("mode", ["fast", "faithful"])
def test_every_map_takes_a_picture_and_gives_blur_in_pixels(name: str, mode: str) -> None:
    sigma_px = MAPS[name](STEP, mode)
    assert sigma_px.shape == STEP.shape[1:] and sigma_px.dtype == torch.float32
    assert sigma_px.min() >= 0 and sigma_px.isfinite().all()


@pytest.mark.parametrize("name", MAPS)
def test_without_the_extra_one_sentence_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, f"dualpix.classical.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MachineError, match=r"pip install -e '\.\[classic\]'"):
        MAPS[name](STEP)
