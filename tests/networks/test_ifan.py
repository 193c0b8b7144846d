"""IFAN: its published counts, filters against plain loops, the warp against another, and the start of learning."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.counting import Counts, count, count_extras
from dualpix.networks.ifan import IFAN, align, eighth, filter_once

SMALL: dict[str, Any] = {"channels": 8, "filters": 3}


def pictures(count: int, height: int = 16, width: int = 24, batch: int = 1) -> tuple[Tensor, ...]:
    torch.manual_seed(height + width)
    return tuple(torch.rand(count, batch, 3, height, width))


def shaken(**arguments: Any) -> IFAN:
    torch.manual_seed(0)
    network = IFAN(**arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


@pytest.mark.parametrize(
    ("arguments", "parameters", "gmacs"),
    [
        ({}, 10_476_996, 738.08),
        ({"dual": True}, 10_477_860, 739.70),
        ({"filters": 8}, 9_436_740, 707.73),
        ({"filters": 44}, 13_597_764, 829.12),
        ({"reuse_taps": True, "pass_through": True}, 10_476_996, 738.08),
        ({"reblur": True}, 10_476_996 + 19_139_685, 738.08),
    ],
)
def test_counts(arguments: dict[str, Any], parameters: int, gmacs: float) -> None:
    counts = count(IFAN(**arguments), 1120, 1680)
    steps = arguments.get("filters", 17)
    filtering = steps * 2 * 3 * 128 * (1120 // 8) * (1680 // 8)
    assert counts == Counts(parameters, counts.conv_macs, filtering)
    assert round(counts.conv_macs / 1e7) == round(gmacs * 100)


def test_the_row_of_table_1() -> None:
    """10.48 M; 725.8 G: two for each multiply-add, bias and output of an activation layer, at 720 x 1280."""
    counts, extras = count(IFAN(), 720, 1280), count_extras(IFAN(), 720, 1280)
    assert round(counts.conv_macs / 1e7) == 36151
    assert round(counts.parameters / 1e4) == 1048
    assert round(2 * (counts.conv_macs + extras.bias_adds + extras.leaky_outputs) / 1e8) == 7258


@torch.no_grad()
@pytest.mark.parametrize("reuse_taps", [False, True])
def test_every_pixel_and_channel_has_filters_of_its_own(reuse_taps: bool) -> None:
    torch.manual_seed(0)
    batch, channels, height, width = 2, 3, 4, 5
    maps, shift = torch.randn(2, batch, channels, height, width).double()
    taps = torch.randn(batch, 2 * channels * 3, height, width).double()
    got = filter_once(maps, taps, shift, reuse_taps)

    def row(y: int) -> int:
        return min(max(y, 0), height - 1)

    def column(x: int) -> int:
        return min(max(x, 0), width - 1)

    for b, c, y, x in [(0, 0, 0, 0), (0, 1, 3, 4), (1, 2, 2, 1), (1, 0, 1, 4), (0, 2, 0, 3)]:
        wanted = shift[b, c, y, x]
        first_across = 0 if reuse_taps else 3 * channels
        for t in range(3):
            at = column(x + t - 1)
            down = sum(taps[b, 3 * c + s, y, at] * maps[b, c, row(y + s - 1), at] for s in range(3))
            wanted = wanted + taps[b, first_across + 3 * c + t, y, x] * down
        torch.testing.assert_close(got[b, c, y, x], wanted)


@torch.no_grad()
def test_align_agrees_with_the_sampler_of_the_published_code() -> None:
    torch.manual_seed(0)
    picture, disparity = torch.rand(2, 3, 6, 9), 4 * torch.randn(2, 1, 6, 9)
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 6), torch.linspace(-1, 1, 9), indexing="ij")
    grid = torch.stack([columns + disparity[:, 0] / 4, rows.expand(2, 6, 9)], -1)
    wanted = F.grid_sample(picture, grid, padding_mode="zeros", align_corners=True)
    torch.testing.assert_close(align(picture, disparity), wanted, rtol=0, atol=1e-5)


@torch.no_grad()
def test_align_follows_the_sign_of_disparity() -> None:
    """What is 2 columns further right in the right view (disparity +2) comes back to where the left view has it."""
    left = torch.rand(1, 3, 4, 12)
    right = left.roll(2, -1)
    aligned = align(right, torch.full((1, 1, 4, 12), 2.0))
    torch.testing.assert_close(aligned[..., :10], left[..., :10])
    assert not aligned[..., 10:].any()


@torch.no_grad()
@pytest.mark.parametrize("dual", [False, True])
def test_outputs(dual: bool) -> None:
    network = shaken(dual=dual, reblur=True, **SMALL)
    center, left, right, sharp = pictures(4)
    views = {"center": center, "left": left, "right": right}
    made = network.outputs(**views, sharp=sharp)
    torch.testing.assert_close(made["sharp"], network(*(views[name] for name in network.spec.views)))
    small = (1, 3, 2, 3)
    shapes = {"sharp": center.shape, "disparity_px": (1, 1, 2, 3), "aligned": small, "reblurred": small}
    assert {name: tuple(made[name].shape) for name in made} == shapes
    # Of one picture, the disparity to be taught is read from the right view, and the one for filtering from the center.
    taught = made["disparity_px"] if dual else network.outputs(right)["disparity_px"]
    torch.testing.assert_close(made["aligned"], align(F.avg_pool2d(right, 8), taught / 8))
    assert list(network.outputs(*(views[name] for name in network.spec.views))) == list(made)[: 3 if dual else 2]


def test_what_is_missing_is_said() -> None:
    center, left, right, sharp = pictures(4)
    with pytest.raises(ValueError, match="center, left and right"):
        IFAN(dual=True, **SMALL)(center)
    with pytest.raises(ValueError, match="reblur=True"):
        IFAN(**SMALL).outputs(center, left, right, sharp=sharp)


@torch.no_grad()
@pytest.mark.parametrize("dual", [False, True])
def test_correction_and_mean_make_the_picture(dual: bool) -> None:
    network = shaken(dual=dual, **SMALL)
    views = pictures(len(network.spec.views))
    torch.testing.assert_close(network(*views), network.correction(*views) + sum(views) / len(views))


@torch.no_grad()
def test_two_views_are_told_apart_and_one_is_not_looked_at() -> None:
    center, left, right = pictures(3)
    dual = shaken(dual=True, **SMALL)
    assert not torch.allclose(dual(center, left, right), dual(center, right, left))
    single = shaken(**SMALL)
    assert torch.equal(single(center, left, right), single(center))


@torch.no_grad()
def test_the_prediction_step_by_step_is_the_prediction_at_once() -> None:
    for pass_through in (False, True):
        steps = shaken(pass_through=pass_through, **SMALL).filter
        torch.manual_seed(0)
        hidden, maps = torch.rand(2, 1, 32, 3, 4).unbind()
        taps, shifts = steps.all_filters(hidden).split([3 * 32 * 6, 3 * 32], 1)
        wanted = maps
        for tap, shift in zip(taps.chunk(3, 1), shifts.chunk(3, 1), strict=True):
            through = torch.tensor([0.0, 1.0, 0.0]).repeat(64).view(1, -1, 1, 1) if pass_through else 0
            wanted = F.leaky_relu(filter_once(wanted, tap + through, shift), 0.1)
        torch.testing.assert_close(steps(hidden, maps), wanted)


@torch.no_grad()
def test_filters_that_pass_through_change_nothing_positive() -> None:
    network = IFAN(pass_through=True, **SMALL)
    maps = torch.rand(1, 32, 3, 4)
    assert torch.equal(network.filter(torch.zeros(1, 32, 3, 4), maps), maps)


@torch.no_grad()
def test_the_second_taps_are_used_unless_the_first_are_used_twice() -> None:
    center = pictures(1)[0]
    for reuse_taps in (False, True):
        network = shaken(reuse_taps=reuse_taps, **SMALL)
        before = network(center)
        network.filter.bias.view(-1)[3 * 32 : 2 * 3 * 32] += 1  # type: ignore[union-attr]
        assert torch.equal(network(center), before) == reuse_taps


@torch.no_grad()
def test_reblurring_without_filters_gives_every_eighth_pixel() -> None:
    network = IFAN(reblur=True, **SMALL)
    assert network.reblur is not None
    for parameter in network.reblur.parameters():
        nn.init.zeros_(parameter)
    center, sharp = pictures(2)
    assert torch.equal(network.outputs(center, sharp=sharp)["reblurred"], sharp[..., ::8, ::8])


def test_the_full_loss_teaches_every_parameter_even_of_the_default_filters() -> None:
    """In double precision: 17 small filters in a row are beneath what float32 tells from zero."""
    network = shaken(channels=8, reblur=True).double()
    center, left, right, sharp = (picture.double() for picture in pictures(4))
    full_loss(network, center, left, right, sharp).backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []


def full_loss(network: IFAN, center: Tensor, left: Tensor, right: Tensor, sharp: Tensor) -> Tensor:
    made = network.outputs(center, left, right, sharp=sharp)
    targets = {"sharp": sharp, "aligned": eighth(left), "reblurred": eighth(center)}
    return torch.stack([F.mse_loss(made[name], target) for name, target in targets.items()]).sum()


@pytest.mark.parametrize("arguments", [{}, {"dual": True}, {"dual": True, "pass_through": True}], ids=str)
def test_starts_to_learn(arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = IFAN(**SMALL, reblur=True, **arguments)
    batch = pictures(4, 64, 64)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = full_loss(network, *batch)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_xavier_initialisation() -> None:
    """Uniform with variance 2 gain^2 / (fan in + fan out); gain 1.5 where filters are predicted."""
    torch.manual_seed(0)
    network = IFAN(reblur=True)
    fuse, predict = network.fuse[0][0], network.predict[0][0]
    assert network.reblur is not None
    for layer, gain in ((fuse, 1.0), (predict, 1.5), (network.filter, 1.5), (network.reblur.predict[0][0], 1.0)):
        fans = layer.weight[0].numel() + layer.weight[:, 0].numel()
        assert layer.weight.std().item() == pytest.approx(gain * (2 / fans) ** 0.5, rel=0.02)
        assert not layer.bias.any()
