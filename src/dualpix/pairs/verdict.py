"""Are these two pictures the views of one dual-pixel photograph, and which of them is the left one?"""

from dataclasses import dataclass

from torch import Tensor

from dualpix.pairs.matching import Matches, match_blocks

MIN_BLOCKS = 12  # fewer matched blocks than this give no opinion
MIN_COARSE_BLOCKS = 6  # a picture of 256 px has nine of them at half size
MIN_FOUND = 0.5  # of the textured blocks; real pairs give 0.95 to 1, shifted, mirrored or strange ones 0.35 or less
MOVED_PX = 0.3  # all lengths below are in pixels of the reduced picture, about 800 wide
SWAPPED_SHARE = 0.85  # of the moved blocks; the seven real pairs measured have 0.01 or less, swapped 0.99 or more
VERTICAL_RATIO = 2.0  # spread of the wrong over the right axis; real pairs turned by 90 degrees give 2.7 or more
VERTICAL_SPREAD_PX = 0.6  # stripes leave the matching along them uncertain by up to 0.4
MISALIGNED_PX = 0.75
STILL_PX = 0.05
BRIGHTNESS_RATIO = 1.15

# What may be odd about a pair, the worst first, and what is then to be said of the whole.
VERDICTS = {
    "strange": "not the two views of one photograph",
    "vertical": "a dual-pixel pair lying on its side",
    "misaligned": "views of one photograph, but moved apart",
    "still": "one view twice, or everything in focus",
    "swapped": "a dual-pixel pair, but its views look swapped",
    "brightness": "a dual-pixel pair, but one view is brighter",
}
UNKNOWN = "too little detail to tell"
GOOD = "a dual-pixel pair, left and right in order"
EITHER = "a dual-pixel pair; which view is left cannot be told"


@dataclass(frozen=True)
class Spread:
    """Displacements right minus left in pixels of the picture: the 10th, 50th and 90th percentile of its blocks."""

    low_px: float
    middle_px: float
    high_px: float


@dataclass(frozen=True, eq=False)
class Inspection:
    """What two views show when they are compared.

    across, down: along rows (positive to the right) and columns (downwards), None without trusted blocks.
    behind, in_front: blocks that moved as what lies behind, or in front of, the plane in focus.
    brightness_ratio: mean of the right over the left view. odd: from keys of VERDICTS to a sentence of advice each.
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
        """Whether there was enough detail for an opinion."""
        return "strange" in self.odd or len(self.matches.across) >= MIN_BLOCKS

    @property
    def order(self) -> str:
        """`"left, right"`, `"swapped"` or `"unknown"`: see `check_pair` for what this can and cannot know."""
        moved = self.behind + self.in_front
        if "swapped" in self.odd:
            return "swapped"
        sure = self.is_known and not {"strange", "vertical"} & self.odd.keys() and moved >= MIN_BLOCKS
        return "left, right" if sure and self.behind >= SWAPPED_SHARE * moved else "unknown"

    @property
    def verdict(self) -> str:
        """The whole in a few words."""
        if not self.is_known:
            return UNKNOWN
        found = next((words for kind, words in VERDICTS.items() if kind in self.odd), None)
        return found or (GOOD if self.order == "left, right" else EITHER)


def check_pair(left: Tensor, right: Tensor) -> list[str]:
    """What looks odd about two views 3 x H x W in [0, 1], one sentence of advice each; empty if nothing does.

    The picture cannot prove that views are swapped: swapping them is the same as moving everything behind the focal
    plane in front of it. But most photographs are focused on the nearer things, so a pair in which almost all that
    is out of focus moves the other way deserves a warning.
    """
    return list(inspect_views(left, right).odd.values())


def inspect_views(left: Tensor, right: Tensor) -> Inspection:
    """Compare two views 3 x H x W in [0, 1]."""
    matches = match_blocks(left, right)
    if _are_few(matches, MIN_BLOCKS):
        # Kernels of unlike shape leave wide blur little fine detail in common, but all of its coarse detail.
        coarser = match_blocks(left, right, coarser=2)
        enough = coarser.textured >= MIN_COARSE_BLOCKS and not _are_few(coarser, MIN_COARSE_BLOCKS)
        matches = coarser if enough else matches
    moved = (matches.across.abs() > MOVED_PX) & (matches.across.abs() > matches.down.abs())
    behind, in_front = int((moved & (matches.across > 0)).sum()), int((moved & (matches.across < 0)).sum())
    odd = _check_brightness(left, right)
    if _are_few(matches, MIN_BLOCKS):
        odd["strange"] = (
            "Hardly any detail of one view is found near the same place in the other: they may be of different "
            "photographs, shifted far, or mirrored; give the two views of one photograph, unaltered."
        )
    elif len(matches.across) >= MIN_BLOCKS:
        odd |= _check_directions(matches, behind, in_front)
    across, down = (_spread(values * matches.reduction) for values in (matches.across, matches.down))
    ratio = float(right.mean()) / max(float(left.mean()), 1e-6)
    return Inspection(matches, across, down, behind, in_front, ratio, odd)


def _are_few(matches: Matches, least: int) -> bool:
    """Whether of enough blocks with structure hardly any was found."""
    return matches.textured >= least and matches.found < MIN_FOUND * matches.textured


def _check_brightness(left: Tensor, right: Tensor) -> dict[str, str]:
    a, b = float(left.mean()), float(right.mean())
    if max(a, b) <= BRIGHTNESS_RATIO * min(a, b) + 1e-3:
        return {}
    darker, brighter = ("left", "right") if a < b else ("right", "left")
    return {
        "brightness": f"The {brighter} view is {max(a, b) / max(min(a, b), 1e-3):.2f} times as bright as the "
        f"{darker} one; develop both views with the same settings."
    }


def _check_directions(matches: Matches, behind: int, in_front: int) -> dict[str, str]:
    across, down = matches.across, matches.down
    # Under noise a few blocks stray, which spreads what little they are, but moves no more of them down than across.
    fallen = int(((down.abs() > MOVED_PX) & (down.abs() > across.abs())).sum())
    is_wide = _width(down) > max(VERTICAL_SPREAD_PX, VERTICAL_RATIO * _width(across))
    if is_wide and fallen >= max(MIN_BLOCKS, behind + in_front):
        advice = "turn both views by a quarter turn, and the result back"
        return {"vertical": f"The disparity runs along columns, not rows; {advice}."}
    odd = {}
    shift_px = abs(float(down.median()))
    # Strongly blurred slanted stripes seem to move a little downwards as they move across.
    if shift_px > max(MISALIGNED_PX, 0.5 * float(across.abs().median())):
        odd["misaligned"] = (
            f"The views are misaligned by about {shift_px * matches.reduction:.0f} pixels vertically; "
            "use views that were neither cropped, stabilised nor rotated apart."
        )
    if behind + in_front >= MIN_BLOCKS and in_front >= SWAPPED_SHARE * (behind + in_front):
        odd["swapped"] = (
            "The views look swapped, or nearly everything out of focus is nearer than the focus; "
            "if the focus is on the foreground, exchange left and right."
        )
    if float(across.abs().quantile(0.98)) < STILL_PX:
        odd["still"] = "The views show no disparity: either all is in focus, or both are copies of one view."
    return odd


def _width(values: Tensor) -> float:
    return float(values.quantile(0.9) - values.quantile(0.1))


def _spread(values: Tensor) -> Spread | None:
    return Spread(*(float(values.quantile(share)) for share in (0.1, 0.5, 0.9))) if len(values) else None
