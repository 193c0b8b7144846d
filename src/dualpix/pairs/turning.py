"""Turn two views so that their disparity runs along rows, however the camera was held and its pictures were rotated.

A quarter turn to either side brings columns onto rows, but the two ways disagree about which side of the focal plane
everything lies on. The way is chosen in which what is out of focus lies behind the plane, as in most photographs. A
half turn cannot be distinguished from exchanged views (both negate the disparity), so it is only made on request.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dualpix.pairs.checks import LIKELY_SHARE
from dualpix.pairs.verdict import Inspection, inspect_views
from dualpix.tables import pick

AUTO = "auto"
LEFT, HALF, RIGHT = 1, 2, 3
TURNS: dict[str, int | None] = {AUTO: None, "none": 0, "left": LEFT, "half": HALF, "right": RIGHT}
"""From the values of the option to quarter turns counter-clockwise."""
WORDS = {LEFT: "by a quarter to the left", RIGHT: "by a quarter to the right"}


def lay_along_rows(views: Mapping[str, Any], turn: str = AUTO, swap: bool = False) -> dict[str, Any]:
    """Turn the pictures of a sample so that disparity runs along rows.

    Args:
        views: A sample: pictures and maps are C x H x W.
        turn: A name in TURNS; "auto" turns views whose disparity runs along columns.
        swap: Exchange the views afterwards. (Before, exchanging them would only make "auto" turn the other way.)

    Returns:
        A new sample. Its `quarter_turns` counts all turns, for `restore_orientation`; its `notes` mention what "auto"
        did; its `inspection` is the comparison of the views as they now lie, if one had to be made.

    Raises:
        RecipeError: There is no such `turn`.
    """
    turns, found = pick(TURNS, turn, "turn"), None
    views, notes = dict(views), list(views.get("notes", ()))
    if turns is None:
        found = inspect_views(views["left"], views["right"])
        turns = quarter_turns(found)
    if turns:
        views |= {name: _turned(thing, turns) for name, thing in views.items() if isinstance(thing, Tensor)}
    if turns and found is not None:
        notes.append(
            f"The picture stands upright: it was turned {WORDS[turns]} before processing, and the result turned back; "
            "if it looks worse than the photograph, exchange the views."
        )
        found = inspect_turned(found, views["left"], views["right"])
    if swap:
        views |= {"left": views["right"], "right": views["left"]}
    known = {} if found is None or swap else {"inspection": found}
    total = (views.get("quarter_turns", 0) + turns) % 4
    return views | known | {"quarter_turns": total, "notes": notes}


def quarter_turns(found: Inspection) -> int:
    """How many quarter turns counter-clockwise bring the disparity of views onto rows, by their comparison `found`."""
    if "vertical" not in found.odd:
        return 0
    return LEFT if found.downward_share >= 0.5 else RIGHT


def inspect_turned(upright: Inspection, left: Tensor, right: Tensor) -> Inspection:
    """Compare views after they were turned by `quarter_turns(upright)`; odd if the direction was a mere guess."""
    found = inspect_views(left, right)
    share = max(upright.downward_share, 1 - upright.downward_share)
    if share >= LIKELY_SHARE:
        return found
    odd = (
        "The picture stands upright, and as much of it is in front of the focus as behind, so it is unclear which way "
        "it was turned; if the result looks worse than the photograph, exchange the views."
    )
    return replace(found, odd={**found.odd, "upright": odd})


def inspection_of(sample: Mapping[str, Any]) -> Inspection:
    """The comparison of a sample's views: the one it holds, or a new one."""
    known: Inspection | None = sample.get("inspection")
    return inspect_views(sample["left"], sample["right"]) if known is None else known


def restore_orientation(picture: Tensor, views: Mapping[str, Any]) -> Tensor:
    """Turn a picture that was made from `views` back, to lie as their file does.

    Args:
        picture: C x H x W.
        views: A sample from `lay_along_rows` or `open_views`.
    """
    turns = views.get("quarter_turns", 0)
    return _turned(picture, -turns) if turns else picture


def lay_like(picture: Tensor, views: Mapping[str, Any]) -> Tensor:
    """Turn a picture C x H x W that lies as the file of `views` did the way these lie: undoes `restore_orientation`."""
    turns = views.get("quarter_turns", 0)
    return _turned(picture, turns) if turns else picture


def _turned(view: Tensor, turns: int) -> Tensor:
    return torch.rot90(view, turns, (1, 2)).contiguous()
