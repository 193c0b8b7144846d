"""At which scales a pair is deblurred, and how they are joined."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dualpix.errors import CheckpointError
from dualpix.inference import scales
from dualpix.inference.deblur import deblur_pair
from dualpix.networks.spec import NetworkSpec
from dualpix.pairs.matching import Matches
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, composite, render
from dualpix.simulation.sensor import Tone
from dualpix.weights.exported import Exported, mark
from small_networks import tiny


def _matches(disparity_px: float, reduction: int = 4, count: int = 40) -> Matches:
    across = torch.full((count,), disparity_px / reduction)
    zero = torch.zeros(count)
    return Matches(across, zero, zero, zero, zero, count, count, reduction)


@pytest.mark.parametrize(
    ("disparity_px", "steps"),
    [(8.4, (1,)), (8.6, (3, 1)), (-25.0, (4, 1)), (38.0, (6, 3, 1)), (500.0, (12, 4, 1))],
)
def test_scales_are_chosen_by_the_disparity(disparity_px: float, steps: tuple[int, ...]) -> None:
    assert scales.choose(_matches(disparity_px), (1280, 1920)) == steps


def test_a_large_picture_is_joined_however_near_its_views_lie() -> None:
    assert scales.choose(_matches(0.1), (1999, 2000)) == (1,) and scales.choose(_matches(0.1), (2000, 2000)) == (3, 1)


def test_scales_leave_enough_of_a_small_picture_and_of_one_that_tells_nothing() -> None:
    assert scales.choose(_matches(500.0), (300, 400)) == (3, 1)
    assert scales.choose(_matches(500.0), (256, 256)) == (1,)
    assert scales.choose(_matches(500.0, count=3), (4480, 6720)) == (1,)


def test_a_displacement_that_only_larger_blocks_see_counts() -> None:
    found = replace(_matches(18.0), farther_px=41.0)
    assert found.widest_px == 41.0 and scales.choose(found, (4480, 6720)) == (6, 3, 1)


class Blind(nn.Module):
    """A network without a correlation."""

    spec = NetworkSpec(("left", "right"))


def test_scales_may_be_given_and_what_cannot_be_followed_is_told() -> None:
    def choose(network: nn.Module, disparity_px: float, scale: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
        return scales.choose_for(network, _matches(disparity_px), (4480, 6720), scale)  # type: ignore[arg-type]

    assert choose(tiny(), 0.0, "1/6") == ((6, 3, 1), ())
    assert choose(tiny(), 32.0, "1") == choose(Blind(), 32.0, "1") == choose(Blind(), 3.0, "auto") == ((1,), ())
    steps, told = choose(Blind(), 32.0, "auto")
    assert steps == (1,) and "32 pixels apart, but Blind gives no disparity" in told[0]
    with pytest.raises(CheckpointError, match=r"Blind gives no disparity .*follow the scale 1/4; leave scale= out"):
        choose(Blind(), 32.0, "1/4")
    exported = tiny()
    mark(exported, Exported(Path("net.onnx"), "fp32"))
    with pytest.raises(CheckpointError, match=r"net\.onnx gives no disparity"):
        choose(exported, 0.0, "1/2")


def test_what_is_surely_in_focus_keeps_its_pixels_the_more_so_if_sharp_or_noisy() -> None:
    disparity_px, confidence = torch.tensor([[0.4, -0.4, 1.0, 0.0]]), torch.tensor([[0.9, 0.8, 0.9, 0.4]])

    def kept(noise: float, fineness: float) -> list[list[float]]:
        return scales.share_of_views(disparity_px, confidence, noise, torch.full((1, 4), fineness)).tolist()

    assert kept(0.006, 0.1) == [[1, 1, 0, 0]] and kept(0.0, 0.1) == [[scales.LEAST_KEPT] * 2 + [0, 0]]
    assert kept(0.0, 0.6) == [[pytest.approx(scales.SHARP_KEPT)] * 2 + [0, 0]]


def test_a_finer_result_ends_before_wider_blur_begins() -> None:
    """The network's window finds an edge's disparity beside the edge too."""
    disparity_px = torch.zeros(1, 30, 30)
    disparity_px[:, :, 15:] = 20.0
    share = scales.share_of_finer(disparity_px, torch.ones(1, 30, 30))
    assert torch.equal(share[0, 0], (torch.arange(30) < 15 - scales.MARGIN_PX).float())


def test_fineness_tells_a_photograph_from_the_same_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    grain = torch.rand(3, 200, 230, generator=torch.Generator().manual_seed(0))
    octaves = {by: F.interpolate(F.avg_pool2d(grain[None], by), (200, 230), mode="bicubic")[0] for by in (1, 2, 4, 8)}
    photo = torch.stack([by * (octave - 0.5) for by, octave in octaves.items()]).sum(0)  # as much in each, as in nature
    enlarged = F.interpolate(photo[None], (400, 460), mode="bicubic")[0]
    sharp = scales.fineness_of((photo, photo), 4, 0.0)
    soft = scales.fineness_of((enlarged, enlarged), 4, 0.0)
    assert sharp.shape == (1, 50, 58) and soft.shape == (1, 100, 115)
    assert sharp.quantile(0.1) > scales.SHARP and soft.median() < scales.SOFT
    monkeypatch.setattr(scales, "ROWS", 24)
    torch.testing.assert_close(scales.fineness_of((photo, photo), 4, 0.0), sharp)


def test_noise_is_no_fine_detail() -> None:
    flat, drawn = torch.full((3, 160, 160), 0.5), torch.Generator().manual_seed(0)
    ramp = flat + 0.05 * torch.sin(torch.arange(160) / 3)
    views = [ramp + 0.01 * torch.randn(1, 160, 160, generator=drawn) for _ in range(2)]
    seen, told = (scales.fineness_of((views[0], views[1]), 4, noise).median() for noise in (0.0, 0.01))
    assert told < 0.25 * seen


@pytest.mark.parametrize("by", [2, 3])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_rows_enlarged_apart_are_those_of_the_whole(by: int, mode: str) -> None:
    small = torch.rand(3, 31, 20)
    whole = F.interpolate(small[None], scale_factor=float(by), mode=mode)[0]
    for first, last in ((0, 7), (7, 50), (50, 31 * by)):
        part = scales.enlarge(small, by, first, last, 20 * by - 1, mode)
        torch.testing.assert_close(part, whole[:, first:last, :-1])


def test_joining_has_no_seam_and_takes_in_full_what_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    fine, left, right = torch.rand(3, 3, 90, 64)
    correction, share, kept = torch.rand(3, 45, 32), torch.rand(1, 45, 32), torch.rand(1, 45, 32)

    def join(share: torch.Tensor, kept: torch.Tensor | None) -> torch.Tensor:
        return scales.join(fine.clone(), (left, right), correction, 2, share, 2, kept)

    whole, one, mean = join(share, kept), torch.ones(1, 45, 32), (left + right) / 2
    monkeypatch.setattr(scales, "ROWS", 13)
    torch.testing.assert_close(join(share, kept), whole)
    assert torch.equal(join(one, None), fine) and torch.equal(join(share, one), mean)
    coarse = mean + F.interpolate(correction[None], scale_factor=2.0, mode="bicubic")[0]
    torch.testing.assert_close(join(0 * one, None), coarse)


def test_wide_blur_gains_from_a_smaller_scale_and_focus_keeps_its_pixels() -> None:
    torch.manual_seed(0)
    coarse = (
        F.interpolate(torch.rand(1, 3, 448 // by, 992 // by), (448, 992), mode="bilinear")[0] for by in (32, 16, 8)
    )
    far = torch.stack([*coarse]).mean(0)
    near = torch.rand(3, 448, 992) * 0.3 + 0.2
    alpha = torch.zeros(448, 992)
    alpha[:, :368] = 1
    layers = [Layer(far, torch.ones(448, 992), torch.full((448, 992), 60.0)), Layer(near, alpha, torch.zeros(448, 992))]
    views = render(layers, Lens(rho=0.42, split=0.3), 112)
    sharp, _ = composite(layers, 112)
    left, right, sharp = Tone().encode(torch.stack([*views, sharp]))
    sample = {"left": left, "right": right, "name": "wide"}
    one, several = (deblur_pair(sample, scale=scale, precision="fp32") for scale in ("1", "1/4"))
    assert one.plan.scales == (1,) and several.plan.scales == (4, 1)

    def error(picture: torch.Tensor) -> float:
        return float((picture - sharp)[..., 330:740].square().mean())

    assert error(several.picture) < 0.9 * error(one.picture)
    kept = (several.picture - (left + right) / 2)[:, 64:-64, 64:180].square().mean().sqrt()
    assert float(kept) < 10 ** (-45 / 20)
