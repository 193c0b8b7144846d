"""Several processes that train one network: each takes its share of every batch, and gradients are averaged.

Started by torchrun, which sets the environment these functions read; alone, they do nothing.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """Which of how many this one is."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor], flag: bool) -> bool:
        """Replace every tensor by its mean over all processes, and return whether `flag` is set in any of them.

        One message carries everything.
        """
        if self.count == 1:
            return flag
        message = torch.cat([*(tensor.reshape(-1) for tensor in tensors), torch.tensor([float(flag)])])
        dist.all_reduce(message)
        *means, raised = torch.split(message.div_(self.count), [tensor.numel() for tensor in tensors] + [1])
        torch._foreach_copy_(list(tensors), [mean.view_as(t) for mean, t in zip(means, tensors, strict=True)])
        return bool(raised > 0)

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()


def join() -> Processes:
    """Meet the other processes, if torchrun started any."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    return Processes(rank=dist.get_rank(), count=count)


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()
