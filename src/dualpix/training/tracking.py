"""Runs in the tracker that people already look at: TensorBoard, Weights & Biases or MLflow, each in the run's folder.

The log stays the source: a tracker is given its lines, and one that fails does not end a training. Nothing is reported
to the makers of the trackers.
"""

import importlib
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from dualpix.errors import MachineError, how_to_install, reason_of
from dualpix.machine.files import parse_json, write_whole
from dualpix.tables import pick
from dualpix.training.recipes import Recipe, to_dict

QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # which MLflow refuses otherwise since 3.7, in favour of a database
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
}
"""Environment variables that keep trackers from reporting their use and from printing; what the user has set is kept.
The trackers read them when they are imported."""

IDS = "tracked.json"
"""The file in a run folder with the names that trackers gave the run, by which a resumed one goes on."""

PROJECT = "dualpix"

Scalars = dict[str, float]


class Tracker(Protocol):
    """What a tracker has to do. Making one, with what `import_module` returned, opens nothing."""

    def open(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        """Begin, or go on, with the run in `folder`, whose next number is of `step`."""

    def add(self, step: int, scalars: Scalars) -> None:
        """Keep numbers of a step."""

    def close(self) -> None:
        """See that all is kept."""


class TensorBoard:
    """Event files in `tensorboard/`; those of steps that are taken again are hidden."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.writer: Any = None

    def open(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        """See `Tracker`."""
        self.writer = self.module.SummaryWriter(str(folder / "tensorboard"), purge_step=step)
        rows = "".join(f"| {name} | {json.dumps(value)} |\n" for name, value in settings.items())
        self.writer.add_text("recipe", f"| field | value |\n| --- | --- |\n{rows}", step)

    def add(self, step: int, scalars: Scalars) -> None:
        """See `Tracker`."""
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        """See `Tracker`."""
        self.writer.close()


class WeightsAndBiases:
    """A run in `wandb/`, on this machine alone unless the user has set WANDB_MODE."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.run: Any = None

    def open(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        """See `Tracker`."""
        known = _known(folder)
        self.run = self.module.init(
            project=PROJECT,
            name=folder.absolute().name,
            dir=str(folder),
            config=dict(settings),
            id=known.get("wandb"),
            resume="allow",
        )
        _remember(folder, "wandb", self.run.id)

    def add(self, step: int, scalars: Scalars) -> None:
        """See `Tracker`."""
        self.run.log(scalars, step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self.run.finish()


class MlFlow:
    """A run in the file store `mlruns/`."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.client: Any = None
        self.id = ""

    def open(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        """See `Tracker`."""
        self.client = self.module.MlflowClient(tracking_uri=(folder / "mlruns").absolute().as_uri())
        known = _known(folder).get("mlflow")
        if known:
            self.id = self.client.get_run(known).info.run_id
            return
        found = self.client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else self.client.create_experiment(PROJECT)
        self.id = self.client.create_run(experiment, run_name=folder.absolute().name).info.run_id
        _remember(folder, "mlflow", self.id)
        for name, value in settings.items():
            self.client.log_param(self.id, name, value if isinstance(value, str) else json.dumps(value))

    def add(self, step: int, scalars: Scalars) -> None:
        """See `Tracker`."""
        now = int(time.time() * 1000)
        for name, value in scalars.items():
            self.client.log_metric(self.id, name, value, timestamp=now, step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self.client.set_terminated(self.id)


TRACKERS: dict[str, tuple[str, Callable[[Any], Tracker]]] = {
    "tensorboard": ("torch.utils.tensorboard", TensorBoard),
    "wandb": ("wandb", WeightsAndBiases),
    "mlflow": ("mlflow", MlFlow),
}
"""What is imported, and what is made of it, by the name of the tracker, which is that of its extra too."""


class Tracking:
    """Hands the lines of the log to whoever listens, and the numbers in them to a tracker.

    Args:
        name: A name in `TRACKERS`; "" for none.
        folder: The run folder.
        recipe: Becomes the run's configuration.
        report: Who listens besides.

    Raises:
        RecipeError: There is no tracker of this name.
        MachineError: Its package is not installed.
    """

    def __init__(
        self, name: str, folder: Path, recipe: Recipe, report: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        self.name, self.folder, self.report = name, folder, report
        self.settings = json.loads(json.dumps(to_dict(recipe)))
        self.tracker = _make(name) if name else None
        self.is_open = False
        self.note: Callable[[str], None] = warnings.warn

    def hear(self, line: dict[str, Any]) -> None:
        """Pass `line` on, and keep what numbers it holds."""
        if self.report is not None:
            self.report(line)
        scalars = scalars_of(line)
        if self.tracker is None or not scalars:
            return
        try:
            if not self.is_open:
                self.tracker.open(self.folder, self.settings, line["step"])
                self.is_open = True
            self.tracker.add(line["step"], scalars)
        except Exception as error:
            self._give_up(error)

    def close(self) -> None:
        """See that the tracker has kept all."""
        if self.tracker is not None and self.is_open:
            try:
                self.tracker.close()
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Say so once. The training goes on, for its log has everything."""
        tracker, self.tracker = self.tracker, None
        if tracker is not None and self.is_open:
            with suppress(Exception):
                tracker.close()
        self.note(f"{self.name} has failed and is given no more: {reason_of(error)}; the log goes on")


def scalars_of(line: Mapping[str, Any]) -> Scalars:
    """Return the numbers of a line of the log, by the names that trackers show."""
    if "step" not in line:
        return {}
    known = {"loss": line.get("loss"), "learning_rate": line.get("rate"), "crops_per_s": line.get("pictures_per_s")}
    known |= {f"validation/{name}": value for name, value in line.get("validation", {}).items()}
    return {name: float(value) for name, value in known.items() if value is not None}


def _make(name: str) -> Tracker:
    package, tracker = pick(TRACKERS, name, "tracker")
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    try:
        return tracker(importlib.import_module(package))
    except ImportError as error:
        raise MachineError(
            f"The tracker {name} is not installed ({reason_of(error)}): {how_to_install(name)}."
        ) from error


def _known(folder: Path) -> dict[str, str]:
    try:
        known = parse_json((folder / IDS).read_text())
    except (OSError, ValueError):
        return {}
    return {name: text for name, text in known.items() if isinstance(text, str)} if isinstance(known, dict) else {}


def _remember(folder: Path, name: str, id_: str) -> None:
    write_whole(folder / IDS, json.dumps(_known(folder) | {name: id_}).encode())
