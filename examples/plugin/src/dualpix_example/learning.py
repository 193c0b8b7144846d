"""A loss, an objective and a metric."""

from torch import Tensor
from torch.nn import functional as F

from dualpix.training.objectives import Objective


def smooth_l1(output: Tensor, target: Tensor) -> Tensor:
    """A loss: of two batches, B x 3 x H x W, a number to make small."""
    return F.smooth_l1_loss(output.float(), target.float(), beta=0.01)


def _both_views(network, batch) -> Tensor:
    made = network(batch["left"], batch["right"])
    return smooth_l1(made, batch["sharp"]) + 0.1 * (made.mean() - batch["sharp"].mean()).abs()


EXAMPLE = Objective(("left", "right", "sharp"), _both_views)
"""An objective runs the network itself, on the views and pictures that it names."""


def largest_error(output: Tensor, target: Tensor) -> float:
    """A metric: of two pictures in [0, 1], a number."""
    return float((output - target).abs().max())
