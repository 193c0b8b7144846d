"""Batches of crops. Every batch is a function of the recipe and the step alone, so a resumed run sees the same ones."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from dualpix.data import Samples
from dualpix.data.augment import augment, exchange_views
from dualpix.data.rendered import Rendered
from dualpix.recipes import Recipe

Batch = dict[str, Tensor]
"""Named pictures B 3 H W, channels-last in memory."""


class Source(Protocol):
    """Where the crops of a step are cut from."""

    def choose(self, step: int, generator: torch.Generator) -> int:
        """The index of a picture to cut from at this step."""
        ...

    def __getitem__(self, index: int, /) -> dict[str, Tensor | str]: ...


class Moving:
    """Simulated scenes from a pool that moves on: the oldest leave as new ones come."""

    def __init__(self, scenes: Rendered, recipe: Recipe) -> None:
        self.scenes, self.pool, self.fresh = scenes, recipe.pool, recipe.fresh

    def window(self, step: int) -> tuple[int, int]:
        """The first scene of the pool at this step, and the first that is not yet in it."""
        oldest = int(step * self.fresh)
        return oldest, oldest + self.pool

    def choose(self, step: int, generator: torch.Generator) -> int:
        return int(torch.randint(*self.window(step), (), generator=generator))

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        return self.scenes[index]


class Fixed:
    """The pictures of a data set, each as likely as any other."""

    def __init__(self, samples: Samples | Sequence[dict[str, Tensor | str]]) -> None:
        self.samples = samples

    def choose(self, step: int, generator: torch.Generator) -> int:
        return int(torch.randint(len(self.samples), (), generator=generator))

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        return self.samples[index]


class Feed:
    """Cuts one process's share of every batch; crop k of a step is the same however many processes share."""

    def __init__(self, source: Source, recipe: Recipe, views: Sequence[str], rank: int = 0, processes: int = 1) -> None:
        self.source, self.recipe, self.names = source, recipe, (*views, "sharp")
        share = recipe.batch // processes
        self.mine = range(rank * share, (rank + 1) * share)

    def batch(self, step: int) -> Batch:
        crops = [self._crop(step, k) for k in self.mine]
        stack = {name: torch.stack([torch.as_tensor(crop[name]) for crop in crops]) for name in self.names}
        return {name: pictures.contiguous(memory_format=torch.channels_last) for name, pictures in stack.items()}

    def _crop(self, step: int, k: int) -> dict[str, Tensor | str]:
        generator = torch.Generator().manual_seed((self.recipe.seed << 40) + step * 4096 + k)
        sample = self.source[self.source.choose(step, generator)]
        crop = augment(sample, self.recipe.crop, generator)
        swap = self.recipe.negate_depth and bool(torch.rand((), generator=generator) < 0.5)
        return exchange_views(crop) if swap else crop
