"""A picture that is sharp everywhere, with its disparity: all that is needed to focus it anew."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.errors import PictureError, option
from dualpix.inference import planning
from dualpix.inference.finder import finder_for
from dualpix.inference.focus import Refocus
from dualpix.inference.options import DeblurOptions
from dualpix.inference.pyramid import find_disparity
from dualpix.inference.refining import refine
from dualpix.inference.scales import reduce
from dualpix.networks import Network
from dualpix.pairs import restore_orientation
from dualpix.pairs.sample import Sample, mean_view
from dualpix.simulation.hidden import GRID
from dualpix.simulation.refocus import BAND_ROWS, ROW_BYTES_A_PIXEL, reach_of
from dualpix.simulation.refocus import refocus as through_lens

HALVED_PX = 200_000
BYTES_A_PIXEL = 84  # views as given and as matched, both results, the disparity and the blur by it
WIDEST_PX = 100.0  # the radius of blur that is reckoned with before the disparity is known
TAILS = 0.005  # of all disparities, at either end, that are left out as errors
MARGIN_PX = 0.5  # by which a focus may lie outside the disparities met
POINT_PX = 4  # around a point whose disparity is asked for
SWEEP_PX, SWEEP_FRAMES, SWEEP_MS = 960, 16, 90


class FoundDisparity:
    """What is known of a pair before it is deblurred: its disparity, and what is to be in focus."""

    def __init__(
        self, refocus: Refocus, sample: Sample, network: Network, coarsest: int, options: DeblurOptions
    ) -> None:
        """Find the disparity.

        Args:
            refocus: What is asked for.
            sample: The pair as it is deblurred, lying along the rows, at equal brightness.
            network: One that correlates.
            coarsest: The largest reduction at which the pair is deblurred.
            options: How the pair is deblurred.

        Raises:
            CheckpointError: The network tells no disparity.
            PictureError: Nothing lies at that focus, or the point is outside of the picture.
            MachineError: The memory that may be used is too little.
        """
        finder = finder_for(network)
        left, right = sample["left"], sample["right"]
        check_memory(left.shape[2], left.shape[1], options.memory)
        self.refocus, self.sample, self.memory = refocus, sample, options.memory
        lying = restore_orientation(left[:1], sample)
        check_point(refocus, lying.shape[2], lying.shape[1])
        step = max(coarsest, next(s for s in range(1, 99) if left[0].numel() <= HALVED_PX * s * s))
        found, _, self.notes = find_disparity(finder, [reduce(view, step) for view in (left, right)], options)
        self.disparity_px, self.confidence, self.step = step * found[:1], found[1:], step
        check_focus(refocus, self.span_px)

    @property
    def span_px(self) -> tuple[float, float]:
        """The disparities between which nearly all lie."""
        return span_of(self.disparity_px, self.confidence)

    def scene(self, picture: Tensor) -> "AllInFocus":
        """`picture`, sharp everywhere, 3 H W, with its disparity cut along its edges."""
        height, width = (self.step * side for side in self.disparity_px.shape[1:])
        both = torch.cat([self.disparity_px, self.confidence])
        both = F.interpolate(both[None], (height, width), mode="bilinear", align_corners=False)[0]
        both = both[:, : picture.shape[1], : picture.shape[2]]
        turns = self.sample.get("quarter_turns", 0)
        seen = mean_view(self.sample["left"], self.sample["right"])
        disparity_px, rho = refine(both[:1], both[1:], picture, seen, self.refocus.rho)
        return AllInFocus(picture, disparity_px, rho, self.refocus, turns, self.memory)


def check_memory(width: int, height: int, memory: str | int | None) -> None:
    """Raise `MachineError` if refocusing a picture of that size takes more than `memory`, if that is given."""
    bands_for(width, height, memory, reach_of(-WIDEST_PX, WIDEST_PX))


def bands_for(width: int, height: int, memory: str | int | None, reach_px: int) -> tuple[planning.Band, ...]:
    """The bands in which a picture of that size is refocused, with so many rows around them.

    Raises:
        MachineError: Not even the smallest ones keep within `memory`.
    """
    bands = planning.split(height, BAND_ROWS, GRID)
    if memory is None:
        return bands
    held_bytes = planning.PROCESS_BYTES + BYTES_A_PIXEL * width * height
    cost = planning.Cost(held_bytes, ROW_BYTES_A_PIXEL * (width + 2 * reach_px))
    limit = planning.parse_memory(memory)
    return max(bands, planning.choose_bands(height, GRID, reach_px, cost, limit, limit), key=len)


def check_point(refocus: Refocus, width: int, height: int) -> None:
    """Raise `PictureError` if the point to focus on lies outside of a picture whose file has that size."""
    at = refocus.focus_at
    if at is not None and not (at[0] < width and at[1] < height):
        raise PictureError(
            f"The point {at[0]},{at[1]} lies outside of the picture of {width} x {height} pixels; give a column"
            f" below {width} and a row below {height}."
        )


def check_focus(refocus: Refocus, span_px: tuple[float, float]) -> None:
    """Raise `PictureError` if no point is given and nothing in a picture with disparities of `span_px` lies there."""
    low, high = span_px
    # The plane that was in focus is always there.
    if refocus.focus_at is None and not min(low, 0) - MARGIN_PX <= refocus.focus_px <= max(high, 0) + MARGIN_PX:
        raise PictureError(
            f"Nothing in this picture has a disparity of {refocus.focus_px:g} px: they run from {low:.1f} to"
            f" {high:.1f} px; give a focus within, or a point by {option('focus-at', None)}."
        )


@dataclass(frozen=True)
class AllInFocus:
    """A picture that can be focused anew.

    Args:
        picture: Sharp everywhere, 3 H W, display-encoded.
        disparity_px: Disparity of each pixel, 1 H W.
        rho: Disparity per radius of blur.
        refocus: What was asked for.
        quarter_turns: How often the views were turned before processing.
        memory: The most that may be used, as in `DeblurOptions`.
    """

    picture: Tensor
    disparity_px: Tensor
    rho: float
    refocus: Refocus
    quarter_turns: int = 0
    memory: str | int | None = None

    def seen(self, refocus: Refocus) -> Tensor:
        """The picture with another focus and aperture, 3 H W, display-encoded, lying as `picture` does."""
        if refocus.aperture == 0:
            return self.picture
        blur_px = refocus.aperture / (refocus.rho or self.rho) * (self.disparity_px[0] - self.focus_px(refocus))
        height, width = blur_px.shape
        reach_px = reach_of(float(blur_px.min()), float(blur_px.max()))
        bands = bands_for(width, height, self.memory, reach_px)
        return through_lens(self.picture, blur_px, refocus.blades, refocus.highlights, bands)

    def seen_small(self, refocus: Refocus, longest_px: int) -> Tensor:
        """As `seen`, reduced to at most that many pixels a side."""
        small, step = self._reduced(longest_px)
        return small.seen(replace(refocus, focus_at=None, focus_px=self.focus_px(refocus) / step))

    def _reduced(self, longest_px: int) -> tuple["AllInFocus", int]:
        """The same at most that large, and how many times it was reduced."""
        step = max(1, -(-max(self.picture.shape[1:]) // longest_px))
        disparity_px = self.disparity_px[:, ::step, ::step] / step
        return replace(self, picture=reduce(self.picture, step), disparity_px=disparity_px), step

    def focus_px(self, refocus: Refocus) -> float:
        """The disparity in focus: that of the point, if one is given."""
        if refocus.focus_at is None:
            return refocus.focus_px
        column, row = refocus.focus_at
        lying = restore_orientation(self.disparity_px, {"quarter_turns": self.quarter_turns})[0]
        rows, columns = (slice(max(0, place - POINT_PX), place + POINT_PX + 1) for place in (row, column))
        return float(lying[rows, columns].median())

    def sweep(self, refocus: Refocus, frames: int = SWEEP_FRAMES, longest_px: int = SWEEP_PX) -> Iterator[Tensor]:
        """The picture focused on one plane after the other, from the farthest to the nearest and back.

        Args:
            refocus: Says all but the focus.
            frames: Number of planes.
            longest_px: Pixels a side that the frames have at most; the picture is reduced.

        Yields:
            2 frames - 2 pictures, 3 h w each, lying as in their file.
        """
        small, _ = self._reduced(longest_px)
        low, high = span_of(small.disparity_px)
        there = [
            small.seen(replace(refocus, focus_at=None, focus_px=focus_px)) for focus_px in _steps(high, low, frames)
        ]
        for frame in (*there, *reversed(there[1:-1])):
            yield restore_orientation(frame, {"quarter_turns": self.quarter_turns})


def _steps(first: float, last: float, count: int) -> list[float]:
    """From first to last, slower at both ends."""
    shares = 0.5 - 0.5 * torch.cos(torch.linspace(0, torch.pi, count))
    return [first + (last - first) * share for share in shares.tolist()]


def span_of(disparity_px: Tensor, confidence: Tensor | None = None) -> tuple[float, float]:
    """The disparities between which nearly all lie; weighted by their confidence."""
    values, order = disparity_px.flatten().sort()
    weight = torch.ones_like(values) if confidence is None else confidence.flatten()[order] + 1e-6
    shares = weight.double().cumsum(0) / weight.double().sum()
    low, high = (int((shares < share).sum().clamp(max=len(values) - 1)) for share in (TAILS, 1 - TAILS))
    return float(values[low]), float(values[high])
