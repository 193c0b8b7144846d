"""Rescale the last layers of MCCNet's weights without changing what it computes, so that it learns with less noise.

    python benchmarks/rescale_decoder.py mccnet -o rescaled.safetensors

Trained without normalisation, features grow on their way through the decoder, and the last layer shrinks in return, to
0.002 after two hours: then every step of the optimiser, as long as for any weight, changes it by a
fifth (results/mccnet-weights.md). Leaky units are homogeneous: what is taken from three layers before, `SHARE` each,
and from the first of the head, the last gets.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from dualpix.errors import CheckpointError
from dualpix.networks import MCCNet
from dualpix.weights import checkpoint

SHARE = 0.5
HEAD_SHARE = 0.65


@torch.no_grad()
def rescale(network: MCCNet) -> None:
    """In place."""
    decoder, head = network.decoder1, network.head
    chain = [(decoder.merge, SHARE), (decoder.convolve[0], SHARE), (decoder.convolve[2], SHARE), (head[0], HEAD_SHARE)]
    taken = 1.0
    for layer, share in chain:
        assert isinstance(layer, nn.Conv2d)
        taken *= share
        layer.weight.mul_(share)
        layer.bias.mul_(taken)  # type: ignore[union-attr]
    head[1].weight.div_(taken)  # type: ignore[operator]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="a name or a file")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    found = checkpoint.load(given.weights)
    if not isinstance(found.network, MCCNet):
        raise CheckpointError(f"{given.weights} holds {found.name!r}; give weights of 'mccnet'.")
    rescale(found.network)
    checkpoint.save(given.output, found.network, found.name, found.arguments, found.recipe, extra=found.extra)


if __name__ == "__main__":
    main()
