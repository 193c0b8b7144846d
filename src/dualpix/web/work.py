"""What the page does with pictures: files in a job's folder in, files in that folder out. Nothing here knows HTTP."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dualpix import __version__
from dualpix.checkpoint import Checkpoint
from dualpix.data.samples import mean_view
from dualpix.finishing import Choices, Inherited, deblur_views, finish, inherit
from dualpix.images import Metadata, Views, inspect_views, open_views, turn_back, write_picture
from dualpix.inspecting import Inspected, disparity_picture, scale_px

THUMB_PX = 720
LEFT, RIGHT, DISPARITY, BEFORE, AFTER = "left.jpg", "right.jpg", "disparity.png", "before.jpg", "after.jpg"
RESULT = "result.npy"
SUFFIXES = (
    ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".jxl", ".pgm", ".ppm", ".cr2", ".cr3", ".dng", ".npz"
)  # fmt: skip

SOFTWARE = f"dualpix {__version__}"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Order:
    """What was uploaded: the files, under names of our own, how one file holds both views, and whether to swap them."""

    folder: Path
    left: Path
    right: Path | None
    layout: str | None = None
    swap: bool = False
    megapixels: float = 100.0

    def open(self) -> Views:
        return open_views(self.left, self.right, layout=self.layout, swap=self.swap, limit_megapixels=self.megapixels)


@dataclass(frozen=True)
class Checked:
    """`found`: what `dualpix inspect --json` says, with `scale_px`, the disparity in full colour; `inherited`: what the
    result takes over from the views."""

    found: dict[str, Any]
    inherited: Inherited


def upload_name(side: str, suffix: str) -> str:
    """The name that an upload gets here. Of the client's own only a known extension is looked at."""
    known = suffix if suffix in SUFFIXES else ""
    return f"view_{side}.pgm" if known == ".pgm" else side + known


def check(order: Order, checkpoint: Checkpoint) -> Checked:
    """Read and compare the views; write LEFT and RIGHT (reduced), DISPARITY, and BEFORE (the mean view, full size).

    Raises PictureError or PairError.
    """
    views = order.open()
    found = inspect_views(views["left"], views["right"])
    for name, view in ((LEFT, views["left"]), (RIGHT, views["right"])):
        _write_preview(order.folder / name, turn_back(_reduced(view), views), views)
    painted = turn_back(disparity_picture(views["left"], found), views)
    _write_preview(order.folder / DISPARITY, painted, views, coloured=True)
    _write_preview(order.folder / BEFORE, turn_back(mean_view(views["left"], views["right"]), views), views)
    inherited = inherit(views, checkpoint, Choices(software=SOFTWARE))
    told = Inspected(views, found).as_json() | {"scale_px": round(scale_px(found), 2)}
    return Checked(told, inherited)


def deblur(order: Order, checkpoint: Checkpoint, choices: Choices, progress: Progress) -> tuple[str, tuple[str, ...]]:
    """Write RESULT (float32 3 x H x W, exact) and AFTER (to look at); return how it was run, and what was odd.

    `progress` is called between bands and may raise to stop. Raises PictureError, PairError or MachineError.
    """
    views = order.open()
    done = deblur_views(views, checkpoint, choices, progress)
    np.save(order.folder / RESULT, done.picture.numpy())
    _write_preview(order.folder / AFTER, done.picture, views)
    return str(done.plan), done.warnings


def render(order: Order, checked: Checked, suffix: str, depth: int, strength: float) -> Path:
    """Write the result, mixed with the mean view if `strength` is below 1, as a picture file, and return its path."""
    picture = torch.from_numpy(np.load(order.folder / RESULT))
    metadata = checked.inherited.metadata
    if strength < 1:
        views = order.open()
        picture = torch.lerp(turn_back(mean_view(views["left"], views["right"]), views), picture, strength)
        metadata = replace(metadata, software=f"{metadata.software}, strength {strength:.2f}")
    path = order.folder / f"download-{secrets.token_hex(8)}{suffix}"
    finish(path, picture, replace(checked.inherited, metadata=metadata, depth=depth))
    return path


def told(error: Exception, folder: Path) -> str:
    """An error's sentence for someone who knows neither our folders nor the command line."""
    return re.sub(r" \(--[\w-]+\)", "", str(error).replace(f"{folder}/", ""))


def _reduced(view: Tensor) -> Tensor:
    return functional.avg_pool2d(view, max(1, -(-max(view.shape[1:]) // THUMB_PX)))


def _write_preview(path: Path, picture: Tensor, views: Views, coloured: bool = False) -> None:
    """At 8 bits, with the colour profile and orientation of the views, so that browsers show what the file is.

    `picture` lies as the views do in their files.
    """
    metadata = Metadata(icc=None if coloured else views["metadata"].icc, orientation=views["metadata"].orientation)
    write_picture(path, picture, 8, True, metadata, views["grey"] and not coloured)
