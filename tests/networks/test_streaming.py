"""A prepared network gives what the network gives, and less is in memory meanwhile."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from dualpix.inference.engines.memory import measure_cost
from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS
from dualpix.networks.mccnet.model import MCCNet
from dualpix.networks.mccnet.streaming import MCCNetInStrips
from dualpix.networks.mccnet_fast.model import MCCNetFast
from dualpix.networks.mccnet_fast.streaming import MCCNetFastInStrips
from dualpix.networks.streaming import PREPARED, prepared
from small_networks import shaken, small

FAST = [
    {},
    {"max_disparity": 0},
    {"max_disparity": 500},
    {"widths": (4, 6, 10, 12), "depths": (0, 0, 0, 0, 0, 0, 0), "max_disparity": 3},
    {"widths": (4, 6, 10, 12), "depths": (3, 1, 1, 2, 2, 1, 3), "max_disparity": 3},
]


MCCNET = [
    {},
    {"max_disparity": 0},
    {"max_disparity": 3, "value_projection": True, "score_scale": 1.0},
    {"max_disparity": 500, "fusion_channels": (16, 32, 64), "upsampling": "nearest"},
    {"extraction": False, "residual": False},
    {"fusion": False, "residual": False, "extraction_residual": False},
    {"correlation": False, "upsampling": "nearest"},
    {"correlation": False, "fusion": False, "extraction": False},
]


def views_for(network: nn.Module, rows: int, columns: int, batch: int = 1) -> list[Tensor]:
    torch.manual_seed(rows + columns)
    return [torch.rand(batch, 3, rows, columns) for _ in network.spec.views]  # type: ignore[union-attr]


def assert_same(found: Tensor, wanted: Tensor, within: float = 1e-5) -> None:
    """`within`: as a share of the largest value."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=within * float(wanted.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS | DEFOCUS_ESTIMATORS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_network_gives_the_same(name: str, layout: torch.memory_format) -> None:
    network = shaken(small(name)).to(memory_format=layout)  # type: ignore[call-overload]
    multiple = network.spec.size_multiple
    views = [view.contiguous(memory_format=layout) for view in views_for(network, 3 * multiple, 5 * multiple, 2)]
    assert_same(prepared(network)(*views), network(*views))


@torch.no_grad()
@pytest.mark.parametrize("arguments", FAST)
@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 208), (144, 48)])
@pytest.mark.parametrize("strip_rows", [7, 16, 24, 64, 1000])
def test_mccnet_fast_gives_the_same(arguments: dict[str, object], rows: int, columns: int, strip_rows: int) -> None:
    network = shaken(MCCNetFast(**arguments))  # type: ignore[arg-type]
    views = views_for(network, rows, columns)
    for width in (None, columns - 15, 1):
        wanted = network.correction(*views, width)
        assert_same(MCCNetFastInStrips(network, strip_rows).correction(*views, width), wanted)


@torch.no_grad()
@pytest.mark.parametrize("arguments", MCCNET)
def test_mccnet_gives_the_same(arguments: dict[str, object]) -> None:
    """In double precision, so that only what differs by more than rounding differs."""
    network = shaken(MCCNet(**arguments)).double()  # type: ignore[arg-type]
    views = [view.double() for view in views_for(network, 48, 40)]
    for width in (None, 25, 1):
        wanted = network.correction(*views, width), network(*views, width)
        for step in (3,) if width else (3, 8, 1000):
            assert_same(MCCNetInStrips(network, step).correction(*views, width), wanted[0], 1e-12)  # type: ignore[arg-type]
        assert_same(MCCNetInStrips(network)(*views, width), wanted[1], 1e-12)  # type: ignore[arg-type]


@torch.no_grad()
@pytest.mark.parametrize("step", [3, 8])
def test_mccnet_slides_down_pictures_higher_than_it_sees(step: int) -> None:
    network = shaken(MCCNet())
    views = views_for(network, 392, 16)
    assert_same(MCCNetInStrips(network, step)(*views), network(*views))  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{}, {"fusion": False, "correlation": False}])
def test_the_memory_of_mccnet_does_not_grow_with_the_height(arguments: dict[str, object]) -> None:
    """From as many rows on as the planner tries."""
    ready = MCCNetInStrips(MCCNet(**arguments))  # type: ignore[arg-type]
    rows = -(-ready.spec.steady_state_rows // 8) * 8
    cost = measure_cost(lambda height: ready(*views_for(ready, height, 8)), rows, 0, workspace_factor=1)
    of_a_picture = 8 * 3 * 4
    assert cost.row_bytes <= 8 * of_a_picture  # Two views, what is painted, the mean; encoder 1 makes 22 of them.


def test_rehearsed_mccnet_needs_as_much_memory_and_paints_again_afterwards() -> None:
    ready = MCCNetInStrips(MCCNet(fusion=False))
    views = views_for(ready, 384, 8)
    before = ready(*views)

    def fixed_bytes() -> int:
        return measure_cost(lambda _: ready(*views), 1, 0, workspace_factor=1).fixed_bytes

    wanted = fixed_bytes()
    with ready.dry_run():
        assert fixed_bytes() == pytest.approx(wanted, rel=0.02)
        assert not torch.equal(ready(*views), before)
    assert torch.equal(ready(*views), before)


@torch.no_grad()
@pytest.mark.parametrize("bytes_in_a_strip", [1, 2**15, 2**30])
def test_the_size_of_strips_does_not_matter(bytes_in_a_strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualpix.networks.layers.in_place.STRIP_BYTES", bytes_in_a_strip)
    for network in (shaken(MCCNet()), shaken(MCCNetFast())):
        views = views_for(network, 80, 48)
        assert_same(prepared(network)(*views), network(*views))


@torch.no_grad()
def test_changes_neither_the_views_nor_the_weights() -> None:
    for network in (shaken(MCCNet()), shaken(MCCNetFast())):
        views = views_for(network, 32, 48)
        before = [view.clone() for view in views], {n: t.clone() for n, t in network.state_dict().items()}
        prepared(network)(*views)
        torch.testing.assert_close((views, dict(network.state_dict())), before, rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", PREPARED)
def test_low_precision_stays_near(kind: type[nn.Module]) -> None:
    network = shaken(kind())
    views = views_for(network, 48, 64)
    wanted = network.correction(*views)
    low = prepared(network.to(torch.bfloat16)).correction(*(view.bfloat16() for view in views))
    assert low.dtype == torch.bfloat16
    assert (low.float() - wanted).abs().mean() < 0.05 * wanted.abs().mean()


def test_what_a_runner_asks_for_is_as_before() -> None:
    for kind in PREPARED:
        network = kind()
        ready = prepared(network)
        assert ready.spec == replace(network.spec, steady_state_rows=ready.spec.steady_state_rows)
        assert network.spec.steady_state_rows is None


def test_a_network_without_an_entry_is_itself() -> None:
    network = small("dpdnet-single")
    assert prepared(network) is network
