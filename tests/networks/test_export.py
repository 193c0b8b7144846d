"""Graphs give what PyTorch's runner gives, for every network, at sizes that nothing divides."""

from typing import Any

import pytest
import torch
from torch import nn

from dualpix.errors import MachineError
from dualpix.inference.engines.pytorch import Runner
from dualpix.networks import NETWORKS
from dualpix.networks.export import graph_of
from dualpix.networks.spec import NetworkSpec
from small_networks import shaken, small

NARROW = {"mccnet-fast": {"widths": (8, 8, 16, 16)}}


def check(network: nn.Module, size: tuple[int, int]) -> None:
    views = [torch.rand(3, *size) for _ in network.spec.views]  # type: ignore[union-attr]
    expected = Runner(network, "fp32", "cpu")(views)  # type: ignore[arg-type]
    with torch.no_grad():
        found = graph_of(network)(*(view[None] for view in views))[0]
    assert torch.allclose(found, expected, atol=2e-5 * float(expected.abs().max().clamp_min(1)))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(33, 53), (16, 48)])
def test_equals_what_the_runner_gives(name: str, size: tuple[int, int]) -> None:
    check(shaken(small(name, **NARROW.get(name, {}))), size)


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_disparity": 12, "value_projection": True, "score_scale": 1.0},
        {"correlation": False},
        {"fusion": False, "extraction": False, "residual": False},
    ],
    ids=str,
)
def test_equals_it_for_variants_of_mccnet(arguments: dict[str, Any]) -> None:
    check(shaken(small("mccnet", **arguments)), (19, 45))


def test_the_network_itself_stays_as_it_is() -> None:
    network = shaken(small("mccnet-fast", **NARROW["mccnet-fast"]))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    graph_of(network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_unknown_views_are_refused() -> None:
    class Strange(nn.Module):
        spec = NetworkSpec(("above", "below"), size_multiple=1)

    with pytest.raises(MachineError, match=r"above, below.*leave engine= out"):
        graph_of(Strange())
