"""Refocusing a pair: by the shipped weights, on views whose upper half lies behind the focus."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import dualpix
from dualpix import networks
from dualpix.errors import CheckpointError, MachineError, PictureError
from dualpix.inference.all_in_focus import AllInFocus, bands_for
from dualpix.inference.deblur import deblur_pair
from dualpix.inference.focus import Refocus
from dualpix.inference.options import DeblurOptions
from small_networks import tiny

Pair = tuple[Tensor, Tensor]


@pytest.fixture
def pair(views) -> Pair:
    left, right = views(height=96, width=128)
    return tuple(torch.from_numpy(view.astype(np.float32) / 65535).permute(2, 0, 1) for view in (left, right))


def detail(picture: Tensor, rows: slice, aside: int = 24) -> float:
    """How much neighbours differ, away from the sides."""
    return float(picture[:, rows, aside:-aside].diff(dim=-1).abs().mean())


UPPER, LOWER = slice(8, 32), slice(64, 88)


def test_what_is_asked_for_is_sharp_and_the_rest_is_not(pair: Pair) -> None:
    sharp = dualpix.deblur(*pair)
    below = dualpix.refocus(*pair, aperture=2)
    above = dualpix.refocus(*pair, focus_at=(64, 20), aperture=2)
    assert detail(below, LOWER) > 0.9 * detail(sharp, LOWER) and detail(below, UPPER) < 0.4 * detail(sharp, UPPER)
    assert detail(above, UPPER) > 0.8 * detail(sharp, UPPER) and detail(above, LOWER) < 0.4 * detail(sharp, LOWER)
    wider = dualpix.refocus(*pair, aperture=4)
    assert detail(wider, UPPER) < 0.7 * detail(below, UPPER)
    assert torch.equal(dualpix.refocus(*pair, aperture=0), sharp)


def test_a_focus_that_is_not_there_is_refused_with_what_is(pair: Pair) -> None:
    with pytest.raises(
        PictureError, match=r"disparity of 9 px: they run from -?0\.\d to [12]\.\d px; give .* focus_at="
    ):
        dualpix.refocus(*pair, focus_px=9)
    with pytest.raises(PictureError, match="128,3 lies outside of the picture of 128 x 96 pixels"):
        dualpix.refocus(*pair, focus_at=(128, 3))


def test_networks_without_disparity_are_refused(pair: Pair) -> None:
    with pytest.raises(CheckpointError, match="DPDNet as built here has no cross-correlation"):
        dualpix.refocus(*pair, networks.create("dpdnet", widths=(8, 16, 32, 64, 128)))


def test_too_little_memory_is_told_before_the_work() -> None:
    views = torch.rand(2, 3, 900, 1200, generator=torch.Generator().manual_seed(0))
    with pytest.raises(MachineError, match=r"needs at least 0\.65 GB of memory and may use 0\.60 GB"):
        dualpix.refocus(*views, tiny(), memory="600MB", turn="none")


def test_bands_follow_the_memory_and_change_nothing() -> None:
    wide, tight = (bands_for(6000, 4000, memory, 100) for memory in (None, "2.9GB"))
    assert tight[0][1] < wide[0][1] and tight[-1][1] == wide[-1][1] == 4000
    with pytest.raises(MachineError, match="allow more"):
        bands_for(6000, 4000, "2GB", 100)
    picture = torch.rand(3, 600, 40, generator=torch.Generator().manual_seed(1))
    disparity_px = torch.linspace(-0.5, 0.7, 600)[None, :, None].expand(1, 600, 40)
    scene = AllInFocus(picture, disparity_px, 0.3, Refocus(aperture=2, highlights=4))
    assert len(bands_for(40, 600, "490MB", 64)) > 3
    made = [replace(scene, memory=memory).seen(scene.refocus) for memory in (None, "490MB")]
    torch.testing.assert_close(made[1], made[0], atol=1e-5, rtol=0)


def test_upright_views_give_the_picture_of_lying_ones_turned(pair: Pair) -> None:
    """A point is one of the picture as it lies in the file."""
    weights, asked = tiny(), {"aperture": 2.0, "rho": 0.5, "guard": False}
    lying = dualpix.refocus(*pair, weights, focus_at=(40, 20), turn="none", **asked)
    upright = [torch.rot90(view, 1, (1, 2)) for view in pair]
    turned = dualpix.refocus(*upright, weights, focus_at=(20, 127 - 40), turn="right", **asked)
    torch.testing.assert_close(torch.rot90(turned, -1, (1, 2)), lying, atol=1e-5, rtol=0)


def test_the_sweep_goes_from_the_farthest_to_the_nearest_and_back(pair: Pair) -> None:
    done = deblur_pair(
        {"left": pair[0], "right": pair[1], "name": "made"}, None, DeblurOptions(refocus=Refocus(aperture=3))
    )
    frames = list(done.scene.sweep(done.scene.refocus, frames=4, longest_px=70))
    assert len(frames) == 6 and all(frame.shape == (3, 48, 64) for frame in frames)
    upper, lower = ([detail(frame, rows, 12) for frame in frames] for rows in (slice(4, 16), slice(32, 44)))
    assert np.argmax(upper) == 0 and np.argmax(lower) == 3
    assert torch.equal(frames[1], frames[5])
    plain = replace(done.scene.refocus, aperture=0)
    assert torch.equal(done.scene.seen(plain), done.scene.picture)
