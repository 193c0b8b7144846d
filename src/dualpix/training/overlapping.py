"""Gradients of several processes averaged while they are still being computed, in buckets.

As soon as a bucket's gradients are complete it is sent, while the backward pass computes those of the layers before.
Between GPUs NCCL carries it; one message after the backward pass (`Processes.average`) leaves the way between them idle
until then.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from dualpix.training.processes import Processes, carrier_of
from dualpix.training.shared_memory import rooms

BUCKET_BYTES = 4 * 2**20


def overlaps(parameters: Sequence[Tensor], processes: Processes, wanted: bool | None = None) -> bool:
    """Whether several processes average in buckets: as is `wanted`, else where NCCL is between their GPUs."""
    if processes.count == 1:
        return False
    return carrier_of(parameters).type == "cuda" if wanted is None else wanted


class Bucket:
    """Float32 room for the gradients of some parameters, which are numbers in the learner's list."""

    def __init__(self, numbers: Sequence[int], masters: Sequence[Tensor]) -> None:
        like = [masters[number] for number in numbers]
        self.numbers = tuple(numbers)
        self.row = torch.zeros(sum(one.numel() for one in like), dtype=torch.float32, device=like[0].device)
        self.rooms = rooms(self.row, like)

    @torch.no_grad()
    def fill(self, parameters: Sequence[Tensor]) -> None:
        """Copy gradients; those that are missing count as 0."""
        self.row.zero_()
        for number, room in zip(self.numbers, self.rooms, strict=True):
            gradient = parameters[number].grad
            if gradient is not None:
                room.copy_(gradient)


class Overlap:
    """Averages the gradients of one learner's network, step by step.

    The first step finds the order in which gradients become complete, so that a bucket holds neighbours, and sends all
    at its end. A bucket is sent once a step, whatever is computed again because the memory ran out: what it holds is
    complete, and the others wait for it no second time. All processes send the same buckets in the same order.
    """

    def __init__(self, parameters: Sequence[Tensor], masters: Sequence[Tensor], processes: Processes) -> None:
        """Listen to the parameters.

        Args:
            parameters: What the network computes with, in any precision.
            masters: As many, in float32, which get the averaged gradients; may be the same tensors.
            processes: Those that average; all have to learn the same network.
        """
        self.parameters, self.masters, self.processes = list(parameters), list(masters), processes
        self.buckets: list[Bucket] = []
        self.under_way: list[Callable[[], None]] = []
        self.complete: dict[int, None] = {}  # in the order in which they became so
        self.watched, self.batch = False, 1
        for number, parameter in enumerate(self.parameters):
            parameter.register_post_accumulate_grad_hook(partial(self._complete, number))  # type: ignore[no-untyped-call]

    @contextmanager
    def watching(self, last: bool, batch: int) -> Iterator[None]:
        """Send buckets while a backward pass runs in this context.

        Args:
            last: Whether gradients are complete after it: false for all parts of a batch but the last.
            batch: Crops in the batch of all processes, by which their shares are weighed.
        """
        self.complete.clear()
        self.watched, self.batch = last, batch
        try:
            yield
        finally:
            self.watched = False

    @torch.no_grad()
    def average(self, *numbers: Any) -> list[Any]:
        """Let every master's `grad` be the mean over all processes, and return the means of the numbers, in float32.

        A gradient that only some have counts as 0 in the others; one that nobody has stays None. Raises `MachineError`
        if another process has ended.
        """
        if not self.buckets:
            self.buckets = self._plan()
        for bucket in self.buckets[len(self.under_way) :]:
            self._send(bucket)
        for wait in self.under_way:
            wait()
        self.under_way.clear()
        there = [float(parameter.grad is not None) for parameter in self.parameters]
        means = self.processes.average([], *numbers, *there)
        for bucket in self.buckets:
            bucket.row.div_(self.processes.count)
            for number, room in zip(bucket.numbers, bucket.rooms, strict=True):
                # The room itself: nobody reads it any more when the next step fills it.
                self.masters[number].grad = room if means[len(numbers) + number] > 0 else None
        return means[: len(numbers)]

    def _complete(self, number: int, _: Tensor) -> None:
        if not self.watched:
            return
        self.complete[number] = None
        for bucket in self.buckets[len(self.under_way) :]:
            if not self.complete.keys() >= set(bucket.numbers):
                return
            self._send(bucket)

    def _send(self, bucket: Bucket) -> None:
        bucket.fill(self.parameters)
        self.processes.weigh(self.batch, [bucket.row], 0.0)
        self.under_way.append(self.processes.start_sum(bucket.row))

    def _plan(self) -> list[Bucket]:
        """Buckets in the first process's order; parameters without a gradient come last."""
        own = [*self.complete, *(number for number in range(len(self.masters)) if number not in self.complete)]
        order = [int(number) for number in self.processes.give(" ".join(map(str, own)).encode()).split()]
        filled, places = 0, {}
        for number in order:
            places[number] = filled // BUCKET_BYTES
            filled += 4 * self.masters[number].numel()
        return [Bucket(list(group), self.masters) for _, group in groupby(order, key=places.__getitem__)]
