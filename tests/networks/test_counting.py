"""Counts against what the layers' definitions give by hand, and against a counter that sees every operation."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dualpix.networks.counting import Counts, Extras, count, count_extras
from dualpix.networks.spec import NetworkSpec


class OneView(nn.Module):
    spec = NetworkSpec(("center",), size_multiple=2)

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, center: Tensor) -> Tensor:
        result: Tensor = self.inside(center)
        return result


class Reporting(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps

    def attention_macs(self, maps: Tensor) -> int:
        return maps.shape[-1] ** 2


class Pixelwise(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("make", "counts"),
    [
        (lambda: nn.Conv2d(3, 8, 5, padding=2), Counts(608, 8 * 3 * 25 * 60, 0)),
        (lambda: nn.Conv2d(3, 8, 2, stride=2, bias=False), Counts(96, 96 * 15, 0)),
        (lambda: nn.Conv2d(3, 6, 3, padding=1, groups=3), Counts(60, 54 * 60, 0)),
        (lambda: nn.ConvTranspose2d(3, 4, 2, stride=2), Counts(52, 48 * 60, 0)),
        (lambda: Pixelwise(3, 5), Counts(20, 15 * 60, 0)),
        (lambda: nn.Sequential(Reporting(), nn.Conv2d(3, 3, 1), Reporting()), Counts(12, 9 * 60, 200)),
    ],
)
def test_layers(make: Callable[[], nn.Module], counts: Counts) -> None:
    assert count(OneView(make()), 6, 10) == counts


def test_agrees_with_an_independent_counter() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), nn.ConvTranspose2d(7, 2, 3, stride=2), nn.Conv2d(2, 3, 1))
    with FlopCounterMode(display=False) as counter:
        layers(torch.rand(1, 3, 12, 14))
    assert 2 * count(OneView(layers), 12, 14).conv_macs == counter.get_total_flops()


class Narrowing(nn.Conv2d):
    """Computes all its channels and gives one."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input)[:, :1]


@pytest.mark.parametrize(
    ("make", "extras"),
    [
        (lambda: nn.Conv2d(3, 8, 3, padding=1), Extras(0, 8 * 60, 0, 0)),
        (lambda: nn.Conv2d(3, 8, 3, padding=1, bias=False), Extras(0, 0, 0, 0)),
        (lambda: nn.ConvTranspose2d(3, 4, 2, stride=2), Extras(48 * 60, 4 * 240, 0, 0)),
        (lambda: Pixelwise(3, 5), Extras(0, 5 * 60, 0, 0)),
        (lambda: Narrowing(3, 8, 1), Extras(0, 8 * 60, 0, 0)),
        (lambda: nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(3, 5, 1), nn.LeakyReLU(0.1)), Extras(0, 300, 0, 480)),
        (lambda: nn.MaxPool2d(2), Extras(0, 0, 4 * 3 * 15, 0)),
        (lambda: nn.Sequential(nn.MaxPool2d((2, 5)), nn.Conv2d(3, 1, 1)), Extras(0, 6, 10 * 3 * 6, 0)),
    ],
)
def test_extras(make: Callable[[], nn.Module], extras: Extras) -> None:
    assert count_extras(OneView(make()), 6, 10) == extras


class TwoOutputs(OneView):
    """`forward` skips what `outputs` gives beside the sharp picture."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 3, 1))
        self.aside = nn.Conv2d(3, 2, 1)

    def outputs(self, center: Tensor) -> dict[str, Tensor]:
        return {"sharp": self(center), "aside": self.aside(center)}


def test_every_output_is_counted_on_request() -> None:
    network = TwoOutputs()
    assert count(network, 6, 10) == Counts(20, 9 * 60, 0)
    assert count(network, 6, 10, outputs=True) == Counts(20, 15 * 60, 0)
    assert count_extras(network, 6, 10, outputs=True) == Extras(0, 5 * 60, 0, 0)


def test_leaves_the_network_as_it_was() -> None:
    network = OneView(nn.Conv2d(3, 3, 3, padding=1))
    view = torch.rand(1, 3, 4, 4)
    before = network(view)
    count(network, 4000, 6000)
    assert torch.equal(network(view), before)
    assert not any(module._forward_hooks for module in network.modules())


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="multiples of 2, not 5 x 4"):
        count(OneView(nn.Identity()), 5, 4)
