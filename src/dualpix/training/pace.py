"""When a run ends, how its rate goes and when it validates: by its steps, or by the clock."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch

from dualpix.errors import RecipeError, option, ran_out_of_memory
from dualpix.training.learner import Learner
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe
from dualpix.training.schedules import FALL_SHARE
from dualpix.training.sources import DatasetValidator, Subset, Validator

LEAST_STEPS = 20
"""A run by the clock that would take fewer has no schedule."""

MEASURED_STEP = 3
"""The step whose time says how many will fit: the first ones also make what later ones find ready."""

MARKS = 4
"""Parts of the time, after each of which a run by the clock validates and keeps its state."""

VALIDATING_SHARE = 0.05
"""Of the whole time, the most that one validation may take; fewer pictures are tried where all would take more."""

LEAST_OF_CROP = 0.5
"""Of the time that a crop takes alone, the least that it takes in a batch."""

SPARE_S = 0.5
MARGIN = 1.4


class Pace(Protocol):
    """What the loop asks before and after each step."""

    def share(self) -> float | None:
        """Of the time for learning, what is over by now; None for a run that ends by its steps."""

    def is_over(self, learner: Learner) -> bool:
        """Whether the learner has taken its last step."""

    def is_due(self, learner: Learner) -> bool:
        """Whether to validate after the step that was just taken."""

    def seconds_left(self) -> float | None:
        """Until the run ends; None for one that ends by its steps."""


class BySteps:
    """The pace of a run that takes the recipe's `steps`."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def share(self) -> None:
        """See `Pace`."""
        return None

    def is_over(self, learner: Learner) -> bool:
        """See `Pace`."""
        return learner.step >= self.recipe.steps

    def is_due(self, learner: Learner) -> bool:
        """See `Pace`."""
        return learner.step % self.recipe.validate_every == 0

    def seconds_left(self) -> None:
        """See `Pace`."""
        return None


