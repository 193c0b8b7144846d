"""Networks without numbers: their shapes alone, for what is compared or counted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DRAWN = (Tensor.normal_, Tensor.uniform_, Tensor.zero_, Tensor.fill_)


class _Undrawn(TorchFunctionMode):
    """Leaves out what draws first weights.

    For tensors without numbers PyTorch would load its compiler to do nothing, which takes a second, and some memory
    where there may be little.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in DRAWN or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


@contextmanager
def without_numbers() -> Iterator[None]:
    """Inside, networks are made without memory for their weights, on the device "meta"."""
    with torch.device("meta"), _Undrawn():
        yield
