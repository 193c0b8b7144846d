"""The package's metrics in the form of torchmetrics: update, compute, reset, over processes too."""

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from dualpix.errors import DualpixError, how_to_install
from dualpix.evaluation.metrics import METRICS, quantise
from dualpix.tables import pick

try:
    with warnings.catch_warnings():  # It changes which warnings are shown.
        from torchmetrics import Metric
except ImportError as error:
    raise DualpixError(f"Metrics that accumulate need torchmetrics: {how_to_install('torchmetrics')}.") from error


class PictureMetric(Metric):
    """The mean of a metric over pictures, accumulated batch by batch.

    Each picture counts once, as in `dualpix.evaluate`; for PSNR, pictures that equal the truth are left out and counted
    in `equal`.

    Args:
        name: A key of `dualpix.METRICS`: "psnr", "psnr-fitted", "ssim", "ssim-wang", "mae", "lpips".
        bits: Both pictures are clipped to [0, 1] and rounded to this depth first, as a protocol does; None leaves them.
        settings: Further ones of `torchmetrics.Metric`.

    Raises:
        RecipeError: There is no such metric.
        ValueError: `bits` is out of range.
        DualpixError: torchmetrics is not installed, when this module is imported.

    Example:
        >>> psnr = PictureMetric("psnr")
        >>> psnr.update(torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.6))
        >>> round(float(psnr.compute()), 3)
        20.0
    """

    full_state_update = False
    total: Tensor
    count: Tensor
    equal: Tensor

    def __init__(self, name: str, bits: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        if bits is not None and not 1 <= bits <= 16:
            raise ValueError(f"bits={bits}: give 1 to 16, or None to leave the pictures as they are")
        self._measure = pick(METRICS, name, "metric")
        self.name, self.bits = name, bits
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("equal", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch, B x C x H x W in [0, 1], or one picture, C x H x W.

        Raises:
            ValueError: The shapes differ, or a pixel is not finite.
        """
        outputs, targets = (picture[None] if picture.ndim == 3 else picture for picture in (output, target))
        if outputs.shape != targets.shape:
            raise ValueError(f"shapes differ: {tuple(output.shape)} and {tuple(target.shape)}")
        if not (torch.isfinite(outputs).all() and torch.isfinite(targets).all()):
            raise ValueError("a picture has pixels that are NaN or infinite, which would spoil the mean of all")
        for pair in zip(outputs.cpu(), targets.cpu(), strict=True):
            x, y = pair if self.bits is None else (quantise(picture, self.bits) for picture in pair)
            value = self._measure(x, y)
            if math.isinf(value):
                self.equal += 1
            else:
                self.total += value
                self.count += 1

    def compute(self) -> Tensor:
        """The mean so far; infinite if all pictures equalled the truth, NaN before the first."""
        if not self.count:
            return torch.tensor(math.inf if self.equal else math.nan, dtype=torch.float64)
        return self.total / self.count
