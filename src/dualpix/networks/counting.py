"""Parameters and operations of a network, counted without running it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Counts:
    """parameters: numbers to learn. conv_macs: multiply-adds of convolutions and linear layers, biases not counted.
    attention_macs: multiply-adds of the products between pixels.
    """

    parameters: int
    conv_macs: int
    attention_macs: int


def count(network: nn.Module, height: int, width: int) -> Counts:
    """Count `network` on one set of views of `height` x `width` pixels, which `network.multiple` must divide.

    A layer costs its weights times its output pixels (input pixels, if it is a transposed convolution). It is counted
    as it is defined, even where it is computed more cleverly (`blocks.Merge`). A module whose work is not in layers
    reports it by a method `attention_macs`, called with the arguments of its `forward`.

    Works on shapes alone: it neither computes nor changes anything. Raises ValueError if the size does not fit.
    """
    views, multiple = network.views, network.multiple
    assert isinstance(views, tuple) and isinstance(multiple, int)
    if height % multiple or width % multiple:
        raise ValueError(f"height and width must be multiples of {multiple}, not {height} x {width}")
    tally = {"conv": 0, "attention": 0}
    handles = [module.register_forward_hook(_counter(tally)) for module in network.modules()]
    picture = torch.empty(1, 3, height, width, device="meta")
    state = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    try:
        with torch.no_grad():
            torch.func.functional_call(network, state, (picture,) * len(views))
    finally:
        for handle in handles:
            handle.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Counts(parameters, tally["conv"], tally["attention"])


def _counter(tally: dict[str, int]) -> Any:
    def add(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            tally["conv"] += _layer_macs(module, inputs[0], output)
        report = getattr(module, "attention_macs", None)
        tally["attention"] += report(*inputs) if report is not None else 0

    return add


def _layer_macs(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, maps: Tensor, output: Tensor) -> int:
    if isinstance(layer, nn.Linear):
        return layer.weight.numel() * (output.numel() // layer.out_features)
    pixels = maps if isinstance(layer, nn.ConvTranspose2d) else output  # B C H W
    return layer.weight.numel() * (pixels.numel() // pixels.shape[1])