class ByClock:
    """The pace of a run of `minutes`.

    The time for what comes after the last step, a validation and its files, is set aside; by how long these have taken
    so far, until the rate begins to fall. Of several processes all decide alike: by the shares that they have averaged.

    Args:
        recipe: With `minutes`.
        spent_s: Returns the seconds that the run has taken so far.
        processes: Those that train together.
    """

    def __init__(self, recipe: Recipe, spent_s: Callable[[], float], processes: Processes) -> None:
        self.recipe, self.spent_s, self.processes = recipe, spent_s, processes
        self.whole_s = 60 * recipe.minutes
        self.validating_s, self.saving_s, self.mark = 0.0, 0.0, 0
        self.first: tuple[int, float] | None = None  # step and share, from which the mean time of a step is counted

    def share(self) -> float:
        """See `Pace`."""
        return self.spent_s() / (self.whole_s - self._reserve_s())

    def is_over(self, learner: Learner) -> bool:
        """See `Pace`; true if the next step would begin when the rate has come to nothing.

        Raises `RecipeError` if the time is too short for a schedule.
        """
        before, now = learner.shares
        if learner.step == MEASURED_STEP and now > before:
            steps = learner.step + (1 - now) / (now - before)
            if self.processes.any(steps < LEAST_STEPS):
                step_s = (now - before) * (self.whole_s - self._reserve_s())
                needed = self.spent_s() + LEAST_STEPS * step_s + MARGIN * self._reserve_s()
                raise self._too_short(f"a step takes {step_s:.1f} s", needed)
        self.first = self.first or (learner.step - 1, before)
        step, share = self.first
        over = now >= 1 or (now > 0 and now + (now - share) / max(1, learner.step - step) >= 1)
        if over and learner.step < LEAST_STEPS:
            raise self._too_short(f"there was time for {learner.step}", self.spent_s() * LEAST_STEPS / learner.step)
        return over

    def is_due(self, learner: Learner) -> bool:
        """See `Pace`."""
        passed = int(learner.shares[1] * MARKS)
        due, self.mark = passed > self.mark, max(passed, self.mark)
        return due

    def seconds_left(self) -> float:
        """See `Pace`."""
        return max(0.0, self.whole_s - self.spent_s())

    def prepared(self, learner: Learner, validator: Validator, tried: int) -> tuple[Validator, int]:
        """Return the validator on as many pictures as there is time for, and their number.

        tried: On how many the run has been validated before; 0 if that is to be found out. Raises `RecipeError` if
        making ready has left no time to learn.
        """
        self.mark = int(learner.shares[1] * MARKS)
        if self.processes.first and isinstance(validator, DatasetValidator):
            tried = tried or self._affordable(learner, validator)
            if tried < len(validator.samples):
                validator = replace(validator, samples=Subset(validator.samples, range(tried)))
        left = self.whole_s - self.spent_s() - self._reserve_s()
        if self.processes.any(not learner.step and left < FALL_SHARE * self.whole_s):
            raise self._too_short("making ready has taken most of it", 2 * self.spent_s() + 2 * self._reserve_s())
        if not learner.step and learner.waits:
            self._try_a_crop(learner, left)
        return validator, tried

    def _try_a_crop(self, learner: Learner, left_s: float) -> None:
        """See from one crop whether a large batch is beyond this CPU, where a single step may outlast the minutes."""
        crops = len(self.processes.share(self.recipe.batch))

        def least_s() -> float:
            return LEAST_OF_CROP * crops * _seconds_of_a_crop(learner)

        slow = LEAST_STEPS * least_s() > left_s
        step_s = least_s() if slow else 0.0  # again, for the first one also makes ready
        if self.processes.any(LEAST_STEPS * step_s > left_s):
            needed = self.spent_s() + LEAST_STEPS * step_s / LEAST_OF_CROP + MARGIN * self._reserve_s()
            raise self._too_short(f"a step takes {step_s:.1f} s or more on this CPU", needed)

    def kept(self, seconds: float) -> None:
        """Files were written, which took so long."""
        self.saving_s = seconds

    def validated(self, seconds: float) -> None:
        """A validation took so long."""
        self.validating_s = seconds
        self.mark = max(self.mark, int(self.share() * MARKS))  # it may itself have passed the next one

    def has_time_to_validate(self) -> bool:
        """Whether a validation, and what it writes, still fits."""
        return not self.processes.any(self.seconds_left() < self.validating_s + 2 * self.saving_s)

    def _reserve_s(self) -> float:
        return min(self.whole_s / 2, SPARE_S + MARGIN * (self.validating_s + 3 * self.saving_s))

    def _affordable(self, learner: Learner, validator: DatasetValidator) -> int:
        """How many of the pictures can be tried; the first, tried twice, says what making and scoring one takes."""
        one, network = replace(validator, samples=Subset(validator.samples, range(1))), learner.averaged()
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            one(network)
            seconds.append(time.perf_counter() - began)
        share = VALIDATING_SHARE * self.whole_s
        count = max(1, min(len(validator.samples), int(share / max(1e-6, max(seconds[1], seconds[0] - seconds[1])))))
        self.validating_s = count * seconds[1]
        return count

    def _too_short(self, why: str, needed_s: float) -> RecipeError:
        given = f"{self.recipe.minutes:g}"
        minutes = option("minutes", given, f"minutes={given}")
        return RecipeError(
            f"{minutes} is too short for a schedule of {LEAST_STEPS} steps or more here: {why}; give at least"
            f" {max(1.5 * self.recipe.minutes, needed_s / 60):.2g} minutes, or a smaller batch or crop."
        )


def _seconds_of_a_crop(learner: Learner) -> float:
    """Forward and backward of a black one, which leaves no trace; 0 if the memory is too small."""
    side = learner.recipe.crop
    black = {name: torch.zeros(1, 1 if name == "blur_px" else 3, side, side) for name in learner.names}
    began = time.perf_counter()
    try:
        learner.objective.compute(learner.network.eval(), black).backward()  # type: ignore[no-untyped-call]
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        return 0.0
    finally:
        learner.network.train()
        learner.network.zero_grad()
    return time.perf_counter() - began
