"""What may be wrong with two views, judged by where their blocks moved and how sharp they are.

Blur of radius c displaces the two views by rho * c, with rho at most 0.85 (`simulation/kernels.py`). So a far
displacement comes with strong blur in a dual-pixel pair, but not in a stereo pair; and in a dual-pixel pair
displacements run along one axis and differ from place to place. All lengths are in pixels of the reduced picture, about
800 pixels wide.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dualpix.pairs.matching import BLOCK_PX, MOVED_PX, Matches

MIN_BLOCKS = 12  # with fewer matched blocks nothing is decided
MOVED_SHARE = 0.85  # share of the moved blocks that moved one way; the seven real pairs measured have 0.99 or more
LIKELY_SHARE = 0.65
MISALIGNED_PX = 0.75
BRIGHTNESS_RATIO = 2.5  # up to this ratio the darker view is brightened (`brightness.py`)

LEANING_PX = 0.15  # a block leans to an axis if it moved by this much along it, and twice as far as along the other
LEANING_RATIO = 2.5  # leaning to one axis over leaning to the other: 2.9 or more in real pairs, under any noise
SHARP_FROM = ((1.0, 2.0, 0.2), (2.0, 99.0, 0.1))  # (more than, up to) px moved, and a fineness that blur would remove
STILL_SHARE = 0.25  # of all blocks; with more, part of the picture is in focus, and its sharp edges reach other blocks
SHARP_SHARE = 0.25  # of the blocks that moved far; real pairs have 0.05 or less, shifted pictures 0.4 or more
EVEN_SPREAD = 0.2  # quartile range over median: 0.05 to 0.15 in shifted pictures, 0.43 or more in real pairs
EVEN_FINENESS = 0.15
EVEN_PX = 1.2  # an even displacement along columns below this is a vertical shift of the views rather than blur
COPIED_PX = 0.03  # median; copies at JPEG quality 50 to 95 move by 0.002 to 0.028 by chance
COPIED_SHARE = 0.04  # of blocks in a copy that lean to an axis by chance
CHANCE = 3.0  # standard deviations
ALIKE_CHANCE = 3.0


class Leaning(NamedTuple):
    """Counts of blocks by the axis of their displacement.

    Attributes:
        across: Blocks that moved mostly along rows.
        down: Blocks that moved mostly along columns.
        downwards: Those of the latter that moved downwards.
    """

    across: int
    down: int
    downwards: int


def leaning(across: Tensor, down: Tensor) -> Leaning:
    """Count the blocks whose displacement is mostly along one axis.

    Args:
        across: Displacements along rows of N blocks, in pixels of the reduced picture.
        down: Displacements along columns.
    """
    flat, steep = (
        (one.abs() > LEANING_PX) & (one.abs() > 2 * other.abs()) for one, other in ((across, down), (down, across))
    )
    return Leaning(int(flat.sum()), int(steep.sum()), int((steep & (down > 0)).sum()))


def is_upright(matches: Matches) -> bool:
    """Whether the disparity runs along columns, as in a photograph taken with the camera held upright.

    Noise makes about as many blocks lean to one axis as to the other or, on striped texture, displaces them without
    order. Views that are only shifted vertically also lean to columns, but lean to rows once the common shift is
    subtracted, or are sharper than blur would leave them.
    """
    raw = leaning(matches.across, matches.down)
    if raw.down < max(MIN_BLOCKS, LEANING_RATIO * raw.across) or not _is_of_one_piece(matches.down, matches):
        return False
    centred = leaning(matches.across, matches.down - matches.down.median())
    lies = centred.across >= max(MIN_BLOCKS, LEANING_RATIO * centred.down)
    moved_apart = _is_even(matches) and abs(float(matches.down.median())) < EVEN_PX
    return not (lies or moved_apart or is_sharp_where_moved(matches.across, matches.down, matches))


def is_sharp_where_moved(across: Tensor, down: Tensor, matches: Matches) -> bool:
    """Whether blocks that moved far are too sharp to have been displaced by blur.

    Args:
        across: Displacements along rows of N blocks, in pixels of the reduced picture.
        down: Displacements along columns, perhaps without a common shift.
        matches: Where the fineness of these blocks is.
    """
    far = torch.hypot(across, down)
    bands = [(far > low) & (far <= high) for low, high, _ in SHARP_FROM]
    sharp = sum(
        int((matches.fineness[band] > least).sum()) for band, (*_, least) in zip(bands, SHARP_FROM, strict=True)
    )
    still = int((far < MOVED_PX).sum())
    return still < STILL_SHARE * len(far) and sharp >= max(
        MIN_BLOCKS, SHARP_SHARE * sum(int(band.sum()) for band in bands)
    )


def is_evenly_moved(matches: Matches) -> bool:
    """Whether all blocks moved by about the same, and are sharp: a picture and a shifted copy of it."""
    return _is_even(matches) and float(matches.fineness.median()) > EVEN_FINENESS


def _is_even(matches: Matches) -> bool:
    shift_px = float(torch.hypot(matches.across.median(), matches.down.median()))
    widest = max(_quartiles(matches.across), _quartiles(matches.down))
    return shift_px > MOVED_PX and widest < EVEN_SPREAD * shift_px


def is_copied(matches: Matches) -> bool:
    """Whether nothing moved except by chance, as in one picture encoded twice; real pairs show order even at f/20."""
    across, down = matches.across, matches.down
    still = max(float(across.abs().median()), float(down.abs().median())) < COPIED_PX
    moved = sum(leaning(across, down)[:2])
    return (
        still
        and moved <= COPIED_SHARE * len(across)
        and not any(_is_of_one_piece(values, matches) for values in (across, down))
    )


def check_directions(matches: Matches, behind: int, in_front: int) -> dict[str, str]:
    """What is wrong with the displacements of two views of which enough blocks were matched.

    Args:
        matches: The matched blocks.
        behind: How many of them moved like content behind the plane in focus.
        in_front: How many moved like content in front of it.

    Returns:
        Sentences of advice, by keys of `VERDICTS`; empty where nothing is wrong.
    """
    across, down = matches.across, matches.down
    if is_copied(matches):
        return {
            "still": "The views show no disparity, not even a hundredth of a pixel: they are one photograph saved "
            "twice; give the left and the right view."
        }
    if is_upright(matches):
        return {"vertical": "The disparity runs along columns, not rows; have the views turned before processing."}
    odd = {}
    shift_px = abs(float(down.median()))
    # Strongly blurred slanted stripes seem to move a little downwards as they move across.
    if shift_px > max(MISALIGNED_PX, 0.5 * float(across.abs().median())):
        odd["misaligned"] = (
            f"The views are misaligned by about {shift_px * matches.reduction:.0f} pixels vertically; "
            "use views that were neither cropped, stabilised nor rotated apart."
        )
    elif is_evenly_moved(matches) or is_sharp_where_moved(across, down - down.median(), matches):
        return {
            "stereo": "Detail that is displaced between the two views is too sharp to be out of focus: they are no "
            "dual-pixel pair but were taken from two positions, or one is a shifted copy; give the two views of one "
            "photograph, unaltered."
        }
    if behind + in_front >= MIN_BLOCKS and in_front >= MOVED_SHARE * (behind + in_front):
        odd["swapped"] = (
            "The views look swapped, or nearly everything out of focus is nearer than the focus; "
            "if the focus is on the foreground, exchange left and right."
        )
    return odd


def check_brightness(left: Tensor, right: Tensor) -> dict[str, str]:
    """A sentence of advice if one view is too much brighter (2.5 times) to be matched; otherwise empty."""
    a, b = float(left.mean()), float(right.mean())
    if max(a, b) <= BRIGHTNESS_RATIO * min(a, b) + 1e-3:
        return {}
    darker, brighter = ("left", "right") if a < b else ("right", "left")
    return {
        "brightness": f"The {brighter} view is {max(a, b) / max(min(a, b), 1e-3):.2f} times as bright as the "
        f"{darker} one; develop both views with the same settings."
    }


def _quartiles(values: Tensor) -> float:
    return float(values.quantile(0.75) - values.quantile(0.25))


def _is_of_one_piece(values: Tensor, matches: Matches) -> bool:
    """Whether displacements along an axis exceed chance: their mean is not 0, or neighbouring blocks agree."""
    low, high = (float(values.quantile(share)) for share in (0.05, 0.95))
    steady = values.clamp(low, high)
    spread = float(steady.std()) + 1e-9
    apart = len(steady) / 4  # half-overlapping blocks: every fourth is new
    if abs(float(steady.mean())) > CHANCE * spread / apart**0.5:
        return True
    alike, pairs = _likeness(steady, matches.rows, matches.columns)
    return bool(alike * pairs**0.5 > ALIKE_CHANCE * spread**2)


def _likeness(values: Tensor, rows: Tensor, columns: Tensor) -> tuple[float, int]:
    """The mean product of the values of neighbouring, non-overlapping blocks, and how many such pairs there are."""
    places = {place: number for number, place in enumerate(zip(rows.tolist(), columns.tolist(), strict=True))}
    found = [
        (number, places[beside])
        for (row, column), number in places.items()
        for beside in ((row + BLOCK_PX, column), (row, column + BLOCK_PX))
        if beside in places
    ]
    if not found:
        return 0.0, 0
    one, other = torch.tensor(found).T
    return float((values[one] * values[other]).mean()), len(found)
