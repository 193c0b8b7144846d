"""Import weights: a file that the authors of a network published becomes a checkpoint of ours."""

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
    """Translate published weights, and write them as a checkpoint.

    Args:
        path: The authors' file.
        network_name: The network it belongs to, a key of `weights.foreign.FOREIGN`.
        output: The `.safetensors` file to write.
        arguments: Keyword arguments of the network, as `networks.create` takes them.
        overwrite: Replace an existing file.

    Returns:
        The path of the file written.

    Raises:
        CheckpointError: The file is damaged or does not fit the network, or `output` exists and `overwrite` is not set.
        RecipeError: A network or an argument is not known.
    """
    source, target = Path(path), Path(output)
    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target} cannot hold weights; give a name that ends in .safetensors.")
    if target.exists() and not overwrite:
        raise CheckpointError(f"{target} exists; give another name, or {option('overwrite')} to replace it.")
    state = translate(source, network_name, **(arguments or {}))
    network = networks.create(network_name, **(arguments or {}))
    network.load_state_dict(state, strict=True)
    return checkpoint.save(target, network, network_name, arguments, extra={"imported_from": source.name})
