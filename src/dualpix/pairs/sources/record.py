"""What every source of two views is made of: what all ask of one, the views that it gives, how arrays become those."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualpix.pairs.verdict import Inspection
from dualpix.pairs.views import Pair


class Views(Pair):
    """A pair with `quarter_turns`: how often its views were turned counter-clockwise to bring disparity onto the rows.

    What is made of them is turned back by `turning.restore_orientation`. `inspection`: how they compare, where that was
    asked.
    """

    quarter_turns: int
    inspection: NotRequired[Inspection]


def views_of(pair: Pair, quarter_turns: int = 0) -> Views:
    """A pair as views that were turned so often."""
    return cast(Views, {**pair, "quarter_turns": quarter_turns})


@dataclass(frozen=True)
class Source:
    """A kind of file with two views.

    name: what `layout` calls it. read: from its path and the most megapixels that are allowed to `Views`; raises
    PictureError or PairError. recognises: whether a file is of this kind, from its path and first bytes; None where
    only the user can know. endings: of the names of files that hold both views whatever else their names say.

    is_picture: the file is one of `io.formats` as well, so that results take its format; else they become TIFFs.
    about: such files in words, for the page; empty where they look like any picture. recover: as `read`, with the
    highlights that one half of the light shows and both together do not; None for files that have no such.
    """

    name: str
    read: Callable[[Path, float], Views]
    recognises: Callable[[Path, bytes], bool] | None = None
    endings: tuple[str, ...] = ()
    is_picture: bool = True
    about: str = ""
    recover: Callable[[Path, float], Views] | None = None


def as_view(pixels: NDArray[Any]) -> Tensor:
    """H x W (grey) or H x W x 3 floats to a float32 tensor 3 x H x W."""
    colour = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    return torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1), dtype=np.float32))
