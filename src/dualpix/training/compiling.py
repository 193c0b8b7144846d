"""A network's forward pass, compiled by PyTorch where that works."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def compiled(
    forward: Callable[..., Tensor], views: Sequence[Tensor], backend: str = "inductor"
) -> tuple[Callable[..., Tensor] | None, str]:
    """Compile `forward` for views of this size and type, tried forward and backward.

    Returns:
        What to call, and ""; or None, and why there is nothing: a compiler that is not there, among many.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's compiler speaks of PyTorch's own code
        return _tried(forward, views, backend)


def _tried(
    forward: Callable[..., Tensor], views: Sequence[Tensor], backend: str
) -> tuple[Callable[..., Tensor] | None, str]:
    try:
        call: Callable[..., Tensor] = torch.compile(forward, backend=backend, dynamic=False)
        loss: Any = call(*views).float().mean()
        loss.backward()
    except Exception as error:
        return None, " ".join(str(error).split())[:200] or type(error).__name__
    return call, ""
