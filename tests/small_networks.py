"""Networks of every kind that are quick to run, and as after some training."""

from typing import Any

import torch
from torch import nn

from dualpix.networks import create

SMALLER: dict[str, dict[str, Any]] = {
    "dpdnet": {"widths": (8, 16, 32, 64, 128)},
    "dpdnet-single": {"widths": (8, 16, 32, 64, 128)},
    "rdpd": {"widths": (8, 16, 32, 64, 128)},
    "mdp": {"width": 8},
    "kpac": {"width": 8},
    "ifan": {"channels": 8, "filters": 3},
    "restormer": {"channels": 16, "blocks": (1, 2, 1, 1), "refinement": 1},
}
"""Arguments of those whose default size takes long; what networks promise does not depend on it."""


TINY: dict[str, Any] = {"widths": (4, 4, 8, 8), "depths": (1, 1, 0, 0, 0, 0, 0)}
"""Arguments of an `mccnet-fast` for what is run many times."""


def tiny() -> nn.Module:
    """Such a network, as after some training: it changes the views, but by no more than the guard lets pass."""
    torch.manual_seed(0)
    made = create("mccnet-fast", **TINY)
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for parameter in made.head.parameters():  # type: ignore[union-attr]
        parameter.data *= 0.3
    return made.eval()


def small(name: str, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    return create(name, **SMALLER.get(name, {}) | arguments)


def shaken(network: nn.Module) -> nn.Module:
    """As after some training: no parameter is at a value that its initialisation favours."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * parameter.std(correction=0).nan_to_num().clamp_min(0.03) * torch.randn_like(parameter)
    return network.eval()
