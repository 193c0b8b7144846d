"""Only part of the picture made sharp: which part, by its disparity or by a mask, and how it is joined."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from dualpix.errors import CheckpointError, PictureError, option
from dualpix.inference import scales
from dualpix.inference.compositing import BY, compose
from dualpix.inference.finder import Finder, finder_for, gives_disparity
from dualpix.inference.kept import parse_kept
from dualpix.inference.matte import refine
from dualpix.inference.options import DeblurOptions
from dualpix.inference.pyramid import find_disparity
from dualpix.inference.refining import filled_along
from dualpix.inference.scales import enlarge, reduce
from dualpix.io import PictureLike, as_picture, read_picture
from dualpix.io.endings import is_picture
from dualpix.io.writing import upright
from dualpix.networks import Network
from dualpix.networks.spec import spec_of
from dualpix.pairs.brightness import match_brightness
from dualpix.pairs.sample import Sample
from dualpix.pairs.turning import lay_like

UNDONE = {6: 8, 8: 6}
"""EXIF orientations that undo one another; the others undo themselves."""

SURE = 0.4
"""Confidence from which on a disparity is fully believed: less sure ones mostly are on the right side all the same."""


@dataclass(frozen=True)
class Planes:
    """Disparity at half the size, in pixels of full size, and the confidence in it, 1 h w each."""

    disparity_px: Tensor
    confidence: Tensor

    @property
    def sure(self) -> Tensor:
        """How far each disparity is believed, 0 to 1."""
        return (self.confidence / SURE).clamp(0, 1)


def check_network(network: Network, options: DeblurOptions) -> None:
    """Raise `CheckpointError` if the network gives no disparity, or runs on no part of a picture, as options ask."""
    scales.check_network(network, options.scale)
    if options.only_blurred and spec_of(cast(nn.Module, network)).receptive_radius_px is None:
        raise CheckpointError(
            f"{type(network).__name__} sees the whole picture, so it cannot be run on a part of it; leave"
            f" {option('only-blurred')} out, or give the weights of another network, such as mccnet-fast."
        )
    if options.keep_blur is not None or options.refocus is not None:
        finder_for(network)


def prepare(network: Network, given: Sample, options: DeblurOptions) -> Tensor | None:
    """Find out before any work whether the part wanted can be found; the mask, 1 H W, where one was given.

    Raises `CheckpointError` as `check_network` does and `PictureError` as `mask_of` does.
    """
    check_network(network, options)
    return None if options.mask is None else mask_of(options.mask, given)


def find_planes(network: Network, left: Tensor, right: Tensor, options: DeblurOptions, coarsest: int = 1) -> Planes:
    """The disparity that parts are told apart by, of views as they were given.

    `coarsest`: reduction at which the pair's disparity is within reach.
    """
    by = BY * -(-coarsest // BY)
    left, right, _ = match_brightness(left, right)
    views = [reduce(view, by) for view in (left, right)]
    held_bytes = 3 * left.nbytes
    found, _, _ = find_disparity(Finder(network), views, options, held_bytes=held_bytes)
    if by > BY:
        height, width = (-(-side // BY) for side in left.shape[1:])
        found = enlarge(found, by // BY, 0, height, width, "bilinear")
    return Planes(by * found[:1], found[1:])


def select(sharp: Tensor, planes: Planes, keep_blur: str) -> Tensor:
    """The matte, 1 H W, of what is made sharp: 1 there, 0 for what `keep_blur` keeps; `sharp` is the result, 3 H W."""
    # Plain walls have no disparity of their own, and would go to either side in patches.
    disparity_px = filled_along(planes.disparity_px, planes.confidence, reduce(sharp, BY))
    return 1 - refine(parse_kept(keep_blur).share(disparity_px), planes.sure, sharp, BY)


def apply(
    sharp: Tensor, given: Sample, mask: Tensor | None, network: Network, coarsest: int, options: DeblurOptions
) -> tuple[Tensor, Tensor | None]:
    """The result `sharp`, 3 H W, with the parts that keep their blur put in place, and the matte used, 1 H W.

    Args:
        sharp: changed in place.
        given: the views as they were given.
        mask: as `mask_of` gives it.
        network: what made the result; a mask can do without a disparity of it.
        coarsest: the largest reduction at which the pair was deblurred.
        options: what is wanted.
    """
    if mask is None and options.keep_blur is None:
        return sharp, None
    planes = None
    if gives_disparity(network):
        planes = find_planes(network, given["left"], given["right"], options, coarsest)
    if options.keep_blur is not None and planes is not None:
        mask = select(sharp, planes, options.keep_blur)
    assert mask is not None
    return join(sharp, given["left"], given["right"], mask, planes), mask


def join(sharp: Tensor, left: Tensor, right: Tensor, matte: Tensor, planes: Planes | None) -> Tensor:
    """`compose`, by a plain mixture where nothing tells what lies in front."""
    if planes is None:
        nowhere = torch.zeros_like(reduce(matte, BY))
        planes = Planes(nowhere, nowhere)
    return compose(sharp, left, right, matte, planes.disparity_px, planes.sure)


def mask_of(mask: PictureLike, sample: Sample) -> Tensor:
    """The mask of a sample, 1 H W, lying as its views do: 1 (white) is made sharp, 0 (black) keeps its blur.

    A mask lies as the photograph is seen, upright; one that lies as its rows are stored is taken too, where the size
    says so. Raises `PictureError` if it cannot be read or has another size.
    """
    if isinstance(mask, str | Path):
        picture = read_picture(mask)
        pixels, name = upright(picture.pixels, picture.metadata.orientation), f"The mask {mask}"
    else:
        pixels, name = as_picture(mask, "mask").pixels.to("cpu", torch.float32), "The mask"
    plane = pixels.mean(0, keepdim=True)
    metadata = sample.get("metadata")
    orientation = 1 if metadata is None else metadata.orientation
    turns, (height, width) = sample.get("quarter_turns", 0), sample["left"].shape[1:]
    stored = (width, height) if turns % 2 else (height, width)
    turned = upright(plane, UNDONE.get(orientation, orientation))
    plane = turned if turned.shape[1:] == stored else plane
    if plane.shape[1:] != stored:
        seen = stored[::-1] if orientation in (5, 6, 7, 8) else stored
        raise PictureError(
            f"{name} is {pixels.shape[2]} x {pixels.shape[1]} pixels and the views are {seen[1]} x {seen[0]}; give"
            f" {option('mask', None)} a picture of the same size, white where it is to be sharp."
        )
    if not 0 <= float(plane.min()) <= float(plane.max()) <= 1:
        raise PictureError(f"{name} holds values outside of [0, 1]; white is 1 and black 0.")
    return lay_like(plane, sample).contiguous()


def mask_for(folder: Path, place: str) -> Path:
    """Return the mask in a folder of masks for the picture at `place` inside its own folder.

    It has the same name, whatever the ending. Raises `PictureError` if there is none, or more than one.
    """
    wanted = folder / place
    found = sorted(path for path in wanted.parent.glob("*") if path.stem == wanted.stem and is_picture(path))
    if len(found) != 1:
        what = "holds no mask" if not found else "holds several masks"
        raise PictureError(f"{wanted.parent} {what} called {wanted.stem}; give each picture one of its own name.")
    return found[0]
