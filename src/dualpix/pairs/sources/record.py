"""What every source of two views shares: the record it fills in, and how arrays become views."""

from typing import Any, NotRequired, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualpix.pairs.verdict import Inspection
from dualpix.pairs.views import Pair


class Views(Pair):
    """A pair with `quarter_turns`: how often its views were turned counter-clockwise to bring disparity onto the rows.

    What is made of them is turned back by `turning.turn_back`. `inspection`: how they compare, where that was asked.
    """

    quarter_turns: int
    inspection: NotRequired[Inspection]


def views_of(pair: Pair, quarter_turns: int = 0) -> Views:
    """A pair as views that were turned so often."""
    return cast(Views, {**pair, "quarter_turns": quarter_turns})


def as_view(pixels: NDArray[Any]) -> Tensor:
    """H x W (grey) or H x W x 3 floats to a float32 tensor 3 x H x W."""
    colour = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    return torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1), dtype=np.float32))
