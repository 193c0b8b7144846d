"""The disparity of a pair: found (`inference.finder`), written as a file, shown in colours."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dualpix.errors import PictureError
from dualpix.inference.bands import Progress
from dualpix.inference.colours import signed_colours
from dualpix.inference.deblur import WeightsLike, as_sample, open_network
from dualpix.inference.finder import Finder, finder_for
from dualpix.inference.options import DeblurOptions
from dualpix.inference.pyramid import find_disparity
from dualpix.io import Metadata, PictureLike, write_picture
from dualpix.machine.modes import settled
from dualpix.pairs import lay_along_rows, require_pair, restore_orientation
from dualpix.pairs.brightness import match_brightness

ZERO_LEVEL, LEVELS_PER_PX = 32768, 512
MAP_SUFFIXES = (".png", ".tif", ".tiff")
LEAST_SCALE_PX = 0.5  # so that a pair without disparity does not look like one with much


@dataclass(frozen=True)
class Disparity:
    """`disparity_px`: x_right - x_left of every pixel of the sharp picture, 1 H W, positive behind the plane in focus.

    `confidence`: 0 to 1, 1 H W: how clearly one disparity stands out for a pixel, and how well the two views agree on
    it. Low where nothing has texture along the row. It orders pixels by their likely error; it is no probability.

    `warnings`: what had to be done differently, one sentence each.
    """

    disparity_px: Tensor
    confidence: Tensor
    warnings: tuple[str, ...] = ()


@settled()
def disparity(
    left: PictureLike,
    right: PictureLike,
    weights: WeightsLike = None,
    *,
    memory: str | int | None = None,
    band_rows: int | None = None,
    device: str | torch.device = "auto",
    turn: str = "auto",
    progress: Progress | None = None,
) -> Disparity:
    """Return the disparity of a pair that the network's cross-correlation finds, and how sure it is.

    Arguments are those of `deblur`, and `turn` is as in `DeblurOptions`. At most as far as the network looks, and 32
    pixels, either way; computed in fp32. Raises what `deblur` does for these arguments, and `CheckpointError`
    for networks that do not correlate.
    """
    options = DeblurOptions(memory=memory, band_rows=band_rows, device=device, turn=turn)
    sample = as_sample(left, right)
    require_pair(sample["left"], sample["right"])
    sample = lay_along_rows(sample, options.turn)
    views = match_brightness(sample["left"], sample["right"])[:2]
    found, _, notes = find_disparity(finder_of(weights), views, options, progress)
    found = restore_orientation(found, sample)
    return Disparity(found[:1], found[1:], notes)


def finder_of(weights: WeightsLike = None) -> Finder:
    """The cross-correlation of these weights. Raises `CheckpointError` for those that have none, or none in reach."""
    return finder_for(open_network(weights))


def write_disparity(
    path: str | Path, disparity_px: Tensor, metadata: Metadata | None = None, *, overwrite: bool = False
) -> None:
    """Write disparities, 1 H W, as grey levels of 16 bits: level = 32768 + 512 times pixels, from -64 to 63.998 pixels.

    `metadata`: what to write along. Raises `PictureError` as `write_picture` does, and for formats of 8 bits.
    """
    check_map(path)
    levels = (ZERO_LEVEL + LEVELS_PER_PX * disparity_px).clamp(0, 65535)
    _write_grey(path, levels / 65535, metadata, overwrite)


def write_confidence(
    path: str | Path, confidence: Tensor, metadata: Metadata | None = None, *, overwrite: bool = False
) -> None:
    """Write confidences, 1 H W, as grey levels of 16 bits, black for 0 and white for 1; else like `write_disparity`."""
    check_map(path)
    _write_grey(path, confidence, metadata, overwrite)


def check_map(path: str | Path) -> None:
    """Raise `PictureError` for a file that cannot hold levels of 16 bits in grey, exactly."""
    if Path(path).suffix.lower() not in MAP_SUFFIXES:
        raise PictureError(f"{path} cannot hold a map of 16 bits; end its name in one of: {', '.join(MAP_SUFFIXES)}.")


def _write_grey(path: str | Path, plane: Tensor, metadata: Metadata | None, overwrite: bool) -> None:
    write_picture(path, plane.expand(3, -1, -1), 16, overwrite, metadata, grey=True)


def signed_picture(found: Disparity) -> Tensor:
    """The disparity in colours, 3 H W in [0, 1]: see `signed_colours`; full colour at `scale_px`."""
    return signed_colours(found.disparity_px[0], scale_px(found), found.confidence[0])


def scale_px(found: Disparity) -> float:
    """The disparity that 98 % of the confident pixels do not exceed, either way, but at least half a pixel."""
    size, order = found.disparity_px.abs().flatten().sort()
    share = found.confidence.flatten()[order].double().cumsum(0)
    return max(float(size[int((share < 0.98 * share[-1]).sum())]), LEAST_SCALE_PX)
