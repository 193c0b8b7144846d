"""The mean over mirrored results: lawful for dual pixels, the same in bands, and planned for."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dualpix.inference.bands import make_plan
from dualpix.inference.deblur import Deblurred, deblur, deblur_pair
from dualpix.inference.engines.pytorch import Runner
from dualpix.networks.spec import NetworkSpec
from dualpix.pairs.flips import FLIPS, flip_vertical, mirror
from dualpix.pairs.sample import Sample

ONE_FLIP = [(mirror, -1), (flip_vertical, -2)]


class Symmetric(nn.Module):
    """The smoothed mean of the views, and the slope of their difference, which a mirror with exchanged views leaves as
    it is: both change their sign. A mirror alone would cancel it."""

    spec = NetworkSpec(("left", "right"), receptive_radius_px=2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        slope = (left - right)[..., 2:] - (left - right)[..., :-2]
        return functional.avg_pool2d((left + right) / 2, 5, 1, 2) + 0.3 * functional.pad(slope, (1, 1))


class Lopsided(nn.Module):
    """Convolutions with random weights on all three views, at a coarser scale."""

    spec = NetworkSpec(("center", "right", "left"), size_multiple=4, receptive_radius_px=16)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fine, self.coarse = nn.Conv2d(9, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, *views: Tensor) -> Tensor:
        coarse = functional.avg_pool2d(torch.tanh(self.fine(torch.cat(views, 1))), 4)
        return views[0] / 2 + functional.interpolate(self.coarse(coarse), scale_factor=4, mode="bilinear") / 4 + 0.25


def pair(height: int = 45, width: int = 38) -> Sample:
    generator = torch.Generator().manual_seed(0)
    texture = functional.avg_pool2d(torch.rand(1, 3, height + 4, width + 8, generator=generator), 5, 1)[0]
    left, right = texture[..., 2 : width + 2], texture[..., :width]
    return {"left": left.contiguous(), "right": right.contiguous(), "center": left**2, "name": "made"}


def run(sample: Sample, network: nn.Module, **options: object) -> Deblurred:
    return deblur_pair(sample, network, precision="fp32", guard=False, **options)  # type: ignore[arg-type]


def far(one: Tensor, two: Tensor) -> float:
    return float((one - two).abs().max())


def test_a_symmetric_network_is_not_changed() -> None:
    once, mean = (run(pair(), Symmetric(), mirror=flag).picture for flag in (False, True))
    smooth = functional.avg_pool2d((pair()["left"] + pair()["right"]) / 2, 5, 1, 2)
    assert far(once, smooth) > 0.01, "or it would not matter whether the views are exchanged"
    assert far(once, mean) < 1e-5


@pytest.mark.parametrize(("turn", "axis"), ONE_FLIP)
@pytest.mark.parametrize("rows", [None, 8])
def test_any_network_treats_mirrored_pairs_alike(turn, axis: int, rows: int | None) -> None:
    network, sample = Lopsided(), pair()
    turned = turn(sample)
    apart = far(run(turned, network).picture, run(sample, network).picture.flip(axis))
    alike = [run(one, network, mirror=True, band_rows=rows).picture for one in (turned, sample)]
    assert apart > 1e-3 and far(alike[0], alike[1].flip(axis)) < 1e-5


def test_it_is_the_mean_of_the_four() -> None:
    network, sample = Lopsided(), pair()
    swapped = {"left": sample["right"], "right": sample["left"], "center": sample["center"], "name": ""}
    by_hand = []
    for axes, source in (((), sample), ((-1,), swapped), ((-2,), sample), ((-2, -1), swapped)):
        lying = {key: thing.flip(axes) if isinstance(thing, Tensor) else thing for key, thing in source.items()}
        by_hand.append(run(lying, network).picture.flip(axes))
    assert far(run(sample, network, mirror=True).picture, torch.stack(by_hand).mean(0)) < 1e-5
    assert min(far(by_hand[0], other) for other in by_hand[1:]) > 1e-3


def test_bands_equal_the_whole_picture() -> None:
    sample = pair(97, 38)
    whole, bands = (run(sample, Lopsided(), mirror=True, band_rows=rows) for rows in (97, 8))
    assert (len(whole.plan.bands), len(bands.plan.bands)) == (1, 13)
    assert far(whole.picture, bands.picture) < 1e-5


def test_the_plan_knows_and_says_it() -> None:
    runner, views = Runner(Symmetric(), "fp32", "cpu"), [pair()["left"], pair()["right"]]
    once, mean = (make_plan(runner, views, mirror=flag) for flag in (False, True))
    assert mean.peak_bytes - once.peak_bytes == 5 * views[0].nbytes
    assert "mirrored" not in str(once) and "whole, mean of 4 mirrored, fp32 on cpu" in str(mean)
    tight = make_plan(runner, views, mean.peak_bytes - 1, mirror=True)
    assert len(tight.bands) > 1


def test_progress_counts_the_bands_of_all_four() -> None:
    seen: list[tuple[int, int]] = []
    run(pair(64, 32), Symmetric(), band_rows=32, mirror=True, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 4 * 2) for done in range(9)]


def test_the_public_function_takes_it() -> None:
    sample = pair()
    left, right = sample["left"], sample["right"]
    expected = run({"left": left, "right": right, "name": ""}, Lopsided(), mirror=True).picture
    assert torch.equal(deblur(left, right, Lopsided(), precision="fp32", mirror=True, guard=False), expected)


def test_every_turn_undoes_itself() -> None:
    sample = pair()
    for turn in FLIPS.values():
        twice = turn(turn(sample))
        assert all(torch.equal(twice[view], sample[view]) for view in ("left", "right", "center"))
