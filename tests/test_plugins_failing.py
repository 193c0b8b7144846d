"""Entries of other packages that fail while they run: one sentence, whichever the door, with the cause behind it."""

import json
from pathlib import Path

import pytest

from plugin_packages import install, install_example, python


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_example(tmp_path_factory.mktemp("plugins"))


RUNNING = b"""
import numpy as np, torch
from dualpix import NetworkSpec
from dualpix_example.data import NumberedPairs
from dualpix_example.eager import EagerRunner
from dualpix_example.files import EXAMPLE
from dualpix_example.network import ExampleNet
from dualpix.training.objectives import Objective
from dataclasses import replace
import re

def fails(*given):
    raise KeyError("lost")

def nan(output, target):
    return float("nan")

def text(output, target):
    return "good"

def whole(output, target):
    return (output - target).abs()

def no_number(output, target):
    return (output - target).mean() * float("nan")

calls = []
def third(output, target):
    calls.append(0)
    if len(calls) == 3:
        raise ZeroDivisionError("the third time")
    return (output - target).abs().mean()

class Leaves(ExampleNet):
    def forward(self, left, right):
        raise SystemExit(3)

class Small(ExampleNet):
    def forward(self, left, right):
        return left[..., 1:]

class NoModule:
    def __init__(self):
        self.spec = None

class FailingRunner(EagerRunner):
    def __call__(self, views):
        raise KeyError("lost")

class FlatRunner(EagerRunner):
    def __call__(self, views):
        return views[0][0]

class FailingPairs(NumberedPairs):
    looks = "a folder with failing.txt"
    @staticmethod
    def splits(root):
        return [""] if (root / "failing.txt").is_file() else []
    def __getitem__(self, index):
        return {"left": self.lines[index][3]}

OBJECTIVE = Objective(("left", "right", "sharp"), fails)
FORMAT = replace(EXAMPLE, name="FAILING", endings=(".failing",), start=re.compile(b"FAILING"), read_header=fails)
"""

RUNNING_SOURCE = b"""
from dataclasses import replace
from dualpix_example.both_views import INTERLEAVED

SOURCE = replace(INTERLEAVED, name="failing-source", endings=(".rows2",), read=lambda path, most: {"left": 1},
                 recognises=lambda path, start: path.suffix == ".rows2")
"""

FAILURES = """
from dataclasses import replace
import contextlib, io, json, sys, warnings
from pathlib import Path
import numpy as np, torch
import dualpix
from dualpix.cli import main
from dualpix.plugins import PluginWarning

warnings.simplefilter("ignore", PluginWarning)
told = {}

def run(label, *words):
    sys.argv, said = ["dualpix", *words], io.StringIO()
    code = 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            code = end.code
    told[label] = [code, said.getvalue().splitlines()[-1]]

def call(label, function, *given, **more):
    try:
        function(*given, **more)
    except dualpix.DualpixError as error:
        cause = error.__cause__
        told[label] = [type(error).__name__, type(cause).__name__, str(error)]

rng = np.random.default_rng(0)
for name, picture in zip(("left", "right", "sharp"), rng.integers(0, 255, (3, 40, 48, 3), dtype=np.uint8)):
    dualpix.write_picture(f"{name}.png", picture)
    for folder in ("known", "foreign"):
        Path(folder).mkdir(exist_ok=True)
        place = {"left": "a_L", "right": "a_R", "sharp": "a_sharp"}[name]
        dualpix.write_picture(f"{folder}/{place}.png", picture)
Path("foreign/failing.txt").write_text("")
Path("foreign/pairs.txt").write_text("a_L.png a_R.png a_sharp.png")
Path("bad.failing").write_bytes(b"FAILING" + bytes(40))
Path("bad.rows2").write_bytes(bytes(40))
view = torch.rand(3, 40, 48)
for name in ("fails", "nan", "text"):
    call(f"metric {name}", dualpix.METRICS["m-" + name], view, view)
for name in ("third", "whole"):
    call(f"loss {name}", lambda: [dualpix.LOSSES["l-" + name](view, view) for _ in range(3)])
for name in ("no-module", "leaves", "small"):
    call(f"network {name}", lambda: dualpix.deblur("left.png", "right.png", dualpix.create(name), scale="1"))
for name in ("failing-runner", "flat-runner"):
    call(name, dualpix.deblur, "left.png", "right.png", dualpix.create("example-net"), engine=name, scale="1")
call("format", dualpix.read_picture, "bad.failing")
call("source", dualpix.open_views, "bad.rows2")
from dualpix.datasets import DATASETS
call("data set", lambda: DATASETS["failing-pairs"](Path("foreign"))[0])
import copy, pickle
pairs = DATASETS["example-data"](Path("foreign"))
assert len(list(pairs)) == len(pickle.loads(pickle.dumps(pairs))) == len(copy.deepcopy(pairs)) == 1

run("evaluate", "evaluate", "known", "--extra", "m-fails", "-o", "made")
run("deblur", "deblur", "bad.failing", "right.png", "-o", "one.png")
run("inspect", "inspect", "bad.rows2")
small = ("network=example-net", "arguments={}", "steps=4", "batch=1", "crop=32", "validate_every=2", "precision=fp32")
run("train", "train", "tiny", "loss=l-objective", *small, "--data", "known", "-o", "run-o")
import z_running
z_running.calls.clear()
run("train third", "train", "tiny", "loss=l-third", *small, "--data", "known", "-o", "run")
told["kept"] = sorted(path.name for path in Path("run").iterdir() if path.suffix != ".png")
told["steps"] = torch.load("run/last.pt", weights_only=True)["learner"]["step"]
run("train nan", "train", "tiny", "loss=l-nan", *[w for w in small if "steps" not in w], "steps=25", "--data", "known",
    "-o", "run-n")
run("sweep", "sweep", "tiny", "loss=l-whole,l-third", *[w for w in small if "steps" not in w], "--data", "known",
    "--minutes", "0.01", "-o", "swept")
print(json.dumps(told))
"""

