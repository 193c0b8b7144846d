"""Import weights: a file of a network's authors in, a checkpoint of ours out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualpix import networks
from dualpix.errors import CheckpointError, option
from dualpix.machine.modes import settled
from dualpix.weights import checkpoint
from dualpix.weights.foreign import translate


@settled()
def import_weights(
    path: str | Path,
    network_name: str,
    output: str | Path,
    arguments: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Translate the authors' weights in `path` and write them to `output`, a .safetensors file; returns its path.

    `network_name` and `arguments` are those of `networks.create`. Raises `CheckpointError` if the file is damaged or
    does not fit the network, or if `output` exists and `overwrite` is not set; `RecipeError` for a network or an
    argument that is not known.
    """
    source, target = Path(path), Path(output)
    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target} will not do for weights; give a name that ends in .safetensors.")
    if target.exists() and not overwrite:
        raise CheckpointError(f"{target} exists; give another name, or {option('overwrite')} to replace it.")
    state = translate(source, network_name, **(arguments or {}))
    network = networks.create(network_name, **(arguments or {}))
    network.load_state_dict(state, strict=True)
    return checkpoint.save(target, network, network_name, arguments, extra={"imported_from": source.name})
