"""Run a network in PyTorch."""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dualpix.inference import planning
from dualpix.networks import Network, at_work, guarded_call
from dualpix.networks.spec import NetworkSpec, spec_of
from dualpix.networks.streaming import prepared


class Runner:
    """A network in PyTorch: a copy, in the chosen precision and on the chosen device.

    Networks with `correction(*views)`, what is to be added to the mean of the views, are run in bf16 with that mean
    added in fp32, so that the picture is not rounded to bf16.
    """

    engine = "torch"
    precisions: ClassVar[tuple[str, ...]] = tuple(planning.PRECISIONS)
    cpu_only: ClassVar[bool] = False
    engine_gain: float | None = None

    def __init__(self, network: Network, precision: str, device: str | torch.device) -> None:
        module = cast(nn.Module, network)
        self.device = planning.choose_device(device)
        self.precision, self.gain = precision_of(network, precision, self.device)
        self.dtype = planning.PRECISIONS[self.precision]
        with at_work(module):
            ready = copy.deepcopy(module).eval()
        ready.to(device=self.device, dtype=self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weight_bytes = sum(value.nbytes for value in ready.state_dict().values())
        if self.device.type == "cpu":
            ready = prepared(ready)
        self.spec = spec_of(ready)
        # If the network works in strips, no operation sees more than a few rows.
        self.workspace_factor = planning.WORKSPACE_FACTOR if self.spec.steady_state_rows is None else 1.0
        self._dry_run: Callable[[], AbstractContextManager[None]] = getattr(ready, "dry_run", nullcontext)
        self._adds_mean = adds_input(network) and self.precision != "fp32"
        call: Callable[..., Tensor] = ready.correction if self._adds_mean else ready  # type: ignore[assignment]
        self._call = guarded_call(module, call)

    @torch.no_grad()
    def __call__(self, views: Sequence[Tensor]) -> Tensor:
        """Return the output for `views`, C x H x W each, as float32 3 x H x W on the CPU, not clipped."""
        height, width = views[0].shape[-2:]
        padded, masked = padded_views([view[None].float() for view in views], self.spec)
        inputs = [view.to(self.device, self.dtype, memory_format=torch.channels_last) for view in padded]
        output = self._call(*inputs, **masked)[0, :, :height, :width].float().cpu()
        for view in views if self._adds_mean else ():
            output.add_(view, alpha=1 / len(views))
        return output

    def dry_run(self, rows: int, width: int) -> None:
        """Make all tensors that so many rows need, when they are needed, so that their bytes can be counted."""
        with self._dry_run():
            self([torch.zeros(3, rows, width) for _ in self.spec.views])


def padded_views(views: Sequence[Tensor], spec: NetworkSpec) -> tuple[list[Tensor], dict[str, int]]:
    """Views, B x 3 x H x W, filled up on the right and below to sides that the network takes, by repeating the edge.

    Returns:
        The views, and the keywords by which the network is told what of them is padding.
    """
    height, width = views[0].shape[-2:]
    padding = (0, -width % spec.size_multiple, 0, -height % spec.size_multiple)
    padded = [functional.pad(view, padding, mode="replicate") for view in views]
    # Padded columns would take part in matching along the row, and so change every pixel of it.
    return padded, {"width": width} if spec.takes_width and padding[1] else {}


def precision_of(network: Network, asked: str, device: torch.device) -> tuple[str, float | None]:
    """Return the precision in which a network is run, and the gain by which it was chosen, see `planning.Plan`."""
    adds_mean = adds_input(network)
    gain = planning.bf16_gain(asked, device, adds_mean)
    return planning.choose_precision(asked, device, adds_mean, gain=gain), gain


def adds_input(network: Network) -> bool:
    """Whether a network adds what its `correction` tells to the mean of the views."""
    spec = spec_of(cast(nn.Module, network))
    return spec.tells_correction and spec.residual
