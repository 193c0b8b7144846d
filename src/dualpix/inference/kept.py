"""What keeps its blur, in words: a side of the plane in focus, or a range of disparity."""

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from dualpix.errors import RecipeError

FOCUS_PX = 0.5
"""Disparity from which on something lies behind the plane in focus, or in front of it, where no other is given."""

SOFT_PX = 0.3
"""Half the width in which keeping sets in: about the error of disparities that the network is sure of."""

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
WORDS = re.compile(rf"(behind|in-front|beyond)(?:[ :]({NUMBER}))?")
RANGE = re.compile(rf"(outside[ :])?({NUMBER})? ?\.\. ?({NUMBER})?")
CHOICES = "behind, in-front, either with a number of pixels, beyond PX, A..B or outside A..B in pixels of disparity"


@dataclass(frozen=True)
class Kept:
    """What lies between the two disparities of one of these `ranges`, in pixels, positive behind the focus."""

    ranges: tuple[tuple[float, float], ...]

    def share(self, disparity_px: Tensor) -> Tensor:
        """How far what has these disparities keeps its blur, 0 to 1; half at the ends of a range."""
        share = torch.zeros_like(disparity_px)
        for low, high in self.ranges:
            inside = torch.ones_like(disparity_px)
            if low > -math.inf:
                inside = inside * _rise(disparity_px - low)
            if high < math.inf:
                inside = inside * _rise(high - disparity_px)
            share = torch.maximum(share, inside)
        return share


def parse_kept(text: str) -> Kept:
    """What `keep_blur` asks for: see `DeblurOptions`. Raises `RecipeError` for what cannot be understood."""
    words = " ".join(text.split()).lower() if isinstance(text, str) else ""
    if found := WORDS.fullmatch(words):
        name, amount = found[1], found[2]
        if name != "beyond" or amount is not None:
            return _side(name, FOCUS_PX if amount is None else float(amount), text)
    elif (found := RANGE.fullmatch(words)) and (found[2] or found[3]):
        low, high = float(found[2] or -math.inf), float(found[3] or math.inf)
        if low >= high:
            raise RecipeError(f"There is nothing between {low:g} and {high:g} pixels; give the lesser disparity first.")
        if found[1]:
            return Kept(tuple(one for one in ((-math.inf, low), (high, math.inf)) if one[0] < one[1]))
        return Kept(((low, high),))
    raise RecipeError(f"There is no blur {text!r} to keep; give {CHOICES}.")


def _side(name: str, px: float, text: str) -> Kept:
    if px < 0:
        raise RecipeError(f"{text!r} cannot be: a distance from the focus is not negative; give 0 or more pixels.")
    behind, in_front = (px, math.inf), (-math.inf, -px)
    return Kept({"behind": (behind,), "in-front": (in_front,), "beyond": (in_front, behind)}[name])


def _rise(past_px: Tensor) -> Tensor:
    share = (past_px / (2 * SOFT_PX) + 0.5).clamp(0, 1)
    return share.square() * (3 - 2 * share)
