"""Steps as on a device, where the host asks nothing: on the CPU they are those that it waits for."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dualpix.errors import RecipeError
from dualpix.training import learner as learning
from dualpix.training.learner import Learner
from dualpix.training.optimisers import orthogonal, orthogonal_together
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe

Make = Callable[..., Recipe]


def batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(2, 3, 32, 32, generator=generator) for name in ("left", "right", "sharp")}


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "muon"])
def test_nothing_that_is_learnt_depends_on_waiting(quick: Make, optimiser: str) -> None:
    waiting, not_waiting = (Learner(quick(optimiser=optimiser, loss="mix", warmup_steps=0)) for _ in range(2))
    not_waiting.waits = False
    for step in range(3):
        loss, same = (one.learn(batch(step), Processes())[0] for one in (waiting, not_waiting))
        assert isinstance(same, Tensor) and float(same) == pytest.approx(loss, abs=1e-7)
    for one, other in zip(waiting.masters, not_waiting.masters, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-7)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_step_without_a_usable_gradient_leaves_the_weights(quick: Make, optimiser: str) -> None:
    learner = Learner(quick(optimiser=optimiser, warmup_steps=0))
    learner.waits = False
    learner.learn(batch(), Processes())
    before = [master.detach().clone() for master in learner.masters]
    broken = batch() | {"sharp": torch.full((2, 3, 32, 32), math.nan)}
    loss, _ = learner.learn(broken, Processes())
    assert math.isnan(loss) and int(learner.lost) == 1
    assert all(torch.equal(one, two) for one, two in zip(before, learner.masters, strict=True))
    learner.learn(batch(1), Processes())
    assert int(learner.lost) == 0
    assert not all(torch.equal(one, two) for one, two in zip(before, learner.masters, strict=True))
    assert all(bool(torch.isfinite(master).all()) for master in learner.masters)


def test_many_of_them_end_the_run_at_the_next_look(quick: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "LOOK_EVERY", 7)
    monkeypatch.setattr(learning, "MOST_FAILURES", 4)
    learner = Learner(quick())
    learner.waits = False
    broken = batch() | {"left": torch.full((2, 3, 32, 32), math.inf)}
    for _ in range(6):
        learner.learn(broken, Processes())
    with pytest.raises(RecipeError, match="has not been a number"):
        learner.learn(broken, Processes())


def test_matrices_of_one_shape_are_orthogonalised_together() -> None:
    shapes = [(20, 15), (40, 16, 3, 3), (20, 15), (400, 30), (32, 13), (40, 16, 3, 3)]
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(shape, generator=generator) for shape in shapes]
    together = orthogonal_together(gradients, torch.float32)
    for one, gradient in zip(together, gradients, strict=True):
        torch.testing.assert_close(one, orthogonal(gradient), rtol=0, atol=1e-4)
    for one, low in zip(together, orthogonal_together(gradients), strict=True):
        assert low.dtype == torch.float32
        assert torch.cosine_similarity(one.flatten(), low.flatten(), dim=0) > 0.99


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's compiler, about PyTorch
def test_a_compiled_network_learns_the_same(quick: Make) -> None:
    plain, made = Learner(quick()), Learner(quick())
    assert made.compile((2, 32), backend="eager") == "" and made.compiled is not None
    losses = [one.learn(batch(), Processes())[0] for one in (plain, made)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_what_cannot_be_compiled_runs_as_it_is(quick: Make) -> None:
    learner = Learner(quick())
    assert "nowhere" in learner.compile((2, 32), backend="nowhere") and learner.compiled is None
    assert math.isfinite(learner.learn(batch(), Processes())[0])


class Unasked(TorchDispatchMode):
    """Lets nobody have a value of a tensor, for which a host would wait for its device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("loss", ["charbonnier", "mix"])
def test_a_step_never_asks_a_device_for_a_value(quick: Make, optimiser: str, loss: str) -> None:
    learner = Learner(quick(optimiser=optimiser, loss=loss))
    learner.waits = False
    with Unasked():
        losses = [learner.learn(batch(step), Processes())[0] for step in range(2)]
    assert all(math.isfinite(lost) for lost in losses)
    learner.waits = True
    with pytest.raises(AssertionError, match="_local_scalar_dense"), Unasked():
        learner.learn(batch(), Processes())
