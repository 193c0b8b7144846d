"""What every source of two views consists of, and how arrays become views."""

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
    """A pair as it lies for processing, with disparity along rows.

    Attributes:
        quarter_turns: How often its views were turned counter-clockwise for that; `turning.restore_orientation` turns a
            result back.
        inspection: The comparison of the views, if one was made.
    """

    quarter_turns: int
    inspection: NotRequired[Inspection]


def views_of(pair: Pair, quarter_turns: int = 0) -> Views:
    """A pair as views that were turned `quarter_turns` times counter-clockwise."""
    return cast(Views, {**pair, "quarter_turns": quarter_turns})


@dataclass(frozen=True)
class Source:
    """One kind of file with two views.

    Attributes:
        name: Its name as a `layout`.
        read: Gives the `Views` of a path, of at most so many megapixels; raises PictureError or PairError.
        recognises: Whether a file is of this kind, from its path and first bytes; None where only the user can know.
        endings: Name endings of files that hold both views whatever else their names say.
        is_picture: Whether the file is of one of `io.formats` as well, so that results are written in its format;
            otherwise they become TIFFs.
        about: Such files in words, for the page; empty where they look like any picture.
        recover: Like `read`, with the highlights that one half has and the sum of both has not; None where there are
            none.
    """

    name: str
    read: Callable[[Path, float], Views]
    recognises: Callable[[Path, bytes], bool] | None = None
    endings: tuple[str, ...] = ()
    is_picture: bool = True
    about: str = ""
    recover: Callable[[Path, float], Views] | None = None


def as_view(pixels: NDArray[Any]) -> Tensor:
    """Convert floats H x W (grey) or H x W x 3 to a float32 tensor 3 x H x W."""
    colour = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    return torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1), dtype=np.float32))
