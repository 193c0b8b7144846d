"""Bring the disparity of two views onto the rows, whichever way the camera was held and its pictures were turned.

A quarter turn brings columns onto rows either way, and the two ways differ in which side of the focus they give to
everything: so the way is taken in which what is out of focus lies behind, as in most photographs. A half turn cannot be
told from exchanged views (both negate the disparity), so only the user asks for it.
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
"""From what a user says to quarter turns counter-clockwise."""
WORDS = {LEFT: "by a quarter to the left", RIGHT: "by a quarter to the right"}


def lay_along_rows(views: Mapping[str, Any], turn: str = AUTO, swap: bool = False) -> dict[str, Any]:
    """A sample with all its pictures C x H x W turned as `turn` says, a name in TURNS; "auto" turns those that stand
    upright. `swap`: then exchange the views; before, it would only have them turned the other way.

    Adds to `quarter_turns`, which `restore_orientation` undoes, and to `notes`; `inspection` becomes what is known of
    the views as they lie then, if they had to be compared. Raises RecipeError for an unknown `turn`.
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
            f"The picture stands upright: it was turned {WORDS[turns]} for the work, and the result back; should that "
            "look worse than the photograph, exchange the views."
        )
        found = inspect_turned(found, views["left"], views["right"])
    if swap:
        views |= {"left": views["right"], "right": views["left"]}
    known = {} if found is None or swap else {"inspection": found}
    total = (views.get("quarter_turns", 0) + turns) % 4
    return views | known | {"quarter_turns": total, "notes": notes}


def quarter_turns(found: Inspection) -> int:
    """How often to turn views counter-clockwise, of which `found` is known, to bring disparity onto the rows."""
    if "vertical" not in found.odd:
        return 0
    return LEFT if found.downward_share >= 0.5 else RIGHT


def inspect_turned(upright: Inspection, left: Tensor, right: Tensor) -> Inspection:
    """Compare views that were turned by `quarter_turns(upright)`; odd if it was by chance which way."""
    found = inspect_views(left, right)
    share = max(upright.downward_share, 1 - upright.downward_share)
    if share >= LIKELY_SHARE:
        return found
    odd = (
        "The picture stands upright, and as much of it is in front of the focus as behind, so which way it was turned "
        "cannot be told; if the result looks worse than the photograph, exchange the views."
    )
    return replace(found, odd={**found.odd, "upright": odd})


def inspection_of(sample: Mapping[str, Any]) -> Inspection:
    """What is known of a sample's views: found out before, or now."""
    known: Inspection | None = sample.get("inspection")
    return inspect_views(sample["left"], sample["right"]) if known is None else known


def restore_orientation(picture: Tensor, views: Mapping[str, Any]) -> Tensor:
    """Turn a picture C x H x W that was made of `views` the way their file lay."""
    turns = views.get("quarter_turns", 0)
    return _turned(picture, -turns) if turns else picture


def lay_like(picture: Tensor, views: Mapping[str, Any]) -> Tensor:
    """Turn a picture C x H x W that lies as the file of `views` did the way these lie: undoes `restore_orientation`."""
    turns = views.get("quarter_turns", 0)
    return _turned(picture, turns) if turns else picture


def _turned(view: Tensor, turns: int) -> Tensor:
    return torch.rot90(view, turns, (1, 2)).contiguous()
