"""A network that learns: weights in the working precision, float32 masters, optimiser and running mean."""

import copy
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dualpix.errors import RecipeError
from dualpix.inference.planning import bf16_gain, choose_precision
from dualpix.networks import DEFOCUS_ESTIMATORS, at_work, guarded_call
from dualpix.networks.spec import spec_of
from dualpix.simulation.painting import moved
from dualpix.tables import pick
from dualpix.training.clock import Clock
from dualpix.training.compiling import compiled
from dualpix.training.feed import Batch, size_at
from dualpix.training.giving_up import no_numbers
from dualpix.training.losses import LOSSES
from dualpix.training.objectives import OBJECTIVES, Objective
from dualpix.training.optimisers import create_optimiser
from dualpix.training.overlapping import Overlap, overlaps
from dualpix.training.parts import sum_of_parts
from dualpix.training.processes import Processes, own_device
from dualpix.training.recipes import Recipe
from dualpix.training.schedules import rate_at
from dualpix.training.starting import create_network, find_teacher, weights_to_start_from
from dualpix.training.state import number, part, tensors_like

LOOK_EVERY = 50
"""Steps between two looks at what a device has counted: each makes the host wait for it."""

MOST_FAILURES = 20
"""Steps in a row without a usable gradient after which a run is given up."""


