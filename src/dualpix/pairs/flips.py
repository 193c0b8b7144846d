"""Crops and mirrors that keep the optics of a dual-pixel pair right; each takes a sample and returns a new one.

Content behind the focal plane lies further right in the right view (disparity d = x_right - x_left > 0). Mirroring left
to right reverses that order, as if the content were in front of the plane; exchanging the views reverses it once more.
So a left-right mirror **exchanges the views**, an up-down mirror leaves them, and there are no quarter turns, which
would make the disparity vertical. Exchanging the views alone negates the depth relative to the focal plane: possible
optics, but of another scene.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dualpix.errors import DataError
from dualpix.pairs.sample import Sample

SIGNED_MAPS = ("blur_px", "disparity_px")
"""Maps of a sample whose sign says on which side of the focal plane a point lies."""


def augment(
    sample: Sample, crop_px: int, generator: torch.Generator, *, negate_depth: bool = False, mirrors: bool = True
) -> Sample:
    """Crop at random, then mirror at random, each mirror with probability 1/2.

    The same number of random draws is made whatever their outcome, so that a generator's later draws do not depend on
    it.

    Args:
        sample: Pictures and maps, C x H x W each.
        crop_px: Side of the square crop in pixels.
        generator: The only source of randomness.
        negate_depth: Also exchange the views alone with probability 1/2.
        mirrors: Whether to mirror at all.

    Raises:
        DataError: A picture is smaller than the crop.

    Example:
        >>> import torch
        >>> sample = {name: torch.rand(3, 40, 60) for name in ("left", "right", "center", "sharp")}
        >>> augment(sample, 32, torch.Generator().manual_seed(0))["left"].shape
        torch.Size([3, 32, 32])
    """
    sample = random_crop(sample, crop_px, generator)
    return turn_at_random(sample, generator, negate_depth=negate_depth, mirrors=mirrors)


def turn_at_random(
    sample: Sample, generator: torch.Generator, *, negate_depth: bool = False, mirrors: bool = True
) -> Sample:
    """The second part of `augment`: the mirrors, without a crop."""
    turns = (mirror, flip_vertical, exchange_views) if negate_depth else (mirror, flip_vertical)
    for turn, chosen in zip(turns, draw_turns(len(turns), generator), strict=True):
        sample = turn(sample) if chosen and (mirrors or turn is exchange_views) else sample
    return sample


def random_crop(sample: Sample, crop_px: int, generator: torch.Generator) -> Sample:
    """Cut the same random window out of every picture and map of a sample.

    Args:
        sample: Pictures and maps, C x H x W each.
        crop_px: Side of the square window in pixels.
        generator: Source of randomness.

    Raises:
        DataError: A picture is smaller than the window.
    """
    height, width = sample["left"].shape[-2:]
    if min(height, width) < crop_px:
        raise DataError(
            f"A crop of {crop_px} x {crop_px} does not fit into {sample.get('name', 'a picture')!r}, which is"
            f" {width} x {height} (width x height); ask for a smaller crop or leave the picture out."
        )
    top, left = draw_window(height, width, crop_px, generator)
    # A clone, because a view of the window would keep the whole picture, and send it between processes.
    return _each(sample, lambda picture: picture[..., top : top + crop_px, left : left + crop_px].clone())


def draw_window(height: int, width: int, crop_px: int, generator: torch.Generator) -> tuple[int, int]:
    """Draw the first row and column of a square window in a picture of that size."""
    top, left = (int(torch.randint(side - crop_px + 1, (), generator=generator)) for side in (height, width))
    return top, left


def draw_turns(count: int, generator: torch.Generator) -> list[bool]:
    """Draw which of `count` mirrors or exchanges are taken, each with probability 1/2."""
    return [bool(chosen) for chosen in torch.rand(count, generator=generator) < 0.5]


def mirror(sample: Sample) -> Sample:
    """Mirror left to right and exchange the views: the mirrored scene as the same camera would take it."""
    return _exchange(_each(sample, lambda picture: picture.flip(-1)))


def flip_vertical(sample: Sample) -> Sample:
    """Mirror top to bottom, which leaves disparity along rows as it is."""
    return _each(sample, lambda picture: picture.flip(-2))


def exchange_views(sample: Sample) -> Sample:
    """Exchange the views alone: every point changes its side of the focal plane, and signed maps change sign."""
    return _exchange(sample) | {key: -sample[key] for key in SIGNED_MAPS if key in sample}


FLIPS: dict[tuple[int, ...], Callable[[Sample], Sample]] = {
    (): lambda sample: sample,
    (-1,): mirror,
    (-2,): flip_vertical,
    (-2, -1): lambda sample: flip_vertical(mirror(sample)),
}
"""The four mirrors of a pair, by the axes along which a picture of the scene is flipped; each is its own inverse."""


def _exchange(sample: Sample) -> Sample:
    return {**sample, "left": sample["right"], "right": sample["left"]}


def _each(sample: Sample, change: Callable[[Tensor], Tensor]) -> Sample:
    return {key: change(thing) if isinstance(thing, Tensor) else thing for key, thing in sample.items()}
