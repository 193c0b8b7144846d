"""How much of the result is taken: mixed with the photograph as it was taken, for every entry in the same way."""

from dataclasses import replace
from numbers import Real

import torch
from torch import Tensor

from dualpix.errors import PictureError, option
from dualpix.io import Metadata
from dualpix.pairs.sample import mean_view

ALL = 1.0


def check_strength(strength: float) -> None:
    """Raise `PictureError` unless this is a number from 0 to 1."""
    if not isinstance(strength, Real) or not 0 <= float(strength) <= ALL:  # false for NaN too
        raise PictureError(
            f"The strength cannot be {strength!r}; give {option('strength', None)} a number from 0, as taken, to 1, all"
            " of the result."
        )


def blend(picture: Tensor, left: Tensor, right: Tensor, strength: float) -> Tensor:
    """The result mixed with the mean of the views, on display-encoded values; at full strength the result itself.

    Args:
        picture: the result, 3 x H x W in [0, 1].
        left: the left view as it was given, alike.
        right: the right view.
        strength: share of the result, 0 to 1.
    """
    if strength == ALL:
        return picture
    taken = mean_view(left, right)
    return torch.lerp(taken, picture, float(strength), out=taken)


def with_choices(metadata: Metadata, strength: float, keep_blur: str | None = None) -> Metadata:
    """Add to the note on how the picture was made what kept its blur, and the strength unless it is 1."""
    chosen = [] if keep_blur is None else [f"blur kept {keep_blur}"]
    chosen += [] if strength == ALL else [f"strength {strength:.2f}"]
    if not chosen or not metadata.software:
        return metadata
    return replace(metadata, software=", ".join([metadata.software, *chosen]))
