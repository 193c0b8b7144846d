"""Several processes that train one network: each takes its share of every batch, and gradients are averaged.

Started by `launch` or torchrun, which set the environment these functions read; alone, they do nothing. What is shared
lies in the memory of the processor, or of the GPUs that compute. On one machine all processors write to memory they
share, if the system lets them; between machines gloo carries it, and between GPUs NCCL, there in
buckets (`overlapping`), elsewhere in one message a step.
"""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from dualpix.errors import CheckpointError, MachineError, RecipeError, device_failed, option, reason_of, shortened
from dualpix.inference.planning import choose_device
from dualpix.machine import limits, threads
from dualpix.training.launching import LOST
from dualpix.training.shared_memory import SharedMemory, share_memory
from dualpix.training.watching import watched

PATIENCE = timedelta(hours=2)
"""How long the others wait for the first process, which validates alone. One that has ended is noticed at once."""

JOINING = timedelta(minutes=5)
"""How long those that have started wait for the rest to start."""

Result = TypeVar("Result")


class ProcessLostError(MachineError):
    """Another process has ended: what started this one may start all again, from the last checkpoint."""

    exit_code = LOST


@dataclass
class Processes:
    """Which of how many this one is.

    together: whether all are on one machine. place: which of those on its machine this one is.
    """

    rank: int = 0
    count: int = 1
    together: bool = False
    place: int = 0
    memory: SharedMemory | None = field(default=None, init=False)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and reports."""
        return self.rank == 0

    @property
    def apart(self) -> bool:
        """Whether some may be on another machine."""
        return self.count > 1 and not self.together

    def share(self, batch: int) -> range:
        """The places in a batch that are this process's to fill, as many as others have or one less or more.

        Raises `RecipeError` for a batch with fewer crops than there are processes.
        """
        if batch < self.count:
            raise RecipeError(
                f"batch={batch} cannot be shared by {self.count} processes; choose a larger batch, or fewer processes."
            )
        return range(self.rank * batch // self.count, (self.rank + 1) * batch // self.count)

    def weigh(self, batch: int, tensors: Sequence[Tensor], number: Any) -> Any:
        """Multiply means over this process's share of a batch so that `average` makes them means over the batch.

        Returns the number times its weight; nothing changes where all shares are equal.
        """
        if batch % self.count == 0:
            return number
        weight = len(self.share(batch)) * self.count / batch
        for tensor in tensors:
            tensor.mul_(weight)
        return number * weight

    def average(self, tensors: Sequence[Tensor], *numbers: Any) -> list[Any]:
        """Replace every tensor by its mean over all processes, and return the means of the numbers; all in float32.

        Of one process alone, numbers are returned as they are, also tensors of one number.

        Tensors have to lie alike in all processes. Raises `MachineError` if another process has ended.
        """
        if self.count == 1:
            return list(numbers)
        rows = self._next_page(tensors)
        if rows is None:
            return self._average_by_message(tensors, numbers)
        _copy(tensors, rows[self.rank])
        averaged = self._average_by_message([], numbers)  # here all have met, so all have written
        for tensor, *parts in zip(tensors, *rows, strict=True):
            tensor.copy_(reduce(torch.add, parts).div_(self.count))
        return averaged

    def start_sum(self, tensor: Tensor) -> Callable[[], None]:
        """Begin to replace a tensor by its sum over all processes, in one message.

        Returns what has to be called before the tensor is read: it waits for the end. Both raise `MachineError` if
        another process has ended.
        """
        work = self._meet(lambda: dist.all_reduce(tensor, async_op=True))
        return lambda: self._meet(work.wait)

    def exchange(self, tensors: Sequence[Tensor], owners: Sequence[int]) -> None:
        """Replace every tensor by that of the process that owns it.

        Tensors have to lie alike in all processes. Raises `MachineError` if another process has ended.
        """
        if self.count == 1:
            return
        rows = self._next_page(tensors)
        owned = [[number for number, owner in enumerate(owners) if owner == rank] for rank in range(self.count)]
        if rows is None:
            for rank, numbers in enumerate(owned):
                self._broadcast([tensors[number] for number in numbers], rank)
            return
        own = owned[self.rank]
        _copy([tensors[number] for number in own], [rows[self.rank][number] for number in own])
        self.wait()
        for rank, numbers in enumerate(owned):
            if rank != self.rank:
                _copy([rows[rank][number] for number in numbers], [tensors[number] for number in numbers])

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process; all meet here."""
        return bool(self.average([], float(flag))[0] > 0)

    def wait(self) -> None:
        """All meet here."""
        if self.count > 1:
            self._meet(dist.barrier)

    def gather(self, content: bytes) -> list[bytes]:
        """What each process hands over here, by rank."""
        if self.count == 1:
            return [content]
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        self._meet(lambda: dist.all_gather(sizes, torch.tensor([len(content)])))
        message = torch.zeros(max(1, *(int(size) for size in sizes)), dtype=torch.uint8)
        message[: len(content)] = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)[: len(content)]
        found = [torch.zeros_like(message) for _ in sizes]
        self._meet(lambda: dist.all_gather(found, message))
        return [bytes(one[: int(size)].numpy()) for one, size in zip(found, sizes, strict=True)]

    def give(self, content: bytes | memoryview) -> bytes:
        """What the first process hands over here; what the others do is not looked at."""
        if self.count == 1:
            return bytes(content)
        size = torch.tensor([len(content)])
        self._meet(lambda: dist.broadcast(size, 0))
        message = torch.empty(int(size), dtype=torch.uint8)
        if self.first:
            message.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self._meet(lambda: dist.broadcast(message, 0))
        return message.numpy().tobytes()

    def agree(self, number: int, what: str) -> None:
        """Raises `CheckpointError` in every process unless all have the same number (exact up to 2^24)."""
        if self.any(self.average([], float(number))[0] != number):
            raise CheckpointError(f"The {self.count} processes differ in {what}; give all of them the same folder.")

    def _average_by_message(self, tensors: Sequence[Tensor], numbers: Sequence[float]) -> list[float]:
        # One message, so that a device is waited for once; NCCL averages it there.
        told = torch.tensor([*(float(number) for number in numbers), 0.0])
        message = torch.cat([tensor.reshape(-1) for tensor in tensors]).to(carrier_of(tensors)) if tensors else told
        message = torch.cat([message, told.to(message.device)]) if tensors else message
        self._meet(lambda: dist.all_reduce(message))
        *means, averaged = torch.split(message.div_(self.count), [*(t.numel() for t in tensors), len(numbers) + 1])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))
        return averaged.tolist()[:-1]

    def _broadcast(self, tensors: Sequence[Tensor], rank: int) -> None:
        if not tensors:
            return
        message = torch.cat([tensor.reshape(-1) for tensor in tensors]).to(carrier_of(tensors))
        self._meet(lambda: dist.broadcast(message, rank))
        for tensor, told in zip(tensors, torch.split(message, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(told.view_as(tensor))

    def _next_page(self, like: Sequence[Tensor]) -> list[list[Tensor]] | None:
        """Room in memory that all share, by rank, for tensors like these; None where it has to be messages."""
        size = sum(tensor.numel() for tensor in like)
        if not self.together or not size or like[0].device.type != "cpu":
            return None
        if self.memory is None or self.memory.size < size:
            self.memory = self._meet(lambda: share_memory(self.rank, self.count, size))
            self.together = self.memory is not None
        return None if self.memory is None else self.memory.next_page(like)

    def _meet(self, meeting: Callable[[], Result]) -> Result:
        try:
            return meeting()
        except RuntimeError as error:
            if device_failed(error):  # this one's own
                raise
            raise ProcessLostError(
                f"Another of the {self.count} processes has ended, so this one cannot go on; its own message says why."
            ) from error


def carrier_of(tensors: Sequence[Tensor]) -> torch.device:
    """Where messages about tensors are carried from: their own GPU where NCCL is at hand, else the CPU."""
    device = tensors[0].device if tensors else torch.device("cpu")
    return device if device.type == "cuda" and dist.is_nccl_available() else torch.device("cpu")


@contextmanager
def join() -> Iterator[Processes]:
    """Meet the other processes, if there are any, take this one's share of the machine's cores, and part at the end.

    Processes that each compute with one thread are quicker than one with as many threads: they wait for each other
    once a step, not within every operation. Raises `MachineError` for an environment that names no place among the
    others, and where these do not come. Between machines each watches over the others (`watching`).
    """
    count = _number("WORLD_SIZE", 1)
    if count == 1:
        # Whatever is free now: on resuming the same number of threads gives the same weights, bit for bit.
        if threads.chosen() is None and torch.get_num_threads() > limits.cores():
            torch.set_num_threads(limits.cores())
        yield Processes()
        return
    rank, here = _number("RANK", None, 0, count - 1), _number("LOCAL_WORLD_SIZE", 0, 0, count)
    torch.set_num_threads(max(1, limits.cores() // (here or count)))
    _meet_all(rank, count)
    try:
        with watched(rank, count) if here != count else nullcontext():
            yield Processes(rank, count, here == count, _number("LOCAL_RANK", 0, 0, count - 1))
    finally:
        dist.destroy_process_group()


STARTED_BY = "processes that train together are started by {} or torchrun, which say where they meet"


def _number(name: str, otherwise: int | None, least: int = 1, most: int = 2**16) -> int:
    """A whole number of the environment. Raises `MachineError` for anything else."""
    text = os.environ.get(name, "" if otherwise is None else str(otherwise))
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        said = f"is {shortened(text, 40)!r}" if text else "is missing"
        how = STARTED_BY.format(option("processes", None))
        must = f"it must be a whole number from {least} to {most}"
        raise MachineError(f"The variable {name} of the environment {said}; {must}: {how}.")
    return int(text)


def _meet_all(rank: int, count: int) -> None:
    host, port = os.environ.get("MASTER_ADDR", ""), _number("MASTER_PORT", None, 1, 65535)
    try:
        socket.getaddrinfo(host or None, port)
        store, _, _ = next(rendezvous("env://", rank, count, timeout=JOINING))
        store.set_timeout(PATIENCE)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    except (OSError, ValueError, RuntimeError) as error:
        # The others may have gone while this one waited for them.
        kind = ProcessLostError if isinstance(error, RuntimeError) else MachineError
        raise kind(
            f"The {count} processes could not meet at {shortened(host, 80)!r}, port {port} ({reason_of(error)});"
            f" {STARTED_BY.format(option('processes', None))}."
        ) from error


def _copy(tensors: Sequence[Tensor], places: Sequence[Tensor]) -> None:
    for tensor, place in zip(tensors, places, strict=True):
        place.copy_(tensor)


def own_device() -> torch.device:
    """Return the processor, or this process's own of the machine's GPUs."""
    device = choose_device("auto")
    if device.type == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    return device
