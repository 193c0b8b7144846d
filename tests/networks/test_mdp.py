"""MDP: its counts, that the sharp picture does not wait for the others, and that it starts to learn."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.counting import Counts, count, count_extras
from dualpix.networks.mdp import MDP

TABLE_1 = (1120, 1680)


def whole() -> MDP:
    with torch.device("meta"):
        return MDP()


def narrow(**arguments: int) -> MDP:
    torch.manual_seed(0)
    return MDP(width=8, **arguments)


def test_counts() -> None:
    assert count(whole(), *TABLE_1, outputs=True) == Counts(46_860_397, 3_874_280_256_000, 0)
    assert count(whole(), *TABLE_1) == Counts(46_860_397, 2_634_618_201_600, 0)
    assert round(count(whole(), 720, 1280, outputs=True).conv_macs / 1e7) == 189_761


def test_the_operations_of_table_1_are_the_same_in_another_unit() -> None:
    """Two for each multiply-add, one for each bias, four for each output of a pooling: 7751.27 G."""
    macs, extras = count(whole(), *TABLE_1, outputs=True).conv_macs, count_extras(whole(), *TABLE_1, outputs=True)
    assert round((2 * macs + extras.bias_adds + extras.pool_comparisons) / 1e7) == 775_127


def test_parameters_by_part() -> None:
    network = whole()

    def parameters(part: nn.Module) -> int:
        return sum(parameter.numel() for parameter in part.parameters())

    encoders = (network.encoder1, network.encoder2, network.encoder3, network.encoder4)
    assert sum(parameters(part) for part in encoders) == 2_325_568
    assert [parameters(part) for part in network.early.values()] == 3 * [13_962_112]
    assert [parameters(part) for part in network.late.values()] == 3 * [882_831]


@torch.no_grad()
def test_the_sharp_output_is_what_forward_gives() -> None:
    network, center = narrow(), torch.rand(2, 3, 32, 48)
    outputs = network.outputs(center)
    assert set(outputs) == {"sharp", "left", "right"}
    assert torch.equal(outputs["sharp"], network(center))
    assert all(
        picture.shape == center.shape and 0 <= picture.min() <= picture.max() <= 1 for picture in outputs.values()
    )
    assert not torch.equal(outputs["left"], outputs["right"]) and not torch.equal(outputs["left"], outputs["sharp"])


@torch.no_grad()
def test_forward_skips_the_late_decoders_of_the_views() -> None:
    network = narrow()
    called: list[str] = []
    for name, decoder in [*network.early.items(), *network.late.items()]:
        decoder.register_forward_hook(lambda module, *_, name=name: called.append(f"{type(module).__name__} {name}"))
    network(torch.rand(1, 3, 16, 16))
    assert called == ["EarlyDecoder left", "EarlyDecoder right", "EarlyDecoder sharp", "LateDecoder sharp"]


def test_every_parameter_learns_from_all_the_outputs() -> None:
    network = narrow()
    sum(picture.square().mean() for picture in network.outputs(torch.rand(1, 3, 32, 32)).values()).backward()  # type: ignore[union-attr]
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@torch.no_grad()
@pytest.mark.parametrize("up_kernel", [2, 3])
def test_reach(up_kernel: int) -> None:
    """The farthest rows that a changed row changes, over all its places in a cell of 16."""
    network = narrow(up_kernel=up_kernel).double()
    for parameter in network.parameters():
        parameter.abs_()  # No ReLU hides a change, and no sigmoid rounds it away.
    network.late["sharp"].paint[-1] = nn.Identity()  # type: ignore[operator]
    center = torch.rand(1, 3, 2 * 96 + 16, 16, dtype=torch.double)
    before, farthest = network(center), 0
    for row in range(96, 112):
        other = center.clone()
        other[:, :, row] += 1000
        changed = (network(other) != before).amax((0, 1, 3)).nonzero().flatten()
        farthest = max(farthest, row - int(changed.min()), int(changed.max()) - row)
    assert network.spec.receptive_radius_px - 2 <= farthest <= network.spec.receptive_radius_px


def loss_of(outputs: dict[str, Tensor], center: Tensor, truth: dict[str, Tensor]) -> Tensor:
    """The paper's, with the weights of its second phase."""
    left, right = outputs["left"], outputs["right"]
    views = torch.cat([left, right], 1), torch.cat([truth["left"], truth["right"]], 1)
    return (
        F.mse_loss(outputs["sharp"], truth["sharp"])
        + 0.2 * F.mse_loss(*views)
        + 0.2 * F.mse_loss((left + right) / 2, center)
        + 0.2 * F.mse_loss(left - right, truth["left"] - truth["right"])
    )


def test_it_starts_to_learn() -> None:
    """At the published rate, on all the terms of the published objective; the sharp picture comes nearer as well."""
    network = narrow()
    truth = {
        name: F.interpolate(torch.rand(1, 3, 8, 8), size=64, mode="bilinear") for name in ("left", "right", "sharp")
    }
    center = (truth["left"] + truth["right"]) / 2
    optimiser = torch.optim.Adam(network.parameters(), lr=6e-4)
    losses, errors = [], []
    for _ in range(30):
        outputs = network.outputs(center)
        loss = loss_of(outputs, center, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        errors.append(F.mse_loss(outputs["sharp"], truth["sharp"]).item())
    assert losses[-1] < 0.8 * losses[0] and errors[-1] < 0.8 * errors[0]
