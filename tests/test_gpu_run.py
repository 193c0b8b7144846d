"""The one command for a lent GPU, rehearsed on the CPU, and what it leaves when it is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch

from dualpix.errors import MachineError
from dualpix.networks import create
from dualpix.networks.mccnet_fast.model import MCCNetFast
from dualpix.simulation.photos import read_photos
from dualpix.training import train
from dualpix.training.failing import DeviceFailedError
from dualpix.training.learner import Learner
from dualpix.training.pace import LEAST_STEPS
from dualpix.training.recipes import RECIPES
from dualpix.training.state import pack as packed_state
from dualpix.training.state import unpack
from dualpix.weights import checkpoint
from losing import losing
from made_textures import pack_of_noise

HOME = Path(__file__).parents[1]
sys.path.insert(0, str(HOME / "benchmarks"))
import gpu_run  # noqa: E402
from gpu import keeping, measuring  # noqa: E402
from gpu.queue import Run, mark, read_queue  # noqa: E402

QUEUE = HOME / "benchmarks" / "gpu_queue.toml"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return pack_of_noise(tmp_path, 6)


def test_every_run_of_the_queue_has_a_recipe_and_a_network() -> None:
    runs = read_queue(QUEUE)
    assert [run.name for run in runs][:3] == ["a-default", "b-mccnet-row", "b-mccnet-window"]
    assert len({run.name for run in runs}) == len(runs) and len([r for r in runs if r.name.startswith("c-")]) == 8
    for run in runs:
        if run.kind == "train":
            recipe = run.made((64, 192), "", run.minutes)
            assert recipe.minutes == run.minutes and recipe.scene > recipe.crop
            with torch.device("meta"):
                create(recipe.network, **recipe.arguments)
    row, window = (run.made(None, "", 1.0).arguments for run in runs[1:3])
    assert row == {} and window == {"max_disparity": 24}


def test_what_has_finished_is_marked_and_not_done_again(tmp_path: Path) -> None:
    queue = tmp_path / "queue.toml"
    shutil.copyfile(QUEUE, queue)
    finished = {"a-default": "2026-12-01", "c-table2.whole": "2026-12-01"}
    assert mark(queue, finished) == list(finished)
    assert {run.name: run.done for run in read_queue(queue) if run.done} == finished
    assert mark(queue, finished) == []
    assert [run.name for run in read_queue(queue)] == [run.name for run in read_queue(QUEUE)]


def test_what_is_kept_fits_and_can_go_on(tmp_path: Path) -> None:
    """Of the real default network: at most 8 files below 16 MB, from which a run resumes."""
    out, run = tmp_path / "out", tmp_path / "work" / "first"
    for folder in (out, run):
        folder.mkdir(parents=True)
    recipe = RECIPES["gpu"]
    learner = Learner(recipe, device=torch.device("cpu"), precision="fp32")
    (run / "last.pt").write_bytes(packed_state({"learner": learner.state(), "spent": 1.0, "best_score": 2.0}))
    checkpoint.save(run / "best.safetensors", learner.averaged(), recipe.network, recipe.arguments, {}, {})
    (run / "log.jsonl").write_text("{}\n")
    (out / "old").touch()
    keeping.keep(out, [run], {"device": "some"})
    files = {path.name: path.stat().st_size for path in out.iterdir()}
    assert "old" not in files and len(files) <= 8 and max(files.values()) < 16 * 2**20
    assert sum(files.values()) < 64 * 2**20
    keeping.joined(out.glob("first.state.*"), tmp_path / "last.pt")
    again = Learner(recipe, device=torch.device("cpu"), precision="fp32")
    again.restore(unpack(tmp_path / "last.pt")["learner"])
    assert all(torch.equal(one, two) for one, two in zip(again.masters, learner.masters, strict=True))
    assert checkpoint.load(out / "first.safetensors").name == recipe.network


def test_a_batch_that_does_not_fit_is_halved_until_one_does(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, most = MCCNetFast.forward, [2]

    def limited(network: MCCNetFast, *views: torch.Tensor) -> torch.Tensor:
        if len(views[0]) > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        made: torch.Tensor = forward(network, *views)
        return made

    monkeypatch.setattr(MCCNetFast, "forward", limited)
    recipe, some = gpu_run.smaller(RECIPES["gpu"]), read_photos([photos])
    chosen, rows = measuring.speeds(recipe, some, torch.device("cpu"), [(8, 32)], 0.1)
    assert chosen == (2, 32) and [row["batch"] for row in rows] == [2]
    most[0] = 0
    with pytest.raises(MachineError, match=r"^Not even one crop of 32 px fits into the memory of cpu"):
        measuring.speeds(recipe, some, torch.device("cpu"), [(8, 32)], 0.1)


def begun(out: Path, photos: Path, minutes: float, *more: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHON": sys.executable, "PACK": str(photos), "OMP_NUM_THREADS": "1"}
    command = [str(HOME / "benchmarks" / "gpu_run.sh"), str(out), str(minutes), *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def facts_of(out: Path) -> dict:
    with zipfile.ZipFile(out / "report.zip") as archive:
        return json.loads(archive.read("facts.json"))


@pytest.mark.slow
def test_rehearsed_it_ends_by_itself_with_everything(tmp_path: Path, photos: Path) -> None:
    queue = tmp_path / "queue.toml"
    queue.write_text(
        '[[run]]\nname = "first"\nminutes = 0.5\n\n'
        '[[run]]\nname = "pictures"\nkind = "inference"\nminutes = 0.1\nmegapixels = [0.02]\n'
        'precisions = ["fp32", "bf16"]\n\n[[run]]\nname = "second"\nminutes = 60.0\n'
    )
    out = tmp_path / "out"
    with begun(out, photos, 4.0, "--device", "cpu", "--rehearse", "--queue", str(queue)) as process:
        said, _ = process.communicate()
    assert process.returncode == 0 and said.endswith("over\n"), said
    facts = facts_of(out)
    assert facts["agreement"]["agree"] and facts["speeds"] and facts["chosen"][1] == 32
    assert list(facts["finished"]) == ["first", "pictures"] and "second wants 60 minutes" in said
    assert [row["precision"] for row in facts["inference"]] == ["fp32", "bf16"]
    assert facts["inference"][0]["difference"] == 0 and 0 < facts["inference"][1]["difference"] < 0.1
    with zipfile.ZipFile(out / "report.zip") as archive:
        assert {"first/log.jsonl", "first/sheet.jpg", "first/recipe.json"} <= set(archive.namelist())
        lines = [json.loads(line) for line in archive.read("first/log.jsonl").splitlines()]
    last = [line for line in lines if "loss" in line][-1]
    assert last["hours_left"] == 0 and last["step"] >= LEAST_STEPS, "its schedule is complete"
    assert checkpoint.load(out / "first.safetensors").name == "mccnet-fast"
    assert len(list(out.iterdir())) <= 8


@pytest.mark.slow
def test_killed_in_the_middle_what_was_reached_is_there(tmp_path: Path, photos: Path) -> None:
    queue, out = tmp_path / "queue.toml", tmp_path / "out"
    queue.write_text('[[run]]\nname = "first"\nminutes = 4.0\n')
    with begun(out, photos, 5.0, "--device", "cpu", "--rehearse", "--queue", str(queue)) as process:
        for line in process.stdout:
            if '"validation"' in line:
                break
        deadline = time.monotonic() + 60
        while not (out / "first.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert facts_of(out)["agreement"]["agree"] and facts_of(out)["finished"] == {}
    assert checkpoint.load(out / "first.safetensors").extra["step"] > 0
    with zipfile.ZipFile(out / "report.zip") as archive:
        assert b'"validation"' in archive.read("first/log.jsonl")


def test_a_device_that_fails_ends_it_with_what_was_reached(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs after it would find nothing that computes."""

    def train_and_lose(*given: Any, **named: Any) -> Path:
        with losing(5):
            return train(*given, **named)

    monkeypatch.setattr(gpu_run, "train", train_and_lose)
    given = Namespace(
        minutes=5.0, out=tmp_path / "out", work=tmp_path / "work", device="cpu", photos=photos, rehearse=True
    )
    given.out.mkdir()
    session = gpu_run.Session(given)
    with pytest.raises(DeviceFailedError, match=r"failed after step 5 .*what was reached lies in .*out\.$"):
        session.take(Run("first", minutes=5.0), 5.0, (2, 32), read_photos([photos]))
    assert "unspecified launch failure" in facts_of(given.out)["trouble"]["first"]
    assert checkpoint.load(given.out / "first.safetensors").extra["step"] == 0
    with zipfile.ZipFile(given.out / "report.zip") as archive:
        assert b"began_at_step" in archive.read("first/log.jsonl")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_without_a_gpu_it_is_one_sentence(tmp_path: Path, photos: Path) -> None:
    with begun(tmp_path / "out", photos, 1.0) as process:
        said, _ = process.communicate()
    assert process.returncode == 2 and said.startswith("There is no GPU") and said.count("\n") == 1
