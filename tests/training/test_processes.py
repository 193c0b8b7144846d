"""Several processes are one, only quicker; and none is left alone with another's error."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from dualpix.errors import MachineError, RecipeError
from dualpix.training import launch, processes, train
from dualpix.training.curve import points, read_log
from dualpix.training.processes import Processes, join
from dualpix.training.recipes import Recipe, to_dict

RUN_RECIPE = str(Path(__file__).with_name("run_recipe.py"))
MEETING = """
import json, os, sys
import torch
from dualpix.errors import DualpixError
from dualpix.training.processes import join

if sys.argv[2] == "apart":
    os.environ["LOCAL_WORLD_SIZE"] = "1"

def attempt(action):
    try:
        return action()
    except DualpixError as error:
        return f"{type(error).__name__}: {error}"

with join() as processes:
    rank = processes.rank
    tensors = [torch.full((2, 3), 1.0 + rank), torch.tensor([10.0 * rank])]
    found = {"numbers": processes.average(tensors, rank + 0.5, 3.0), "tensors": [t.tolist() for t in tensors]}
    found["exchanged"] = []
    for turn in range(3):
        pieces = [torch.full((2, 3), 10.0 * rank + turn), torch.full((3, 2, 2, 2), rank + 0.5)]
        pieces[1] = pieces[1].to(memory_format=torch.channels_last)
        pieces[1][:, 1] += torch.arange(3.0)[:, None, None]
        processes.exchange(pieces, [1, 0])
        processes.exchange(pieces[:1], [turn % 2])
        found["exchanged"].append([piece.tolist() for piece in pieces])
    found["in memory"] = processes.memory is not None
    found["any"] = [processes.any(False), processes.any(rank == 1), processes.any(True)]
    found["same"] = attempt(lambda: processes.agree(7, "the step"))
    found["other"] = attempt(lambda: processes.agree(7 + rank, "the step"))
    found["share"] = list(processes.share(5))
    crops = torch.tensor([1.0, 2.0, 3.0, 5.0, 8.0])[found["share"]]
    mean = [crops.mean().reshape(1)]
    found["weighed"] = processes.average(mean, processes.weigh(5, mean, crops.mean().item())) + mean[0].tolist()
    found["unweighed"] = processes.weigh(6, [], 0.5)
    found["gathered"] = [len(told) for told in processes.gather(b"abc"[: 3 * rank])]
    found["given"] = processes.give([b"the first", b"the second says more"][rank]).decode()
    found["threads"] = torch.get_num_threads()
    processes.wait()
    if rank == 0:
        found["alone"] = attempt(lambda: processes.average(tensors))
    with open(sys.argv[1] + str(rank), "w") as file:
        json.dump(found, file)
    if rank == 1:
        sys.exit("the second gives up")
"""


def state(run: Path) -> dict[str, Any]:
    learner: dict[str, Any] = torch.load(run / "last.pt", weights_only=True)["learner"]
    optimiser = learner["optimiser"]
    moments = optimiser.get("adam", optimiser)
    gradients = [one["exp_avg"] for one in moments["state"].values()] + optimiser.get("means", [])
    return {"masters": learner["masters"], "means": learner["means"], "gradients": gradients}


def assert_near(one: Path, other: Path) -> None:
    """To 1e-6 in weights, running means and the optimiser's means of the gradients."""
    for name, tensors in state(one).items():
        expected = state(other)[name]
        torch.testing.assert_close(tensors, expected, rtol=0, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
    losses, expected_losses = (dict(points(read_log(run / "log.jsonl"))[0]) for run in (one, other))
    assert {step: losses[step] for step in expected_losses} == pytest.approx(expected_losses, abs=2e-6)


def test_two_processes_are_one(quick: Callable[..., Recipe], photos: Path, tmp_path: Path) -> None:
    """Begun by torchrun in two, and resumed by one; each with scenes of its own."""
    recipe = quick(
        steps=4,
        batch=4,
        decay_steps=1,
        loss="mix",
        optimiser="muon",
        grad_clip=0.02,
        final_steps=1,
        final_batch=2,
        final_crop=48,
    )
    written = tmp_path / "recipe.json"
    written.write_text(json.dumps(to_dict(replace(recipe, steps=2, decay_steps=0))))
    one, two = (tmp_path / name / "run" for name in ("one", "two"))

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, RUN_RECIPE, str(two), str(written), str(photos)]
    settings = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    running = subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    train(replace(recipe, steps=2, decay_steps=0), one, photos=[photos])
    out, err = running.communicate(timeout=500)
    assert running.returncode == 0, err
    assert out.count('"validation"') == 1, "one process speaks for both"
    assert_near(two, one)

    for run in (one, two):
        train(recipe, run, photos=[photos])
    assert_near(two, one)
    begun = [line for line in read_log(two / "log.jsonl") if "began_at_step" in line]
    assert [(line["began_at_step"], line["processes"]) for line in begun] == [(0, 2), (2, 1)]


