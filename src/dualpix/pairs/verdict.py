"""Decide whether two pictures are the views of one dual-pixel photograph, and which of them is the left one."""

from dataclasses import dataclass, replace

from torch import Tensor

from dualpix.pairs.checks import MIN_BLOCKS, MOVED_SHARE, check_brightness, check_directions, leaning
from dualpix.pairs.matching import MOVED_PX, REACH_PX, Matches, match_blocks

MIN_COARSE_BLOCKS = 6  # a picture of 256 px has nine of them at half size
MIN_FOUND = 0.5  # of the textured blocks; real pairs have 0.95 to 1, shifted, mirrored or unrelated ones 0.35 or less
FAR_SHARE = 0.4  # of the reach of blocks: seldom found beyond, since blur that wide leaves a block no detail
FAR_BLOCKS = 0.02  # of all blocks
FARTHER = 3  # times larger blocks look beyond that
STILL_PX = 0.1  # of the reduced picture, about 800 wide

# What may be wrong with a pair, the worst first, and the verdict if it is.
VERDICTS = {
    "strange": "not the two views of one photograph",
    "still": "one photograph saved twice",
    "stereo": "two sharp pictures moved apart, not a dual-pixel pair",
    "vertical": "a dual-pixel pair lying on its side",
    "misaligned": "views of one photograph, but moved apart",
    "upright": "an upright dual-pixel pair; it is unclear which way it was turned",
    "swapped": "a dual-pixel pair, but its views look swapped",
    "brightness": "a dual-pixel pair, but one view is much brighter",
}
UNKNOWN = "too little detail to tell"
GOOD = "a dual-pixel pair, left and right in order"
EITHER = "a dual-pixel pair; it is unclear which view is left"
IN_FOCUS = "everything in focus, or one view twice"
UNSURE = (EITHER, UNKNOWN, IN_FOCUS)
"""Verdicts that stop nothing, but are reported together with the result."""


@dataclass(frozen=True)
class Spread:
    """Displacements, right minus left, in pixels of the picture.

    Attributes:
        low_px: 10th percentile over the blocks.
        middle_px: Median.
        high_px: 90th percentile.
    """

    low_px: float
    middle_px: float
    high_px: float


@dataclass(frozen=True, eq=False)
class Inspection:
    """What the comparison of two views shows.

    Attributes:
        matches: The matched blocks.
        across: Displacements along rows, positive to the right; None without trusted blocks.
        down: Displacements along columns, positive downwards; None without trusted blocks.
        behind: Blocks that moved like content behind the plane in focus.
        in_front: Blocks that moved like content in front of it.
        brightness_ratio: Mean of the right view over that of the left.
        odd: What is wrong, one sentence of advice each, by keys of VERDICTS.
    """

    matches: Matches
    across: Spread | None
    down: Spread | None
    behind: int
    in_front: int
    brightness_ratio: float
    odd: dict[str, str]

    @property
    def is_known(self) -> bool:
        """Whether there was enough detail to decide anything."""
        return "strange" in self.odd or len(self.matches.across) >= MIN_BLOCKS

    @property
    def order(self) -> str:
        """`"left, right"`, `"swapped"` or `"unknown"`; see `check_pair` for the limits of this."""
        moved = self.behind + self.in_front
        if "swapped" in self.odd:
            return "swapped"
        wrong = {"strange", "still", "stereo", "vertical", "upright"} & self.odd.keys()
        sure = self.is_known and not wrong and moved >= MIN_BLOCKS
        return "left, right" if sure and self.behind >= MOVED_SHARE * moved else "unknown"

    @property
    def downward_share(self) -> float:
        """Share of the blocks moved along columns that moved downwards; 0.5 if there are none."""
        steep = leaning(self.matches.across, self.matches.down)
        return steep.downwards / steep.down if steep.down else 0.5

    @property
    def verdict(self) -> str:
        """The result in a few words."""
        if not self.is_known:
            return UNKNOWN
        found = next((words for kind, words in VERDICTS.items() if kind in self.odd), None)
        if found or self.order == "left, right":
            return found or GOOD
        return IN_FOCUS if float(self.matches.across.abs().quantile(0.9)) < STILL_PX else EITHER


def check_pair(left: Tensor, right: Tensor) -> list[str]:
    """Say what looks wrong with two views.

    That views are swapped cannot be proved: exchanging them is the same as moving everything behind the focal plane in
    front of it. But most photographs are focused on nearer things, so a pair in which almost everything out of focus
    moves like content in front of the plane deserves a warning.

    Args:
        left: Left view, 3 x H x W in [0, 1].
        right: Right view, of the same shape.

    Returns:
        One sentence of advice for each problem; empty if nothing looks wrong.

    Example:
        >>> import torch
        >>> squares = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))
        >>> picture = squares.repeat_interleave(8, 1).repeat_interleave(8, 2)  # 3 x 192 x 256
        >>> check_pair(picture, picture)[0].split(":")[0]
        'The views show no disparity, not even a hundredth of a pixel'
    """
    return list(inspect_views(left, right).odd.values())


def inspect_views(left: Tensor, right: Tensor) -> Inspection:
    """Compare two views and collect all that their comparison shows.

    Args:
        left: Left view, 3 x H x W in [0, 1].
        right: Right view, of the same shape.
    """
    matches = match_blocks(left, right)
    if _are_few(matches, MIN_BLOCKS):
        # The kernels of both views differ in shape, so widely blurred views share little but coarse detail.
        coarser = match_blocks(left, right, coarser=2)
        enough = coarser.textured >= MIN_COARSE_BLOCKS and not _are_few(coarser, MIN_COARSE_BLOCKS)
        matches = coarser if enough else matches
    matches = _look_farther(left, right, matches)
    moved = (matches.across.abs() > MOVED_PX) & (matches.across.abs() > matches.down.abs())
    behind, in_front = int((moved & (matches.across > 0)).sum()), int((moved & (matches.across < 0)).sum())
    odd = check_brightness(left, right)
    if _are_few(matches, MIN_BLOCKS):
        odd["strange"] = (
            "Hardly any detail of one view is found near the same place in the other: they may be of different "
            "photographs, shifted far, or mirrored; give the two views of one photograph, unaltered."
        )
    elif len(matches.across) >= MIN_BLOCKS:
        odd |= check_directions(matches, behind, in_front)
    across, down = (_spread(values * matches.reduction) for values in (matches.across, matches.down))
    ratio = float(right.mean()) / max(float(left.mean()), 1e-6)
    return Inspection(matches, across, down, behind, in_front, ratio, odd)


def _look_farther(left: Tensor, right: Tensor, matches: Matches) -> Matches:
    """The same matches; where they lie almost as far apart as they are found, with what larger blocks see of it."""
    far = matches.across.abs() > FAR_SHARE * REACH_PX
    if len(far) < MIN_BLOCKS or far.float().mean() < FAR_BLOCKS:
        return matches
    larger = match_blocks(left, right, coarser=FARTHER)
    if len(larger.across) < MIN_BLOCKS or _are_few(larger, MIN_COARSE_BLOCKS):
        return matches
    return replace(matches, farther_px=larger.widest_px)


def _are_few(matches: Matches, least: int) -> bool:
    """Whether there are enough blocks with structure, but hardly any was found in the other view."""
    return matches.textured >= least and matches.found < MIN_FOUND * matches.textured


def _spread(values: Tensor) -> Spread | None:
    return Spread(*(float(values.quantile(share)) for share in (0.1, 0.5, 0.9))) if len(values) else None
