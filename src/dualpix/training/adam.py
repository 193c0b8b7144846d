"""Adam and AdamW: the fused kernels of PyTorch, without what `torch.optim` imports for a compiler that no step uses."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dualpix.training.processes import Processes
from dualpix.training.state import adam_like

EPS = 1e-8


class Adam:
    """To the bit as `torch.optim.AdamW(masters, fused=True)`, or as `Adam`, whose decay is part of the gradient.

    The first step of PyTorch's own imports `torch._dynamo`, which takes longer than a short training.
    """

    def __init__(
        self, masters: Sequence[Tensor], betas: tuple[float, float], decay: float = 0.0, decoupled: bool = True
    ) -> None:
        self.masters = list(masters)
        self.betas = betas
        self.decay = decay
        self.move = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self.moments: dict[int, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self, rate: float, processes: Processes, usable: Tensor | None = None) -> None:
        """See `Optimiser`; every process moves all weights for itself."""
        learning = [(number, master) for number, master in enumerate(self.masters) if master.grad is not None]
        if not learning:
            return
        for number, master in learning:
            if number not in self.moments:
                self.moments[number] = _none_yet(master)
        moments = [self.moments[number] for number, _ in learning]
        steps = [one["step"] for one in moments]
        found = None if usable is None else (~usable).float()
        torch._foreach_add_(steps, 1)
        self.move(
            [master for _, master in learning],
            [master.grad for _, master in learning if master.grad is not None],
            [one["exp_avg"] for one in moments],
            [one["exp_avg_sq"] for one in moments],
            [],
            steps,
            lr=rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
            grad_scale=None,
            found_inf=found,
        )
        if found is not None:
            torch._foreach_sub_(steps, [found] * len(steps))

    def state_dict(self) -> dict[str, Any]:
        """See `Optimiser`."""
        return {"state": self.moments}

    def load_state_dict(self, state: Any, step: int) -> None:
        """See `Optimiser`."""
        self.moments = adam_like(state, self.masters, step)


def _none_yet(master: Tensor) -> dict[str, Tensor]:
    zeros = {name: torch.zeros_like(master, requires_grad=False) for name in ("exp_avg", "exp_avg_sq")}
    return {"step": torch.zeros((), dtype=torch.float32, device=master.device)} | zeros
