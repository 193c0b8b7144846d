"""The disparity of a job, kept beside its result: by it parts of the picture are chosen that keep their blur."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dualpix.errors import MachineError
from dualpix.inference import selective
from dualpix.inference.deblur import open_network
from dualpix.inference.finder import gives_disparity
from dualpix.inference.options import DeblurOptions
from dualpix.inference.selective import Planes
from dualpix.io import Metadata, write_picture
from dualpix.pairs import Views, restore_orientation
from dualpix.pairs.turning import lay_like
from dualpix.weights.checkpoint import Checkpoint

PLANES, PLANES_PICTURE = "planes.npy", "planes.png"
PICTURE_PX = 720
ZERO_LEVEL, LEVELS_PER_PX = 32768, 512


@dataclass(frozen=True)
class SharpPart:
    """What is made sharp where not everything is: one of both is given.

    Args:
        keep: What keeps its blur, by its disparity, as `keep_blur` in `DeblurOptions`.
        mask: A picture that is white where the result is to be sharp.
    """

    keep: str | None = None
    mask: Path | None = None


def keep_planes(folder: Path, views: Views, checkpoint: Checkpoint, options: DeblurOptions, coarsest: int) -> bool:
    """Find the disparity of `views`, and write PLANES, lying as they do, and PLANES_PICTURE; False if there is none."""
    network = open_network(checkpoint)
    if not gives_disparity(network):
        return False
    try:
        planes = selective.find_planes(network, views["left"], views["right"], options, coarsest)
    except MachineError:  # The result is there, and is worth more than the choice of its parts.
        return False
    both = torch.cat([planes.disparity_px, planes.confidence])
    np.save(folder / PLANES, both.numpy(), allow_pickle=False)
    plain = Metadata(orientation=views["metadata"].orientation)
    write_picture(folder / PLANES_PICTURE, restore_orientation(coded(both), views), 8, True, plain)
    return True


def coded(planes: Tensor) -> Tensor:
    """Return disparity and confidence, 2 h w, as the bytes of a small picture, for the page.

    Red x 256 + green is 32768 + 512 times the disparity in pixels, blue 255 times the confidence.
    """
    small = functional.avg_pool2d(planes, max(1, -(-max(planes.shape[1:]) // PICTURE_PX)))
    level = (ZERO_LEVEL + LEVELS_PER_PX * small[0]).round().clamp(0, 65535)
    return torch.stack([(level / 256).floor(), level % 256, (255 * small[1]).round()]) / 255


def planes_of(folder: Path) -> Planes | None:
    """What `keep_planes` found, or None."""
    if not (folder / PLANES).exists():
        return None
    both = torch.from_numpy(np.load(folder / PLANES))
    return Planes(both[:1], both[1:])


def keep_blur(folder: Path, picture: Tensor, views: Views, part: SharpPart) -> Tensor:
    """The result `picture`, lying as the files do, with only `part` sharp: as `deblur(keep_blur=..., mask=...)` has it.

    Raises as `matte_of` does.
    """
    sharp = lay_like(picture, views)
    matte = matte_of(folder, sharp, views, part)
    return restore_orientation(selective.join(sharp, views["left"], views["right"], matte, planes_of(folder)), views)


def matte_of(folder: Path, sharp: Tensor, views: Views, part: SharpPart) -> Tensor:
    """What is made sharp, 1 H W along the rows; `sharp` is the result, 3 H W, along the rows too.

    Raises:
        FileNotFoundError: The job has no planes, and the part is said by its disparity.
        PictureError: The mask does not fit.
    """
    if part.mask is not None:
        return selective.mask_of(part.mask, dict(views))
    planes = planes_of(folder)
    if planes is None:
        raise FileNotFoundError(PLANES)
    return selective.select(sharp, planes, part.keep or "")
