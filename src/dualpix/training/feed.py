"""Batches of crops. Every batch is a function of the recipe and the step alone, so a resumed run sees the same ones."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor

from dualpix.datasets import Sample, Samples, mean_view
from dualpix.datasets.decoded import stored
from dualpix.errors import DataError
from dualpix.io.decoded import in_unit_range
from dualpix.machine import limits
from dualpix.pairs.flips import draw_turns, exchange_views, random_crop, turn_at_random
from dualpix.simulation.store import Rendered
from dualpix.training.recipes import Recipe

Batch = dict[str, Tensor]
"""Named pictures B 3 H W and maps B 1 H W, channels-last in memory."""

MOST_CROPS = 4096
"""Crops of a step that have random numbers of their own."""


class CropSource(Protocol):
    """Where the crops of a step are cut from.

    slow: whether reading a picture takes so long that the next step's are read during this one.
    """

    slow: bool

    def draw(self, step: int, generator: torch.Generator) -> Sample:
        """A picture to cut from at this step; its numbers may be those of `io.decoded.Stored`."""
        ...


class Moving:
    """Simulated scenes from a pool that moves on: the oldest leave as new ones come."""

    slow = False

    def __init__(self, scenes: Rendered | None, recipe: Recipe) -> None:
        """scenes: None where it is asked for numbers only."""
        self.kept, self.pool, self.fresh = scenes, recipe.pool, recipe.fresh

    @property
    def scenes(self) -> Rendered:
        """The scenes, by their numbers."""
        assert self.kept is not None
        return self.kept

    def window(self, step: int) -> tuple[int, int]:
        """The first scene of the pool at this step, and the first that is not yet in it."""
        oldest = int(step * self.fresh)
        return oldest, oldest + self.pool

    def number(self, step: int, generator: torch.Generator) -> int:
        """That of the scene which `draw` takes."""
        return int(torch.randint(*self.window(step), (), generator=generator))

    def draw(self, step: int, generator: torch.Generator) -> Sample:
        """See `CropSource`."""
        return self.scenes[self.number(step, generator)]


class Fixed:
    """The pictures of a data set, each as likely as any other. They are large files, to be decoded."""

    slow = True

    def __init__(self, samples: Samples | Sequence[Sample]) -> None:
        self.samples = samples

    def draw(self, step: int, generator: torch.Generator) -> Sample:
        """See `CropSource`."""
        return stored(self.samples, int(torch.randint(len(self.samples), (), generator=generator)))


class Mixed:
    """Simulated scenes beside the pictures of a data set: each crop is of a simulated one with probability `share`."""

    slow = True

    def __init__(self, simulated: Moving, real: Fixed, share: float) -> None:
        self.simulated, self.real, self.share = simulated, real, share

    def draw(self, step: int, generator: torch.Generator) -> Sample:
        """See `CropSource`."""
        source = self.simulated if _is_simulated(self.share, generator) else self.real
        return source.draw(step, generator)


def _is_simulated(share: float, generator: torch.Generator) -> bool:
    return float(torch.rand((), generator=generator)) < share


def scenes_at(recipe: Recipe, step: int) -> list[int]:
    """The numbers of the simulated scenes that the crops of a step are cut from, in their order, each once."""
    pool, numbers = Moving(None, recipe), []
    for k in range(size_at(recipe, step)[0]):
        generator = generator_of(recipe, step, k)
        if not recipe.simulated or _is_simulated(recipe.simulated, generator):
            numbers.append(pool.number(step, generator))
    return list(dict.fromkeys(numbers))


def generator_of(recipe: Recipe, step: int, k: int) -> torch.Generator:
    """What decides all that is random in crop `k` of a step."""
    # The generator takes 32 bits; seeds are spread over them, and 0 leaves the count as it is.
    count = (step * MOST_CROPS + k) ^ (recipe.seed * 0x9E3779B1)
    return torch.Generator().manual_seed(count & 0xFFFFFFFF)


def pool_of(source: CropSource) -> Moving | None:
    """The part of a source that is simulated, if any."""
    if isinstance(source, Mixed):
        return source.simulated
    return source if isinstance(source, Moving) else None


def sizes(recipe: Recipe) -> tuple[tuple[int, int], tuple[int, int]]:
    """Crops in a batch and their side, before the last `final_steps` and during them."""
    early = recipe.batch, recipe.crop
    return early, (recipe.final_batch or recipe.batch, recipe.final_crop or recipe.crop)


def size_at(recipe: Recipe, step: int) -> tuple[int, int]:
    """Crops in the batch of a step, over all processes, and their side."""
    return sizes(recipe)[step >= recipe.steps - recipe.final_steps]


def lack(sample: Sample, names: Sequence[str]) -> str:
    """What a sample does not have of what a crop has to hold, "" if it has all; a centre view can be made."""
    missing = [name for name in names if name not in sample and name != "center"]
    return f"no {'sharp picture' if missing[0] == 'sharp' else missing[0]} to learn from" if missing else ""


class Feed:
    """Cuts one process's share of every batch; crop k of a step is the same whoever cuts it.

    names: of the pictures and maps wanted: what the network takes, and what it learns from.
    share: from the number of crops in a batch to those that are this process's.
    """

    def __init__(
        self, source: CropSource, recipe: Recipe, names: Sequence[str], share: Callable[[int], range] = range
    ) -> None:
        self.source, self.recipe, self.names, self.share = source, recipe, tuple(names), share
        most = max(len(share(batch)) for batch, _ in sizes(recipe))
        self.readers = ThreadPoolExecutor(min(most, limits.cores())) if source.slow else None
        self.ordered: dict[int, list[Future[Sample]]] = {}

    def batch(self, step: int) -> Batch:
        """This process's share of the batch of a step, counted from 0."""
        crops = self._crops(step)
        stack = {name: torch.stack([crop[name] for crop in crops]) for name in self.names}
        return {name: pictures.contiguous(memory_format=torch.channels_last) for name, pictures in stack.items()}

    def close(self) -> None:
        """End the threads that read."""
        if self.readers:
            self.readers.shutdown(cancel_futures=True)

    def _crops(self, step: int) -> list[Sample]:
        if not self.readers:
            return [self._crop(step, k) for k in self._mine(step)]
        self.ordered = {
            wanted: self.ordered.get(wanted) or [self.readers.submit(self._crop, wanted, k) for k in self._mine(wanted)]
            for wanted in (step, step + 1)
        }
        return [crop.result() for crop in self.ordered[step]]

    def _mine(self, step: int) -> range:
        return self.share(size_at(self.recipe, step)[0])

    def _crop(self, step: int, k: int) -> Sample:
        generator = generator_of(self.recipe, step, k)
        sample = self.source.draw(step, generator)
        if why := lack(sample, self.names):
            raise DataError(f"The pair {sample['name']!r} has {why}; take it out of the data.")
        crop = random_crop(sample, size_at(self.recipe, step)[1], generator)
        crop = {name: in_unit_range(x) if isinstance(x, Tensor) else x for name, x in crop.items()}
        if "center" in self.names and "center" not in crop:
            crop["center"] = mean_view(crop["left"], crop["right"])
        crop = turn_at_random(crop, generator, mirrors=self.recipe.augment)
        swap = self.recipe.negate_depth and draw_turns(1, generator)[0]
        return exchange_views(crop) if swap else crop
