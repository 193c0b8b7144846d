"""Turn the two views of a dual-pixel photograph into one picture that is sharp everywhere.

    import dualpix
    sharp = dualpix.deblur("left.png", "right.png")

The public names are those in `__all__`. Each is imported from its own module when it is first used, so that
`import dualpix` by itself loads nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # For type checkers and editors; `_HOMES` says the same to Python.
    from dualpix.datasets import open_dataset as open_dataset
    from dualpix.errors import CheckpointError as CheckpointError
    from dualpix.errors import DataError as DataError
    from dualpix.errors import DualpixError as DualpixError
    from dualpix.errors import MachineError as MachineError
    from dualpix.errors import PairError as PairError
    from dualpix.errors import PictureError as PictureError
    from dualpix.errors import RecipeError as RecipeError
    from dualpix.evaluation import evaluate as evaluate
    from dualpix.evaluation.metrics import METRICS as METRICS
    from dualpix.inference.batch.worker import Deblur as Deblur
    from dualpix.inference.deblur import deblur as deblur
    from dualpix.inference.disparity import disparity as disparity
    from dualpix.inference.optics import Optics as Optics
    from dualpix.inference.options import DeblurOptions as DeblurOptions
    from dualpix.inference.refocus import refocus as refocus
    from dualpix.inference.report import report as report
    from dualpix.io import read_picture as read_picture
    from dualpix.io import write_picture as write_picture
    from dualpix.networks import NETWORKS as NETWORKS
    from dualpix.networks import create as create
    from dualpix.networks.spec import NetworkSpec as NetworkSpec
    from dualpix.pairs import open_views as open_views
    from dualpix.pairs import read_pair as read_pair
    from dualpix.simulation.dataset import SimulatedPairs as SimulatedPairs
    from dualpix.simulation.dataset import SimulatedStream as SimulatedStream
    from dualpix.simulation.simulate import simulate as simulate
    from dualpix.training import train as train
    from dualpix.training.losses import LOSSES as LOSSES
    from dualpix.training.recipes import RECIPES as RECIPES
    from dualpix.training.recipes import Recipe as Recipe
    from dualpix.weights.checkpoint import WEIGHTS as WEIGHTS
    from dualpix.weights.checkpoint import Checkpoint as Checkpoint
    from dualpix.weights.checkpoint import load as load
    from dualpix.weights.pretrained import from_pretrained as from_pretrained
    from dualpix.weights.pretrained import save_pretrained as save_pretrained

__version__ = "1.0.0"

_HOMES = {
    "Checkpoint": "weights.checkpoint",
    "CheckpointError": "errors",
    "DataError": "errors",
    "Deblur": "inference.batch.worker",
    "DeblurOptions": "inference.options",
    "DualpixError": "errors",
    "LOSSES": "training.losses",
    "METRICS": "evaluation.metrics",
    "MachineError": "errors",
    "NETWORKS": "networks",
    "NetworkSpec": "networks.spec",
    "Optics": "inference.optics",
    "PairError": "errors",
    "PictureError": "errors",
    "RECIPES": "training.recipes",
    "Recipe": "training.recipes",
    "RecipeError": "errors",
    "SimulatedPairs": "simulation.dataset",
    "SimulatedStream": "simulation.dataset",
    "WEIGHTS": "weights.checkpoint",
    "create": "networks",
    "deblur": "inference.deblur",
    "disparity": "inference.disparity",
    "evaluate": "evaluation",
    "from_pretrained": "weights.pretrained",
    "load": "weights.checkpoint",
    "open_dataset": "datasets",
    "open_views": "pairs",
    "read_pair": "pairs",
    "read_picture": "io",
    "refocus": "inference.refocus",
    "report": "inference.report",
    "save_pretrained": "weights.pretrained",
    "simulate": "simulation.simulate",
    "train": "training",
    "write_picture": "io",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dualpix' has no attribute {name!r}")
    thing = globals()[name] = getattr(import_module(f"dualpix.{_HOMES[name]}"), name)
    return thing


def __dir__() -> list[str]:
    return sorted(__all__)
