"""Weights that other authors published: read strictly, translated to ours, never executed.

To add a network: one line in `FOREIGN`, and a module with `translate` if none reads that kind of file.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from dualpix.tables import pick

FOREIGN: dict[str, str] = {
    "dpdnet": "dualpix.weights.foreign.keras",
    "dpdnet-single": "dualpix.weights.foreign.keras",
    "rdpd": "dualpix.weights.foreign.keras",
    "ifan": "dualpix.weights.foreign.pytorch",
}
"""From a network's name to the module that reads its authors' files, which is imported only when it is needed."""


def translate(path: str | Path, network_name: str, **arguments: Any) -> dict[str, Tensor]:
    """Read published weights as the state dict of `networks.create(network_name, **arguments)`.

    Every layer must match in kind and shape, and none may be missing or left over.

    Args:
        path: The authors' file.
        network_name: A key of `FOREIGN`.
        arguments: Keyword arguments of the network.

    Raises:
        CheckpointError: The file is damaged, of another kind, or of another network.
        RecipeError: Files of that network are not known, or it does not take the arguments.
    """
    module = import_module(pick(FOREIGN, network_name, "network whose authors' weights can be read"))
    state: dict[str, Tensor] = module.translate(Path(path), network_name, **arguments)
    return state
