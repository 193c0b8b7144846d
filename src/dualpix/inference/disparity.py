"""The disparity of a pair: estimated (`inference.finder`), written as a file, shown in colours."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dualpix.errors import PictureError
from dualpix.inference.bands import Progress
from dualpix.inference.colours import signed_colours
from dualpix.inference.deblur import WeightsLike, as_sample, open_network
from dualpix.inference.finder import Finder, finder_for
from dualpix.inference.optics import Optics
from dualpix.inference.options import DeblurOptions
from dualpix.inference.pyramid import find_disparity
from dualpix.inference.registration import register
from dualpix.io import Metadata, PictureLike, write_picture
from dualpix.machine.modes import settled
from dualpix.machine.urls import Location
from dualpix.pairs import lay_along_rows, require_pair, restore_orientation
from dualpix.pairs.brightness import match_brightness

ZERO_LEVEL, LEVELS_PER_PX = 32768, 512
DISPARITY_FORMULA = f"disparity in pixels = (level - {ZERO_LEVEL}) / {LEVELS_PER_PX}"
MAP_SUFFIXES = (".png", ".tif", ".tiff")
LEAST_SCALE_PX = 0.5  # so that a pair without disparity is not shown in strong colours


@dataclass(frozen=True)
class Disparity:
    """The disparity of every pixel of the sharp picture, and the confidence in it.

    Args:
        disparity_px: `x_right - x_left` in pixels, 1 x H x W, positive behind the plane in focus.
        confidence: 0 to 1, 1 x H x W: how clearly one disparity stands out, and how well the two views agree on it. It
            is low where nothing has texture along the row. It ranks pixels by their likely error and is no probability.
        warnings: What had to be done differently, one sentence each.
        depth_m: The distance in metres, 1 x H x W, where the optics were given; infinity where the disparity exceeds
            that of infinity.
    """

    disparity_px: Tensor
    confidence: Tensor
    warnings: tuple[str, ...] = ()
    depth_m: Tensor | None = None


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
    metres: Optics | None = None,
    progress: Progress | None = None,
) -> Disparity:
    """Return the disparity of a pair, found by the network's cross-correlation, and the confidence in it.

    It is computed in fp32, and covers at most 32 pixels either way, or as far as the network looks if that is less.

    Args:
        left: As in `deblur`.
        right: As in `deblur`.
        weights: As in `deblur`; of a network with cross-correlation.
        memory: As in `DeblurOptions`.
        band_rows: As in `DeblurOptions`.
        device: As in `DeblurOptions`.
        turn: As in `DeblurOptions`.
        metres: The optics, by which the result has `depth_m` too. The disparity is then refined between pixels, and
            differs from the network's own by some tenths of a pixel (`inference.registration`).
        progress: As in `deblur`.

    Returns:
        Disparity and confidence, lying as the views do.

    Raises:
        CheckpointError: The weights cannot be used, or their network has no cross-correlation.
        PictureError: A view cannot be read.
        PairError: The views differ in size or kind.
        MachineError: This machine cannot do what the options ask.

    Example:
        >>> import torch
        >>> left = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
        >>> found = disparity(left, left.roll(2, dims=2), band_rows=48)
        >>> round(float(found.disparity_px[:, 8:-8, 8:-8].median()))
        2
    """
    options = DeblurOptions(memory=memory, band_rows=band_rows, device=device, turn=turn)
    sample = as_sample(left, right)
    require_pair(sample["left"], sample["right"])
    sample = lay_along_rows(sample, options.turn)
    views = match_brightness(sample["left"], sample["right"])[:2]
    found, _, notes = find_disparity(finder_of(weights), views, options, progress)
    if metres is None:
        found = restore_orientation(found, sample)
        return Disparity(found[:1], found[1:], notes)
    disparity_px = register(*views, found[:1], found[1:])
    found = restore_orientation(torch.cat([disparity_px, found[1:], metres.depth_m(disparity_px)]), sample)
    return Disparity(found[:1], found[1:2], (*notes, *metres.warnings), found[2:])


def finder_of(weights: WeightsLike = None) -> Finder:
    """Return the part of a network that finds disparity.

    Raises:
        CheckpointError: The weights cannot be used, or their network has no cross-correlation.
    """
    return finder_for(open_network(weights))


def write_disparity(
    path: str | Path, disparity_px: Tensor, metadata: Metadata | None = None, *, overwrite: bool = False
) -> None:
    """Write disparities as a grey 16-bit picture: level = 32768 + 512 * pixels, for -64 to 63.998 pixels.

    Args:
        path: A .png, .tif or .tiff file.
        disparity_px: 1 x H x W; what lies outside the range is clipped.
        metadata: What to write along.
        overwrite: Replace an existing file.

    Raises:
        PictureError: The format has 8 bits only, or the file cannot be written.
    """
    check_map(path)
    _write_grey(path, disparity_levels(disparity_px), metadata, overwrite)


def disparity_levels(disparity_px: Tensor) -> Tensor:
    """Disparities as `write_disparity` writes them, from 0 to 1."""
    return (ZERO_LEVEL + LEVELS_PER_PX * disparity_px).clamp(0, 65535) / 65535


def write_confidence(
    path: str | Path, confidence: Tensor, metadata: Metadata | None = None, *, overwrite: bool = False
) -> None:
    """Write confidences as a grey 16-bit picture, black for 0 and white for 1.

    Args:
        path: A .png, .tif or .tiff file.
        confidence: 1 x H x W, 0 to 1.
        metadata: What to write along.
        overwrite: Replace an existing file.

    Raises:
        PictureError: The format has 8 bits only, or the file cannot be written.
    """
    check_map(path)
    _write_grey(path, confidence, metadata, overwrite)


def check_map(path: str | Location) -> None:
    """Raise `PictureError` for a file whose format cannot hold grey levels of 16 bits without loss."""
    if Path(path).suffix.lower() not in MAP_SUFFIXES:
        raise PictureError(f"{path} cannot hold a map of 16 bits; end its name in one of: {', '.join(MAP_SUFFIXES)}.")


def _write_grey(path: str | Path, plane: Tensor, metadata: Metadata | None, overwrite: bool) -> None:
    write_picture(path, plane.expand(3, -1, -1), 16, overwrite, metadata, grey=True)


def signed_picture(found: Disparity) -> Tensor:
    """Return the disparity in colours, 3 x H x W in [0, 1], as `signed_colours` paints it; saturated at `scale_px`."""
    return signed_colours(found.disparity_px[0], scale_px(found), found.confidence[0])


def scale_px(found: Disparity) -> float:
    """Return the absolute disparity that 98 % of the confidence lies below, in pixels, and at least half a pixel."""
    size, order = found.disparity_px.abs().flatten().sort()
    share = found.confidence.flatten()[order].double().cumsum(0)
    return max(float(size[int((share < 0.98 * share[-1]).sum())]), LEAST_SCALE_PX)
