"""Batches of a feed of the CPU, on their way to a device while the step before is computed there."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from dualpix.simulation.painting import moved
from dualpix.training.feed import Batch, Feed


class Prefetching:
    """Takes the place of a feed for a device: the next batch is cut, pinned and copied beside the step.

    A thread waits for its crops, and a second stream of a GPU copies them; the stream that computes waits for that
    copy, and the host for nothing but crops.

    Args:
        feed: What cuts the batches; it is closed with this object.
        device: Where the network learns.
    """

    def __init__(self, feed: Feed, device: torch.device) -> None:
        self.feed, self.device = feed, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.worker = ThreadPoolExecutor(1)
        self.ordered: dict[int, Future[tuple[Batch, Any]]] = {}

    def batch(self, step: int) -> Batch:
        """This process's share of the batch of a step, on the device; raises what the feed raises for this step."""
        wanted = {step, step + 1}
        for number in self.ordered.keys() - wanted:
            self.ordered.pop(number).cancel()
        for number in sorted(wanted - self.ordered.keys()):
            self.ordered[number] = self.worker.submit(self._bring, number)
        batch, arrived = self.ordered.pop(step).result()
        if arrived is not None:
            computing = torch.cuda.current_stream(self.device)
            computing.wait_event(arrived)
            for pictures in batch.values():
                pictures.record_stream(computing)  # so that its memory is not used again too early
        return batch

    def close(self) -> None:
        """End the thread, and the feed."""
        self.worker.shutdown(cancel_futures=True)
        self.feed.close()

    def _bring(self, step: int) -> tuple[Batch, Any]:
        """The batch, and on a GPU the event of its arrival."""
        batch = self.feed.batch(step)
        with self._beside():
            there = {name: moved(pictures, self.device) for name, pictures in batch.items()}
            return there, self.stream.record_event() if self.stream else None

    def _beside(self) -> AbstractContextManager[Any]:
        beside: Callable[..., AbstractContextManager[Any]] = torch.cuda.stream
        return beside(self.stream) if self.stream else nullcontext()
