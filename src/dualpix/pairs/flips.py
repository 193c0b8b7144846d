"""Crops and mirrors that keep dual-pixel geometry true; every function takes a sample and returns a new one.

Content behind the focal plane lies further right in the right view (disparity d = x_right - x_left > 0). Mirrored
left to right, that order turns round, as if the scene were in front; exchanging the views turns it back. So a
left-right mirror **exchanges the views**, an up-down mirror is free, and there are no quarter turns, which would make
the disparity vertical. Exchanging the views alone negates depth: lawful optics, of another scene.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dualpix.errors import DataError
from dualpix.pairs.sample import Sample

SIGNED_MAPS = ("blur_px", "disparity_px")
"""Maps whose sign says which side of the focal plane a point is on."""


def augment(
    sample: Sample, crop_px: int, generator: torch.Generator, *, negate_depth: bool = False, mirrors: bool = True
) -> Sample:
    """A random crop of `crop_px` x `crop_px`, then each mirror with probability one half, unless not `mirrors`.

    With `negate_depth` the views alone are exchanged half the time as well. The draws come from `generator` only, the
    same number whatever their outcome. Raises `DataError` if a picture is smaller than the crop.
    """
    sample = random_crop(sample, crop_px, generator)
    turns = (mirror, flip_vertical, exchange_views) if negate_depth else (mirror, flip_vertical)
    for turn, chosen in zip(turns, torch.rand(len(turns), generator=generator) < 0.5, strict=True):
        sample = turn(sample) if chosen and (mirrors or turn is exchange_views) else sample
    return sample


def random_crop(sample: Sample, crop_px: int, generator: torch.Generator) -> Sample:
    """The same random `crop_px` x `crop_px` window of every picture and map."""
    height, width = sample["left"].shape[-2:]
    if min(height, width) < crop_px:
        raise DataError(
            f"A crop of {crop_px} x {crop_px} does not fit into {sample.get('name', 'a picture')!r}, which is"
            f" {width} x {height} (width x height); ask for a smaller crop or leave the picture out."
        )
    top = int(torch.randint(height - crop_px + 1, (), generator=generator))
    left = int(torch.randint(width - crop_px + 1, (), generator=generator))
    # A clone, because a window alone would keep (and send between processes) the whole picture.
    return _each(sample, lambda picture: picture[..., top : top + crop_px, left : left + crop_px].clone())


def mirror(sample: Sample) -> Sample:
    """Mirror left to right and exchange the views: the mirrored scene as the same camera would take it."""
    return _exchange(_each(sample, lambda picture: picture.flip(-1)))


def flip_vertical(sample: Sample) -> Sample:
    """Mirror up to down, which disparity along rows does not notice."""
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
"""The four ways a pair can lie, by the axes along which a picture of the scene is flipped; each undoes itself."""


def _exchange(sample: Sample) -> Sample:
    return {**sample, "left": sample["right"], "right": sample["left"]}


def _each(sample: Sample, change: Callable[[Tensor], Tensor]) -> Sample:
    return {key: change(thing) if isinstance(thing, Tensor) else thing for key, thing in sample.items()}
