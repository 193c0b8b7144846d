"""Put more blocks into MCCNet-fast's weights without changing what it computes, to train them on as a larger network.

    python benchmarks/deepen.py mccnet-fast --depths 2 4 6 6 4 4 4 -o large.safetensors

The new blocks come after the others of their scale, and add nothing yet: a block's last layer starts at zero. Train
with `start=large.safetensors arguments={"depths":[2,4,6,6,4,4,4]}`.
"""

import argparse
from pathlib import Path

import torch

from dualpix.errors import CheckpointError
from dualpix.networks import MCCNetFast
from dualpix.training.starting import all_arguments
from dualpix.weights import checkpoint


def deepened(network: MCCNetFast, arguments: dict) -> MCCNetFast:
    """A network of those arguments that computes the same; raises `CheckpointError` for fewer blocks."""
    deeper = MCCNetFast(**arguments)
    rest = deeper.load_state_dict(network.state_dict(), strict=False)
    if rest.unexpected_keys:
        raise CheckpointError(f"depths={arguments['depths']} are fewer blocks than {network.depths}; give more.")
    return deeper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="a name or a file")
    parser.add_argument(
        "--depths", type=int, nargs=7, required=True, help="blocks, in the order of MCCNetFast's `depths`"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the new blocks' first layers")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    found = checkpoint.load(given.weights)
    if not isinstance(found.network, MCCNetFast):
        raise CheckpointError(f"{given.weights} holds {found.name!r}; give weights of 'mccnet-fast'.")
    torch.manual_seed(given.seed)
    arguments = all_arguments(found.name, found.arguments | {"depths": given.depths})
    network = deepened(found.network, arguments)
    checkpoint.save(given.output, network, found.name, arguments, found.recipe, extra=found.extra)


if __name__ == "__main__":
    main()
