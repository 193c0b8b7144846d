"""Several processes that train one network: each takes its share of every batch, and gradients are averaged.

Started by `launch` or torchrun, which set the environment these functions read; alone, they do nothing. What is shared
travels through the memory of the processor (gloo), also where a GPU computes: it is little, once a step.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from dualpix.errors import CheckpointError, MachineError, RecipeError

PATIENCE = timedelta(hours=2)
"""How long the others wait for the first process, which validates alone. One that has ended is noticed at once."""


@dataclass
class Processes:
    """Which of how many this one is."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, batch: int) -> range:
        """The places in a batch that are this process's to fill. Raises `RecipeError` unless the shares are equal."""
        if batch % self.count:
            raise RecipeError(f"batch={batch} cannot be shared by {self.count} processes; choose a multiple.")
        share = batch // self.count
        return range(self.rank * share, (self.rank + 1) * share)

    def average(self, tensors: Sequence[Tensor], *numbers: float) -> list[float]:
        """Replace every tensor by its mean over all processes, and return the means of the numbers.

        One message carries everything, in float32. Raises `MachineError` if another process has ended.
        """
        if self.count == 1:
            return list(numbers)
        message = torch.cat([*(tensor.reshape(-1).cpu() for tensor in tensors), torch.tensor(numbers)])
        self._meet(lambda: dist.all_reduce(message))
        *means, averaged = torch.split(message.div_(self.count), [*(t.numel() for t in tensors), len(numbers)])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))
        return averaged.tolist()

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its sum over all processes. Raises `MachineError` if another process has ended."""
        if self.count == 1:
            return
        message = torch.cat([tensor.reshape(-1).cpu() for tensor in tensors])
        self._meet(lambda: dist.all_reduce(message))
        for tensor, total in zip(tensors, torch.split(message, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process; all meet here."""
        return self.average([], float(flag))[0] > 0

    def wait(self) -> None:
        """All meet here."""
        if self.count > 1:
            self._meet(dist.barrier)

    def agree(self, number: int, what: str) -> None:
        """Raises `CheckpointError` in every process unless all have the same number (exact up to 2^24)."""
        if self.any(self.average([], float(number))[0] != number):
            raise CheckpointError(f"The {self.count} processes differ in {what}; give all of them the same folder.")

    def _meet(self, meeting: Callable[[], object]) -> None:
        try:
            meeting()
        except RuntimeError as error:
            raise MachineError(
                f"Another of the {self.count} processes has ended, so this one cannot go on; its own message says why."
            ) from error


@contextmanager
def join() -> Iterator[Processes]:
    """Meet the other processes, if there are any, take this one's share of the machine's cores, and part at the end.

    Processes that each compute with one thread are quicker than one with as many threads: they wait for each other
    once a step, not within every operation.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    torch.set_num_threads(max(1, _cores() // int(os.environ.get("LOCAL_WORLD_SIZE", count))))
    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Processes(rank=dist.get_rank(), count=count)
    finally:
        dist.destroy_process_group()


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
