"""Muon against PyTorch's own, and against what orthogonal means."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from dualpix.networks import create
from dualpix.training.learner import Learner
from dualpix.training.optimisers import LARGEST, OTHERS, Muon, orthogonal, share_out
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (30, 7, 3, 3)])
def test_a_move_points_in_all_directions_alike(shape: tuple[int, ...]) -> None:
    gradient = random(*shape) * torch.logspace(0, -2, shape[0]).view(-1, *[1] * (len(shape) - 1))
    move = orthogonal(gradient)
    assert move.shape == gradient.shape
    values = torch.linalg.svdvals(move.flatten(1)) / (0.2 * max(move.flatten(1).shape) ** 0.5)
    assert float(values.min()) > 0.3 and float(values.max()) < 1.3
    before = torch.linalg.svdvals(gradient.flatten(1))
    assert float(before.max() / before.min()) > 20
    assert float((move * gradient).sum()) > 0


def test_large_matrices_move_in_parts() -> None:
    gradient = random(2 * LARGEST, 2 * LARGEST + 10)
    assert torch.equal(orthogonal(gradient), torch.cat([orthogonal(half) for half in gradient.chunk(2)]))


@pytest.mark.parametrize("shape", [(20, 30), (20, 39), (20, 40), (20, 180), (90, 20), (20, 10, 3, 3)])
def test_a_move_is_five_rounds_of_the_quintic(shape: tuple[int, ...]) -> None:
    """As the formula says, on the singular values and in float64; rows of very different lengths, one of them zero."""
    scales = torch.logspace(0, -4, shape[0])
    scales[3] = 0
    gradient = random(*shape) * scales.view(-1, *[1] * (len(shape) - 1))
    left, values, right = torch.linalg.svd(gradient.flatten(1).double(), full_matrices=False)
    values /= values.norm()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = (left * values @ right) * 0.2 * max(gradient.flatten(1).shape) ** 0.5
    for laid in (gradient, gradient.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else gradient):
        torch.testing.assert_close(orthogonal(laid).flatten(1).double(), expected, rtol=0, atol=1e-4)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no other Muon")
def test_three_steps_are_those_of_another_muon() -> None:
    """torch.optim.Muon, which computes in bf16."""
    ours = nn.Parameter(random(32, 48))
    theirs = nn.Parameter(ours.detach().clone())
    other = torch.optim.Muon(
        [theirs], lr=0.02, momentum=0.95, weight_decay=0.0, nesterov=True, adjust_lr_fn="match_rms_adamw"
    )
    muon, start = Muon([ours, nn.Parameter(torch.zeros(3))]), ours.detach().clone()
    for step in range(3):
        gradient = random(32, 48, seed=step + 1)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        muon.step(0.02, Processes())
        other.step()
    moved = (ours - start).detach().norm()
    assert float(moved) > 0.1
    assert float((ours - theirs).detach().norm() / moved) < 0.03


def test_vectors_and_narrow_matrices_are_adams() -> None:
    network = nn.ModuleList([nn.Conv2d(16, 20, 3), nn.Conv2d(20, 3, 3), nn.Linear(8, 30)])
    other = copy.deepcopy(network)
    muon = Muon(list(network.parameters()), (0.8, 0.95))
    assert [matrix.shape for matrix in muon.matrices] == [(20, 16, 3, 3)]
    adam = torch.optim.AdamW(other.parameters(), lr=OTHERS * 0.01, betas=(0.8, 0.95), weight_decay=0)
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        one.grad = random(*one.shape)
        two.grad = one.grad.clone()
    muon.step(0.01, Processes())
    adam.step()
    pairs = list(zip(network.parameters(), other.parameters(), strict=True))
    for number, (one, two) in enumerate(pairs):
        assert torch.allclose(one, two, atol=1e-7) == (number > 0), number


def test_work_is_shared_out_evenly() -> None:
    assert share_out([5, 4, 3, 3], 2) == [0, 1, 1, 0]
    owners = share_out([float(k % 7 + 1) for k in range(40)], 3)
    loads = [sum(k % 7 + 1 for k in range(40) if owners[k] == rank) for rank in range(3)]
    assert max(loads) - min(loads) <= 1
    assert share_out([], 2) == []


def test_muon_goes_on_from_its_state(quick: Callable[..., Recipe]) -> None:
    recipe = quick(optimiser="muon", learning_rate=1e-3)
    one, two = Learner(recipe), Learner(recipe)
    views = {name: torch.rand(2, 3, 32, 32) for name in (*one.views, "sharp")}
    one.learn(views, Processes())
    two.restore(copy.deepcopy(one.state()))
    losses = [learner.learn(views, Processes())[0] for learner in (one, two)]
    assert losses[0] == losses[1]
    for first, second in zip(one.masters, two.masters, strict=True):
        assert torch.equal(first, second)


def test_the_default_network_has_no_empty_part() -> None:
    """Every matrix belongs to one of the two, once."""
    masters = list(create("mccnet-fast").parameters())
    muon = Muon(masters)
    others = muon.adam.masters
    assert len(muon.matrices) + len(others) == len(masters)
    assert {id(x) for x in (*muon.matrices, *others)} == {id(x) for x in masters}
    assert sum(x.numel() for x in muon.matrices) > 0.95 * sum(x.numel() for x in masters)


@pytest.mark.parametrize("sides", [((4, 3), (4,)), ((32, 32), (48, 32))])
def test_muon_learns_where_all_or_none_are_matrices_for_it(sides: tuple[tuple[int, ...], ...]) -> None:
    """As in a network for trying things out, and in one without biases; it also goes on from what it kept."""
    masters = [torch.ones(side, requires_grad=True) for side in sides]
    optimiser = Muon(masters)
    for _ in range(2):
        for master in masters:
            master.grad = torch.full_like(master, 0.5)
        optimiser.step(1e-2, Processes())
        assert all(bool((master < 1).any()) for master in masters)
        kept, optimiser = optimiser.state_dict(), Muon(masters)
        optimiser.load_state_dict(kept, 2)
