"""Train a network: one loop, read from top to bottom. Everything it writes is in the run's folder.

recipe.json (settings), log.jsonl (one line for every report and validation), curve.png (the same as a picture, where
matplotlib is installed), last.pt (state to resume from), best.safetensors and last.safetensors (weights ready for use).
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch

from dualpix.errors import RecipeError
from dualpix.io.decoded import MOST_GB
from dualpix.machine import limits
from dualpix.machine.freed_memory import OF_TRAINING, keep_freed_memory
from dualpix.machine.modes import settled
from dualpix.plugins import PluginError
from dualpix.tables import pick
from dualpix.training.checking import check_pairs
from dualpix.training.device_feed import DeviceFeed
from dualpix.training.drawing_ahead import MOST as DRAWERS
from dualpix.training.failing import device_told, saved_after
from dualpix.training.feed import CropSource, Feed, Moving, pool_of, scenes_at, size_at, sizes
from dualpix.training.launching import hang_up, launch
from dualpix.training.learner import Learner
from dualpix.training.origin import origin, surroundings
from dualpix.training.pace import ByClock, BySteps
from dualpix.training.prefetching import Prefetching
from dualpix.training.processes import Processes, join
from dualpix.training.recipes import RECIPES, Recipe
from dualpix.training.rendering_ahead import RenderingAhead, remove_leftovers
from dualpix.training.run_folder import Begun, Listener, RunFolder
from dualpix.training.sameness import facts_of, require_same, sees_folder_of_the_first
from dualpix.training.schedules import rate_at
from dualpix.training.sources import Data, Validator, open_sources
from dualpix.training.tracking import Tracking

__all__ = ["launch", "train"]

AnyFeed: TypeAlias = Feed | DeviceFeed | Prefetching

REPORT_EVERY = 20
REPORT_EVERY_ON_DEVICE = 50  # each report makes the host wait for the device
MOST_LEFT_BEHIND = 10_000  # 6 GB at 256 px
DRAWING_S = 2.0  # that a curve may take, the first of a process most


@settled()
def train(
    recipe: Recipe | str = "cpu",
    folder: str | Path = "runs/latest",
    *,
    photos: Sequence[str | Path] = (),
    depths: str | Path | None = None,
    data: Data | None = None,
    validation: Sequence[Data] = (),
    left_behind: int = MOST_LEFT_BEHIND,
    report: Listener | None = None,
    begun: Begun | None = None,
    is_last: Callable[[int], bool] | None = None,
    track: str = "",
    rendered_first: bool = False,
    spent_s: float = 0.0,
    compiled: bool = False,
    decoded_gb: float = MOST_GB,
) -> Path:
    """Train `recipe` (a `Recipe` or a name in RECIPES) in the run folder `folder`; the same call again resumes.

    Ctrl-C, SIGTERM or SIGHUP ends the run after the current step with everything saved. Started several times over by
    `launch` or torchrun, the processes share every batch.

    Args:
        recipe: What is computed.
        folder: Where everything is written.
        photos: Folders of sharp photographs, from which dual-pixel pairs are simulated.
        depths: A folder of maps of the photographs' inverse depth, see `simulation.photos.share_photos`; with them the
            share `landscapes` of `simulation.scenes.Layout` of the scenes is laid out as the photographs are.
        data: In place of `photos` a data set of real pairs, a folder that `open_dataset` takes or any
            `datasets.Samples`; beside them for a recipe that adds simulated pairs to real ones (`simulated`).
        validation: With `data`, one other data set; without, folders of photographs for the simulated validation set.
            By default a tenth of the photographs or pairs is held out and not trained on (of DPDD, its validation
            split).
        left_behind: Scenes that stay on disk after leaving the pool, for other runs with the same settings.
        report: Called with the lines of the log as they are written.
        begun: Called before the first step with the log's line on how this run begins: versions, machine, data. A text
            that it returns becomes a note in the log.
        is_last: Called with the number of a step before it is taken. True ends the run after it, with a validation and
            everything saved; the same call without it goes on.
        rendered_first: Render the whole first pool of simulated scenes before the first step, so that runs that share
            it can be compared by the clock; by default scenes are rendered as steps ask for them.
        spent_s: Seconds that the caller has taken already, which count for a recipe's `minutes`.
        compiled: Let PyTorch compile the network, which takes up to minutes before the first step and makes each step
            quicker on a GPU; where that fails, a note says why and it runs as it is.
        decoded_gb: Of real pairs, GB that their decoded pictures may take in `scenes/pairs` beside the run's folder, so
            that a crop costs no decoding; 0 to decode a pair for each crop. What there is no room for is decoded so.
        track: "tensorboard", "wandb" or "mlflow": keep losses, learning rate, speed and validations in that tracker
            too, inside the run folder. One that fails is told once and left out.

    Returns:
        The weights to use: `best.safetensors`, the running mean with the highest validation PSNR (or, if the run was
        stopped before its first validation, `last.safetensors`).

    Raises:
        RecipeError: The recipe does not fit the network, its `start` or the run in the folder, or a training is going
            on there; or it is not that of the other machines.
        DataError: The data cannot be used.
        CheckpointError: `last.pt` or the weights of `start` or `teacher` cannot be used.
        MachineError: Another of several processes has ended, or versions or data differ between machines; the tracker
            is not installed, the memory is too small for one crop, or the device has failed.
        KeyboardInterrupt: The run was stopped before its first step; in all but the first of several processes also if
            it was stopped later.
    """
    recipe = pick(RECIPES, recipe, "recipe") if isinstance(recipe, str) else recipe
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"A thing of type {type(recipe).__name__} is no recipe; give a Recipe, or a name: {', '.join(RECIPES)}."
        )
    photos = [photos] if isinstance(photos, str | Path) else photos
    validation = [validation] if isinstance(validation, str | Path) else validation
    keep_freed_memory(OF_TRAINING)
    tracking = Tracking(track, Path(folder), recipe, report)
    with (
        torch.enable_grad(),
        _join(recipe) as processes,
        closing(RunFolder(Path(folder), recipe, processes, tracking.hear)) as run,
        closing(tracking),
    ):
        run.began -= spent_s
        tracking.note = lambda text: run.log({"note": text})
        for batch, _ in sizes(recipe):
            processes.share(batch)
        learner = Learner(recipe, run.clock, processes, run.precision)
        if recipe.start and not run.resuming:
            learner.start_from(recipe.start)
        store, tell = run.folder.parent / "scenes", lambda note: run.tell({"note": note})
        source, validator = open_sources(
            recipe, store, photos, data, validation, learner.names, depths, tell, decoded_gb
        )
        known = origin(source, validator)
        require_same(processes, {f"fingerprint of the {name}": value for name, value in known["data"].items()})
        seen = sees_folder_of_the_first(processes, run.folder)
        keeps_scenes = processes.first or (processes.place == 0 and not seen)
        if processes.first and not run.knows(known["data"]):
            check_pairs(source, validator, recipe, learner.names, partial(_checking, run), tell)
        processes.wait()
        places = {"photos": photos, "depths": depths, "data": data, "validation": validation}
        run.begin(learner, known, surroundings(places), begun)
        if compiled and (why := learner.compile((len(processes.share(recipe.batch)), recipe.crop))):
            run.log({"note": f"The network could not be compiled ({why}); it learns as it is."})
        processes.agree(learner.step, f"the step that {run.folder} holds")
        with (
            device_told(run, learner),
            closing(_feed(source, learner, processes)) as feed,
            _stop_on_signal() as stop,
            _ahead(source, learner, keeps_scenes) as reach,
        ):
            if rendered_first and not isinstance(feed, DeviceFeed):
                _fill(source, learner.step, processes, run, stop)
            forget = partial(_forget, source, keeps_scenes, left_behind)
            stopped = _loop(learner, feed, validator, run, _Ending(stop, is_last), reach, forget)
            if stopped and not processes.first:  # what started them must not take this for the end of the training
                raise KeyboardInterrupt
    return run.best if run.best.exists() else run.last


@contextmanager
def _join(recipe: Recipe) -> Iterator[Processes]:
    """Meet the other processes, which have to be alike on all machines."""
    with join() as processes:
        if processes.apart:
            require_same(processes, facts_of(recipe))
        yield processes


class _Ending:
    """Whether a step is the last one. reached: the caller has said so, and no signal."""

    def __init__(self, stop: list[bool], is_last: Callable[[int], bool] | None) -> None:
        self.stop, self.is_last, self.reached = stop, is_last, False

    def __call__(self, step: int) -> bool:
        self.reached = self.is_last is not None and self.is_last(step)
        return self.stop[0] or self.reached


def _loop(
    learner: Learner,
    feed: AnyFeed,
    validator: Validator,
    run: RunFolder,
    ends: _Ending,
    reach: Callable[[int], None],
    forget: Callable[[int], None],
) -> bool:
    """Whether it was stopped before its end."""
    recipe, processes = learner.recipe, run.processes
    stopping = False
    pace: BySteps | ByClock = BySteps(recipe)
    if recipe.minutes:
        pace = clock = ByClock(recipe, run.seconds, processes)
        if not clock.is_over(learner):
            validator = _prepare(clock, learner, validator, run)
    if recipe.start and learner.step == 0:
        run.validate(learner, validator)
        if isinstance(pace, ByClock):
            pace.validated(run.validating_s)
    while not pace.is_over(learner) and not stopping:
        with saved_after(Exception, run, learner), run.clock.on("feeding"):  # a file may have gone
            batch = feed.batch(learner.step)
        share, size, parts = pace.share(), size_at(recipe, learner.step), learner.parts
        with saved_after(PluginError, run, learner):  # which comes before the weights have moved
            loss, stopping = learner.learn(batch, processes, ends(learner.step + 1), share)
        if learner.parts > parts:
            run.log({"note": f"The memory is too small for a batch at once; it is computed in {learner.parts} parts."})
        reach(learner.step)
        run.count(loss, *size)
        ending, marked = pace.is_over(learner), pace.is_due(learner)
        due = learner.step % (REPORT_EVERY if learner.waits else REPORT_EVERY_ON_DEVICE) == 0
        if due or stopping or ending:
            rate = rate_at(recipe, learner.step - 1, None if share is None else learner.shares[1])
            run.report_progress(learner.step, rate, early=not due, seconds_left=0.0 if ending else pace.seconds_left())
        if isinstance(pace, ByClock) and (ending or marked or stopping):
            if ending:  # what the state says too, however a resumed run guesses the time of a step
                learner.shares = (learner.shares[0], max(1.0, learner.shares[1]))
            _keep_by_clock(pace, learner, validator, run, ending or marked)
            forget(learner.step)
            continue
        if marked or ending or (stopping and processes.any(ends.reached)):
            run.validate(learner, validator)
        if run.is_time() or stopping or ending:
            run.save(learner)
            forget(learner.step)
    return stopping and not ends.reached and not pace.is_over(learner)


def _prepare(pace: ByClock, learner: Learner, validator: Validator, run: RunFolder) -> Validator:
    """Find out what a validation and a checkpoint cost, so that from here on there always is one."""
    every: Any = getattr(validator, "samples", ())
    validator, run.tried = pace.prepared(learner, validator, run.tried)
    if run.tried and run.tried < len(every):
        run.log({"note": f"Validated on {run.tried} of {len(every)} pictures, which the time is enough for."})
    began = time.perf_counter()
    run.save(learner, draws=False)
    pace.kept(time.perf_counter() - began)
    return validator


def _keep_by_clock(pace: ByClock, learner: Learner, validator: Validator, run: RunFolder, validates: bool) -> None:
    """Weights and state first, then what they are worth, if there is time for it."""
    began = time.perf_counter()
    run.save(learner, draws=False)
    pace.kept(time.perf_counter() - began)
    if validates and pace.has_time_to_validate():
        run.validate(learner, validator)  # which draws the curve
        pace.validated(run.validating_s)
        run.save(learner, draws=False)  # once more, for the best score is part of the state
    elif pace.seconds_left() > DRAWING_S:
        run.draw()


@contextmanager
def _stop_on_signal() -> Iterator[list[bool]]:
    """Yield a flag that Ctrl-C, SIGTERM or a terminal that is closed sets.

    A second Ctrl-C interrupts at once. A second SIGTERM does not: who ends a service signals all of its processes, and
    the first of them passes the signal on to the others.
    """
    stop = [False]
    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield stop
        return

    def ask(number: int, frame: Any) -> None:
        if stop[0] and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop[0] = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, *hang_up())}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _feed(source: CropSource, learner: Learner, processes: Processes) -> AnyFeed:
    """Simulated crops are made where the network learns, if that is not the CPU; real ones come there beside a step."""
    if isinstance(source, Moving) and learner.device.type != "cpu":
        drawers = max(0, min(DRAWERS, limits.cores() // (processes.count if processes.together else 1) - 1))
        scenes = source.scenes.simulated
        return DeviceFeed(scenes, learner.recipe, learner.names, processes.share, learner.device, drawers)
    feed = Feed(source, learner.recipe, learner.names, processes.share)
    return feed if learner.device.type == "cpu" else Prefetching(feed, learner.device)


@contextmanager
def _ahead(source: CropSource, learner: Learner, keeps_scenes: bool) -> Iterator[Callable[[int], None]]:
    """Render simulated scenes ahead, for all who see the folder; yields what to call with the step reached."""
    pool = pool_of(source)
    on_device = isinstance(source, Moving) and learner.device.type != "cpu"
    if pool is None or not keeps_scenes or on_device:
        yield lambda step: None
        return
    remove_leftovers(pool.scenes.folder.parent)
    recipe, start = learner.recipe, learner.step
    end = sys.maxsize if recipe.minutes else recipe.steps
    if start >= end:
        yield lambda step: None
        return
    # Beside a GPU the other cores have nothing else to do.
    count = 1 if learner.device.type == "cpu" else max(1, limits.cores() - 1)
    with RenderingAhead(pool.scenes, partial(scenes_at, recipe), start, end, count) as ahead:
        yield ahead.reach


def _checking(run: RunFolder, done: int, total: int) -> None:
    if done % 50 == 0:
        run.tell({"checking": done, "of": total})


def _fill(source: CropSource, step: int, processes: Processes, run: RunFolder, stop: list[bool]) -> None:
    """Render what is missing of the first pool, shared by all processes."""
    if pool := pool_of(source):
        mine = [index for index in range(*pool.window(step)) if index % processes.count == processes.rank]
        missing = [index for index in mine if not pool.scenes.has(index)]
        for done, index in enumerate(missing, 1):
            if stop[0]:
                break
            pool.scenes.render(index)
            if done % 50 == 0:
                run.log({"rendering": done, "of": len(missing)})
    if processes.any(stop[0]):
        raise KeyboardInterrupt


def _forget(source: CropSource, keeps_scenes: bool, left_behind: int, step: int) -> None:
    pool = pool_of(source)
    if pool is not None and keeps_scenes:
        pool.scenes.forget(before=pool.window(step)[0] - left_behind)
