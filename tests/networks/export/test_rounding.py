"""Rounding to 8 bits: on which grid, of what, and how much it errs."""

import copy

import pytest
import torch
from torch import Tensor, nn

from dualpix.inference.engines.conversion import round_to_8_bits
from dualpix.networks import create
from dualpix.networks.export import graph_of
from dualpix.networks.export.layers import GraphBlock
from dualpix.networks.export.rounding import LEVELS, WEIGHT_LEVELS, Convolution, Rounding, round_layers

SMALL = {"widths": (16, 16, 24, 24), "depths": (1,) * 7}


def settled(*values: Tensor) -> Rounding:
    rounding = Rounding()
    rounding.watching = True
    for value in values:
        rounding(value)
    rounding.watching = False
    rounding.settle()
    return rounding


def test_values_move_by_half_a_step_at_most() -> None:
    seen = torch.linspace(-2, 1, 1000)
    rounded = settled(seen)(seen)
    assert len(rounded.unique()) <= 256
    assert float((rounded - seen).abs().max()) <= 2 / 127 / 2 * 1.001


def test_what_is_never_negative_gets_the_finer_grid() -> None:
    seen = torch.linspace(0, 1, 1000)
    assert float((settled(seen)(seen) - seen).abs().max()) <= 1 / 255 / 2 * 1.001


def test_zero_stays_zero_because_convolutions_pad_with_it() -> None:
    for seen in (torch.tensor([0.3, 1.0]), torch.tensor([-3.0, -1.0]), torch.tensor([-0.1, 5.0])):
        assert float(settled(seen)(torch.zeros(1))) == 0


def test_nothing_changes_before_it_is_settled() -> None:
    values = torch.randn(100)
    assert torch.equal(Rounding()(values), values)


def test_layers_are_rounded_but_for_the_exact_ones() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 2, 1)]
    network = nn.Sequential(*(Convolution(layer.weight, layer.bias, layer) for layer in layers))
    picture = torch.rand(1, 3, 8, 8)
    round_layers(network, lambda: network(picture), ["1."])
    first, second = network
    assert not torch.equal(first(picture), layers[0](picture))
    weights = first.weight / first.step[:, None, None, None]
    assert float(weights.abs().max()) == pytest.approx(WEIGHT_LEVELS)
    assert 2 * LEVELS * WEIGHT_LEVELS < 2**15, "two products added in 16 bits"
    maps = torch.rand(1, 5, 8, 8)
    assert torch.allclose(second(maps), layers[1](maps), atol=1e-6)


def test_a_network_of_8_bits_errs_little_but_errs() -> None:
    torch.manual_seed(0)
    network = create("mccnet-fast", **SMALL)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    views = [torch.rand(3, 40, 56) for _ in "LR"]
    exact = graph_of(network)
    rounded = copy.deepcopy(exact)
    round_to_8_bits(rounded, [views])
    expected = exact(*(view[None] for view in views))
    error = (rounded(*(view[None] for view in views)) - expected).pow(2).mean().sqrt()
    correction = (expected - (views[0] + views[1]) / 2).pow(2).mean().sqrt()
    assert 0 < error < 0.05 * correction
    exact_ones = {
        name for name, layer in rounded.named_modules() if isinstance(layer, Convolution) and layer.step is None
    }
    blocks = {name for name, layer in rounded.named_modules() if isinstance(layer, GraphBlock)}
    assert exact_ones == {"network.stem", "network.head"} | {f"{block}.out" for block in blocks} and blocks
