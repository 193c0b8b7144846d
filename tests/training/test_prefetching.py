"""Batches brought to a device ahead of their step: the same ones, and an error comes when its step does."""

from collections.abc import Callable
from contextlib import closing

import pytest
import torch

from dualpix.errors import DataError
from dualpix.training.feed import Feed, Fixed
from dualpix.training.prefetching import Prefetching
from dualpix.training.recipes import Recipe

Make = Callable[..., Recipe]
NAMES = ("left", "right", "sharp")
CPU = torch.device("cpu")


def samples() -> list[dict]:
    pictures = torch.rand(3, 3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    return [dict(zip(NAMES, three, strict=True)) | {"name": str(n)} for n, three in enumerate(pictures)]


def test_batches_are_those_of_the_feed(quick: Make) -> None:
    """In any order of steps, as a run that is resumed asks for them."""
    recipe = quick(batch=3)
    with closing(Feed(Fixed(samples()), recipe, NAMES)) as feed:
        wanted = [feed.batch(step) for step in range(9)]
    with closing(Prefetching(Feed(Fixed(samples()), recipe, NAMES), CPU)) as ahead:
        for step in (0, 1, 2, 7, 3, 4, 4):
            found = ahead.batch(step)
            assert all(torch.equal(found[name], wanted[step][name]) for name in NAMES)
            assert list(ahead.ordered) == [step + 1]
            assert found["left"].is_contiguous(memory_format=torch.channels_last)


def test_the_next_step_is_brought_while_this_one_is_computed(quick: Make) -> None:
    with closing(Prefetching(Feed(Fixed(samples()), quick(), NAMES), torch.device("meta"))) as ahead:
        batch = ahead.batch(0)
        assert {pictures.device.type for pictures in batch.values()} == {"meta"}
        there, arrived = ahead.ordered[1].result(60)
        assert {pictures.device.type for pictures in there.values()} == {"meta"} and arrived is None


def test_an_error_comes_with_its_step_and_closing_ends_all(quick: Make) -> None:
    class Failing(Fixed):
        def draw(self, step: int, generator: torch.Generator) -> dict:
            if step >= 2:
                raise DataError("the disk is gone")
            return super().draw(step, generator)

    with closing(Prefetching(Feed(Failing(samples()), quick(), NAMES), CPU)) as ahead:
        ahead.batch(0)
        ahead.batch(1)
        with pytest.raises(DataError, match="the disk is gone"):
            ahead.batch(2)
    with pytest.raises(RuntimeError, match="after shutdown"):
        ahead.batch(0)
