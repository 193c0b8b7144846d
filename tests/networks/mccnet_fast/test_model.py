"""MCCNet-fast: its budget, and that its correlation does what the name says."""

import torch

from dualpix.networks.counting import count
from dualpix.networks.mccnet_fast.model import Correlation, MCCNetFast


def shaken(**arguments: object) -> MCCNetFast:
    torch.manual_seed(0)
    network = MCCNetFast(**arguments)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return network.eval()


def test_stays_within_its_budget() -> None:
    counts = count(MCCNetFast(), 1120, 1680)
    assert counts.parameters == 5_608_492 <= 6e6
    assert counts.conv_macs == 260_428_492_800
    assert counts.conv_macs + counts.attention_macs <= 340e9


def test_attention_macs_count_the_pairs_in_the_window() -> None:
    reach, columns = 3, 10
    pairs = sum(abs(i - j) <= reach for i in range(columns) for j in range(columns))
    module, views = Correlation(4, reach), torch.zeros(2, 4, 5, columns)
    assert module.attention_macs(views, None) == 2 * 2 * 5 * pairs * 4


@torch.no_grad()
def test_untrained_it_returns_the_mean_of_the_views() -> None:
    left, right = torch.rand(2, 1, 3, 32, 48)
    torch.testing.assert_close(MCCNetFast()(left, right), (left + right) / 2)


@torch.no_grad()
def test_depends_on_the_other_view_within_the_window_only() -> None:
    """Change a column of the right view: the left features of the same row change within the window, and no others."""
    torch.manual_seed(1)
    module = Correlation(6, max_disparity=3)
    views = torch.rand(2, 6, 4, 32)
    changed = views.clone()
    changed[1, 0, 2, 16] += 1
    difference = (module(views, None) - module(changed, None))[0, :6].abs().amax(0)  # left half of the channels, H W
    rows, columns = difference.nonzero(as_tuple=True)
    assert set(rows.tolist()) == {2} and set(columns.tolist()) == set(range(13, 20))


@torch.no_grad()
def test_exchanging_the_views_exchanges_the_correlated_features() -> None:
    module = Correlation(6, max_disparity=4)
    views = torch.rand(2, 6, 3, 20)
    ahead, back = module(views, None), module(views.flip(0), None)
    torch.testing.assert_close(ahead, torch.cat([back[:, 6:], back[:, :6]], 1))


@torch.no_grad()
def test_no_output_row_depends_on_rows_beyond_its_reach() -> None:
    network = shaken(widths=(4, 6, 8, 8), depths=(1, 1, 1, 1, 1, 1, 1), max_disparity=2)
    far = 16 * (network.spec.receptive_radius_px // 16 + 2)
    left, right = torch.rand(2, 1, 3, 2 * far + 16, 16)
    moved = left.clone()
    moved[..., far, :] += 0.5
    changed = (network(left, right) - network(moved, right)).abs().amax((0, 1, 3)) > 0
    rows = changed.nonzero().flatten()
    assert (
        changed[far]
        and far - rows.min() <= network.spec.receptive_radius_px
        and rows.max() - far <= network.spec.receptive_radius_px
    )


@torch.no_grad()
def test_no_correlation_looks_at_padding() -> None:
    module = Correlation(6, max_disparity=64)
    features = torch.rand(2, 6, 4, 40)
    other = features.clone()
    other[..., 20:] = 9.0
    torch.testing.assert_close(module(features, 20)[..., :20], module(other, 20)[..., :20])


@torch.no_grad()
def test_the_number_of_valid_columns_reaches_both_correlations() -> None:
    network = shaken(widths=(4, 6, 8, 8), depths=(1, 1, 1, 1, 1, 1, 1), max_disparity=64)
    seen = []
    for module in (network.correlate_half, network.correlate_quarter):
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    network(*torch.rand(2, 1, 3, 16, 64), width=33)
    assert seen == [17, 9]
