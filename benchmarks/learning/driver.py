"""The training that never stops: trunk, stage, judge, and again, one network after another.

Every step of it can be killed: what comes next is read from what is on disk (`learning.folders`), each folder appears
whole, and each training goes on from its last checkpoint.
"""

import gc
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from dualpix.machine.files import LEFTOVERS, write_whole
from dualpix.training import train
from dualpix.training.recipes import Recipe
from dualpix.weights import checkpoint
from learning.folders import (
    STORES,
    Stage,
    last_of,
    next_folder,
    number_of,
    read_log,
    spent_hours,
    stages_of,
    trunks_of,
    write_json,
)
from learning.judging_stages import judge
from learning.recipes import differences, read_recipe, stage_recipe, trunk_recipe
from learning.settings import Plan, SettingsError, read_settings


class Stopped(Exception):
    """Somebody asked for the end."""


class Driver:
    def __init__(self, path: Path) -> None:
        """path: of the settings. Raises `SettingsError`."""
        self.path, self.settings = path, read_settings(path)
        self.not_before: dict[str, float] = {}  # of a network in trouble, on the clock of time.monotonic
        self.asked = False

    def run(self) -> None:
        """Until SIGTERM, or somebody asks for the end (`stop`); at most a step, or the opening of a run, goes by first.

        The signal raises nothing: Python loses exceptions that come in the middle of its own tidying up.
        """
        signal.signal(signal.SIGTERM, self._ask)
        torch.set_num_threads(1)
        folder = self.settings.folder
        for unfinished in folder.glob(f"*/*-*/{LEFTOVERS}"):  # of one that was killed while it wrote
            unfinished.unlink()
        try:
            while not self._stopping():
                self._read_settings(folder)
                self._turn()
                gc.collect()
        except (KeyboardInterrupt, Stopped):
            pass
        asked = "learn.py stop" if (folder / "stop").exists() else "a signal"
        self._say(f"stopped by {asked}; everything is kept")
        self._doing(f"nothing, it was stopped by {asked}")

    def _read_settings(self, folder: Path) -> None:
        try:
            settings = read_settings(self.path)
            if settings.folder != folder:
                raise SettingsError(f"{self.path}: another folder needs another start.")
            self.settings = settings
        except SettingsError as error:
            self._say(f"goes on with the settings as they were: {error}")

    def _turn(self) -> None:
        """One thing: what was begun first, then the network that is furthest behind its share of the time."""
        ready = [plan for plan in self.settings.networks if time.monotonic() >= self.not_before.get(plan.name, 0.0)]
        if not ready:
            time.sleep(1.0)
            return
        for plan in ready:
            home = self.settings.home(plan)
            stages = stages_of(home)
            for stage in stages:
                if not stage.over:
                    return self._watched(plan, partial(self._finish, stage))
            if stages and self._to_judge(stages[-1]):
                return self._watched(plan, partial(self._judge, plan, stages[-1]))
        plan = min(ready, key=lambda plan: spent_hours(self.settings.home(plan)) / plan.share)
        self._watched(plan, partial(self._learn, plan))

    def _watched(self, plan: Plan, work: Callable[[], None]) -> None:
        """Trouble ends neither the training nor the other networks' turns."""
        trouble = self.settings.home(plan) / "trouble.txt"
        try:
            work()
            trouble.unlink(missing_ok=True)
        except Stopped:
            raise
        except Exception as error:
            minutes = self.settings.retry_minutes
            self.not_before[plan.name] = time.monotonic() + 60 * minutes
            self._say(f"{plan.name} is in trouble and tried again in {minutes:g} minutes\n{traceback.format_exc()}")
            with suppress(OSError):  # the trouble may be a full disk
                trouble.parent.mkdir(parents=True, exist_ok=True)
                write_whole(trouble, f"{_now()} {error}\n".encode())

    def _learn(self, plan: Plan) -> None:
        """Go on with the trunk until a stage is due, and cut it."""
        home = self.settings.home(plan)
        trunk, recipe = self._trunk(plan)
        cut = [stage for stage in stages_of(home) if stage.record["trunk"] == trunk.name]
        since_step, since_h = (cut[-1].record["step"], cut[-1].record["hours"]) if cut else (0, 0.0)
        due_h = since_h + plan.stage_minutes / 60
        step, hours = position(trunk)
        if hours < due_h:
            self._doing(f"{plan.name}: {trunk.name}")
            self._tidy(home)
            self._train(recipe, trunk, due_h)
            step, hours = position(trunk)
        fall = max(1, round(plan.fall * (step - since_step)))
        stage = next_folder(home, "stage")
        unfinished = home / ".stage"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for name in ("last.pt", "recipe.json"):
            shutil.copyfile(trunk / name, unfinished / name)
        record = {"trunk": trunk.name, "step": step, "hours": hours, "fall": fall, "begun": _now()}
        record["trunk_psnr"] = _psnr(trunk)
        write_json(unfinished / "stage.json", record)
        unfinished.rename(stage)
        self._say(f"{plan.name}: {stage.name} cut from {trunk.name} at step {step}")

    def _trunk(self, plan: Plan) -> tuple[Path, Recipe]:
        """The trunk to go on with and its recipe; another one, from the weights of the newest, if that cannot go on."""
        home = self.settings.home(plan)
        teacher = self._teacher(plan)
        newest = (trunks_of(home) or [home / "trunk-001"])[-1]
        start = self._start(home, newest)
        wanted = trunk_recipe(plan, number_of(newest), start, teacher)
        if not (newest / "last.pt").exists():  # it has not come to its first checkpoint
            return newest, wanted
        try:
            changed = differences(read_recipe(newest), wanted)
            position(newest)
        except Exception as error:
            changed = [str(error)]
        if not changed:
            return newest, wanted
        trunk = next_folder(home, "trunk")
        self._say(f"{plan.name}: {trunk.name} goes on from the weights of {newest.name}: {'; '.join(changed)}")
        for store in (home / "scenes").glob(STORES):
            shutil.rmtree(store, ignore_errors=True)
        trunk.mkdir()
        return trunk, trunk_recipe(plan, number_of(trunk), self._start(home, trunk), teacher)

    def _start(self, home: Path, trunk: Path) -> str:
        """The newest weights of the trunks before it; empty for the plan's own."""
        earlier = [one for one in trunks_of(home) if number_of(one) < number_of(trunk)]
        found = [one / "last.safetensors" for one in earlier if (one / "last.safetensors").exists()]
        return str(found[-1]) if found else ""

    def _teacher(self, plan: Plan) -> str:
        """The file of the teacher, brought up to date. Its name stays the same, so the trunk can go on."""
        if not plan.teacher:
            return str(plan.fields.get("teacher", ""))
        home = self.settings.home(plan)
        other = next(one for one in self.settings.networks if one.name == plan.teacher)
        stages = [stage for stage in stages_of(self.settings.home(other)) if stage.weights.exists()]
        source = stages[-1].weights if stages else checkpoint.find(other.yardstick)
        file, content = home / "teacher.safetensors", source.read_bytes()
        if not file.exists() or file.read_bytes() != content:
            home.mkdir(parents=True, exist_ok=True)
            write_whole(file, content)
            self._say(
                f"{plan.name} is taught by {stages[-1].name if stages else 'the shipped weights'} of {other.name}"
            )
        return str(file)

    def _finish(self, stage: Stage) -> None:
        """Let the rate fall, and keep the weights."""
        network = stage.folder.parent.name
        self._doing(f"{network}: {stage.name}, whose rate falls")
        step, fall = stage.record["step"], stage.record["fall"]
        try:
            recipe = stage_recipe(read_recipe(stage.folder), step, fall)
            self._train(recipe, stage.folder)
            found = checkpoint.load(stage.folder / "last.safetensors")
            psnr = _psnr(stage.folder)
            scores = {} if psnr is None else {"psnr": psnr}
            parts = (found.network, found.name, found.arguments, found.recipe, scores)
            checkpoint.save(stage.weights, *parts, extra=found.extra, dtype="bf16")
            minutes = 60 * (position(stage.folder)[1] - stage.record["hours"])
        except Stopped:
            raise
        except Exception as error:  # the trunk can go on without it
            stage.note(failed=str(error))
            raise
        stage.note(finished=_now(), minutes=minutes, psnr=psnr)
        for name in ("last.pt", "best.safetensors"):  # the first is large, the other often the trunk's
            (stage.folder / name).unlink(missing_ok=True)
        self._say(f"{network}: {stage.name} is done")
        self._prune(stage.folder.parent)

    def _to_judge(self, stage: Stage) -> bool:
        return "finished" in stage.record and "judged" not in stage.record and self.settings.judge.exists()

    def _judge(self, plan: Plan, stage: Stage) -> None:
        self._doing(f"{plan.name}: judging {stage.name}")
        settings = self.settings
        stage = judge(stage, settings.judge, plan.yardstick, settings.judge_minutes, self._stopping)
        if "judged" not in stage.record:
            raise Stopped
        self._say(f"{plan.name}: {stage.name} judged: {stage.record['judged']}")

    def _train(self, recipe: Recipe, run: Path, due_h: float = float("inf")) -> None:
        """Until the recipe's end or until the run has taken so many hours. Raises `Stopped` if it was told to stop."""
        told = False

        def report(line: dict[str, Any]) -> None:
            nonlocal told
            told = told or line.get("hours", 0.0) >= due_h
            if told or self._stopping():  # the training listens to it, from its first scene on
                os.kill(os.getpid(), signal.SIGTERM)

        settings = self.settings
        photos, validation = (
            [path for path in paths if path.is_dir()] for paths in (settings.photos, settings.validation)
        )
        _share_photos(settings.folder, run.parent)
        train(
            recipe,
            run,
            photos=photos,
            depths=settings.depths if settings.depths.is_dir() else None,
            validation=validation,
            left_behind=settings.left_behind,
            report=report,
        )
        if self._stopping() or not (told or position(run)[0] >= recipe.steps):
            raise Stopped

    def _stopping(self) -> bool:
        """Whether somebody asked for the end; by a file too, as a training keeps the signal to itself."""
        return self.asked or (self.settings.folder / "stop").exists()

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True

    def _tidy(self, home: Path) -> None:
        """Delete all rendered scenes but the newest settings': photographs or the simulator may have changed."""
        stores = sorted((home / "scenes").glob(STORES), key=lambda store: store.stat().st_mtime)
        for store in stores[:-1]:
            shutil.rmtree(store, ignore_errors=True)

    def _prune(self, home: Path) -> None:
        """Delete the weights of old stages that do not ship; what was found out about them stays."""
        for stage in stages_of(home)[: -self.settings.keep_stages]:
            verdict = stage.verdict()
            if verdict is None or verdict[1]:
                for file in (stage.weights, *stage.folder.glob("last.*")):
                    file.unlink(missing_ok=True)

    def _doing(self, what: str) -> None:
        write_json(self.settings.folder / "plan.json", {"doing": what, "since": _now()})

    def _say(self, text: str) -> None:
        with suppress(OSError):  # a full disk is no reason to end
            sys.stdout.write(f"{_now()} {text}\n")
            sys.stdout.flush()


def position(run: Path) -> tuple[int, float]:
    """The step and the hours of a run's last checkpoint; 0 for one without. Raises an error of PyTorch's."""
    if not (run / "last.pt").exists():
        return 0, 0.0
    state = torch.load(run / "last.pt", weights_only=True, mmap=True)
    return int(state["learner"]["step"]), float(state["spent"]) / 3600


def _psnr(run: Path) -> float | None:
    scores = last_of(read_log(run), "validation") or {}
    return scores.get("psnr")


def _share_photos(folder: Path, home: Path) -> None:
    """One copy of the decoded photographs for all networks."""
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    link = home / "scenes" / "photos"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to("../../photos", target_is_directory=True)


def _now() -> str:
    return datetime.now().astimezone().isoformat(" ", "seconds")
