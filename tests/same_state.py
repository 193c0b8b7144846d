"""Whether two states of a training are the same, for several tests."""

from typing import Any

import torch


def flat(thing: Any) -> list[Any]:
    """Everything inside, in order."""
    if isinstance(thing, dict):
        return [one for key in thing for one in [key, *flat(thing[key])]]
    return [one for inner in thing for one in flat(inner)] if isinstance(thing, list | tuple) else [thing]


def same(one: Any, two: Any) -> bool:
    pairs = list(zip(flat(one), flat(two), strict=True))
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)
