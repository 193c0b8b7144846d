"""MCCNet against the numbers of the paper, and its cross-correlation against the paper's formula."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dualpix.networks.counting import Counts, count
from dualpix.networks.layers.blocks import convolution
from dualpix.networks.mccnet.model import CrossCorrelation, MCCNet

TABLE_1 = (1120, 1680)
READING_B: dict[str, Any] = {"value_projection": True, "fusion_channels": (16, 32, 64)}
NO_FUSION = {"fusion": False}
NO_CORRELATION = NO_FUSION | {"correlation": False}
NO_EXTRACTION = NO_CORRELATION | {"extraction": False}


def pair(height: int, width: int, batch: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(height + width)
    return torch.rand(batch, 3, height, width), torch.rand(batch, 3, height, width)


def painting(**arguments: Any) -> MCCNet:
    """A network whose last layer is not near zero, so that what precedes it shows in the output."""
    torch.manual_seed(0)
    network = MCCNet(**arguments)
    nn.init.normal_(network.head[1].weight)  # type: ignore[arg-type]
    return network.eval()


@pytest.mark.parametrize(
    ("arguments", "parameters", "conv_gmacs", "attention_gmacs"),
    [
        ({}, 5_520_879, 979.65, 85.35),
        (READING_B, 5_522_751, 978.69, 85.35),
        (NO_FUSION, 4_936_367, 657.40, 85.35),
        (NO_CORRELATION, 4_693_727, 431.73, 0.0),
        (NO_EXTRACTION, 1_128_863, 264.10, 0.0),
        ({"max_disparity": 24}, 5_520_879, 979.65, 4.99),
    ],
)
def test_counts(arguments: dict[str, Any], parameters: int, conv_gmacs: float, attention_gmacs: float) -> None:
    counts = count(MCCNet(**arguments), *TABLE_1)
    rounded = Counts(counts.parameters, round(counts.conv_macs / 1e7), round(counts.attention_macs / 1e7))
    assert rounded == Counts(parameters, round(conv_gmacs * 100), round(attention_gmacs * 100))


SWITCHES: list[dict[str, Any]] = [
    {},
    READING_B,
    NO_FUSION,
    NO_CORRELATION,
    NO_EXTRACTION,
    {"correlation": False},
    {"extraction": False},
    {"max_disparity": 3},
    {"residual": False, "upsampling": "nearest", "slope": 0.1, "score_scale": 1.0},
    {"residual": False, "score_scale": 1.0, "extraction_residual": False},
]


@pytest.mark.parametrize("arguments", SWITCHES, ids=str)
def test_every_variant_runs_and_learns(arguments: dict[str, Any]) -> None:
    network = MCCNet(**arguments)
    left, right = pair(16, 24, batch=2)
    sharp = network(left, right)
    assert sharp.shape == left.shape and sharp.isfinite().all()
    (sharp - 0.5).square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []


@torch.no_grad()
def test_what_extraction_merges_is_its_output_where_the_paper_says_so() -> None:
    """The weights of both readings are the same ones, so shipped weights keep their meaning."""
    text, ours = MCCNet(extraction_residual=False), MCCNet()
    assert {k: v.shape for k, v in text.state_dict().items()} == {k: v.shape for k, v in ours.state_dict().items()}
    maps = torch.rand(1, 64, 8, 8)
    for network, expected in ((text, torch.zeros_like(maps)), (ours, maps)):
        extract = network.encoder3[1]
        torch.nn.init.zeros_(extract.merge.weight)
        torch.nn.init.zeros_(extract.merge.bias)
        assert torch.equal(extract(maps), expected)


def test_the_residual_starts_at_the_mean_of_the_views() -> None:
    left, right = pair(32, 32)
    away = (MCCNet()(left, right) - (left + right) / 2).abs().mean()
    assert 0 < away < 0.1


@pytest.mark.parametrize("residual", [True, False])
def test_correction_and_mean_make_the_picture(residual: bool) -> None:
    left, right = pair(16, 24)
    network = painting(residual=residual)
    torch.testing.assert_close(network(left, right), network.correction(left, right) + (left + right) / 2)


def test_with_the_residual_the_views_are_added() -> None:
    left, right = pair(16, 24)
    network, direct = painting(), painting(residual=False)
    direct.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(left, right), direct(left, right) + (left + right) / 2)


def correlating(**arguments: Any) -> CrossCorrelation:
    torch.manual_seed(0)
    settings = {"max_disparity": None, "score_scale": None, "value_projection": False, "slope": 0.2} | arguments
    return CrossCorrelation(8, **settings)


@torch.no_grad()
def test_cross_correlation_is_the_papers_formula() -> None:
    """S = Q K^T along each row; softmax(S) gathers the right features, softmax(S^T) the left ones."""
    left, right = torch.randn(2, 2, 8, 5, 20).unbind()
    module = correlating()
    query, key = (module.project(maps + module.block(maps)) for maps in (left, right))
    scores = torch.einsum("bchi,bchj->bhij", query, key) / 8**0.5
    from_right = torch.einsum("bhij,bchj->bchi", scores.softmax(-1), right)
    from_left = torch.einsum("bhij,bchj->bchi", scores.mT.softmax(-1), left)
    got_left, got_right = module(torch.cat([left, right])).chunk(2)
    torch.testing.assert_close(got_left, left + from_right)
    torch.testing.assert_close(got_right, right + from_left)


@torch.no_grad()
@pytest.mark.parametrize("max_disparity", [None, 4])
def test_swapping_the_views_swaps_the_outputs(max_disparity: int | None) -> None:
    left, right = torch.randn(2, 2, 8, 5, 20).unbind()
    module = correlating(max_disparity=max_disparity, value_projection=True)
    one, other = module(torch.cat([left, right])).chunk(2)
    swapped_one, swapped_other = module(torch.cat([right, left])).chunk(2)
    torch.testing.assert_close(swapped_one, other)
    torch.testing.assert_close(swapped_other, one)


@torch.no_grad()
def test_cross_correlation_finds_a_known_shift() -> None:
    """With scores as sharp as they come, every column fetches the same features from the shifted view."""
    torch.manual_seed(0)
    module = correlating(max_disparity=6, score_scale=1000.0)
    for layer in module.block:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
    nn.init.dirac_(module.project.weight)
    nn.init.zeros_(module.project.bias)  # type: ignore[arg-type]
    left = nn.functional.normalize(torch.randn(1, 8, 6, 64), dim=1)
    views = module(torch.cat([left, left.roll(4, -1)]))
    torch.testing.assert_close(views[:1, ..., 6:-6], 2 * left[..., 6:-6], rtol=0, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("arguments", [{}, {"max_disparity": 8}, NO_FUSION, NO_CORRELATION], ids=str)
def test_masked_padding_changes_nothing(arguments: dict[str, Any]) -> None:
    left, right = pair(32, 64)
    network = painting(**arguments)
    padded = [nn.functional.pad(view, (0, 32), value=3.0) for view in (left, right)]
    got = network(*padded, width=64)
    assert got.shape == padded[0].shape
    torch.testing.assert_close(got[..., :64], network(left, right), rtol=0, atol=1e-5)


@torch.no_grad()
def test_part_of_a_multiple_is_masked_out_of_the_correlation() -> None:
    """Width 41 of 48: what columns 41 to 47 hold reaches only the pixels that convolutions take it to."""
    network = painting(max_disparity=None, **NO_FUSION, extraction=False)
    seen: list[int] = []
    for block in (network.cc1, network.cc2):
        block.register_forward_hook(lambda _, inputs, __: seen.append(inputs[1]))  # type: ignore[union-attr]
    network(*pair(16, 48), width=41)
    assert seen == [21, 11]
    maps = torch.randn(2, 8, 4, 24)
    other = maps.clone()
    other[..., 21:] = 5
    module = correlating()
    left_alone = slice(0, 21 - 2)  # Two 3 x 3 convolutions come before the correlation.
    changed = (module(maps, 19)[..., left_alone] - module(other, 19)[..., left_alone]).abs().max()
    assert changed == 0 and (module(maps)[..., left_alone] != module(other)[..., left_alone]).any()


@torch.no_grad()
def test_rows_are_correlated_separately() -> None:
    module = correlating()
    maps = torch.randn(2, 8, 9, 12)
    other = maps.clone()
    other[..., 8, :] += 1
    changed = (module(maps) != module(other)).amax((0, 1, 3))
    assert changed.tolist() == [False] * 6 + [True] * 3  # Two 3 x 3 convolutions reach two rows up.


@torch.no_grad()
@pytest.mark.parametrize("arguments", [{}, NO_CORRELATION], ids=str)
def test_the_order_of_the_views_matters(arguments: dict[str, Any]) -> None:
    left, right = pair(16, 24)
    network = painting(**arguments)
    assert not torch.allclose(network(left, right), network(right, left))


@torch.no_grad()
@pytest.mark.parametrize("arguments", [{}, {"upsampling": "nearest"}, {"extraction": False}, NO_FUSION], ids=str)
def test_reach(arguments: dict[str, Any]) -> None:
    network = painting(**arguments).double()
    reach, height = network.spec.receptive_radius_px, 2 * 120 + 8
    left, right = (view.double() for view in pair(height, 8))
    before = network(left, right)
    farthest = 0
    for row in range(120, 128):
        other = left.clone()
        other[:, :, row] += 1000.0
        changed = (network(other, right) != before).amax((0, 1, 3)).nonzero().flatten()
        farthest = max(farthest, row - int(changed.min()), int(changed.max()) - row)
    assert reach - 8 <= farthest <= reach


def test_he_initialisation() -> None:
    """Variance 2 / ((1 + slope^2) fan_in), so that activations neither grow nor fade."""
    torch.manual_seed(0)
    network = MCCNet(residual=False)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 20_000]
    assert len(layers) > 20
    for layer in layers:
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / (1.04 * fan_in)) ** 0.5, rel=0.03)
        assert layer.bias is not None and not layer.bias.any()


def test_convolutions_keep_the_size() -> None:
    maps = torch.rand(1, 2, 5, 7)
    assert all(convolution(2, 2, kernel)(maps).shape == maps.shape for kernel in (1, 3, 5))
