"""The network in stages for browsers: the part that finds disparity; what is written is tried by `make site-test`."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from dualpix.inference.finder import Finder
from dualpix.inference.web_stages import Find, log_attention
from dualpix.networks.export import Graph, graph_of
from dualpix.networks.export.winograd import by_winograd
from dualpix.networks.layers import correlation
from dualpix.networks.mccnet_fast.model import MCCNetFast


def test_attention_in_plain_operations_is_that_of_the_layer() -> None:
    query, key = torch.randn(2, 1, 6, 4, 70)  # B C H W
    for reach, width in ((8, 70), (3, 51)):
        expected = correlation.log_attention(query, key, reach, reach, width, scale=1.0)
        found = log_attention(query.permute(0, 2, 3, 1), key.permute(0, 2, 3, 1), reach, torch.tensor([width]))
        torch.testing.assert_close(found[..., :width], expected[..., :width])


@pytest.mark.parametrize("rewrite", [lambda graph: graph, by_winograd])
def test_disparity_is_that_of_the_finder(rewrite: Callable[[nn.Module], Graph]) -> None:
    torch.manual_seed(0)
    network = MCCNetFast(widths=(8, 8, 8, 8)).eval()
    left, right = torch.rand(2, 1, 3, 48, 96)
    with torch.no_grad():
        found = Find(rewrite(graph_of(network)))(left, right, torch.tensor([90]))
        expected = Finder(network)(left, right, 90)
    torch.testing.assert_close(found[..., :90], expected[..., :90], atol=1e-4, rtol=1e-4)
