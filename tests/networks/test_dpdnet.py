"""DPDNet: its size as published, how its even kernels lie, and that it learns."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from dualpix.networks.counting import count, count_extras
from dualpix.networks.dpdnet import DPDNet, DPDNetSingle, SameConvolution

NARROW = (4, 8, 16, 32, 64)


def on_meta(kind: type[DPDNet | DPDNetSingle], **arguments: object) -> DPDNet | DPDNetSingle:
    with torch.device("meta"):
        return kind(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "parameters", "macs"),
    [(DPDNet, 31_035_151, 1_574_298_969_600), (DPDNetSingle, 31_033_423, 1_571_047_564_800)],
)
def test_counts_of_the_released_code(kind: type[DPDNet | DPDNetSingle], parameters: int, macs: int) -> None:
    counts = count(on_meta(kind), 1120, 1680)
    assert (counts.parameters, counts.conv_macs, counts.attention_macs) == (parameters, macs, 0)


def test_counts_at_720_x_1280() -> None:
    assert f"{count(on_meta(DPDNet), 720, 1280).conv_macs / 1e9:.2f}" == "771.09"


def test_the_figures_of_table_1_are_those_of_3x3_kernels_after_upsampling() -> None:
    network = on_meta(DPDNet, up_kernel=3)
    counts, extras = count(network, 1120, 1680), count_extras(network, 1120, 1680)
    assert counts.parameters == 34_516_751
    assert f"{counts.conv_macs / 1e9:.2f}" == "1882.58"
    assert f"{(counts.conv_macs + extras.bias_adds) / 1e9:.2f}" == "1883.74"


def test_the_parts_have_the_sizes_of_the_fact_sheet() -> None:
    network = on_meta(DPDNet)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    ups = sum(p.numel() for up in network.decoder for p in up.reduce.parameters())  # type: ignore[union-attr]
    assert sizes["encoder"] + sizes["bottom"] == 18_844_928
    assert (ups, sizes["decoder"] - ups, sizes["head"]) == (2_786_240, 9_402_240, 1_731 + 12)


@torch.no_grad()
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_even_kernels_look_down_and_right(kernel: int) -> None:
    """As Keras pads for "same": of k - 1 zeros, the smaller half above and left."""
    torch.manual_seed(0)
    layer, maps = SameConvolution(3, 5, kernel), torch.rand(2, 3, 6, 7)
    before, after = (kernel - 1) // 2, kernel - 1 - (kernel - 1) // 2
    expected = F.conv2d(F.pad(maps, (before, after, before, after)), layer.weight, layer.bias)
    torch.testing.assert_close(layer(maps), expected)


@torch.no_grad()
def test_the_output_is_a_picture() -> None:
    torch.manual_seed(0)
    network = DPDNet(widths=NARROW).eval()
    sharp = network(*100 * torch.randn(2, 1, 3, 32, 32))
    assert sharp.min() >= 0 and sharp.max() <= 1


@torch.no_grad()
def test_the_views_are_told_apart() -> None:
    torch.manual_seed(0)
    network = DPDNet(widths=NARROW).eval()
    left, right = torch.rand(2, 1, 3, 32, 32)
    assert (network(left, right) - network(right, left)).abs().max() > 1e-4


@torch.no_grad()
def test_dropout_is_for_training_and_repeats_with_its_seed() -> None:
    torch.manual_seed(0)
    network = DPDNet(widths=NARROW)
    views = torch.rand(2, 1, 3, 32, 32)

    def seeded(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return network(*views)

    assert torch.equal(seeded(1), seeded(1)) and not torch.equal(seeded(1), seeded(2))
    network.eval()
    assert torch.equal(seeded(1), seeded(2))


@pytest.mark.parametrize("kind", [DPDNet, DPDNetSingle])
def test_training_starts_at_the_published_rate(kind: type[DPDNet | DPDNetSingle]) -> None:
    torch.manual_seed(0)
    network = kind(widths=NARROW)
    views, sharp = torch.rand(len(network.spec.views), 1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    optimiser = torch.optim.Adam(network.parameters(), 2e-5, eps=1e-7)

    def loss() -> torch.Tensor:
        return F.mse_loss(network(*views), sharp)

    before = float(loss_without_dropout(network, loss))
    for _ in range(30):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert float(loss_without_dropout(network, loss)) < before


@torch.no_grad()
def loss_without_dropout(network: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> torch.Tensor:
    network.eval()
    value = loss()
    network.train()
    return value
