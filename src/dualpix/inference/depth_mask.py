"""A depth mask for picture editors: how near things are, in grey, out of the disparity."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dualpix.inference.disparity import Disparity, check_map
from dualpix.inference.refining import refine
from dualpix.io import Metadata, write_picture

LEFT_OUT = 0.01  # of the confidence, at either end of the range: single pixels that are far off
EVEN = 1e-6  # where nothing is sure all counts alike
LEAST_RANGE_PX = 1.0  # so that a wall does not get all levels from black to white


@dataclass(frozen=True)
class DepthMask:
    """A depth mask: level = (farthest_px - disparity) / (farthest_px - nearest_px), cut to [0, 1].

    Disparity grows with the distance as the blur does, linearly in 1 / distance, so equal steps of grey are equal steps
    of blur and not of metres.

    Attributes:
        levels: 1 H W, 1 for what is nearest and 0 for what is farthest.
        nearest_px: the disparity in pixels that is white.
        farthest_px: the one that is black; larger.
    """

    levels: Tensor
    nearest_px: float
    farthest_px: float

    @property
    def focus_level(self) -> float:
        """The level of the plane in focus, whose disparity is 0; outside [0, 1] where that lies outside the range."""
        return self.farthest_px / (self.farthest_px - self.nearest_px)

    @property
    def formula(self) -> str:
        """What the levels mean, in words, for people and for the file."""
        span = self.farthest_px - self.nearest_px
        return f"disparity in pixels = {self.farthest_px:.2f} - {span:.2f} x level, white 1, black 0"


def depth_mask(found: Disparity, guide: Tensor | None = None) -> DepthMask:
    """The disparity of a pair as a depth mask, from the range that all but 1 % of the confidence at either end takes.

    Args:
        found: what `dualpix.disparity` gives.
        guide: a picture of the pair, 3 H W: unsure places take the disparity of sure ones along its surfaces, and the
            mask has its edges. None leaves the disparity as it was found.
    """
    disparity_px, order = found.disparity_px.flatten().sort()
    share = (found.confidence.flatten()[order].double() + EVEN).cumsum(0)
    ends = torch.tensor([LEFT_OUT, 1 - LEFT_OUT], dtype=torch.double) * share[-1]
    places = torch.searchsorted(share, ends).clamp(max=len(share) - 1)
    nearest, farthest = disparity_px[places].tolist()
    lacking = max(0.0, LEAST_RANGE_PX - (farthest - nearest))
    nearest, farthest = nearest - lacking / 2, farthest + lacking / 2
    shown = found.disparity_px if guide is None else refine(found.disparity_px, found.confidence, guide)[0]
    levels = ((farthest - shown) / (farthest - nearest)).clamp(0, 1)
    return DepthMask(levels, nearest, farthest)


def write_depth_mask(
    path: str | Path, levels: Tensor, metadata: Metadata | None = None, *, overwrite: bool = False
) -> None:
    """Write the levels of a mask, 1 H W, as a grey picture of 16 bits, white for 1.

    Args:
        path: a PNG or TIFF file.
        levels: in [0, 1].
        metadata: what to write along.
        overwrite: replace what exists.

    Raises:
        PictureError: as `write_picture` does, and for formats of 8 bits.
    """
    check_map(path)
    write_picture(path, levels.expand(3, -1, -1), 16, overwrite, metadata, grey=True)
