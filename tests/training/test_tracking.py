"""Runs in trackers: real trainings, read back from what each tracker keeps by that tracker's own reader."""

import importlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from dualpix.errors import MachineError, RecipeError
from dualpix.training import train
from dualpix.training.recipes import Recipe
from dualpix.training.tracking import QUIET, TRACKERS, Tracking, scalars_of
from dualpix.weights import checkpoint

Make = Callable[..., Recipe]
Curves = dict[str, list[tuple[int, float]]]


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def curves_of(run: Path) -> Curves:
    """By the names that trackers show, from the log."""
    curves: Curves = {}
    for line in lines(run):
        names = {"loss": "loss", "rate": "learning_rate", "pictures_per_s": "crops_per_s"}
        values = {shown: line[name] for name, shown in names.items() if name in line}
        values |= {f"validation/{name}": value for name, value in line.get("validation", {}).items()}
        for name, value in values.items():
            curves.setdefault(name, []).append((line["step"], pytest.approx(value, rel=1e-6)))
    return curves


def same_weights(one: Path, two: Path) -> bool:
    first, second = (checkpoint.load(run / "last.safetensors").network.state_dict() for run in (one, two))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Kept:
    """A tracker of a few lines, which fails at the number `fails_at` if there is one."""

    fails_at = -1.0
    made: ClassVar[list["Kept"]] = []

    def __init__(self, module: Any) -> None:
        self.module, self.curves, self.closed = module, {}, False
        Kept.made.append(self)

    def open(self, folder: Path, settings: dict, step: int) -> None:
        assert (folder / "recipe.json").is_file()
        self.settings, self.first = settings, step

    def add(self, step: int, scalars: dict[str, float]) -> None:
        if step == self.fails_at:
            raise OSError("the server\nhas gone.")
        for name, value in scalars.items():
            self.curves.setdefault(name, []).append((step, value))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Kept]:
    monkeypatch.setitem(TRACKERS, "kept", ("json", Kept))
    monkeypatch.setattr(Kept, "made", [])
    return Kept.made


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, again after the test."""
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


def test_a_tracker_gets_what_the_log_has(tmp_path: Path, quick: Make, photos: Path, kept: list[Kept]) -> None:
    recipe = quick()
    told: list[dict] = []
    train(recipe, tmp_path / "run", photos=[photos], track="kept", report=told.append, is_last=lambda step: step == 2)
    train(recipe, tmp_path / "run", photos=[photos], track="kept")
    assert [(one.first, one.closed) for one in kept] == [(2, True), (3, True)]
    assert kept[0].settings == json.loads((tmp_path / "run" / "recipe.json").read_text())
    both = {name: values + kept[1].curves[name] for name, values in kept[0].curves.items()}
    assert both == curves_of(tmp_path / "run") and {"loss", "crops_per_s", "validation/psnr"} < both.keys()
    assert any("validation" in line for line in told)


def test_one_that_fails_is_told_once_and_changes_nothing(
    tmp_path: Path, quick: Make, photos: Path, kept: list[Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kept, "fails_at", 3)
    told: list[dict] = []
    for name, track in (("with", "kept"), ("without", "")):
        train(quick(validate_every=2), tmp_path / name, photos=[photos], track=track, report=told.append)
    notes = [line for line in lines(tmp_path / "with") if "note" in line]
    assert [note["note"] for note in notes] == ["kept has failed and is given no more: the server; the log goes on"]
    assert [line["note"] for line in told if "note" in line] == [notes[0]["note"]]
    assert [step for step, _ in kept[0].curves["validation/psnr"]] == [2] and kept[0].closed
    assert same_weights(tmp_path / "with", tmp_path / "without")


def test_one_that_is_missing_is_an_error_before_anything_is_written(
    tmp_path: Path, photos: Path, dualpix: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    words = ["train", "tiny", "--photos", str(photos), "-o", str(tmp_path / "run")]
    code, _, err = dualpix(*words, "--track", "wandb")
    assert (code, err.count("\n"), (tmp_path / "run").exists()) == (1, 1, False) and "pip install -e '.[wandb]'" in err
    with pytest.raises(RecipeError, match="Did you mean 'wandb'"):
        train("tiny", tmp_path / "run", photos=[photos], track="wanda")
    monkeypatch.setitem(TRACKERS, "none", ("no_such_package", Kept))
    with pytest.raises(MachineError, match="tracker none is not installed"):
        Tracking("none", tmp_path, Recipe())


def test_reports_are_switched_off_before_a_tracker_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "looks_around.py").write_text("import os\nseen = dict(os.environ)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TRACKERS, "looking", ("looks_around", Kept))
    for name in QUIET:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "online")
    seen = Tracking("looking", tmp_path, Recipe()).tracker.module.seen
    assert {name: seen[name] for name in QUIET} == QUIET | {"WANDB_MODE": "online"}


def test_lines_without_numbers_of_a_step_are_nothing_to_track() -> None:
    assert scalars_of({"note": "x"}) == {} and scalars_of({"step": 20, "loss": None, "skipped": 20}) == {}


def read_tensorboard(run: Path) -> Curves:
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(run / "tensorboard")).Reload()
    assert "recipe/text_summary" in found.Tags()["tensors"]
    return {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}


def read_mlflow(run: Path) -> Curves:
    client = importlib.import_module("mlflow").MlflowClient(tracking_uri=(run / "mlruns").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("dualpix").experiment_id])
    assert found.data.params["network"] == "mccnet-fast" and found.info.status == "FINISHED"
    histories = {name: client.get_metric_history(found.info.run_id, name) for name in found.data.metrics}
    return {name: [(one.step, one.value) for one in history] for name, history in histories.items()}


def records(path: Path) -> Iterator[bytes]:
    """Of a file of wandb: those of a log of LevelDB (its doc/log_format.md), behind 7 bytes of its own."""
    content, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of it, or its last part
            yield whole
            whole = b""


def read_wandb(run: Path) -> Curves:
    record = importlib.import_module("wandb.proto.wandb_internal_pb2")
    curves: Curves = {}
    for path in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        for raw in records(path):
            one = record.Record.FromString(raw)
            if one.WhichOneof("record_type") == "history":
                items = {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in one.history.item
                }
                for name, value in items.items():
                    if not name.startswith("_"):
                        curves.setdefault(name, []).append((one.history.step.num, value))
    return curves


READERS = {"tensorboard": read_tensorboard, "wandb": read_wandb, "mlflow": read_mlflow}


@pytest.mark.parametrize("name", READERS)
def test_real_trackers_keep_what_the_log_has(tmp_path: Path, quick: Make, photos: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(name)
        recipe, run = quick(), tmp_path / "run"
        if name != "wandb":  # which names its folders by the second, and these two would begin in the same
            train(recipe, run, photos=[photos], track=name, is_last=lambda step: step == 2)
        train(recipe, run, photos=[photos], track=name)
        if name == "wandb":  # whose own process goes on writing after `finish` has come back
            importlib.import_module(name).teardown()
        found = READERS[name](run)
    assert [line for line in lines(run) if "note" in line] == []
    assert found == curves_of(run)
