"""Blocks by Winograd's convolutions give what the network's own blocks give, at sizes that nothing divides."""

import pytest
import torch
from torch import Tensor, nn

from dualpix.inference.engines.conversion import web_part_bytes
from dualpix.networks.export import graph_of
from dualpix.networks.export.layers import GraphBlock, GraphNorm
from dualpix.networks.export.winograd import KERNEL, WinogradBlock, by_winograd
from dualpix.networks.mccnet_fast.model import Block, MCCNetFast


def shaken_block(channels: int) -> Block:
    """A block of whose numbers none is zero."""
    torch.manual_seed(0)
    block = Block(channels).eval().requires_grad_(False)
    for value in block.parameters():
        value += 0.1 * torch.randn(value.shape)
    return block


@pytest.mark.parametrize("size", [(1, 1), (4, 8), (5, 11), (18, 35)])
def test_blocks_are_those_of_the_network(size: tuple[int, int]) -> None:
    block = shaken_block(12)
    x = 3 * torch.randn(2, 12, *size)
    found = WinogradBlock(GraphBlock(block))(x)
    torch.testing.assert_close(found, block(x), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_files_compute_the_same_at_any_size() -> None:
    session_of = pytest.importorskip("onnxruntime").InferenceSession
    block = shaken_block(12)
    for weight in (block.mix.weight, block.out.weight, block.norm.weight, block.norm.bias, block.mix.bias):
        weight.copy_(weight.half())  # as they are stored, so that nothing else differs
    content = web_part_bytes(WinogradBlock(GraphBlock(block)), {"x": torch.randn(2, 12, 10, 21)}, ["y"])
    session = session_of(content, providers=["CPUExecutionProvider"])
    for size in ((10, 21), (3, 40), (33, 16)):
        x = torch.randn(2, 12, *size)
        found = torch.from_numpy(session.run(["y"], {"x": x.numpy()})[0])
        torch.testing.assert_close(found, block(x), atol=1e-4, rtol=1e-4)


def test_matrices_for_kernels_are_whole_in_16_bits() -> None:
    matrix = torch.tensor(KERNEL)
    both = torch.kron(matrix, matrix)
    assert torch.equal(both.half().float(), both), "files would round them"


def test_all_blocks_and_norms_of_a_network_are_replaced_and_it_stays_what_it_was() -> None:
    torch.manual_seed(0)
    network = MCCNetFast(widths=(4, 4, 8, 8), max_disparity=3).eval()
    with torch.no_grad():
        for value in network.parameters():
            value += 0.1 * torch.randn(value.shape)
    graph = by_winograd(graph_of(network))
    assert not [one for one in graph.modules() if isinstance(one, GraphBlock | GraphNorm)]
    left, right = torch.rand(2, 1, 3, 37, 70)
    with torch.no_grad():
        torch.testing.assert_close(graph(left, right), filled(network, left, right), atol=1e-5, rtol=1e-4)


def filled(network: nn.Module, left: Tensor, right: Tensor) -> Tensor:
    """What the network gives for views filled up to what it needs."""
    height, width = left.shape[2:]
    sides = (0, -width % 16, 0, -height % 16)
    left, right = (nn.functional.pad(view, sides, mode="replicate") for view in (left, right))
    sharp: Tensor = network(left, right, width=width)
    return sharp[:, :, :height, :width]
