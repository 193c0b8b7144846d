"""What a run did to a picture, in one line: how much it changed, and whether its blur is one that the weights know."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dualpix.errors import option, told
from dualpix.inference.comparison import Comparison
from dualpix.inference.guard import LEVEL, percent
from dualpix.inference.scales import CHAINS, LEAST_BLOCKS
from dualpix.pairs.matching import Matches
from dualpix.simulation.kernels import Lens

NOISE = 2.0
"""Root mean square of the difference in a block, in standard deviations of a view's noise, from which on a network has
done more than take the noise away (which is 1.05 of them: the mean of two views has 0.71 of the noise, and brightness
0.67 of a channel's)."""


@dataclass(frozen=True)
class RunReport:
    """What a run changed, and the blur it met.

    Attributes:
        changed: Share of the picture's area, 0 to 1, that differs from the mean of the views by more than noise does,
            and by more than two levels of 255 (root mean square over blocks of 16 x 16 pixels).
        disparity_px: How far the views lie apart, which 98 % of the blocks that could be matched do not exceed; None
            where too few could.
        trained_px: The same of the widest blur that the weights were trained on, by their recipe; None if unknown.
        scales: The reductions at which the pair was run, the coarsest first.
        mixed_in: Share of the area in which the views were mixed in by the guard; None if unknown.
        skipped: Share of the area that is the mean of the views and nothing else, since it is sharp already
            (`only_blurred`); 0 where that was not asked for, None if unknown.
        computed: Pixels that the network computed at full size, overlaps counted, as a share of the picture's.
        advice: What to do where the blur is wider than trained on, or empty.
    """

    changed: float
    disparity_px: float | None
    trained_px: float | None
    scales: tuple[int, ...] = (1,)
    mixed_in: float | None = None
    advice: str = ""
    skipped: float | None = None
    computed: float | None = None

    @property
    def is_beyond(self) -> bool:
        """Whether the blur is wider than what the weights were trained on."""
        return bool(self.disparity_px and self.trained_px and self.disparity_px > self.trained_px)

    @property
    def sentence(self) -> str:
        """All of it for people, with options yet to be spelled."""
        changed = f"Changed {percent(self.changed)} of the picture"
        if self.skipped:
            left = f"Left {percent(self.skipped)} of the picture as it was taken, since it is sharp there"
            changed = f"{left}, and changed {percent(self.changed)}"
        if self.disparity_px is None:
            return f"{changed}; too little detail to tell how far the views lie apart."
        apart = f"{changed}; the views lie up to {self.disparity_px:.1f} pixels apart"
        if self.trained_px is None:
            return f"{apart}."
        if not self.is_beyond:
            return f"{apart}, and the weights were trained on up to {self.trained_px:.1f}."
        apart = f"{apart}, more than the {self.trained_px:.1f} that the weights were trained on"
        if self.scales != CHAINS[1]:
            return f"{apart}, so 1/{self.scales[0]} of the size was joined in."
        return f"{apart}; {self.advice}."

    def __str__(self) -> str:
        return told(self.sentence)

    def as_json(self) -> dict[str, Any]:
        """The numbers as plain data."""
        rounded = {"changed": self.changed, "disparity_px": self.disparity_px, "trained_px": self.trained_px}
        rounded |= {"mixed_in": self.mixed_in, "skipped": self.skipped, "computed": self.computed}
        return {name: None if value is None else round(value, 4) for name, value in rounded.items()}


def summarise(
    found: Comparison,
    noise: float,
    matches: Matches,
    recipe: Mapping[str, Any],
    scales: tuple[int, ...],
    *,
    scale: str,
    tells_disparity: bool,
    mixed_in: float | None = None,
    skipped: float | None = None,
    computed: float | None = None,
) -> RunReport:
    """Put together what is known after a run.

    Args:
        found: The result beside its views.
        noise: Standard deviation of a view's noise.
        matches: How far the views lie apart.
        recipe: By which the weights were trained, as their file has it.
        scales: At which the pair was run.
        scale: What was asked for.
        tells_disparity: Whether the network can be run at several scales.
        mixed_in: Share of the area in which the views were mixed in.
        skipped: As in `RunReport`.
        computed: As in `RunReport`.
    """
    changed = float((found.change[0].sqrt() > max(2 * LEVEL, NOISE * noise)).float().mean())
    disparity_px = matches.widest_px if len(matches.across) >= LEAST_BLOCKS else None
    known = RunReport(
        changed, disparity_px, trained_px(recipe), tuple(scales), mixed_in, skipped=skipped, computed=computed
    )
    if not known.is_beyond or known.disparity_px is None or known.trained_px is None or known.scales != CHAINS[1]:
        return known
    if tells_disparity:
        advice = f"give {option('scale', 'auto')}" if scale == "1" else f"give {option('scale', '1/2')}"
    else:
        times = math.ceil(known.disparity_px / known.trained_px)
        advice = f"reduce both views to 1/{times} of their size first"
    return replace(known, advice=advice)


def trained_px(recipe: Mapping[str, Any]) -> float | None:
    """The disparity of the widest blur of a recipe: `far_px`, a radius, by the usual disparity per radius."""
    match recipe.get("far_px"):
        case [_, int() | float() as radius_px] if radius_px > 0:
            return Lens().rho * radius_px
    return None
