"""Gradients sent while the rest are computed are those of one message afterwards: two real processes, by gloo."""

import json
from pathlib import Path

import pytest
import torch

from dualpix.training import launch, overlapping
from dualpix.training.processes import Processes

MEETING = """
import json, sys
from dataclasses import replace

import torch
from torch import nn

from dualpix.errors import DualpixError
from dualpix.training import overlapping
from dualpix.training.learner import Learner
from dualpix.training.overlapping import Overlap
from dualpix.training.processes import join
from dualpix.training.recipes import RECIPES

overlapping.BUCKET_BYTES = 8192
TINY = replace(RECIPES["tiny"], crop=32, scene=48, grad_clip=0.0, warmup_steps=0)


def share_of(processes, crops, seed):
    generator = torch.Generator().manual_seed(seed)
    whole = {name: torch.rand(crops, 3, 32, 32, generator=generator) for name in ("left", "right", "sharp")}
    return {name: crop[list(processes.share(crops))] for name, crop in whole.items()}


def difference(one, other):
    assert [a.grad is None for a in one] == [b.grad is None for b in other]
    return max(float((a.grad - b.grad).abs().max()) for a, b in zip(one, other) if a.grad is not None)


def fail_once(learner):
    # As a device does whose memory is full: in the middle of the backward pass, when buckets are on their way.
    first = next(iter(learner.network.parameters()))

    def refuse(gradient):
        handle.remove()
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    handle = first.register_hook(refuse)


def compare(processes, crops, precision="fp32", parts=(1, 1), failing=None):
    recipe = replace(TINY, batch=crops, precision=precision)
    plain, made = (Learner(recipe, processes=processes, overlap=overlap) for overlap in (False, True))
    plain.parts = made.parts = parts[processes.rank]
    early = []
    next(iter(made.network.parameters())).register_hook(lambda _: early.append(len(made.overlap.under_way)))
    found = []
    for step in range(2):
        if step == failing and processes.rank == 1:
            fail_once(made)
        batch = share_of(processes, crops, step)
        losses = [float(one.learn(batch, processes)[0]) for one in (plain, made)]
        size = max(float(master.grad.abs().max()) for master in plain.masters)
        found.append([abs(losses[1] - losses[0]), difference(plain.masters, made.masters), size])
        made.restore(plain.state())
    return {"found": found, "early": early, "buckets": len(made.overlap.buckets), "parts": made.parts}


class Branches(nn.Module):
    # One layer is nobody's, one is used by the second process alone.
    def __init__(self):
        super().__init__()
        self.first, self.nobody, self.second = nn.Linear(5, 64), nn.Linear(64, 64), nn.Linear(64, 64)
        self.last = nn.Linear(64, 2)

    def forward(self, x, rank):
        x = self.first(x).relu()
        return self.last(self.second(x).relu() if rank else x).square().mean()


def branches(processes):
    networks = []
    for _ in range(2):
        torch.manual_seed(3)
        networks.append(Branches())
    views = torch.rand(2, 4, 5)
    own, oracle = networks
    parameters = list(own.parameters())
    overlap = Overlap(parameters, parameters, processes)
    for step in range(2):
        own.zero_grad()
        oracle.zero_grad()
        with overlap.watching(True, 2):
            own(views[processes.rank] + step, processes.rank).backward()
        overlap.average(0.0)
        sum(oracle(views[rank] + step, rank) / 2 for rank in range(2)).backward()
        assert own.nobody.weight.grad is None and own.second.weight.grad is not None
        worst = difference(list(own.parameters()), list(oracle.parameters()))
    return worst


def lose(processes):
    learner = Learner(replace(TINY, batch=4), processes=processes, overlap=True)
    learner.learn(share_of(processes, 4, 0), processes)
    if processes.rank == 1:
        next(iter(learner.network.parameters())).register_hook(lambda _: sys.exit("the second gives up"))
    try:
        while True:
            learner.learn(share_of(processes, 4, 0), processes)
    except DualpixError as error:
        return f"{type(error).__name__}: {error}"


with join() as processes:
    found = {
        "uneven": compare(processes, 3),
        "parts": compare(processes, 5, precision="bf16", parts=(1, 2)),
        "failing": compare(processes, 4, failing=1),
        "branches": branches(processes),
    }
    with open(sys.argv[1] + str(processes.rank), "w") as file:
        json.dump(found, file)
    lost = lose(processes)
    with open(sys.argv[1] + "lost", "w") as file:
        file.write(lost)
"""


@pytest.mark.slow
def test_gradients_on_their_way_early_are_those_of_one_message(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert launch(2, [str(tmp_path / "found")], program=["-W", "error", "-c", MEETING]) == 1
    assert capfd.readouterr().err.strip() == "the second gives up"
    both = [json.loads((tmp_path / f"found{rank}").read_text()) for rank in (0, 1)]
    for found in both:
        assert found.pop("branches") < 1e-6
        for name, one in found.items():
            for loss, gradient, size in one["found"]:
                assert loss <= 1e-6 and gradient <= 1e-4 * size <= 1e-6, name
            assert one["buckets"] > 3
            # Nothing in the first step; from then on all but the bucket of the first layer leave before it is done.
            assert one["early"][0] == 0 and one["early"][-1] >= one["buckets"] - 2 > 0, name
        assert found["parts"]["early"].count(0) == 1 + 2 * (found["parts"]["parts"] - 1)
    assert [found["failing"]["parts"] for found in both] == [1, 2]
    ended = (tmp_path / "foundlost").read_text()
    assert ended.startswith("ProcessLostError: Another of the 2 processes has ended")


def test_by_default_only_gpus_send_in_buckets() -> None:
    parameters = [torch.zeros(3)]
    assert not overlapping.overlaps(parameters, Processes(0, 2))
    assert overlapping.overlaps(parameters, Processes(0, 2), wanted=True)
    assert not overlapping.overlaps(parameters, Processes(), wanted=True)
