"""The disparity of a job, kept beside its result: by it parts of the picture are chosen that keep their blur."""

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


def keep_blur(folder: Path, picture: Tensor, views: Views, keep: str) -> Tensor:
    """The result `picture`, lying as the files do, with the blur of `keep` kept: as `deblur(keep_blur=keep)` makes it.

    Raises FileNotFoundError if the job has no planes.
    """
    both = torch.from_numpy(np.load(folder / PLANES))
    planes = Planes(both[:1], both[1:])
    sharp = lay_like(picture, views)
    matte = selective.select(sharp, planes, keep)
    return restore_orientation(selective.join(sharp, views["left"], views["right"], matte, planes), views)
