"""Batches of simulated crops that are made where the network learns: scenes are rendered, kept and cut on the device.

Which scenes, windows and mirrors a batch has is decided as `feed.Feed` decides it, so both make the same batches, to
the rounding of the simulator. The host only hands over what was drawn, and never waits for the device.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import torch
from torch import Tensor

from dualpix.pairs.flips import draw_turns, draw_window
from dualpix.simulation.batch import BatchSimulator
from dualpix.simulation.painting import moved
from dualpix.simulation.samples import SHOTS_PER_LENS, Shot, Simulated
from dualpix.training.drawing_ahead import DrawingAhead
from dualpix.training.feed import Batch, Moving, generator_of, scenes_at, size_at
from dualpix.training.recipes import Recipe

MAP = "blur_px"
STEPS_AHEAD = 4
"""Steps whose scenes are drawn, on the CPU, before they are asked for."""


class Cut(NamedTuple):
    """One crop of a batch: a scene's number, the window's first row and column, and 1 for each mirror that is taken."""

    scene: int
    top: int
    left: int
    mirrored: int
    flipped: int
    exchanged: int
    negated: int


def cut_of(recipe: Recipe, step: int, k: int) -> Cut:
    """Crop `k` of a step, as `feed.Feed` draws it from the same numbers."""
    generator = generator_of(recipe, step, k)
    number = Moving(None, recipe).number(step, generator)
    top, left = draw_window(recipe.scene, recipe.scene, size_at(recipe, step)[1], generator)
    mirror, flip = (turn and recipe.augment for turn in draw_turns(2, generator))
    negate = recipe.negate_depth and draw_turns(1, generator)[0]
    return Cut(number, top, left, int(mirror), int(flip), int(mirror != negate), int(negate))


class DeviceFeed:
    """Cuts one process's share of every batch, on a device; see `feed.Feed`, whose place it takes.

    Args:
        simulated: The scenes; a whole lens is rendered at a time, for its kernels cost most.
        recipe: Without real pairs.
        names: Of the pictures and maps wanted.
        share: From the number of crops in a batch to those that are this process's.
        device: Where the network learns.
        drawers: Processes that decide scenes; 0 for a thread.
    """

    def __init__(
        self,
        simulated: Simulated,
        recipe: Recipe,
        names: Sequence[str],
        share: Callable[[int], range] = range,
        device: torch.device | None = None,
        drawers: int = 0,
    ) -> None:
        self.recipe, self.names, self.share = recipe, tuple(names), share
        self.device = device or torch.device("cpu")
        self.simulator = BatchSimulator(simulated, self.device, noise_on_device=self.device.type in ("cuda", "mps"))
        lenses = -(-recipe.pool // SHOTS_PER_LENS) + 2
        self.held = [-1] * lenses  # the lens whose scenes lie in each place
        self.kept: dict[str, Tensor] = {}
        self.drawer = DrawingAhead(simulated, drawers)
        self.drawn: dict[int, Future[list[Shot]]] = {}

    def batch(self, step: int) -> Batch:
        """This process's share of the batch of a step, counted from 0; B 3 H W, channels-last, on the device."""
        self._render(self._lenses_at(step))
        for later in range(step + 1, step + 1 + STEPS_AHEAD):
            self._draw(self._lenses_at(later))
        batch, crop = size_at(self.recipe, step)
        cuts = [cut_of(self.recipe, step, k) for k in self.share(batch)]
        return self._cut([cut._replace(scene=self._place(cut.scene)) for cut in cuts], crop)

    def close(self) -> None:
        """End whoever draws."""
        self.drawer.close()

    def _lenses_at(self, step: int) -> list[int]:
        return list(dict.fromkeys(number // SHOTS_PER_LENS for number in scenes_at(self.recipe, step)))

    def _place(self, number: int) -> int:
        return number // SHOTS_PER_LENS % len(self.held) * SHOTS_PER_LENS + number % SHOTS_PER_LENS

    def _draw(self, lenses: Sequence[int]) -> None:
        for lens in lenses:
            if self.held[lens % len(self.held)] != lens and lens not in self.drawn:
                first = lens * SHOTS_PER_LENS
                self.drawn[lens] = self.drawer.draw(range(first, first + SHOTS_PER_LENS))

    def _render(self, lenses: Sequence[int]) -> None:
        """See that all scenes of these lenses lie on the device."""
        self._draw(lenses)
        missing = [lens for lens in lenses if self.held[lens % len(self.held)] != lens]
        together = max(1, self.simulator.together // SHOTS_PER_LENS)
        for first in range(0, len(missing), together):
            some = missing[first : first + together]
            made = self.simulator.render([shot for lens in some for shot in self.drawn.pop(lens).result()], self.names)
            for name, pictures in made.items():
                self._keep(name, some, pictures)
            for lens in some:
                self.held[lens % len(self.held)] = lens

    def _keep(self, name: str, lenses: Sequence[int], pictures: Tensor) -> None:
        bytes_ = pictures.half() if name == MAP else (pictures * 255).round().byte()
        if name not in self.kept:
            room = len(self.held) * SHOTS_PER_LENS
            self.kept[name] = torch.empty(room, *bytes_.shape[1:], dtype=bytes_.dtype, device=self.device)
        for lens, part in zip(lenses, torch.split(bytes_, SHOTS_PER_LENS), strict=True):
            first = self._place(lens * SHOTS_PER_LENS)
            self.kept[name][first : first + SHOTS_PER_LENS] = part

    def _cut(self, cuts: Sequence[Cut], crop: int) -> Batch:
        place, top, left, mirrored, flipped, exchanged, negated = moved(torch.tensor(cuts), self.device).unbind(1)
        along = torch.arange(crop, device=self.device)
        rows = top[:, None] + torch.where(flipped[:, None] > 0, crop - 1 - along, along)
        columns = left[:, None] + torch.where(mirrored[:, None] > 0, crop - 1 - along, along)

        def cut(name: str) -> Tensor:
            found = self.kept[name][place[:, None, None], :, rows[:, :, None], columns[:, None, :]]
            values = found.permute(0, 3, 1, 2).float()
            return values if name == MAP else values.div_(255)

        batch = {name: cut(name) for name in self.names}
        chosen = exchanged[:, None, None, None] > 0
        if "left" in batch and "right" in batch:
            left_view, right_view = batch["left"], batch["right"]
            batch["left"] = torch.where(chosen, right_view, left_view)
            batch["right"] = torch.where(chosen, left_view, right_view)
        if MAP in batch:
            batch[MAP] = torch.where(negated[:, None, None, None] > 0, -batch[MAP], batch[MAP])
        return batch
