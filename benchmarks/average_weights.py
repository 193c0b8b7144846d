"""Average the weights of two runs of one network: the mean of nearby optima is often better than either.

    python benchmarks/average_weights.py A.safetensors B.safetensors --share 0.7 -o mean.safetensors

`--share` is that of the first; the recipe written along is that of the second. After Wortsman et al., "Model soups:
averaging weights of multiple fine-tuned models improves accuracy without increasing inference time", ICML 2022.
"""

import argparse
from pathlib import Path

from dualpix.errors import CheckpointError
from dualpix.training.starting import all_arguments
from dualpix.weights import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--store", default="bf16", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    first, second = checkpoint.load(given.first), checkpoint.load(given.second)
    if _what(first) != _what(second):
        raise CheckpointError(f"{given.first} and {given.second} hold different networks; give two of the same.")
    other = first.network.state_dict()
    mean = {
        key: given.share * other[key] + (1 - given.share) * value for key, value in second.network.state_dict().items()
    }
    second.network.load_state_dict(mean)
    extra = {"mean_of": [given.first.stem, given.second.stem], "share_of_first": given.share}
    checkpoint.save(
        given.output, second.network, second.name, second.arguments, second.recipe, extra=extra, dtype=given.store
    )


def _what(opened: checkpoint.Checkpoint) -> tuple[str, dict]:
    """The network, by all its arguments: a file may leave out those that are the default's."""
    return opened.name, all_arguments(opened.name, opened.arguments)


if __name__ == "__main__":
    main()