@pytest.mark.parametrize("machines", ["together", "apart"])
def test_what_processes_say_to_one_another(machines: str, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """Through memory they share, and as if they were on two machines."""
    assert launch(2, [str(tmp_path / "found"), machines], program=["-W", "error", "-c", MEETING]) == 1
    assert capfd.readouterr().err.strip() == "the second gives up"
    first, second = (json.loads((tmp_path / f"found{rank}").read_text()) for rank in (0, 1))
    ended = first.pop("alone")
    assert (
        ended
        == "ProcessLostError: Another of the 2 processes has ended, so this one cannot go on; its own message says why."
    )
    assert (first.pop("share"), second.pop("share")) == ([0, 1], [2, 3, 4])
    assert first == second
    assert first["numbers"] == [1.0, 3.0] and first["tensors"] == [[[1.5] * 3] * 2, [5.0]]
    counted = [[[0.5] * 2] * 2, [[0.5] * 2] * 2], [[[0.5] * 2] * 2, [[1.5] * 2] * 2], [[[0.5] * 2] * 2, [[2.5] * 2] * 2]
    assert first["exchanged"] == [[[[10.0 + turn] * 3] * 2, list(counted)] for turn in range(3)]
    assert first["in memory"] == (machines == "together" and sys.platform == "linux")
    assert first["weighed"] == pytest.approx([3.8, 3.8]) and first["unweighed"] == 0.5
    assert first["gathered"] == [0, 3] and first["given"] == "the first"
    assert first["any"] == [False, True, True]
    assert first["same"] is None
    assert first["other"] == "CheckpointError: The 2 processes differ in the step; give all of them the same folder."
    cores = len(os.sched_getaffinity(0))
    assert first["threads"] == (max(1, cores // 2) if machines == "together" else cores)


def test_alone_nothing_is_shared() -> None:
    threads = torch.get_num_threads()
    with join() as processes:
        tensor = torch.tensor([3.0])
        assert processes.average([tensor], 0.5) == [0.5] and tensor.tolist() == [3.0]
        assert processes.first and processes.any(True) and not processes.any(False)
        processes.agree(3, "anything")
        processes.wait()
        assert processes.share(5) == range(5)
    assert torch.get_num_threads() == threads and not torch.distributed.is_initialized()


def test_every_crop_is_somebody_s() -> None:
    for batch, count in ((2, 2), (5, 2), (7, 4), (16, 3)):
        shares = [Processes(rank, count).share(batch) for rank in range(count)]
        assert [place for share in shares for place in share] == list(range(batch))
        assert {len(share) for share in shares} <= {batch // count, batch // count + 1}


def test_a_batch_smaller_than_the_processes_is_refused() -> None:
    with pytest.raises(RecipeError, match="batch=5 cannot be shared by 6 processes; choose a larger batch, or fewer"):
        Processes(rank=0, count=6).share(5)


PLACE = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"RANK": "abc"},
            "The variable RANK of the environment is 'abc'; it must be a whole number from 0 to 1: .*torchrun",
        ),
        ({"RANK": "2"}, "RANK of the environment is '2'"),
        ({"RANK": None}, "RANK of the environment is missing"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE of the environment is '0'"),
        ({"LOCAL_WORLD_SIZE": "3"}, "LOCAL_WORLD_SIZE of the environment is '3'"),
        ({"MASTER_PORT": "99999"}, "MASTER_PORT of the environment is '99999'"),
        ({"MASTER_ADDR": "no.such.host.invalid"}, "2 processes could not meet at 'no.such.host.invalid', port 9"),
        ({}, "2 processes could not meet at '127.0.0.1', port 9"),
    ],
)
def test_a_place_that_leads_nowhere_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], message: str
) -> None:
    monkeypatch.setattr(processes, "JOINING", timedelta(seconds=1))
    for name, value in (PLACE | changes).items():
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
    with pytest.raises(MachineError, match=message), join():
        pass
