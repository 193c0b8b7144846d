"""Ours is PyTorch's, to the bit, and goes on from its own state and from PyTorch's."""

import copy

import pytest
import torch

from dualpix.training.adam import Adam
from dualpix.training.processes import Processes

SIDES = [(5, 3), (4, 3, 3, 3), (7,)]


def weights() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(sides, generator=generator) for sides in SIDES]
    made[1] = made[1].contiguous(memory_format=torch.channels_last)
    return [one.requires_grad_() for one in made]


def give_gradients(step: int, *several: list[torch.Tensor]) -> None:
    """The last weight has none before the third step."""
    generator = torch.Generator().manual_seed(step)
    drawn = [torch.randn(sides, generator=generator) for sides in SIDES]
    for ours in several:
        for number, master in enumerate(ours):
            master.grad = None if number == 2 and step < 2 else drawn[number].clone()


def theirs_of(masters: list[torch.Tensor], decoupled: bool) -> torch.optim.Optimizer:
    settings = {"lr": 0.01, "betas": (0.8, 0.95), "fused": True}
    if decoupled:
        return torch.optim.AdamW(masters, weight_decay=0.1, **settings)
    return torch.optim.Adam(masters, weight_decay=0.1, **settings)


@pytest.mark.parametrize("decoupled", [True, False])
def test_its_steps_are_those_of_pytorch_whenever_it_goes_on(decoupled: bool) -> None:
    ours, others, apart = weights(), weights(), weights()
    adam, other = Adam(ours, (0.8, 0.95), 0.1, decoupled), theirs_of(others, decoupled)
    for step in range(6):
        give_gradients(step, ours, others, apart)
        if step in (3, 4):
            kept = copy.deepcopy((adam if step == 3 else other).state_dict())
            adam = Adam(ours, (0.8, 0.95), 0.1, decoupled)
            adam.load_state_dict(kept, step)
        other.param_groups[0]["lr"] = 0.01 * (step + 1)
        adam.step(0.01 * (step + 1), Processes())
        other.step()
        assert all(torch.equal(*pair) for pair in zip(ours, others, strict=True)), step
    assert not any(torch.equal(*pair) for pair in zip(ours, apart, strict=True))


def test_on_a_device_unusable_gradients_leave_everything_as_it_was() -> None:
    ours, others = weights(), weights()
    adam, other = Adam(ours, (0.8, 0.95), 0.1), theirs_of(others, decoupled=True)
    other.param_groups[0]["lr"] = 0.02
    for step, usable in enumerate([True, False, True]):
        give_gradients(step, ours, others)
        adam.step(0.02, Processes(), torch.tensor(usable))
        if usable:
            other.step()
        assert all(torch.equal(*pair) for pair in zip(ours, others, strict=True)), step
    assert [float(one["step"]) for _, one in sorted(adam.moments.items())] == [2, 2, 1]
