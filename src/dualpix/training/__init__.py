"""Train a network: one loop, read from top to bottom. Everything it writes is in the run's folder.

recipe.json (settings), log.jsonl (one line for every report and validation), last.pt (state to resume from),
best.safetensors and last.safetensors (weights ready for use).
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dualpix.data import open_dataset
from dualpix.data.photos import read_photos
from dualpix.data.rendered import Rendered, store_name
from dualpix.data.simulated import Simulated
from dualpix.errors import DataError, RecipeError
from dualpix.evaluating import score
from dualpix.optics.scenes import Layout
from dualpix.recipes import RECIPES, Recipe
from dualpix.tables import pick
from dualpix.training.feed import Feed, Fixed, Moving, Source
from dualpix.training.keeping import Keeper, Report
from dualpix.training.learner import Learner, rate_at
from dualpix.training.processes import Processes, join, leave
from dualpix.training.rendering_ahead import RenderingAhead

VALIDATION_SCENES = 24
REPORT_EVERY = 20


def train(
    recipe: Recipe | str = "cpu",
    folder: str | Path = "runs/latest",
    *,
    photos: Sequence[str | Path] = (),
    data: str | Path | None = None,
    validation: Sequence[str | Path] = (),
    report: Report | None = None,
) -> Path:
    """Train `recipe` (a `Recipe` or a name in RECIPES) in the run folder `folder`; the same call again resumes.

    photos: folders of sharp photographs, from which dual-pixel pairs are simulated; data: or a data set of real pairs.
    validation: folders of photographs for the simulated validation set; by default the last tenth of `photos`, which is
        then not trained on. With `data`, a folder that `open_dataset` knows.
    report: called with every line of the log.

    Returns the weights to use (`best.safetensors`: the running mean with the highest validation PSNR). Ctrl-C or
    SIGTERM ends the run after the current step with everything kept. Under torchrun, every process calls this. Raises
    `RecipeError` for a folder that holds another recipe's run, `DataError` for unusable data.
    """
    recipe = pick(RECIPES, recipe, "recipe") if isinstance(recipe, str) else recipe
    processes = join()
    if recipe.batch % processes.count:
        raise RecipeError(f"batch={recipe.batch} cannot be shared by {processes.count} processes; choose a multiple.")
    keeper = Keeper(Path(folder), recipe, processes.first, report)
    learner = Learner(recipe)
    keeper.resume(learner)
    source, validate = _open(recipe, keeper.folder, photos, data, validation)
    feed = Feed(source, recipe, learner.views, processes.rank, processes.count)
    try:
        with _stop_on_signal() as stop, _ahead(source, learner.step, recipe, processes) as reach:
            _fill(source, learner.step, processes, keeper)
            _loop(learner, feed, validate, keeper, processes, stop, reach)
    finally:
        leave()
    return keeper.best


def _loop(
    learner: Learner,
    feed: Feed,
    validate: Callable[[Any], dict[str, float]],
    keeper: Keeper,
    processes: Processes,
    stop: list[bool],
    reach: Callable[[int], None],
) -> None:
    recipe = learner.recipe
    stopping = False
    while learner.step < recipe.steps and not stopping:
        began = time.perf_counter()
        batch = feed.batch(learner.step)
        fed = time.perf_counter()
        rate = rate_at(recipe, learner.step)
        loss, stopping = learner.learn(batch, processes, stop[0])
        reach(learner.step)
        keeper.count(loss, fed - began, time.perf_counter() - fed)
        stopping = stopping or learner.step == recipe.steps
        if learner.step % REPORT_EVERY == 0 or stopping:
            keeper.report_progress(learner.step, rate)
        if learner.step % recipe.validate_every == 0 or learner.step == recipe.steps:
            if processes.first:
                keeper.judge(learner, validate(learner.averaged()))
            processes.wait()
        if keeper.is_time() or stopping:
            keeper.keep(learner)


def _open(
    recipe: Recipe,
    folder: Path,
    photos: Sequence[str | Path],
    data: str | Path | None,
    validation: Sequence[str | Path],
) -> tuple[Source, Callable[[Any], dict[str, float]]]:
    """Where crops come from, and the function that scores a network on held-out pictures."""
    if (data is None) == (not photos):
        raise DataError(
            "Training needs either folders of photographs to simulate pairs from, or one data set of pairs."
        )
    if data is not None:
        held_out = open_dataset(validation[0] if validation else data, split=None)
        return Fixed(open_dataset(data)), lambda network: score(network, held_out, "dpdd-8bit").mean()
    sharp = read_photos(photos)
    kept = read_photos(validation) if validation else sharp[-max(1, len(sharp) // 10) :]
    if not validation and len(sharp) > 1:
        sharp = sharp[: -len(kept)]
    layout = Layout(far_px=recipe.far_px)
    shared = dict(size=recipe.scene, sharp_aperture=recipe.sharp_aperture, depth=8, layout=layout)
    scenes = Simulated(sharp, count=10**9, seed=recipe.seed, compressed=recipe.compressed, **shared)  # type: ignore[arg-type]
    trials = Simulated(kept, count=VALIDATION_SCENES, seed=10**6, compressed=recipe.compressed, **shared)  # type: ignore[arg-type]
    held = [trials[index] for index in range(len(trials))]
    store = Rendered(scenes, folder.parent / "scenes" / store_name(scenes))
    return Moving(store, recipe), lambda network: score(network, _Listed(held), "dpdd-8bit").mean()


class _Listed(list[Any]):
    found = "simulated validation scenes"


@contextmanager
def _stop_on_signal() -> Iterator[list[bool]]:
    """A flag that Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts at once."""
    stop = [False]

    def ask(number: int, frame: Any) -> None:
        if stop[0]:
            raise KeyboardInterrupt
        stop[0] = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _ahead(source: Source, step: int, recipe: Recipe, processes: Processes) -> Iterator[Callable[[int], None]]:
    """Render simulated scenes ahead, from the first process only; yields what to call with the step reached."""
    if not isinstance(source, Moving) or not processes.first:
        yield lambda step: None
        return
    with RenderingAhead(source.scenes, source.window(recipe.steps)[1]) as ahead:
        ahead.reach(source.window(step)[1])
        yield lambda step: ahead.reach(source.window(step)[1])


def _fill(source: Source, step: int, processes: Processes, keeper: Keeper) -> None:
    """Render what is missing of the first pool, shared by all processes."""
    if isinstance(source, Moving):
        missing = [i for i in range(*source.window(step)) if not source.scenes.has(i)]
        mine = missing[
            processes.rank * len(missing) // processes.count : (processes.rank + 1) * len(missing) // processes.count
        ]
        for done, index in enumerate(mine):
            source.scenes.render(index)
            if done % 50 == 49:
                keeper.say({"rendering": done + 1, "of": len(mine)})
    processes.wait()
