"""A result focused anew: its disparity is kept beside it, and other pictures are made by both, without the network."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from dualpix.errors import MachineError, machine_told
from dualpix.inference.all_in_focus import AllInFocus, FoundDisparity, check_memory
from dualpix.inference.deblur import open_network
from dualpix.inference.finder import gives_disparity
from dualpix.inference.focus import Refocus
from dualpix.inference.options import DeblurOptions
from dualpix.inference.planning import PROCESS_BYTES, free_bytes
from dualpix.machine.modes import settled
from dualpix.pairs import Views, restore_orientation
from dualpix.pairs.brightness import match_brightness
from dualpix.pairs.turning import lay_like
from dualpix.weights.checkpoint import Checkpoint

SCENE = "scene.npy"
PREVIEW_PX = 2048


@dataclass(frozen=True)
class Refocusable:
    """What is known of a result that can be focused anew, beside its disparity in SCENE.

    Args:
        size: Width and height in the file.
        span_px: The disparities between which nearly all lie.
        rho: Disparity per radius of blur.
        quarter_turns: How often the views were turned before processing.
        orientation: That of the file, as in EXIF.
        memory: The most that may be used, as in `DeblurOptions`.
    """

    size: tuple[int, int]
    span_px: tuple[float, float]
    rho: float
    quarter_turns: int
    orientation: int
    memory: str | int | None

    def as_json(self) -> dict[str, Any]:
        """Return what the page needs to offer it: the plane that was in focus, 0, always lies within."""
        low, high = self.span_px
        return {"low_px": round(min(low, 0), 2), "high_px": round(max(high, 0), 2), "orientation": self.orientation}


Focus: TypeAlias = tuple[Refocusable, Refocus]
"""By what a result is focused anew, and how."""


@settled()
def find_scene(
    picture: Tensor, views: Views, checkpoint: Checkpoint, options: DeblurOptions, coarsest: int
) -> tuple[Refocusable, Tensor] | None:
    """What the result `picture`, lying as the files do, can be focused anew by, and its disparity 1 H W.

    None for weights that give no disparity, and where the memory is too little: the result is worth more than that.
    """
    network = open_network(checkpoint)
    if not gives_disparity(network):
        return None
    left, right, _ = match_brightness(views["left"], views["right"])
    try:
        with machine_told():
            sample = {**views, "left": left, "right": right}
            found = FoundDisparity(Refocus(), sample, network, coarsest, options)
            scene = found.scene(lay_like(picture, views))
    except MachineError:
        return None
    size = picture.shape[2], picture.shape[1]
    orientation = views["metadata"].orientation
    made = Refocusable(size, found.span_px, scene.rho, scene.quarter_turns, orientation, options.memory)
    return made, scene.disparity_px


@settled()
def refocused(folder: Path, picture: Tensor, focus: Focus, longest_px: int | None) -> Tensor:
    """The result `picture` focused anew, lying as the files do; at most `longest_px` a side, if that is given.

    Raises:
        MachineError: It takes more memory than there is.
        FileNotFoundError: The job has no disparity any more.
    """
    scene, (known, asked) = _opened(folder, picture, focus), focus
    if longest_px is not None:
        made = scene.seen_small(asked, longest_px)
    else:
        free = f"{(PROCESS_BYTES + free_bytes(torch.device('cpu'))) / 1e9:.2f}GB"  # this process is there already
        scene = replace(scene, memory=free if known.memory is None else known.memory)
        check_memory(*known.size, scene.memory)
        made = scene.seen(asked)
    return restore_orientation(made, {"quarter_turns": known.quarter_turns})


@settled()
def sweep(folder: Path, picture: Tensor, focus: Focus) -> list[Tensor]:
    """The focus moving through the result `picture`, as `AllInFocus.sweep` yields it."""
    return list(_opened(folder, picture, focus).sweep(focus[1]))


def _opened(folder: Path, picture: Tensor, focus: Focus) -> AllInFocus:
    known, asked = focus
    disparity_px = torch.from_numpy(np.load(folder / SCENE))
    lying = lay_like(picture, {"quarter_turns": known.quarter_turns})
    return AllInFocus(lying, disparity_px, known.rho, asked, known.quarter_turns)
