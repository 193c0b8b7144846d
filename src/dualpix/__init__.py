"""Turn the two views of a dual-pixel photograph into one picture that is sharp everywhere.

    import dualpix
    sharp = dualpix.deblur("left.png", "right.png")

The public names are those in `__all__`. Each is fetched from its own file when it is first used, so that
`import dualpix` loads nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # For type checkers and editors; `_HOMES` says the same to Python.
    from dualpix.checkpoint import WEIGHTS as WEIGHTS
    from dualpix.checkpoint import load as load
    from dualpix.data import open_dataset as open_dataset
    from dualpix.deblurring import deblur as deblur
    from dualpix.disparities import disparity as disparity
    from dualpix.errors import DualpixError as DualpixError
    from dualpix.evaluating import evaluate as evaluate
    from dualpix.images import open_views as open_views
    from dualpix.images import read_pair as read_pair
    from dualpix.images import read_picture as read_picture
    from dualpix.images import write_picture as write_picture
    from dualpix.losses import LOSSES as LOSSES
    from dualpix.metrics import METRICS as METRICS
    from dualpix.networks import NETWORKS as NETWORKS
    from dualpix.networks import create as create
    from dualpix.recipes import RECIPES as RECIPES
    from dualpix.simulating import simulate as simulate
    from dualpix.training import train as train

__version__ = "0.1.0"

_HOMES = {
    "LOSSES": "losses",
    "METRICS": "metrics",
    "NETWORKS": "networks",
    "RECIPES": "recipes",
    "WEIGHTS": "checkpoint",
    "DualpixError": "errors",
    "create": "networks",
    "deblur": "deblurring",
    "disparity": "disparities",
    "evaluate": "evaluating",
    "load": "checkpoint",
    "open_dataset": "data",
    "open_views": "images",
    "read_pair": "images",
    "read_picture": "images",
    "simulate": "simulating",
    "train": "training",
    "write_picture": "images",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dualpix' has no attribute {name!r}")
    thing = globals()[name] = getattr(import_module(f"dualpix.{_HOMES[name]}"), name)
    return thing


def __dir__() -> list[str]:
    return sorted(__all__)
