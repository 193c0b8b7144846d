"""Look at the two views of a photograph before they are used: what they are, and whether they make a pair."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dualpix.io import check_output, write_picture
from dualpix.io.profiles import is_linear, is_srgb
from dualpix.machine.modes import settled
from dualpix.pairs import Inspection, Views, inspection_of, open_views, restore_orientation
from dualpix.pairs.brightness import match_brightness

REACH_BLOCKS = 1.5  # blocks: the distance from its centre over which a block's colour fades out
BLOCK_STEP_PX = 32
BEHIND, IN_FRONT = (0.90, 0.25, 0.10), (0.10, 0.35, 0.95)
LEAST_SCALE_PX = 0.5  # so that a pair without disparity does not look like one with much


@dataclass(frozen=True, eq=False)
class Inspected:
    """What `inspect` found.

    Attributes:
        views: The two views as read.
        found: What their comparison shows.
    """

    views: Views
    found: Inspection

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data for JSON; lengths in pixels of the views."""
        height, width = self.views["left"].shape[1:]
        found = self.found
        return {
            "name": self.views["name"],
            "width": width,
            "height": height,
            "depth": self.views["depth"],
            "channels": 1 if self.views["grey"] else 3,
            "profile": profile_of(self.views),
            "quarter_turns": self.views["quarter_turns"],
            "brightness_ratio": round(found.brightness_ratio, 4),
            "disparity": found.across and _rounded(asdict(found.across)),
            "vertical_disparity": found.down and _rounded(asdict(found.down)),
            "blocks": {
                "textured": found.matches.textured,
                "found": found.matches.found,
                "trusted": len(found.matches.across),
                "behind": found.behind,
                "in_front": found.in_front,
            },
            "order": found.order,
            "verdict": found.verdict,
            "odd": found.odd,
            "notes": self.views["notes"],
        }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}


def profile_of(views: Views) -> str:
    """The colour profile of the views in words."""
    icc = views["metadata"].icc
    if icc is None:
        return "none, taken as sRGB"
    if is_srgb(icc):
        return "sRGB"
    return f"not sRGB{' but linear light' if is_linear(icc) else ''}; the numbers are used as they are"


@settled()
def inspect(
    left: str | Path,
    right: str | Path | None = None,
    *,
    layout: str | None = None,
    swap: bool = False,
    turn: str = "auto",
    picture: str | Path | None = None,
    overwrite: bool = False,
) -> Inspected:
    """Read two views and find out whether they are a dual-pixel pair, and in which order.

    Args:
        left: The left view, or the one file that holds both.
        right: The right view.
        layout: As in `open_views`.
        swap: As in `open_views`.
        turn: As in `open_views`.
        picture: Where to write a picture of the disparity (see `disparity_picture`).
        overwrite: Whether an existing `picture` may be replaced.

    Raises:
        PictureError: A file cannot be read, or `picture` not be written.
        PairError: The files do not hold two views that can be compared.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from dualpix import write_picture
        >>> from dualpix.simulation.simulate import CAMERAS, simulate_from_depth
        >>> squares = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))
        >>> sharp = squares.repeat_interleave(8, 1).repeat_interleave(8, 2)  # 3 x 192 x 256
        >>> made = simulate_from_depth(sharp, torch.full((192, 256), 1.5), CAMERAS["5d-mark-iv-50mm-f4"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     left, right = f"{folder}/left.png", f"{folder}/right.png"
        ...     left_out = write_picture(left, made["left"]), write_picture(right, made["right"])
        ...     found = inspect(left, right).found
        >>> found.verdict
        'a dual-pixel pair, left and right in order'
    """
    if picture is not None:
        check_output(picture, overwrite, [left] if right is None else [left, right], grey=False)
    views = open_views(left, right, layout=layout, swap=swap, turn=turn)
    found = inspection_of(views)
    *_, matched = match_brightness(views["left"], views["right"])
    views["notes"] += [matched] if matched else []
    if picture is not None:
        drawn = restore_orientation(disparity_picture(views["left"], found), views)
        write_picture(picture, drawn, depth=8, overwrite=overwrite)
    return Inspected(views, found)


def scale_px(found: Inspection) -> float:
    """The disparity that `disparity_picture` shows in full colour, in pixels of the views."""
    return max(found.matches.widest_px, LEAST_SCALE_PX)


def disparity_picture(left: Tensor, found: Inspection) -> Tensor:
    """Draw where the content of the left view moved in the right one.

    Args:
        left: Left view, 3 x H x W in [0, 1].
        found: The comparison of both views.

    Returns:
        The left view in grey, reduced by `found.matches.reduction`, 3 x h x w in [0, 1]: red where content moved like
        that behind the plane in focus, blue where like that in front of it, uncoloured where nothing moved or nothing
        was matched. Full colour stands for `scale_px(found)`.
    """
    matches = found.matches
    grey = functional.avg_pool2d(left.mean(dim=0)[None], matches.reduction)[0]
    signed = _spread_out(matches.rows, matches.columns, matches.across, grey.shape[0], grey.shape[1])
    share = (signed * matches.reduction / scale_px(found)).clamp(-1, 1)
    colour = torch.where((share > 0)[None], torch.tensor(BEHIND)[:, None, None], torch.tensor(IN_FRONT)[:, None, None])
    shown = 0.25 + 0.5 * grey.expand(3, -1, -1)
    return torch.lerp(shown, colour * (0.4 + 0.6 * grey), 0.85 * share.abs().expand(3, -1, -1)).clamp(0, 1)


def _spread_out(rows: Tensor, columns: Tensor, values: Tensor, height: int, width: int) -> Tensor:
    """Values at scattered places as a map, H x W: their mean weighted by nearness, fading to 0 far from all of them."""
    reach = REACH_BLOCKS * BLOCK_STEP_PX / 2
    near_y = torch.exp(-(((torch.arange(height)[:, None] + 0.5 - rows[None]) / reach) ** 2))  # H N
    near_x = torch.exp(-(((torch.arange(width)[:, None] + 0.5 - columns[None]) / reach) ** 2))  # W N
    total = near_y @ near_x.T
    return (near_y * values) @ near_x.T / total.clamp_min(0.3)
