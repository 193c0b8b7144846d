"""The nearest to a GPU that fails without having one, and `dualpix train` with it in a process of its own.

python losing.py STEP WORDS...: from the forward pass of that step on, counted from 0, nothing works in PyTorch.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dualpix import training
from dualpix.networks.mccnet_fast.model import MCCNetFast
from dualpix.training import sources
from dualpix.training.learner import Learner

SAID = "CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later than they happened."
ERROR: type[Exception] = getattr(torch, "AcceleratorError", RuntimeError)


class Failed(TorchDispatchMode):
    """As after a CUDA error: no operation works any more, neither those that compute nor those that read."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise ERROR(SAID)


class Unwaited(Learner):
    """Asks for as little as it would ask of a GPU, whose losses stay there until they are read."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.waits = False


@contextmanager
def losing(step: int) -> Iterator[None]:
    """Let the device fail in the middle of a step of whatever `MCCNetFast` learns in this context."""
    forward, learner, passed = MCCNetFast.forward, training.Learner, [0]

    def lost(network: MCCNetFast, *views: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = forward(network, *views)
        if network.training and torch.is_grad_enabled():
            passed[0] += 1
            if passed[0] == step + 1:
                until.enter_context(Failed())
        return made

    with ExitStack() as until:
        MCCNetFast.forward, training.Learner = lost, Unwaited  # type: ignore[method-assign]
        try:
            yield
        finally:
            MCCNetFast.forward, training.Learner = forward, learner  # type: ignore[method-assign]


if __name__ == "__main__":
    from dualpix.cli import main

    at, sys.argv = int(sys.argv[1]), ["dualpix", *sys.argv[2:]]
    torch.set_num_threads(1)
    sources.VALIDATION_PICTURES = 3
    with losing(at):
        main()
