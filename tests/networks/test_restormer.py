"""Restormer: its published counts, its attention against the paper's formula, and that it starts to learn."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from dualpix.networks.counting import count
from dualpix.networks.restormer import ChannelAttention, ChannelNorm, GatedForward, Restormer, TransformerBlock

SMALL: dict[str, Any] = {"channels": 8, "blocks": (1, 1, 1, 1), "refinement": 1}


@pytest.mark.parametrize(
    ("size", "conv_gmacs", "attention_gmacs"), [((256, 256), 141.38, 13.89), ((1120, 1680), 4059.08, 398.84)]
)
def test_counts(size: tuple[int, int], conv_gmacs: float, attention_gmacs: float) -> None:
    with torch.device("meta"):
        counts = count(Restormer(), *size)
    assert counts.parameters == 26_132_548
    assert round(counts.conv_macs / 1e7) == round(conv_gmacs * 100)
    assert round(counts.attention_macs / 1e7) == round(attention_gmacs * 100)


def test_an_independent_counter_agrees_on_both_kinds() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = Restormer()
        network(torch.empty(1, 3, 64, 96), torch.empty(1, 3, 64, 96))
    counts = count(network, 64, 96)
    assert counter.get_total_flops() == 2 * (counts.conv_macs + counts.attention_macs)


@torch.no_grad()
def test_attention_is_the_papers_formula() -> None:
    """softmax(temperature Q K^T) V between the channels of each head, Q and K of unit length over the pixels."""
    torch.manual_seed(0)
    module = ChannelAttention(12, heads=3)
    module.temperature.uniform_(0.5, 3)
    maps = torch.randn(2, 12, 4, 5)
    queries, keys, values = module.spread(module.project(maps)).split(12, 1)
    gathered = torch.zeros_like(maps)
    for head in range(3):
        own = slice(4 * head, 4 * head + 4)
        for i in range(2):
            q, k, v = (part[i, own].flatten(1) for part in (queries, keys, values))
            cosines = (q @ k.T) / q.norm(dim=1)[:, None] / k.norm(dim=1)
            scores = (module.temperature[head] * cosines).softmax(1)
            gathered[i, own] = (scores @ v).view(4, 4, 5)
    torch.testing.assert_close(module(maps), module.out(gathered))


@torch.no_grad()
def test_the_first_half_of_the_inner_channels_gates_the_second() -> None:
    module = GatedForward(6, 15)
    maps = torch.randn(1, 6, 4, 5)
    inner = module.spread(module.widen(maps))
    torch.testing.assert_close(module(maps), module.out(F.gelu(inner[:, :15]) * inner[:, 15:]))


@torch.no_grad()
def test_pixels_are_normalised_over_their_channels() -> None:
    maps = 3 * torch.randn(2, 16, 4, 5) + 2
    normed = ChannelNorm(16)(maps)
    torch.testing.assert_close(normed.mean(1), torch.zeros(2, 4, 5), rtol=0, atol=1e-5)
    torch.testing.assert_close(normed.var(1, correction=0), torch.ones(2, 4, 5), rtol=0, atol=1e-3)


def test_inner_channels_are_cut_to_a_whole_number() -> None:
    assert TransformerBlock(48, 1, 2.66).feed.out.in_channels == 127


@torch.no_grad()
def test_every_pixel_sees_the_whole_picture() -> None:
    torch.manual_seed(0)
    network = Restormer(**SMALL).double()
    left, right = torch.rand(2, 1, 3, 64, 64).double()
    other = left.clone()
    other[..., :2, :2] += 1
    assert ((network(left, right) - network(other, right)).abs().amax(1) > 0).all()


@torch.no_grad()
def test_the_order_of_the_views_matters() -> None:
    torch.manual_seed(0)
    network = Restormer(**SMALL)
    left, right = torch.rand(2, 1, 3, 16, 24)
    assert not torch.allclose(network(left, right), network(right, left))


def test_the_embedding_reaches_the_last_convolution_directly() -> None:
    """With all else silenced, the picture is the head of the projected embedding."""
    network = Restormer(**SMALL)
    left, right = torch.rand(2, 1, 3, 16, 24)
    with torch.no_grad():
        for block in network.refine:
            for part in (block.attend, block.feed):  # type: ignore[union-attr]
                part.out.weight.zero_()  # type: ignore[union-attr]
        network.up_full[0].weight.zero_()  # type: ignore[operator,union-attr]
        for part in network.encode_full:
            part.attend.out.weight.zero_()  # type: ignore[union-attr]
            part.feed.out.weight.zero_()  # type: ignore[union-attr]
        for part in network.decode_full:
            part.attend.out.weight.zero_()  # type: ignore[union-attr]
            part.feed.out.weight.zero_()  # type: ignore[union-attr]
        embedded = network.embed(torch.cat([left, right], 1))
        decoded = torch.cat([torch.zeros_like(embedded), embedded], 1)
        torch.testing.assert_close(network(left, right), network.head(decoded + network.skip(embedded)))


def test_starts_to_learn() -> None:
    torch.manual_seed(0)
    network = Restormer(**SMALL)
    left, right, sharp = torch.rand(3, 1, 3, 64, 64)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = F.l1_loss(network(left, right), sharp)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