CALLED = {
    "metric fails": ("PluginError", "KeyError", "metrics, failed (KeyError: 'lost'"),
    "metric nan": ("PluginError", "ValueError", "metrics, failed (ValueError: it gives NaN"),
    "metric text": ("PluginError", "TypeError", "metrics, failed (TypeError: it gives str and not a number"),
    "loss third": ("PluginError", "ZeroDivisionError", "losses, failed (ZeroDivisionError: the third time"),
    "loss whole": (
        "PluginError",
        "TypeError",
        "losses, failed (TypeError: it gives Tensor (3, 40, 48) and not a tensor of one number",
    ),
    "network no-module": (
        "PluginError",
        "TypeError",
        "networks, failed (TypeError: it gives NoModule and not a module",
    ),
    "network leaves": ("PluginError", "SystemExit", "networks, failed (SystemExit: 3"),
    "network small": (
        "PluginError",
        "ValueError",
        "networks, failed (ValueError: it gives (1, 3, 16, 47) of views (1, 3, 16, 48)",
    ),
    "failing-runner": ("MachineError", "KeyError", "engines, failed (KeyError: 'lost'"),
    "flat-runner": (
        "MachineError",
        "ValueError",
        "engines, failed (ValueError: it gives float32 (40, 48) on cpu of views (3, 40, 48), and not float32 of their"
        " size on the CPU",
    ),
    "format": ("PictureError", "KeyError", "formats, failed on bad.failing (KeyError: 'lost'"),
    "source": (
        "PictureError",
        "TypeError",
        "sources, failed on bad.rows2 (TypeError: it gives dict and not the views left and right, 3 x H x W",
    ),
    "data set": ("DataError", "IndexError", "datasets, failed (IndexError: list index out of range"),
}
"""From what a Python program does to the error, its cause, and its words from the group on."""

COMMANDS = {
    "evaluate": "dualpix: 'm-fails' of z-running, among the metrics, failed (KeyError: 'lost')",
    "deblur": "dualpix: 'FAILING' of z-running, among the formats, failed on bad.failing (KeyError: 'lost')",
    "inspect": "dualpix: 'failing-source' of z-running, among the sources, failed on bad.rows2 (TypeError: ",
    "train": "dualpix: 'l-objective' of z-running, among the objectives, failed (KeyError: 'lost')",
    "train third": "dualpix: 'l-third' of z-running, among the losses, failed (ZeroDivisionError: the third time)",
    "train nan": "precision=fp32, or tell those who made 'l-nan' of z-running, among the losses, and 'example-net'"
    " of dualpix-example, among the networks.",
    "sweep": "dualpix: loss=l-whole failed: 'l-whole' of z-running, among the losses, failed (TypeError: ",
}
"""From a command to its last line."""


def test_one_that_fails_while_it_runs_is_told_in_one_sentence_through_every_door(place: Path) -> None:
    entries = {
        "dualpix.metrics": {f"m-{name}": f"z_running:{name}" for name in ("fails", "nan", "text")},
        "dualpix.losses": {"l-third": "z_running:third", "l-whole": "z_running:whole", "l-nan": "z_running:no_number"},
        "dualpix.objectives": {"l-objective": "z_running:OBJECTIVE"},
        "dualpix.networks": {
            "no-module": "z_running:NoModule",
            "leaves": "z_running:Leaves",
            "small": "z_running:Small",
        },
        "dualpix.engines": {"failing-runner": "z_running:FailingRunner", "flat-runner": "z_running:FlatRunner"},
        "dualpix.datasets": {"failing-pairs": "z_running:FailingPairs"},
        "dualpix.formats": {"FAILING": "z_running:FORMAT"},
        "dualpix.sources": {"failing-source": "z_source:SOURCE"},
    }
    install(place, "z-running", {"z_running.py": RUNNING, "z_source.py": RUNNING_SOURCE}, entries)
    done = python(place, FAILURES)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for label, (error, cause, why) in CALLED.items():
        assert told[label][:2] == [error, cause], told[label]
        assert f" of z-running, among the {why}); do without it" in told[label][2]
    for label, why in COMMANDS.items():
        code, last = told[label]
        assert code == 1 and why in last, (label, last)
    assert told["kept"] == ["best.safetensors", "last.pt", "last.safetensors", "log.jsonl", "recipe.json"]
    assert told["steps"] == 2
