"""A network that learns: weights in the working precision, float32 masters, optimiser and running mean."""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dualpix.losses import LOSSES
from dualpix.networks import create
from dualpix.planning import choose_device, choose_precision
from dualpix.recipes import Recipe
from dualpix.tables import pick
from dualpix.training.feed import Batch
from dualpix.training.processes import Processes


class Learner:
    """Everything that changes from step to step.

    With bf16, the network itself holds bf16 weights, so that nothing is cast on the way, and the optimiser works on
    float32 masters; with fp32 the two are the same tensors.
    """

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        network = create(recipe.network, **recipe.arguments)
        self.device = choose_device("auto")
        self.precision = choose_precision(recipe.precision, self.device, hasattr(network, "correction"))
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        self.network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.masters = [p.detach().clone().requires_grad_() for p in self.network.parameters()]
        if dtype == torch.float32:
            self.masters = list(self.network.parameters())
        self.network.to(dtype)
        self.means = [master.detach().clone() for master in self.masters]
        self.optimiser = _optimiser(recipe, self.masters)
        self.loss: Callable[[Tensor, Tensor], Tensor] = pick(LOSSES, recipe.loss, "loss")
        self.step = 0

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(self.network.views)  # type: ignore[arg-type]

    def learn(self, batch: Batch, processes: Processes, stop: bool = False) -> tuple[float, bool]:
        """One step; returns the loss and whether any process wants to stop.

        Raises FloatingPointError if the loss is not a number any more.
        """
        loss = self._gradients(batch)
        stop = processes.average([master.grad for master in self.masters if master.grad is not None], stop)
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self.masters, self.recipe.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.recipe, self.step)
        self.optimiser.step()
        self._spread()
        self.step += 1
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss became {loss} at step {self.step}; lower `rate`, or set precision=fp32."
            )
        return loss, stop

    def _gradients(self, batch: Batch) -> float:
        moved = {name: pictures.to(self.device) for name, pictures in batch.items()}
        dtype = next(self.network.parameters()).dtype
        views = [moved[name] for name in self.views]
        if dtype == torch.float32:
            output = self.network(*views)
        else:
            output = sum(views) / len(views) + self.network.correction(*(v.to(dtype) for v in views)).float()  # type: ignore[operator]
        loss = self.loss(output, moved["sharp"])
        self.network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if dtype != torch.float32:
            for master, working in zip(self.masters, self.network.parameters(), strict=True):
                master.grad = None if working.grad is None else working.grad.float()
        return loss.item()

    def _spread(self) -> None:
        """From the masters to the working weights and the running mean."""
        with torch.no_grad():
            if self.masters[0] is not next(self.network.parameters()):
                torch._foreach_copy_(list(self.network.parameters()), self.masters)
            decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.means, [m.detach() for m in self.masters], 1 - decay)

    def averaged(self) -> nn.Module:
        """A float32 copy of the network with the running mean of the weights, in eval mode."""
        network: nn.Module = copy.deepcopy(self.network).float().eval()
        with torch.no_grad():
            torch._foreach_copy_(list(network.parameters()), self.means)
        return network

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "masters": [master.detach() for master in self.masters],
            "means": self.means,
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self.masters, state["masters"])
            torch._foreach_copy_(self.means, state["means"])
            if self.masters[0] is not next(self.network.parameters()):
                torch._foreach_copy_(list(self.network.parameters()), self.masters)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])


def _optimiser(recipe: Recipe, masters: list[Tensor]) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {"lr": recipe.rate, "betas": (recipe.momentum, recipe.second_momentum), "fused": True}
    if recipe.optimiser == "adam":
        return torch.optim.Adam(masters, **settings)
    return torch.optim.AdamW(masters, weight_decay=recipe.weight_decay, **settings)


def rate_at(recipe: Recipe, step: int) -> float:
    """The learning rate of a step, counted from 0."""
    warm = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    if recipe.schedule == "halving":
        fall = 0.5 ** (step // recipe.halve_every)
    elif recipe.schedule == "cosine":
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / recipe.steps)))
    else:
        fall = min(1.0, max(0.0, (recipe.steps - step) / max(1, recipe.decay_steps)))
    return recipe.rate * warm * fall