class Learner:
    """Everything that changes from step to step.

    With bf16, the network itself holds bf16 weights, so that nothing is cast on the way, and the optimiser works on
    float32 masters; with fp32 the two are the same tensors.
    """

    def __init__(
        self,
        recipe: Recipe,
        clock: Clock | None = None,
        processes: Processes | None = None,
        precision: str = "",
        device: torch.device | None = None,
        overlap: bool | None = None,
    ) -> None:
        """Make the network, its optimiser and, where the recipe names one, its teacher.

        Args:
            recipe: What is computed.
            clock: Counts what the time of a step goes into.
            processes: Those that train together, which all have to learn in the same precision.
            precision: That in which a resumed run has learnt so far, "fp32" or "bf16"; it stays where the recipe leaves
                the choice open.
            device: Where to learn; by default the GPU, if there is one.
            overlap: Whether the processes average gradients in buckets while they compute the rest; by default with
                NCCL between GPUs.

        Raises:
            RecipeError: A network, its arguments, a loss or a crop does not fit.
        """
        self.recipe, self.clock = recipe, clock or Clock()
        network = create_network(recipe)
        self.device = device or own_device()
        adds_input = spec_of(network).tells_correction
        # Gradients need the range of fp32, which fp16 has not.
        wanted = precision if precision and recipe.precision == "auto" else recipe.precision
        self.gain = bf16_gain(wanted, self.device, adds_input, learning=True)
        self.precision = choose_precision(wanted, self.device, adds_input, ("fp32", "bf16"), self.gain)
        # Each measures for itself, and all have to learn in the same.
        if (processes or Processes()).any(self.precision == "fp32"):
            self.precision = "fp32"
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        self.network = network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.masters = [p.detach().clone().requires_grad_() for p in self.network.parameters()]
        if dtype == torch.float32:
            self.masters = list(self.network.parameters())
        self.network.to(dtype)
        self.means = [master.detach().clone() for master in self.masters]
        self.overlap = None
        if processes and overlaps(self.masters, processes, overlap):
            self.overlap = Overlap(list(self.network.parameters()), self.masters, processes)
        self.optimiser = create_optimiser(recipe, self.masters)
        self.teacher = find_teacher(recipe, self.device)
        self.objective = self._find_objective()
        self.step = self.failures = 0
        self.shares = (0.0, 0.0)
        self.parts = 1  # in which a batch is computed, for the memory's sake
        # On a CPU the loss of a step is there when the step is; elsewhere to look at it is to wait.
        self.waits = self.device.type == "cpu"
        self.lost = torch.zeros((), dtype=torch.int64, device=self.device)
        self.compiled: Callable[..., Tensor] | None = None

    @property
    def views(self) -> tuple[str, ...]:
        """The views that the network takes, in this order."""
        return spec_of(self.network).views

    @property
    def names(self) -> tuple[str, ...]:
        """Of what a batch has to hold: the network's views, and what the loss compares."""
        taught_by = spec_of(self.teacher).views if self.teacher else ()
        return tuple(dict.fromkeys((*self.views, *self.objective.needs, *taught_by)))

    def start_from(self, weights: str) -> None:
        """Take these weights, a name or a file, in place of the random ones: as masters and as running mean.

        Raises `RecipeError` if they are of another network or of other arguments or exported, `CheckpointError` if they
        cannot be read.
        """
        found = weights_to_start_from(self.recipe, weights)
        first = [parameter.to(self.device) for parameter in found.network.parameters()]
        self._take(first, first, list(found.network.buffers()))

    def learn(
        self, batch: Batch, processes: Processes, stop: bool = False, share: float | None = None
    ) -> tuple[float | Tensor, bool]:
        """One step; returns the loss, a mean over all processes, and whether any of them wants to stop.

        The loss is a number, or on a device a tensor there, which nobody has waited for.

        share: of the time that is over, where the run ends by the clock; all processes take the mean of theirs, which
        `shares` keeps beside that of the step before.

        A step whose loss or gradient is not finite leaves the weights as they are. Raises `RecipeError` after
        `MOST_FAILURES` of them in a row, or up to `LOOK_EVERY` on a device; `MachineError` where the memory is too
        small for one crop. For more than it holds, gradients are summed over `parts` of the batch.
        """
        with self.clock.on("computing"):
            loss = self._gradients(batch, processes.rank)
        with self.clock.on("sharing"):
            loss, wish, agreed = self._average(processes, loss, float(stop), share or 0.0)
        with self.clock.on("updating"):
            loss = self._update(loss, processes, None if share is None else agreed)
        if self.failures >= MOST_FAILURES:
            raise no_numbers(self.recipe, self.step, MOST_FAILURES)
        return loss, wish > 0

    def _average(self, processes: Processes, loss: Any, *numbers: float) -> list[Any]:
        """Gradients, and what is returned, become means over all processes."""
        whole = size_at(self.recipe, self.step)[0]
        if self.overlap:
            return self.overlap.average(processes.weigh(whole, [], loss), *numbers)
        gradients = [master.grad for master in self.masters if master.grad is not None]
        return processes.average(gradients, processes.weigh(whole, gradients, loss), *numbers)

    def _update(self, loss: float | Tensor, processes: Processes, share: float | None) -> float | Tensor:
        """Move the weights, and return the loss; NaN if they have stayed as they are."""
        norm = nn.utils.clip_grad_norm_(self.masters, self.recipe.grad_clip or math.inf)
        rate = rate_at(self.recipe, self.step, share)
        if isinstance(loss, Tensor):
            loss = self._update_on_device(loss, norm, rate, processes)
        elif math.isfinite(loss) and bool(torch.isfinite(norm)):
            self.optimiser.step(rate, processes)
            self._spread()
            self.failures = 0
        else:
            loss = math.nan
            self.failures += 1
        self.step += 1
        if share is not None:
            self.shares = (self.shares[1] or share, share)
        return loss

    def _update_on_device(self, loss: Tensor, norm: Tensor, rate: float, processes: Processes) -> Tensor:
        usable = torch.isfinite(loss) & torch.isfinite(norm)
        self.optimiser.step(rate, processes, usable)
        self._spread()
        self.lost = torch.where(usable, 0, self.lost + 1)
        if (self.step + 1) % LOOK_EVERY == 0:
            self.failures = int(self.lost)
        return torch.where(usable, loss, math.nan)

    def _gradients(self, batch: Batch, rank: int) -> float | Tensor:
        with self._chance(rank):
            loss, parts = sum_of_parts(self._add_gradients, self.network.zero_grad, batch, self.parts)
        if parts > self.parts:
            self.parts, self.compiled = parts, None
        if self._has_copies and not self.overlap:
            for master, working in zip(self.masters, self.network.parameters(), strict=True):
                master.grad = None if working.grad is None else working.grad.float()
        return loss.item() if self.waits else loss

    def _add_gradients(self, batch: Batch, share: float, last: bool) -> Tensor:
        there = {name: moved(pictures, self.device) for name, pictures in batch.items()}
        if self.teacher:
            there["sharp"] = there["sharp"].lerp(self._teach(self.teacher, there), self.recipe.distillation)
        loss = self.objective.compute(self.network, there)
        loss = loss if share == 1 else loss * share
        whole = size_at(self.recipe, self.step)[0]
        watching = self.overlap.watching(last, whole) if self.overlap else nullcontext()
        with watching, LOSSES.at_work(self.recipe.loss), at_work(self.network):
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    @torch.inference_mode()
    def _teach(self, teacher: Any, batch: Mapping[str, Tensor]) -> Tensor:
        made: Tensor = teacher(*(batch[name] for name in spec_of(teacher).views))
        return made.clamp(0, 1)

    @contextmanager
    def _chance(self, rank: int) -> Iterator[None]:
        """Random numbers, such as dropout takes, that seed, step and process decide: resumed, a run draws the same."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(zlib.crc32(f"{self.recipe.seed} {self.step} {rank}".encode()))
            yield

    def _find_objective(self) -> Objective:
        """Raises `RecipeError` for a loss that does not exist, or that the network cannot be taught by."""
        recipe = self.recipe
        losses: dict[str, Objective | Callable[[Tensor, Tensor], Tensor]] = {**LOSSES, **OBJECTIVES}
        found = pick(losses, recipe.loss, "loss")
        maps = recipe.network in DEFOCUS_ESTIMATORS
        if maps != (isinstance(found, Objective) and found.maps):
            fitting = [name for name, one in OBJECTIVES.items() if one.maps] if maps else LOSSES
            raise RecipeError(
                f"loss={recipe.loss} does not fit the network {recipe.network!r}, which {'maps' if maps else 'undoes'}"
                f" the blur; choose from: {', '.join(fitting)}."
            )
        if isinstance(found, Objective):
            self._try(found)
            return found

        def compute(network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
            return found(self._run([batch[name] for name in self.views]), batch["sharp"])

        return Objective(("sharp",), compute)

    def _try(self, objective: Objective) -> None:
        """Whether the network makes what is compared, found out on black crops before anything is rendered."""
        side = 2 * spec_of(self.network).size_multiple
        black = {
            name: torch.zeros(1, 1 if name == "blur_px" else 3, side, side, device=self.device)
            for name in (*self.views, *objective.needs)
        }
        try:
            with torch.no_grad():
                objective.compute(self.network.eval(), black)
        except (AttributeError, TypeError, ValueError) as error:
            raise RecipeError(
                f"loss={self.recipe.loss} does not fit the network {self.recipe.network!r} with arguments="
                f"{self.recipe.arguments}: {error}; choose another loss, or other arguments."
            ) from error
        finally:
            self.network.train()

    def _run(self, views: list[Tensor]) -> Tensor:
        """Return the network's output in float32.

        In bf16, a picture that passes through unchanged would lose its low bits, so only the correction is computed
        where the network offers it.
        """
        call = guarded_call(self.network, self._forward if self.compiled is None else self.compiled)
        if not self._has_copies:
            return call(*views)
        low = [view.to(torch.bfloat16) for view in views]
        if not spec_of(self.network).tells_correction:
            return call(*low).float()
        output: Tensor = sum(views) / len(views) + call(*low).float()
        return output

    @property
    def _forward(self) -> Callable[..., Tensor]:
        """What `_run` asks of the network."""
        corrects = self._has_copies and spec_of(self.network).tells_correction
        call: Any = self.network.correction if corrects else self.network
        forward: Callable[..., Tensor] = call
        return forward

    def compile(self, size: tuple[int, int], backend: str = "inductor") -> str:
        """Let PyTorch compile the network for `size`, crops and their side.

        Returns why it stays as it is, "" if it is compiled. Weights and state are the same either way.
        """
        (batch, crop), dtype = size, torch.bfloat16 if self._has_copies else torch.float32
        black = torch.zeros(batch, 3, crop, crop, device=self.device, dtype=dtype)
        views = [black.contiguous(memory_format=torch.channels_last) for _ in self.views]
        self.compiled, why = compiled(self._forward, views, backend)
        self.network.zero_grad()
        return why

    @property
    def _has_copies(self) -> bool:
        """Whether the network holds bf16 copies of the masters, and not the masters themselves."""
        return self.masters[0] is not next(self.network.parameters())

    def _spread(self) -> None:
        """From the masters to the working weights and the running mean."""
        with torch.no_grad():
            if self._has_copies:
                torch._foreach_copy_(list(self.network.parameters()), self.masters)
            decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.means, [m.detach() for m in self.masters], 1 - decay)

    def averaged(self) -> nn.Module:
        """A float32 copy of the network with the running mean of the weights, in eval mode."""
        network: nn.Module = copy.deepcopy(self.network).float().eval()
        with torch.no_grad():
            torch._foreach_copy_(list(network.parameters()), self.means)
        return network

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs; the tensors are the learner's own, not copies."""
        return {
            "step": self.step,
            "failures": self.failures,
            "shares": list(self.shares),
            "masters": [master.detach() for master in self.masters],
            "means": self.means,
            "optimiser": self.optimiser.state_dict(),
            "buffers": list(self.network.buffers()),
        }

    def restore(self, state: Any, most: float = math.inf) -> None:
        """Go on from what `state` returned, after at most `most` steps.

        Raises ValueError, and changes nothing, for what cannot be of this network and this optimiser.
        """
        step = int(number(part(state, "step"), "step", 0, most))
        failures = int(number(state.get("failures", 0), "failures", 0, MOST_FAILURES))
        before, now = (number(share, "share of the time", 0) for share in state.get("shares", self.shares))
        masters = tensors_like(part(state, "masters"), self.masters, "weights")
        means = tensors_like(part(state, "means"), self.means, "running means")
        own = list(self.network.buffers())
        buffers = tensors_like(state.get("buffers", own), own, "buffers")
        self.optimiser.load_state_dict(part(state, "optimiser"), step)
        self._take(masters, means, buffers)
        self.step, self.failures, self.shares = step, failures, (before, now)

    def _take(self, masters: list[Tensor], means: list[Tensor], buffers: list[Tensor]) -> None:
        with torch.no_grad():
            for own, other in zip(self.network.buffers(), buffers, strict=bool(buffers)):
                own.copy_(other)
            torch._foreach_copy_(self.masters, masters)
            torch._foreach_copy_(self.means, means)
            if self._has_copies:
                torch._foreach_copy_(list(self.network.parameters()), self.masters)
