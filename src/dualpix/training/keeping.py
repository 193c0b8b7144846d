"""What a training run leaves on disk, and what it says."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dualpix import checkpoint
from dualpix.errors import CheckpointError, RecipeError
from dualpix.recipes import Recipe, to_dict
from dualpix.training.learner import Learner

Report = Callable[[dict[str, Any]], None]
FREE_TO_CHANGE = {"steps", "decay_steps", "validate_every", "keep_minutes"}
"""Fields that a resumed run may change: none alters a step that has been taken."""


class Keeper:
    """The run folder. Only the first process writes; the others get a keeper that reads and is silent."""

    def __init__(
        self, folder: Path, recipe: Recipe, writes: bool, report: Callable[[dict[str, Any]], None] | None
    ) -> None:
        self.folder, self.recipe, self.writes, self.listener = folder, recipe, writes, report
        self.losses: list[float] = []
        self.seconds = {"feeding": 0.0, "learning": 0.0}
        self.spent, self.best_psnr = 0.0, float("-inf")
        self.kept = self.began = time.monotonic()
        self._check_recipe()
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            _write_whole(folder / "recipe.json", json.dumps(to_dict(recipe), indent=2).encode())

    @property
    def best(self) -> Path:
        return self.folder / "best.safetensors"

    def resume(self, learner: Learner) -> None:
        """Bring the learner to where the run stopped, if it has begun."""
        path = self.folder / "last.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, weights_only=True)
            learner.restore(state["learner"])
        except Exception as error:
            raise CheckpointError(f"{path} cannot be resumed from ({error}); delete it to start again.") from error
        self.spent, self.best_psnr = state["spent"], state["best_psnr"]
        self.say({"resumed_at_step": learner.step})

    def count(self, loss: float, feeding_s: float, learning_s: float) -> None:
        self.losses.append(loss)
        self.seconds["feeding"] += feeding_s
        self.seconds["learning"] += learning_s

    def report_progress(self, step: int, rate: float) -> None:
        """Mean loss, speed, how the time divides, and the time left, since the last report."""
        total = sum(self.seconds.values())
        steps = len(self.losses)
        line = {
            "step": step,
            "loss": round(sum(self.losses) / steps, 6),
            "rate": rate,
            "pictures_per_s": round(steps * self.recipe.batch / total, 2),
            "feeding": round(self.seconds["feeding"] / total, 3),
            "hours": round(self.hours(), 4),
            "hours_left": round((self.recipe.steps - step) * total / steps / 3600, 3),
        }
        self.losses, self.seconds = [], {"feeding": 0.0, "learning": 0.0}
        self.say(line)

    def judge(self, learner: Learner, scores: dict[str, float]) -> None:
        """Note the validation scores, and keep the weights if they are the best so far."""
        better = scores["psnr"] > self.best_psnr
        self.best_psnr = max(self.best_psnr, scores["psnr"])
        self.say({"step": learner.step, "validation": {k: round(v, 4) for k, v in scores.items()}, "best": better})
        if better and self.writes:
            self._save(self.best, learner, scores)

    def keep(self, learner: Learner) -> None:
        """The state to resume from, and the weights as they are."""
        self.kept = time.monotonic()
        if not self.writes:
            return
        part = self.folder / "last.pt.part"
        torch.save({"learner": learner.state(), "spent": self.hours() * 3600, "best_psnr": self.best_psnr}, part)
        os.replace(part, self.folder / "last.pt")
        self._save(self.folder / "last.safetensors", learner, {})

    def is_time(self) -> bool:
        return time.monotonic() - self.kept > self.recipe.keep_minutes * 60

    def hours(self) -> float:
        return (self.spent + time.monotonic() - self.began) / 3600

    def say(self, line: dict[str, Any]) -> None:
        if not self.writes:
            return
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        if self.listener:
            self.listener(line)

    def _save(self, path: Path, learner: Learner, scores: dict[str, float]) -> None:
        extra = {"step": learner.step, "hours": round(self.hours(), 3), "precision": learner.precision}
        recipe = self.recipe
        checkpoint.save(
            path, learner.averaged(), recipe.network, recipe.arguments, to_dict(recipe), scores, extra=extra
        )

    def _check_recipe(self) -> None:
        path = self.folder / "recipe.json"
        if not path.exists() or not (self.folder / "last.pt").exists():
            return
        before, now = json.loads(path.read_text()), json.loads(json.dumps(to_dict(self.recipe)))
        changed = sorted(
            k for k in before.keys() | now.keys() if before.get(k) != now.get(k) and k not in FREE_TO_CHANGE
        )
        if changed:
            raise RecipeError(
                f"{self.folder} holds a run with another recipe: {', '.join(changed)} differ. Name another run folder,"
                " or take the same recipe to resume."
            )


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
