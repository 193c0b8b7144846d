"""RDPD: its size as published, its memory against the definition, sequences, the distance map, and that it learns."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.counting import count, count_extras
from dualpix.networks.rdpd import RDPD, ConvLSTM, Recurrent, State, radius_of
from dualpix.networks.spec import NetworkSpec

NARROW = (4, 8, 16, 32, 64)


def on_meta(**arguments: object) -> RDPD:
    with torch.device("meta"):
        return RDPD(**arguments)  # type: ignore[arg-type]


def narrow(**arguments: object) -> RDPD:
    torch.manual_seed(0)
    return RDPD(widths=NARROW, **arguments).eval()  # type: ignore[arg-type]


class Clip(nn.Module):
    """Four equal frames, as one picture: to be counted."""

    spec = NetworkSpec(("left", "right"), size_multiple=16)

    def __init__(self, network: RDPD) -> None:
        super().__init__()
        self.network = network

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.network.sequence(*(torch.stack([view] * 4, dim=1) for view in (left, right)))[0]


def test_counts_of_the_released_code() -> None:
    counts = count(on_meta(), 1120, 1680)
    assert (counts.parameters, counts.conv_macs, counts.attention_macs) == (24_278_703, 517_953_676_800, 0)
    assert f"{count(on_meta(), 720, 1280).conv_macs / 1e9:.2f}" == "253.69"
    assert sum(p.numel() for p in on_meta(radius_map=False).parameters()) == 24_278_415


def test_four_frames_cost_four_times_one() -> None:
    assert f"{count(Clip(on_meta()), 1120, 1680).conv_macs / 1e9:.2f}" == "2071.81"


def test_the_figures_of_table_1_are_those_of_another_reading() -> None:
    network = on_meta(up_kernel=3, bottom_convolutions=2, radius_map=False)
    counts, extras = count(network, 1120, 1680), count_extras(network, 1120, 1680)
    assert (counts.parameters, counts.conv_macs) == (27_508_623, 611_822_937_600)
    assert f"{(counts.conv_macs + extras.bias_adds) / 1e9:.2f}" == "612.42"
    with_map = count(on_meta(up_kernel=3, bottom_convolutions=2), 1120, 1680)
    assert (with_map.parameters, f"{with_map.conv_macs / 1e9:.2f}") == (27_508_911, "612.36")


def test_the_612_05_of_table_1_counts_the_biases_of_the_encoder_alone() -> None:
    network = on_meta(up_kernel=3, bottom_convolutions=2, radius_map=False)
    encoder = sum(
        2 * width * (1120 >> level) * (1680 >> level) for level, width in enumerate((32, 64, 128, 256))
    )  # two convolutions at each level
    assert f"{(count(network, 1120, 1680).conv_macs + encoder) / 1e9:.2f}" == "612.05"


def test_the_parts_have_the_sizes_of_the_fact_sheet() -> None:
    network = on_meta()
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    ups = sum(p.numel() for up in network.decoder for p in up.reduce.parameters())  # type: ignore[union-attr]
    assert (sizes["encoder"], sizes["bottom"], sizes["memory"]) == (1_173_408, 1_180_160, 18_876_416)
    assert (ups, sizes["decoder"] - ups, sizes["head"]) == (696_800, 2_351_040, 879)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(0.2 * x + 0.5, 0), 1)


@torch.no_grad()
def test_the_memory_is_the_recurrence_of_keras() -> None:
    """On one pixel, where a 3 x 3 convolution is the product with its middle."""
    torch.manual_seed(0)
    memory = ConvLSTM(3, 4, dropout=0.4).double().eval()
    frames = 3 * torch.randn(2, 5, 3, 1, 1, dtype=torch.float64)
    seen, state = memory(frames, None)
    kernel, recurrent = (layer.weight[..., 1, 1].numpy() for layer in (memory.input, memory.recurrent))
    hidden, cell = np.zeros((2, 2, 4))
    for t in range(5):
        gates = frames[:, t, :, 0, 0].numpy() @ kernel.T + memory.input.bias.numpy() + hidden @ recurrent.T
        i, f, c, o = np.split(gates, 4, axis=1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(c)
        hidden = sigmoid(o) * np.tanh(cell)
        np.testing.assert_allclose(seen[:, t, :, 0, 0], hidden, atol=1e-12)
    np.testing.assert_allclose(state.cell[..., 0, 0], cell, atol=1e-12)


def test_no_memory_is_a_memory_of_zeros() -> None:
    torch.manual_seed(0)
    memory = ConvLSTM(3, 4, dropout=0.0)
    frames, zeros = torch.randn(2, 1, 3, 6, 5), torch.zeros(2, 4, 6, 5)
    results = [memory(frames, state)[0] for state in (None, State(zeros, zeros))]
    torch.testing.assert_close(*results)
    for result in results:
        memory.zero_grad()
        result.square().sum().backward()
        assert torch.equal(memory.recurrent.weight.grad, torch.zeros_like(memory.recurrent.weight))


def test_a_convolution_of_nothing_is_not_computed() -> None:
    layer, like = Recurrent(8, 32, 3, padding=1, bias=False), torch.ones(2, 32, 6, 5)
    nothing = layer(None, like)
    assert nothing.shape == like.shape and nothing.untyped_storage().nbytes() == 4 and not nothing.any()


@torch.no_grad()
def test_a_still_is_a_sequence_of_one() -> None:
    network = narrow()
    left, right = torch.rand(2, 2, 3, 32, 48)
    frames, state = network.sequence(left[:, None], right[:, None])
    outputs = network.outputs(left, right)
    assert torch.equal(frames[:, 0], outputs["sharp"]) and torch.equal(network(left, right), outputs["sharp"])
    assert torch.equal(state.hidden, outputs["hidden"]) and torch.equal(state.cell, outputs["cell"])
    assert outputs["cell"].shape == (2, NARROW[-1], 2, 3)


@torch.no_grad()
def test_a_film_in_pieces_is_the_whole_film_and_remembers() -> None:
    network = narrow()
    views = torch.rand(2, 2, 5, 3, 32, 48)
    whole, end = network.sequence(*views)
    first, state = network.sequence(*views[:, :, :2])
    second, last = network.sequence(*views[:, :, 2:], state=state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(last, end)
    forgetful, _ = network.sequence(*views[:, :, 2:])
    assert (forgetful - second).abs().max() > 1e-3


@torch.no_grad()
def test_the_distance_map_is_0_in_the_centre_and_1_in_the_corners() -> None:
    radius = radius_of(torch.empty(1, 3, 113, 167))[0, 0]
    assert radius[56, 83] == 0 and radius[0, 0] == radius[-1, -1] == radius[0, -1] == radius[-1, 0] == 1
    assert torch.equal(radius, radius.flip(0)) and torch.equal(radius, radius.flip(1))
    row, column = 20, 31
    expected = np.floor(255 * np.hypot(row - 56, column - 83) / np.hypot(56, 83)) / 255
    np.testing.assert_allclose(radius[row, column], expected, rtol=1e-6)


@torch.no_grad()
def test_a_crop_with_its_own_piece_of_the_map_is_not_taken_for_a_photograph() -> None:
    network = narrow()
    views = torch.rand(2, 1, 3, 64, 64)
    whole = radius_of(views)
    torch.testing.assert_close(network(*views, radius=whole), network(*views))
    crop = network(*views[..., :32, :32], radius=whole[..., :32, :32])
    assert (crop - network(*views[..., :32, :32])).abs().max() > 1e-4
    assert network.spec.receptive_radius_px is None


@torch.no_grad()
@pytest.mark.parametrize("bottom_convolutions", [1, 2])
def test_without_the_map_no_row_sees_farther_than_it_says(bottom_convolutions: int) -> None:
    network = narrow(radius_map=False, bottom_convolutions=bottom_convolutions).double()
    reach = network.spec.receptive_radius_px
    assert reach is not None
    middle = 16 * -(-reach // 16)
    views = torch.rand(2, 1, 3, 2 * middle + 16, 16, dtype=torch.float64)
    before = network(*views)
    for row in (middle, middle + 15):
        other = views.clone()
        other[..., row, :] += 10
        changed = (network(*other) != before).amax((0, 1, 3)).nonzero().flatten()
        assert row - reach <= int(changed.min()) and int(changed.max()) <= row + reach


@torch.no_grad()
def test_the_three_outputs_are_one_picture_seen_three_ways() -> None:
    views = 4 * torch.rand(2, 1, 3, 32, 32)
    linear, clipped, sigmoid = (narrow(output=output)(*views) for output in ("linear", "clipped", "sigmoid"))
    assert linear.min() < 0 or linear.max() > 1
    assert torch.equal(clipped, linear.clamp(0, 1))
    torch.testing.assert_close(sigmoid, torch.sigmoid(linear))
    with pytest.raises(ValueError, match="linear, clipped, sigmoid, not 'tanh'"):
        RDPD(output="tanh")  # type: ignore[arg-type]


@torch.no_grad()
def test_dropout_is_for_training_and_repeats_with_its_seed() -> None:
    network = narrow().train()
    views = torch.rand(2, 1, 3, 32, 32)

    def seeded(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return network(*views)

    assert torch.equal(seeded(1), seeded(1)) and not torch.equal(seeded(1), seeded(2))
    network.eval()
    assert torch.equal(seeded(1), seeded(2))


def test_one_mask_drops_out_the_same_features_of_all_frames() -> None:
    torch.manual_seed(0)
    memory = ConvLSTM(3, 4, dropout=0.4)
    frames = torch.ones(1, 3, 3, 6, 5, requires_grad=True)
    memory.input.weight.data.fill_(0.01)
    memory.recurrent.weight.data.zero_()
    memory(frames, None)[0].sum().backward()
    dropped = frames.grad[0] == 0
    assert torch.equal(dropped[0], dropped[1]) and torch.equal(dropped[0], dropped[2])
    assert 0.2 < dropped[0].float().mean() < 0.6


@pytest.mark.parametrize("radius_map", [True, False])
def test_training_starts_at_the_published_rate(radius_map: bool) -> None:
    network = narrow(radius_map=radius_map)
    left, right, sharp = torch.rand(3, 1, 3, 64, 64)
    optimiser = torch.optim.Adam(network.parameters(), 5e-5, eps=1e-7)

    @torch.no_grad()
    def loss_without_dropout() -> float:
        return float(F.mse_loss(network.eval()(left, right), sharp))

    before = loss_without_dropout()
    for _ in range(30):
        optimiser.zero_grad()
        F.mse_loss(network.train()(left, right), sharp).backward()
        optimiser.step()
    assert loss_without_dropout() < before


def test_what_later_frames_show_teaches_how_to_remember() -> None:
    network = narrow()
    views = torch.rand(2, 1, 2, 3, 32, 32)
    network.sequence(*views)[0][:, 1].square().mean().backward()
    assert network.memory.recurrent.weight.grad.abs().max() > 0
