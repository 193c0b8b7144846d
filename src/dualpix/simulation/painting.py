"""Pictures decided in one place and computed in another.

Everything random about a scene is drawn on the CPU and recorded in a `Painting`: a picture or mask that is not computed
yet. Called with a `Canvas`, it is computed on that canvas's device. Paintings hold numbers, arrays and the numbers of
photographs, so they can be made in one process and painted in another.

On a device other than the CPU nothing that is painted is ever asked for its values, so the host never waits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Canvas:
    """Where pictures are computed.

    Attributes:
        photos: Photographs on that device, uint8, 3 x H x W each, or 4 x H x W with inverse depth.
        device: The device.
    """

    photos: Sequence[Tensor] = ()
    device: torch.device = CPU

    @property
    def on_cpu(self) -> bool:
        """Whether looking at values costs nothing."""
        return self.device.type == "cpu"

    def take(self, values: np.ndarray | Tensor) -> Tensor:
        """Bring values of the CPU to the device, without waiting for what it computes."""
        return moved(torch.from_numpy(values) if isinstance(values, np.ndarray) else values, self.device)


Painting = Callable[[Canvas], Tensor]
"""A picture, 3 x N x N, or a mask, N x N, to be computed on a canvas."""


def moved(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU, or of the device already, on the device; the host does not wait for what that computes."""
    if device.type in ("cpu", values.device.type):
        return values
    if device.type == "cuda":
        values = values.pin_memory()  # from ordinary memory the copy would wait for all that was asked for before
    return values.to(device, non_blocking=True)


def numbers(values: Sequence[float], device: torch.device) -> Tensor:
    """A list of numbers as a float32 tensor on a device, without waiting."""
    return moved(torch.tensor(values, dtype=torch.float32), device)


def inverse(order: Sequence[int]) -> Tensor:
    """The permutation that undoes `order`, on the CPU."""
    return torch.tensor(sorted(range(len(order)), key=order.__getitem__))
