"""Parameters and operations of a network, counted without running it."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dualpix.networks.spec import spec_of


@dataclass(frozen=True)
class Counts:
    """The size of a network, and what one set of views costs.

    Args:
        parameters: Numbers to learn.
        conv_macs: Multiply-adds of convolutions and linear layers, biases not counted.
        attention_macs: Multiply-adds of the products between pixels.
    """

    parameters: int
    conv_macs: int
    attention_macs: int


@dataclass(frozen=True)
class Extras:
    """What other counters add or leave out, so that the numbers they print can be had from ours.

    transposed_macs: the part of `conv_macs` in transposed convolutions, which some counters do not know. bias_adds: one
    for each output of a layer that has a bias. pool_comparisons: the window's area for each output of a max-pooling.
    leaky_outputs: one for each output of a LeakyReLU that is a module.
    """

    transposed_macs: int
    bias_adds: int
    pool_comparisons: int
    leaky_outputs: int


def count(network: nn.Module, height: int, width: int, *, outputs: bool = False) -> Counts:
    """Count the parameters of a network, and the operations that one set of views takes.

    It works on shapes alone: it neither computes nor changes anything. A layer costs its weights times its output
    pixels (input pixels, if it is a transposed convolution). It is counted as it is defined, even where it is computed
    more cleverly (`blocks.Merge`). A module whose work is not in layers reports it by a method `attention_macs`, called
    with the arguments of its `forward`.

    Args:
        network: Any network that has a `spec`.
        height: Rows of the views, a multiple of `spec.size_multiple`.
        width: Columns of the views, a multiple of the same.
        outputs: Count what the network's method `outputs` does, which gives every picture that it is trained on, not
            the sharp one alone.

    Raises:
        ValueError: The size does not fit.
    """
    tally = {"conv": 0, "attention": 0}
    _walk(network, height, width, outputs, _counter(tally))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Counts(parameters, tally["conv"], tally["attention"])


def count_extras(network: nn.Module, height: int, width: int, *, outputs: bool = False) -> Extras:
    """Count, in the same way as `count`, what is not in `Counts`."""
    tally = {"transposed": 0, "bias": 0, "pool": 0, "leaky": 0}
    _walk(network, height, width, outputs, _extras_counter(tally))
    return Extras(tally["transposed"], tally["bias"], tally["pool"], tally["leaky"])


class _AllOutputs(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *views: Tensor) -> Any:
        return self.network.outputs(*views)  # type: ignore[operator]


def _walk(network: nn.Module, height: int, width: int, outputs: bool, hook: Any) -> None:
    """Call `hook` with every module, its inputs and its output, on tensors that have a shape and no numbers."""
    spec = spec_of(network)
    multiple = spec.size_multiple
    if height % multiple or width % multiple:
        raise ValueError(f"height and width must be multiples of {multiple}, not {height} x {width}")
    whole = _AllOutputs(network) if outputs else network
    handles = [module.register_forward_hook(hook) for module in network.modules()]
    picture = torch.empty(1, 3, height, width, device="meta")
    state = {name: tensor.to("meta") for name, tensor in whole.state_dict().items()}
    try:
        with torch.no_grad():
            torch.func.functional_call(whole, state, (picture,) * len(spec.views))
    finally:
        for handle in handles:
            handle.remove()


def _counter(tally: dict[str, int]) -> Any:
    def add(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            tally["conv"] += _layer_macs(module, inputs[0], output)
        report = getattr(module, "attention_macs", None)
        tally["attention"] += report(*inputs) if report is not None else 0

    return add


def _extras_counter(tally: dict[str, int]) -> Any:
    def add(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.ConvTranspose2d):
            tally["transposed"] += _layer_macs(module, inputs[0], output)
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and module.bias is not None:
            channels = module.out_features if isinstance(module, nn.Linear) else output.shape[1]
            tally["bias"] += module.bias.numel() * (output.numel() // channels)
        if isinstance(module, nn.LeakyReLU):
            tally["leaky"] += output.numel()
        if isinstance(module, nn.MaxPool2d):
            window = module.kernel_size
            area = window**2 if isinstance(window, int) else math.prod(window)
            tally["pool"] += area * output.numel()

    return add


def _layer_macs(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, maps: Tensor, output: Tensor) -> int:
    if isinstance(layer, nn.Linear):
        return layer.weight.numel() * (output.numel() // layer.out_features)
    pixels = maps if isinstance(layer, nn.ConvTranspose2d) else output  # B C H W
    return layer.weight.numel() * (pixels.numel() // pixels.shape[1])
