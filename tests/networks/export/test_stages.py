"""Networks in stages: together they are the network, and strips of each with the rows around them are the whole."""

import pytest
import torch
from torch import Tensor

from dualpix.errors import CheckpointError
from dualpix.networks.dpdnet import DPDNet
from dualpix.networks.export import graph_of
from dualpix.networks.export.stages import Stage, stages_of
from dualpix.networks.mccnet_fast.model import MCCNetFast

ROWS, COLUMNS, PADDING = 320, 48, 3


def shaken(**depths: tuple[int, ...]) -> MCCNetFast:
    """A small network of whose numbers none is zero."""
    torch.manual_seed(0)
    network = MCCNetFast(widths=(4, 4, 8, 8), max_disparity=3, **depths).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for value in network.parameters():
            value += 0.1 * torch.randn(value.shape)
    return network


def run(stage: Stage, known: dict[str, Tensor]) -> dict[str, Tensor]:
    given = [known[name] for name in stage.inputs]
    if "width" in stage.module.forward.__code__.co_varnames:
        given.append(known["width"])
    with torch.no_grad():
        made = stage.module(*given)
    return dict(zip(stage.outputs, made if isinstance(made, tuple) else (made,), strict=True))


@pytest.mark.parametrize("depths", [(1, 2, 3, 3, 2, 2, 2), (2, 1, 1, 1, 1, 1, 1)])
def test_stages_are_the_network_and_strips_are_the_whole(depths: tuple[int, ...]) -> None:
    network = shaken(depths=depths)
    left, right = torch.rand(2, 1, 3, ROWS, COLUMNS)
    known = {"left": left, "right": right, "width": torch.tensor([COLUMNS - PADDING])}
    for stage in stages_of(graph_of(network), network):
        whole = run(stage, known)
        for name, features in stage.outputs.items():
            size = (features.batch, features.channels, ROWS // features.step_px, COLUMNS // features.step_px)
            assert tuple(whole[name].shape) == size
        strips = [in_strips(stage, known, first) for first in range(0, ROWS, 64)]
        for name, expected in whole.items():
            found = torch.cat([strip[name] for strip in strips], 2)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        known |= whole
    with torch.no_grad():
        expected = network(left, right, width=COLUMNS - PADDING)
    torch.testing.assert_close(known["sharp"], expected, atol=1e-5, rtol=1e-4)


def in_strips(stage: Stage, known: dict[str, Tensor], first: int, rows: int = 64) -> dict[str, Tensor]:
    """What a stage makes of some rows of the picture with those around them, without the latter."""
    more = -(-stage.reach_px // stage.multiple_px) * stage.multiple_px
    top, bottom = max(0, first - more), min(ROWS, first + rows + more)
    steps = {name: features.step_px for name, features in (stage.inputs | stage.outputs).items()}
    given = {name: known[name][:, :, top // steps[name] : bottom // steps[name]] for name in stage.inputs}
    made = run(stage, {**known, **given})
    return {
        name: value[:, :, (first - top) // steps[name] : (first + rows - top) // steps[name]]
        for name, value in made.items()
    }


def test_other_networks_are_refused() -> None:
    network = DPDNet(widths=(4, 4, 4, 4, 4))
    with pytest.raises(CheckpointError, match="Only mccnet-fast can be exported in stages, not DPDNet"):
        stages_of(graph_of(MCCNetFast(widths=(4, 4, 8, 8))), network)
