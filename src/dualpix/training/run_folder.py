"""What a training run leaves on disk, and what it says."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualpix.errors import CheckpointError
from dualpix.machine.files import write_whole
from dualpix.training.agreement import agreed
from dualpix.training.clock import STEPPING, Clock
from dualpix.training.curve import draw, read_log
from dualpix.training.feed import sizes
from dualpix.training.learner import Learner
from dualpix.training.log import Log
from dualpix.training.origin import changes
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe, from_dict, to_dict
from dualpix.training.sameness import as_the_first_says
from dualpix.training.sources import Validator, score_of
from dualpix.training.state import number, pack, part, unpack
from dualpix.training.watching import SILENCE_S
from dualpix.weights import checkpoint

Listener = Callable[[dict[str, Any]], None]
Begun = Callable[[dict[str, Any]], str]


class RunFolder:
    """The folder of a run. Only the first process writes; in the others it reads and is silent.

    It is locked before anything in it is looked at. Raises `RecipeError` if it holds a run with another recipe, or one
    that is going on, `CheckpointError` for a state that cannot be resumed from.
    """

    def __init__(self, folder: Path, recipe: Recipe, processes: Processes, report: Listener | None) -> None:
        self.folder, self.processes, self.listener = folder, processes, report
        self.best, self.last = folder / "best.safetensors", folder / "last.safetensors"
        self.losses: list[float | Tensor] = []
        self.clock = Clock()
        self.pictures, self.pixels, self.validating_s = 0, 0, 0.0
        self.spent, self.best_score = 0.0, -math.inf
        self.saved = self.began = time.monotonic()
        self.origin: Mapping[str, Any] = {}
        self.has_begun = self.is_drawn = False
        self.kept: int | None = None  # the step whose state is in the folder
        self.tried = 0  # pictures of a validation, where the time decides how many; 0 if it does not
        # One that was cut off from the others may write for as long as it takes to notice.
        patience_s = 2 * SILENCE_S if "TORCHELASTIC_RESTART_COUNT" in os.environ else 0.0
        self.lines = Log(folder / "log.jsonl", patience_s) if processes.first else None
        try:
            processes.wait()
            if processes.first or not processes.apart:
                self.resuming = (folder / "last.pt").exists()
                self.recipe, self.most_steps = agreed(folder, recipe) if self.resuming else (recipe, recipe.steps)
                self.state = self._read() if self.resuming else {}
            if processes.apart:
                self._hear_of_the_first()
        except BaseException:
            self.close()
            raise

    @property
    def precision(self) -> str:
        """What the run has learnt in so far; "" if that is not known."""
        return str(self.state.get("precision", ""))

    def knows(self, data: Mapping[str, str]) -> bool:
        """Whether the run has learnt from data with these fingerprints before."""
        return bool(data) and dict(self.state.get("origin", {}).get("data", {})) == dict(data)

    def begin(
        self,
        learner: Learner,
        origin: Mapping[str, Any] | None = None,
        surroundings: Mapping[str, Any] | None = None,
        begun: Begun | None = None,
    ) -> None:
        """Make the folder ready, and bring the learner to where the run stopped if it has begun.

        Args:
            learner: What learns.
            origin: What `training.origin.origin` says, to be kept beside the weights.
            surroundings: What `training.origin.surroundings` says, to be kept in the log.
            begun: Is given the line of the log on this, and may return a note on it.
        """
        self.origin = origin or {}
        before = self.state.get("origin", {})
        if self.resuming:
            self._resume(learner)
        if self.lines is not None:
            self.has_begun = True
            self.lines.undo(learner.step if self.resuming else None)
            _write(self.folder / "recipe.json", json.dumps(to_dict(self.recipe), indent=2).encode())
            line = {**self._circumstances(learner), **self.origin, **(surroundings or {})}
            self._note(line)
            if self.resuming and not self._has_weights_of(learner.step):
                self._save_weights(self.last, learner, {})
        if self.resuming:
            self.tell({"resumed_at_step": learner.step})
            if before and origin and (told := changes(before, origin)):
                self.log({"note": told})
        if begun and self.lines is not None and (told := begun(line)):
            self.log({"note": told})

    def count(self, loss: float | Tensor, batch: int, crop: int) -> None:
        """A step was taken, on `batch` crops with a side of `crop`."""
        self.losses.append(loss)
        self.pictures += batch
        self.pixels += batch * crop**2

    def report_progress(self, step: int, rate: float, early: bool = False, seconds_left: float | None = None) -> None:
        """Mean loss, speed, how the time divides, and the time left, since the last report.

        seconds_left: Until the run ends, where that is known; otherwise it is estimated from the steps left.

        The losses of an `early` report, before a stop, count in the next one too: as if there had been no stop.
        """
        if not self.losses:
            return
        self._read_losses()
        finite = [float(loss) for loss in self.losses if math.isfinite(loss)]
        seconds = self.clock.read()
        stepping, total = sum(seconds[part] for part in STEPPING), sum(seconds.values())
        left = self.recipe.steps - step
        if seconds_left is None:
            seconds_left = _pixels_left(self.recipe, step) * stepping / max(1, self.pixels)
            seconds_left += left // self.recipe.validate_every * self.validating_s
        line = {
            "step": step,
            "loss": round(math.fsum(finite) / len(finite), 6) if finite else None,
            "rate": rate,
            "pictures_per_s": round(self.pictures / stepping, 2),
            **{part: round(spent / total, 3) for part, spent in seconds.items()},
            "hours": round(self.hours(), 4),
            "hours_left": round(seconds_left / 3600, 3),
        }
        if len(finite) < len(self.losses):
            line["skipped"] = len(self.losses) - len(finite)
        self.pictures = self.pixels = 0
        if not early:
            self.losses = []
        self.log(line)

    def validate(self, learner: Learner, validator: Validator) -> None:
        """Score the running mean of the weights, and save it if it is the best so far. The other processes wait."""
        began = time.perf_counter()
        if self.processes.first:
            network = learner.averaged()
            scores = {name: round(value, 4) for name, value in validator(network).items()}
            better = score_of(scores) > self.best_score
            self.log({"step": learner.step, "validation": scores, "best": better})
            if better:
                self.best_score = score_of(scores)
                self._save_weights(self.best, learner, scores)
            self.draw()
        self.processes.wait()
        self.validating_s = time.perf_counter() - began
        self.clock.seconds["validating"] += self.validating_s

    def save(self, learner: Learner, draws: bool = True) -> None:
        """Write the state to resume from, the weights as they are, and if it `draws`, the curve with what is new."""
        self.saved = time.monotonic()
        if self.processes.first:
            with self.clock.on("keeping"):
                self._save_state(learner)
                if draws:
                    self.draw()

    def _read_losses(self) -> None:
        """Bring to the host, all at once, what lies on a device."""
        there = [loss for loss in self.losses if isinstance(loss, Tensor)]
        if there:
            read = iter(torch.stack(there).tolist())
            self.losses = [next(read) if isinstance(loss, Tensor) else loss for loss in self.losses]

    def _save_state(self, learner: Learner) -> None:
        """Killed between the files, a run has a state that is ahead of its weights; `begin` looks at that."""
        self._read_losses()
        state = {
            "learner": learner.state(),
            "spent": self.hours() * 3600,
            "best_score": self.best_score,
            "losses": self.losses,
            "minutes": self.recipe.minutes,
            "tried": self.tried,
            "precision": learner.precision,
            "origin": dict(self.origin),
        }
        if self.lines is not None:
            self.lines.settle()
        _write(self.folder / "last.pt", pack(state))
        self.kept = learner.step
        self._save_weights(self.last, learner, {})

    def is_time(self) -> bool:
        """Whether `keep_minutes` have passed since the last `save`."""
        return time.monotonic() - self.saved > self.recipe.keep_minutes * 60

    def hours(self) -> float:
        """Hours that the run has taken, over all its resumptions."""
        return self.seconds() / 3600

    def seconds(self) -> float:
        """The same in seconds."""
        return self.spent + time.monotonic() - self.began

    def log(self, line: dict[str, Any]) -> None:
        """Add a line to the log, and tell the listener."""
        self._note(line)
        self.tell(line)

    def close(self) -> None:
        """Let go of the folder; of one that was made for a run that has not begun, nothing stays."""
        if self.lines is not None:
            self.lines.close(abandon=not self.has_begun)

    def _note(self, line: dict[str, Any]) -> None:
        self.is_drawn = False
        if self.lines is not None:
            self.lines.add({"time": datetime.now(UTC).isoformat(timespec="seconds"), **line})

    def tell(self, line: dict[str, Any]) -> None:
        """Let the listener know, without a line in the log."""
        if self.processes.first and self.listener:
            self.listener(line)

    def _read(self) -> dict[str, Any]:
        """The state in the folder, all but the learner's part known to be what it should."""
        path = self.folder / "last.pt"
        try:
            state = unpack(path)
            state["spent"] = number(part(state, "spent"), "time", 0)
            # Up to version 0.1.0 it had the other names.
            name = next((name for name in ("best_merit", "best_psnr") if name in state), "best_score")
            state["best_score"] = number(part(state, name), name)
            losses = state.get("losses", [])
            if not isinstance(losses, list) or not all(isinstance(loss, float) for loss in losses):
                raise ValueError("its losses are no numbers")
            if state.get("precision", "") not in ("", "fp32", "bf16") or not isinstance(state.get("origin", {}), dict):
                raise ValueError("it is of another version of dualpix")
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
        except ValueError as error:
            raise _unusable(path, error) from error
        return state

    def _resume(self, learner: Learner) -> None:
        path = self.folder / "last.pt"
        try:
            learner.restore(part(self.state, "learner"), self.most_steps)
        except ValueError as error:
            raise _unusable(path, error) from error
        self.spent, self.best_score, self.kept = self.state["spent"], self.state["best_score"], learner.step
        self.losses = list(self.state.get("losses", []))
        self.tried = int(number(self.state.get("tried", 0), "number of pictures", 0))
        if self.state.get("minutes", 0.0) != self.recipe.minutes:
            learner.shares = (0.0, 0.0)
        self.state = {}  # as large as the network several times over

    def _hear_of_the_first(self) -> None:
        """On several machines the first process alone reads the folder, which the others may not see."""
        record: dict[str, Any] = {}
        if self.processes.first:
            record = {"recipe": json.dumps(to_dict(self.recipe)), "most_steps": self.most_steps, "state": self.state}
        record = as_the_first_says(self.processes, record)
        self.state, self.most_steps = record["state"], record["most_steps"]
        self.recipe, self.resuming = from_dict(json.loads(record["recipe"])), bool(self.state)

    def _has_weights_of(self, step: int) -> bool:
        """Whether `last.safetensors` is whole and of that step; a killed run may have left it behind its state."""
        try:
            return bool(checkpoint.load(self.last).extra.get("step") == step)
        except CheckpointError:
            return False

    def _circumstances(self, learner: Learner) -> dict[str, Any]:
        return {
            "began_at_step": learner.step,
            "processes": self.processes.count,
            "threads": torch.get_num_threads(),
            "device": str(learner.device),
            "precision": learner.precision,
            **({} if learner.gain is None else {"bf16_gain": learner.gain}),
            "parameters": sum(master.numel() for master in learner.masters),
            "torch": torch.__version__,
            **({"start": self.recipe.start} if self.recipe.start else {}),
            **({"teacher": self.recipe.teacher} if self.recipe.teacher else {}),
        }

    def draw(self) -> None:
        """A picture for people, which must not end a training, whatever is in the log or with matplotlib."""
        if self.is_drawn:
            return
        self.is_drawn = True
        try:
            picture = draw(read_log(self.folder / "log.jsonl"))
            if picture is not None:
                _write(self.folder / "curve.png", picture)
        except Exception as error:
            self.log({"note": f"curve.png could not be drawn: {' '.join(str(error).split()) or type(error).__name__}"})

    def _save_weights(self, path: Path, learner: Learner, scores: dict[str, float]) -> None:
        extra = {"step": learner.step, "hours": round(self.hours(), 3), "precision": learner.precision, **self.origin}
        recipe = self.recipe
        checkpoint.save(
            path, learner.averaged(), recipe.network, recipe.arguments, to_dict(recipe), scores, extra=extra
        )


def _unusable(path: Path, why: ValueError) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be resumed from: {why}; delete it to start again, or name another run folder."
    )


def _pixels_left(recipe: Recipe, step: int) -> int:
    """Of all crops from this step on, which is what the time goes with."""
    early, final = (batch * crop**2 for batch, crop in sizes(recipe))
    left = max(0, recipe.steps - step)
    final_left = min(left, recipe.final_steps)
    return (left - final_left) * early + final_left * final


def _write(path: Path, content: bytes | memoryview) -> None:
    """Raises `CheckpointError` if the file cannot be written."""
    try:
        write_whole(path, content)
        _settle(path.parent)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written: {error.strerror or error}; make room there, or choose another run folder."
        ) from error


def _settle(folder: Path) -> None:
    """Let a rename survive a power cut, on systems where folders can be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
