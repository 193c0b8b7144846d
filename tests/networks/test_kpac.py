"""KPAC: its counts, its blocks against plain definitions, and that it starts to learn."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.networks.counting import Counts, count, count_extras
from dualpix.networks.kpac import KPAC, AtrousBlock, SharedKernel, Stride

TABLE_1 = (1120, 1680)
DUAL: dict[str, Any] = {"levels": 3, "dual": True}


def narrow(**arguments: Any) -> KPAC:
    torch.manual_seed(0)
    return KPAC(width=8, **arguments)


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        ({}, Counts(1_578_277, 391_331_408_256, 0)),
        ({"levels": 3}, Counts(2_057_893, 230_801_763_456, 0)),
        (DUAL, Counts(2_061_493, 237_575_523_456, 0)),
    ],
)
def test_counts(arguments: dict[str, Any], counts: Counts) -> None:
    with torch.device("meta"):
        network = KPAC(**arguments)
    assert count(network, *TABLE_1) == counts


def test_the_operations_of_table_1_leave_out_transposed_convolutions() -> None:
    """Two for each other multiply-add: 730.64 G, and 730.9 G are printed."""
    with torch.device("meta"):
        network = KPAC()
    macs, extras = count(network, *TABLE_1).conv_macs, count_extras(network, *TABLE_1)
    assert round(2 * (macs - extras.transposed_macs) / 1e7) == 73_064
    assert 2 * (macs - extras.transposed_macs) == pytest.approx(730.9e9, rel=4e-4)


@torch.no_grad()
@pytest.mark.parametrize("arguments", [{}, {"levels": 3}, DUAL], ids=str)
def test_sizes(arguments: dict[str, Any]) -> None:
    network = narrow(**arguments)
    assert network.spec.size_multiple == 2 ** arguments.get("levels", 2)
    views = [torch.rand(2, 3, network.spec.size_multiple, 5 * network.spec.size_multiple) for _ in network.spec.views]
    sharp = network(*views)
    assert sharp.shape == views[0].shape and sharp.isfinite().all()
    torch.testing.assert_close(sum(views) / len(views) + network.correction(*views), sharp)


@torch.no_grad()
def test_the_first_layer_sees_left_then_right_from_minus_one_to_one() -> None:
    network = narrow(**DUAL)
    center, left, right = torch.rand(3, 1, 3, 16, 16)
    seen: list[Tensor] = []
    network.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(center, left, right)
    torch.testing.assert_close(seen[0], torch.cat([left, right], 1) * 2 - 1)


@torch.no_grad()
def test_what_is_painted_is_added_in_the_authors_range() -> None:
    """Between -1 and 1 the network adds one: between 0 and 1 that is a half."""
    network = narrow()
    network.paint.weight.zero_()
    network.paint.bias.fill_(1.0)  # type: ignore[union-attr]
    center = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(network(center), center + 0.5)


def test_two_views_cannot_be_left_out() -> None:
    assert narrow().spec.views == ("center",) and narrow(**DUAL).spec.views == ("center", "left", "right")
    with pytest.raises(ValueError, match="takes the views center, left and right"):
        narrow(**DUAL)(torch.rand(1, 3, 16, 16))
    with pytest.raises(ValueError, match="levels must be 2 or 3, not 4"):
        KPAC(levels=4)  # type: ignore[arg-type]


@torch.no_grad()
@pytest.mark.parametrize("dilation", [1, 3, 5])
def test_a_dilated_kernel_is_one_with_zeros_between(dilation: int) -> None:
    torch.manual_seed(0)
    layer, maps = SharedKernel(3, 4), torch.randn(2, 3, 11, 13)
    spread = torch.zeros(4, 3, 4 * dilation + 1, 4 * dilation + 1)
    spread[..., ::dilation, ::dilation] = layer.weight
    torch.testing.assert_close(layer(maps, dilation), F.conv2d(maps, spread, padding=2 * dilation))


@torch.no_grad()
def test_a_block_weighs_dilations_by_pixel_and_channels_by_picture() -> None:
    torch.manual_seed(0)
    block, maps = AtrousBlock(8, 4), torch.randn(2, 8, 9, 7)
    joined: list[Tensor] = []
    block.fuse.register_forward_pre_hook(lambda _, inputs: joined.append(inputs[0]))
    block(maps)
    scale, shape = block.scale(maps), block.shape(maps)
    assert scale.shape == (2, 5, 9, 7) and shape.shape == (2, 4, 1, 1)
    plain = torch.cat([F.leaky_relu(block.shared(maps, dilation), 0.2) for dilation in range(1, 6)], 1)
    torch.testing.assert_close(joined[0], plain * scale.repeat_interleave(4, 1) * shape.repeat(1, 5, 1, 1))


@torch.no_grad()
def test_a_stride_sees_three_pixels_from_its_own_on() -> None:
    layer = Stride(1, 1)
    layer.weight.copy_(torch.tensor([0.0, 1, 0]).outer(torch.tensor([1.0, 10, 100])).view(1, 1, 3, 3))
    layer.bias.zero_()  # type: ignore[union-attr]
    rows = layer(torch.tensor([[0.0, 0, 0, 0], [1, 2, 3, 4]]).view(1, 1, 2, 4)).flatten().tolist()
    assert rows == [1 + 20 + 300, 3 + 40]


@torch.no_grad()
def test_it_sees_the_whole_picture() -> None:
    """The average reaches everywhere, so that there is no reach to tell."""
    network = narrow().double()
    for parameter in network.parameters():
        parameter *= 5  # So narrow, and with the deviation of the wide, it would hardly do anything.
    center = torch.rand(1, 3, 8, 800, dtype=torch.double)
    other = center.clone()
    other[..., -8:] = 1 - other[..., -8:]
    assert network.spec.receptive_radius_px is None and (network(center) != network(other))[..., 0].any()


def test_it_starts_to_learn() -> None:
    """From the blurry picture, which it begins near; at ten times the published rate, which shows in 30 steps."""
    torch.manual_seed(0)
    network, sharp = KPAC(width=16), torch.rand(1, 3, 64, 64)
    center = F.avg_pool2d(sharp, 5, stride=1, padding=2, count_include_pad=False)
    assert F.mse_loss(network(center), center) < 0.1 * F.mse_loss(center, sharp)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(30):
        loss = F.mse_loss(network(center), sharp)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
