"""The guard speaks where a result has what cannot come from its views, and leaves every bit of all others."""

import warnings

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor, nn
from torch.nn import functional

from dualpix.errors import PairError
from dualpix.inference import guard
from dualpix.inference.comparison import compare
from dualpix.inference.deblur import deblur, deblur_pair
from dualpix.networks.spec import NetworkSpec
from dualpix.pairs.sample import Sample
from dualpix.weights import checkpoint

LEVEL = 1 / 255


def scene(height: int = 320, width: int = 640) -> Tensor:
    """Coloured surfaces, some flat and some with texture."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(1, 3, 5, 6, generator=generator)
    surfaces = functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)[0]
    grain = functional.avg_pool2d(torch.rand(1, 1, height + 4, width + 4, generator=generator), 5, 1)[0] - 0.5
    grain[:, :, : width // 2] = 0
    return (0.35 + 0.15 * surfaces + grain).clamp(0, 1)


def views(picture: Tensor) -> Sample:
    return {"left": picture.roll(-1, 2).contiguous(), "right": picture.roll(1, 2).contiguous(), "name": "made"}


class Made(nn.Module):
    """A network that gives `correction` on top of the mean of the views."""

    spec = NetworkSpec(("left", "right"), receptive_radius_px=8)

    def __init__(self, correction: Tensor) -> None:
        super().__init__()
        self.correction = correction

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        height, width = left.shape[-2:]  # fewer rows while its memory is measured
        return (left + right) / 2 + self.correction[:, :height, :width]


def run(picture: Tensor, correction: Tensor, **options: bool) -> tuple[Tensor, tuple[str, ...], float]:
    done = deblur_pair(views(picture), Made(correction), precision="fp32", band_rows=200, **options)  # type: ignore[arg-type]
    assert done.report is not None
    return done.picture, done.warnings, done.report.mixed_in or 0.0


def test_block_statistics_are_those_of_scipy() -> None:
    sharp, view = scene(64, 96), scene(64, 96).roll(3, 2)
    found = compare(sharp, [view, view], 16)
    difference, grey = (sharp - view).double().numpy(), view.double().mean(0).numpy()
    middle = (slice(8, None, 16), slice(8, None, 16))
    for channel in range(3):
        expected = uniform_filter(difference[channel], 16)[middle]
        np.testing.assert_allclose(found.shift[channel], expected, atol=1e-6)
    change = uniform_filter((difference**2).mean(0), 16)[middle]
    np.testing.assert_allclose(found.change[0], change, atol=1e-6)
    variance = uniform_filter(grey**2, 16)[middle] - uniform_filter(grey, 16)[middle] ** 2
    np.testing.assert_allclose(found.texture[1], variance, atol=1e-6)


def test_the_shipped_weights_on_a_pair_are_left_as_they_are() -> None:
    picture = scene(96, 128)
    pair = views(picture)
    network = checkpoint.load(checkpoint.DEFAULT_WEIGHTS)
    guarded, bare = (deblur_pair(pair, network, precision="fp32", guard=flag) for flag in (True, False))
    assert torch.equal(guarded.picture, bare.picture)
    assert guarded.warnings == bare.warnings
    assert guarded.report is not None and guarded.report.mixed_in == 0


def blob(height: int, width: int, radius_px: float = 90) -> Tensor:
    """1 in a disc of the flat half, 0 elsewhere, with a soft edge."""
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((radius_px - torch.hypot(down - 160.0, across - 120.0)) / 20).clamp(0, 1)


@pytest.mark.parametrize("kind", ["tint", "dark", "mosaic", "coloured mosaic"])
def test_what_cannot_come_from_the_views_is_mixed_away_and_said(kind: str) -> None:
    picture = scene()
    place = blob(*picture.shape[1:])
    down, across = (torch.arange(side) // 4 % 2 * 2.0 - 1 for side in picture.shape[1:])
    checks = down[:, None] * across
    correction = {
        "tint": torch.tensor([0.12, -0.06, -0.06])[:, None, None] * place,
        "dark": (-0.3 * place).expand(3, -1, -1),
        "mosaic": (0.3 * place * checks).expand(3, -1, -1),
        "coloured mosaic": 0.2 * torch.stack([place * checks, -place * checks, 0 * place]),
    }[kind]
    guarded, told, share = run(picture, correction)
    bare, silent, none = run(picture, correction, guard=False)
    assert "cannot come from the views" in told[-1] and "guard=False" in told[-1]
    assert silent == told[:-1] and none == 0 and 0.05 < share < 0.6
    mean = (views(picture)["left"] + views(picture)["right"]) / 2
    inside = blob(*picture.shape[1:], radius_px=40) == 1
    assert (guarded - mean)[:, inside].abs().max() < 0.1 * (bare - mean)[:, inside].abs().max()
    assert torch.equal(guarded[:, :, 560:], bare[:, :, 560:])  # far from it, bit for bit
    steps = (guarded - mean).abs().mean(0)[160].unfold(0, 8, 8).mean(1).diff().abs()
    assert steps.max() < 0.25 * (bare - mean).abs().max()  # no edge where mixing begins


def test_places_that_are_no_numbers_become_the_views() -> None:
    picture = scene()
    correction = torch.zeros_like(picture)
    correction[1, 40:50, 60:70], correction[0, 120, 30] = torch.nan, torch.inf
    guarded, told, share = run(picture, correction)
    mean = (views(picture)["left"] + views(picture)["right"]) / 2
    assert torch.equal(guarded, mean) and 0 < share < 0.5
    assert "NaN or infinity in" in told[-1]
    with pytest.raises(PairError, match="NaN or infinity for made"):
        run(picture, correction, guard=False)
    with pytest.raises(PairError, match="other weights"):
        run(picture, torch.full_like(picture, torch.nan))


def test_a_damaged_network_is_noticed_by_the_public_function() -> None:
    network = checkpoint.load(checkpoint.DEFAULT_WEIGHTS).network
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data += (
            0.6 * parameter.data.std(correction=0).nan_to_num() * torch.randn(parameter.shape, generator=generator)
        )
    pair = views(scene(96, 128))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        guarded = deblur(pair["left"], pair["right"], network, precision="fp32")
        bare = deblur(pair["left"], pair["right"], network, precision="fp32", guard=False)
    assert sum("cannot come from the views" in str(one.message) for one in told) == 1
    mean = [(pair["left"] + pair["right"]) / 2]
    largest = [float(guard.excess(compare(made, mean)).max()) for made in (guarded, bare)]
    assert largest[0] < 0.6 * largest[1] and largest[1] > guard.FULLY


def test_flat_and_dark_noisy_views_give_no_pattern_of_bands_or_blocks() -> None:
    """Means of rows and columns repeat with the period of bands or blocks no more than with any other."""
    noise = torch.randn(2, 3, 160, 128, generator=torch.Generator().manual_seed(5))
    noise[..., :64], noise[..., 64:] = 0.5 + 0.004 * noise[..., :64], 0.06 + 0.03 * noise[..., 64:]
    left, right = noise.clamp(0, 1)
    done = deblur_pair({"left": left, "right": right, "name": "flat"}, precision="fp32", band_rows=32, scale="1")
    assert done.report is not None and done.report.mixed_in == 0
    for half in (done.picture[:, :, 6:58], done.picture[:, :, 70:122]):
        for axis in (1, 2):
            line = (half - half.mean((1, 2), keepdim=True)).mean((0, 3 - axis))
            lags = range(5, len(line) * 2 // 3)
            likeness = {lag: float((line[lag:] * line[:-lag]).mean() / line.square().mean()) for lag in lags}
            usual = np.std(list(likeness.values()))
            assert all(abs(likeness[lag]) < 4 * usual for lag in (16, 32, 64) if lag in likeness)
