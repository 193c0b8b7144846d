"""DMENet: its counts, the units of its maps, and that it starts to learn."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS, create
from dualpix.networks.counting import Counts, count
from dualpix.networks.dmenet import DMENet

TABLE_1 = (1120, 1680)


def whole() -> DMENet:
    with torch.device("meta"):
        return DMENet()


def narrow() -> DMENet:
    """A narrow network whose normalisation has seen pictures."""
    torch.manual_seed(0)
    network = DMENet(width=4)
    with torch.no_grad():
        for _ in range(20):
            network.outputs(torch.rand(2, 3, 32, 32))
    return network.eval()


def parameters(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def test_counts() -> None:
    """26.94 M with the auxiliary heads, which only training runs."""
    assert count(whole(), *TABLE_1, outputs=True) == Counts(26_943_184, 2_382_209_088_000, 0)
    assert count(whole(), *TABLE_1) == Counts(26_943_184, 2_312_049_868_800, 0)
    assert (parameters(whole().encoder), parameters(whole().guess)) == (20_024_384, 1_591_311)


def test_it_is_in_the_table_of_those_that_map() -> None:
    assert DEFOCUS_ESTIMATORS["dmenet"] is DMENet and "dmenet" not in NETWORKS
    assert isinstance(create("dmenet", width=4), DMENet)


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 80), (48, 32)])
def test_sizes_and_ranges(height: int, width: int) -> None:
    network, center = narrow(), torch.rand(2, 3, height, width)
    outputs = network.outputs(center)
    sizes = {"map": 1, "map_16": 16, "map_8": 8, "map_4": 4, "map_2": 2, "map_1": 1}
    assert {name: tuple(maps.shape) for name, maps in outputs.items()} == {
        name: (2, 1, height // times, width // times) for name, times in sizes.items()
    }
    assert all(0 <= maps.min() <= maps.max() <= 1 for maps in outputs.values())
    blur_px = network(center)
    assert 0 <= blur_px.min() <= blur_px.max() <= 14 and blur_px.std() > 0
    torch.testing.assert_close(blur_px, network.blur_px_of(outputs["map"]))


def test_units() -> None:
    """The authors deblur with Gaussians of deviation max(0, (15 m - 1) / 2), half the radius of the disc."""
    network = DMENet(width=4)
    defocus = torch.tensor([0.0, 1 / 15, 0.2, 0.6, 1.0])
    torch.testing.assert_close(network.blur_px_of(defocus) / 2, ((15 * defocus - 1) / 2).clamp_min(0))
    blur_px = torch.tensor([-14.0, -3.5, 0.0, 1.0, 20.0])
    torch.testing.assert_close(network.blur_px_of(network.map_of(blur_px)), torch.tensor([14.0, 3.5, 0.0, 1.0, 14.0]))
    wider = DMENet(width=4, largest_px=24.0)
    torch.testing.assert_close(wider.blur_px_of(torch.tensor(1.0)), torch.tensor(24.0))
    torch.testing.assert_close(wider.blur_px_of(wider.map_of(blur_px)), blur_px.abs())


@torch.no_grad()
def test_the_encoder_sees_what_vgg19_does() -> None:
    network, seen = narrow(), []
    network.encoder[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 16, 16))
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([-103.939, 127.5 - 116.779, 255 - 123.68]))


def test_forward_leaves_the_auxiliary_heads_out() -> None:
    network = narrow()
    network(torch.rand(1, 3, 32, 32)).sum().backward()
    assert all(parameter.grad is None for parameter in network.guess.parameters())


def test_every_parameter_learns_from_all_the_outputs() -> None:
    network = narrow()
    sum(maps.square().mean() for maps in network.outputs(torch.rand(1, 3, 32, 32)).values()).backward()  # type: ignore[union-attr]
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


@torch.no_grad()
def test_pictures_of_a_batch_do_not_mix_in_evaluation() -> None:
    network, center = narrow(), torch.rand(2, 3, 32, 16)
    torch.testing.assert_close(network(center)[1:], network(center[1:]), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    network, center = narrow(), torch.rand(1, 3, 32, 16)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    again = create("dmenet", width=4).eval()
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    assert torch.equal(again(center), network(center))


@torch.no_grad()
def test_bf16_is_finite_and_near() -> None:
    network, center = narrow(), torch.rand(1, 3, 32, 16)
    wanted = network.outputs(center)["map"]
    torch.testing.assert_close(network.bfloat16().outputs(center.bfloat16())["map"].float(), wanted, rtol=0, atol=0.05)


@torch.no_grad()
def test_reach() -> None:
    network = narrow().double()
    for parameter in network.parameters():
        parameter.abs_()  # No ReLU hides a change, and no sigmoid rounds it away.
    network.paint[-1] = nn.Identity()
    center = torch.rand(1, 3, 2 * 208 + 16, 16, dtype=torch.double)
    before, farthest = network(center), 0
    for row in range(208, 224):
        other = center.clone()
        other[:, :, row] += 1000
        changed = (network(other) != before).amax((0, 1, 3)).nonzero().flatten()
        farthest = max(farthest, row - int(changed.min()), int(changed.max()) - row)
    assert network.spec.receptive_radius_px - 16 <= farthest <= network.spec.receptive_radius_px


def test_it_starts_to_learn() -> None:
    """At the published rate of 1e-4: the map and the five auxiliary maps, each by its mean square."""
    torch.manual_seed(0)
    network, center = DMENet(width=8), torch.rand(1, 3, 64, 64)
    truth = network.map_of(torch.linspace(-6, 12, 64).expand(1, 1, 64, 64))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    losses = []
    for _ in range(30):
        outputs = network.outputs(center)
        targets = {name: truth[..., :: 64 // maps.shape[-2], :: 64 // maps.shape[-1]] for name, maps in outputs.items()}
        loss = torch.stack([F.mse_loss(maps, targets[name]) for name, maps in outputs.items()]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
