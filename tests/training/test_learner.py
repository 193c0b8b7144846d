"""One step at a time: precision, clipping, and steps that go wrong."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from dualpix import networks
from dualpix.errors import RecipeError
from dualpix.inference import rates
from dualpix.networks.spec import NetworkSpec
from dualpix.training.learner import MOST_FAILURES, Learner
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe

Make = Callable[..., Recipe]


def batch(seed: int = 0, size: int = 32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(2, 3, size, size, generator=generator).contiguous(memory_format=torch.channels_last)
        for name in ("left", "right", "sharp")
    }


def test_the_rate_is_what_the_optimiser_takes(quick: Make) -> None:
    """Adam's first step moves a weight by the rate, however small its gradient is."""
    recipe = quick(warmup_steps=4, decay_steps=1, weight_decay=0.0)
    learner = Learner(recipe)
    before = [master.detach().clone() for master in learner.masters]
    learner.learn(batch(), Processes())
    moved = [(now - then).detach().abs().max() for now, then in zip(learner.masters, before, strict=True)]
    assert float(max(moved)) == pytest.approx(recipe.learning_rate / 4, rel=1e-3)


def test_a_step_is_that_of_plain_pytorch(quick: Make) -> None:
    """Another network, optimiser and loss, written out; gradient clipping at work."""
    recipe = quick(warmup_steps=0, decay_steps=1, grad_clip=1e-3, weight_decay=10.0, ema_decay=0.5)
    torch.manual_seed(recipe.seed)
    network = networks.create(recipe.network, **recipe.arguments)
    optimiser = torch.optim.AdamW(network.parameters(), recipe.learning_rate, betas=(0.9, 0.99), weight_decay=10.0)
    learner = Learner(recipe)
    before = [parameter.clone() for parameter in learner.network.parameters()]
    means = [parameter.detach().clone() for parameter in network.parameters()]
    for step in range(2):
        optimiser.zero_grad()
        output = network(batch(step)["left"], batch(step)["right"])
        loss = torch.sqrt((output - batch(step)["sharp"]) ** 2 + 1e-6).mean()
        loss.backward()
        norm = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in network.parameters()))
        assert norm > 2e-3, "nothing to clip"
        for parameter in network.parameters():
            parameter.grad.mul_(1e-3 / norm)
        optimiser.step()
        decay = min(0.5, (1 + step) / (10 + step))
        for mean, parameter in zip(means, network.parameters(), strict=True):
            mean.mul_(decay).add_(parameter.detach(), alpha=1 - decay)
        assert learner.learn(batch(step), Processes()) == (pytest.approx(loss.item(), rel=1e-5), False)
    torch.testing.assert_close(list(learner.network.parameters()), list(network.parameters()), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(list(learner.averaged().parameters()), means, rtol=1e-4, atol=1e-6, check_stride=False)
    assert not all(torch.equal(a, b) for a, b in zip(before, learner.network.parameters(), strict=True))


def test_without_a_limit_nothing_is_clipped(quick: Make) -> None:
    """Adam hardly notices the size of a gradient, so the gradients themselves are compared."""
    free, limited = Learner(quick(grad_clip=0.0)), Learner(quick(grad_clip=1e-3))
    for learner in (free, limited):
        learner.learn(batch(), Processes())
    norms = [float(torch.nn.utils.get_total_norm([m.grad for m in one.masters])) for one in (free, limited)]
    assert norms[0] > 2e-3 and norms[1] == pytest.approx(1e-3, rel=1e-3)


def test_in_fp32_the_masters_are_the_weights(quick: Make) -> None:
    learner = Learner(quick(precision="fp32"))
    assert all(a is b for a, b in zip(learner.masters, learner.network.parameters(), strict=True))


@pytest.mark.parametrize("network", ["mccnet-fast", "mccnet"])
def test_in_bf16_the_network_holds_bf16_and_the_masters_do_not(quick: Make, network: str) -> None:
    arguments = quick().arguments if network == "mccnet-fast" else {"fusion": False, "extraction": False}
    learner = Learner(quick(precision="bf16", network=network, arguments=arguments, learning_rate=1e-5, warmup_steps=0))
    before = [master.clone() for master in learner.masters]
    loss, _ = learner.learn(batch(), Processes())
    assert math.isfinite(loss) and learner.precision == "bf16"
    assert {parameter.dtype for parameter in learner.network.parameters()} == {torch.bfloat16}
    assert {master.dtype for master in learner.masters} == {torch.float32}
    averaged = learner.averaged()
    assert {parameter.dtype for parameter in averaged.parameters()} == {torch.float32} and not averaged.training
    for master, working in zip(learner.masters, learner.network.parameters(), strict=True):
        assert torch.equal(master.to(torch.bfloat16), working)
    changes = [(master - old).abs().max() for master, old in zip(learner.masters, before, strict=True)]
    assert 0 < max(changes) < 3e-5, "a change that bf16 weights of that size could not hold"


def test_bf16_learns_much_as_fp32_does(quick: Make) -> None:
    """The first gradient points the same way, and the picture is not rounded to bf16."""
    gradients, losses = [], []
    for precision in ("fp32", "bf16"):
        learner = Learner(quick(precision=precision, grad_clip=0.0))
        losses.append(learner.learn(batch(), Processes())[0])
        gradients.append(torch.cat([master.grad.flatten() for master in learner.masters]))
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert torch.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.99


def test_a_network_without_a_correction_learns_in_bf16_too(quick: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(nn.Module):
        spec = NetworkSpec(("left", "center", "right"), size_multiple=2)

        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Conv2d(9, 3, 3, padding=1)

        def forward(self, *views: torch.Tensor) -> torch.Tensor:
            return self.only(torch.cat(views, 1))

    monkeypatch.setitem(networks.NETWORKS, "plain", Plain)
    learner = Learner(quick(network="plain", arguments={}, precision="bf16"))
    assert learner.views == ("left", "center", "right")
    first, *_, last = [learner.learn(batch() | {"center": batch()["left"]}, Processes())[0] for _ in range(30)]
    assert last < first


def test_the_mean_of_the_weights_is_a_copy(quick: Make) -> None:
    learner = Learner(quick(ema_decay=0.9))
    averaged = learner.averaged()
    kept = copy.deepcopy(averaged)
    learner.learn(batch(), Processes())
    assert all(torch.equal(a, b) for a, b in zip(averaged.parameters(), kept.parameters(), strict=True))


def test_without_an_average_the_newest_weights_count(quick: Make) -> None:
    learner = Learner(quick(ema_decay=0.0))
    for step in range(3):
        learner.learn(batch(step), Processes())
    for mean, weight in zip(learner.averaged().parameters(), learner.network.parameters(), strict=True):
        assert torch.equal(mean, weight)


def test_the_seed_alone_decides_the_first_weights(quick: Make) -> None:
    torch.manual_seed(5)
    one, expected = Learner(quick(seed=3)), torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), expected), "the caller's random numbers were taken"
    torch.manual_seed(9)
    two, other = Learner(quick(seed=3)), Learner(quick(seed=4))
    same = [torch.equal(a, b) for a, b in zip(one.masters, two.masters, strict=True)]
    assert all(same)
    assert not all(torch.equal(a, b) for a, b in zip(one.masters, other.masters, strict=True))


def test_the_number_of_threads_changes_last_bits_at_most(quick: Make) -> None:
    one, two = Learner(quick()), Learner(quick())
    for step in range(3):
        torch.set_num_threads(1)
        one.learn(batch(step), Processes())
        torch.set_num_threads(2)
        two.learn(batch(step), Processes())
    torch.testing.assert_close(one.masters, two.masters, rtol=0, atol=1e-6)


def test_a_wish_to_stop_comes_back(quick: Make) -> None:
    assert Learner(quick()).learn(batch(), Processes(), stop=True)[1] is True


def test_a_step_without_a_usable_gradient_changes_nothing(quick: Make) -> None:
    learner = Learner(quick())
    learner.learn(batch(), Processes())
    before = [master.detach().clone() for master in learner.masters]
    broken = batch(1)
    broken["sharp"][0, 0, 0, 0] = math.inf
    loss, _ = learner.learn(broken, Processes())
    assert math.isnan(loss) and learner.step == 2
    assert all(torch.equal(a, b) for a, b in zip(before, learner.masters, strict=True))
    assert math.isfinite(learner.learn(batch(2), Processes())[0])
    assert not torch.equal(before[-1], learner.masters[-1])


def test_too_many_such_steps_end_the_run(quick: Make) -> None:
    learner = Learner(quick())
    broken = batch() | {"sharp": torch.full((2, 3, 32, 32), math.nan)}
    for _ in range(MOST_FAILURES - 1):
        learner.learn(broken, Processes())
    with pytest.raises(RecipeError, match=r"not been a number for 20 steps in a row.*lower learning_rate"):
        learner.learn(broken, Processes())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"crop": 40}, "crop=40 does not fit: 'mccnet-fast' needs a multiple of 16"),
        ({"final_crop": 24}, "crop=24 does not fit: 'mccnet-fast' needs a multiple of 16"),
        ({"arguments": {"colour": 1}}, "colour"),
        ({"arguments": {"widths": [8]}}, "widths"),
        ({"network": "mcnet", "arguments": {}}, "Did you mean 'mccnet'"),
        ({"loss": "charbonier"}, "Did you mean 'charbonnier'"),
        ({"loss": "multi-tusk"}, "Did you mean 'multi-task'"),
        ({"loss": "multi-task"}, "loss=multi-task does not fit the network 'mccnet-fast'"),
        (
            {"network": "ifan", "arguments": {}, "loss": "reblur"},
            "needs IFAN(reblur=True); choose another loss, or other",
        ),
        ({"loss": "blur-map"}, "'mccnet-fast', which undoes the blur; choose from: charbonnier"),
        ({"network": "dmenet", "arguments": {"width": 4}}, "which maps the blur; choose from: blur-map."),
    ],
)
def test_what_the_network_does_not_take_is_one_sentence(quick: Make, changes: dict, says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Learner(quick(**changes))
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("own", "others", "expected"), [(2.0, 2.0, "bf16"), (2.0, 1.0, "fp32"), (1.0, 2.0, "fp32")])
def test_processes_learn_in_bf16_only_if_all_found_it_faster(
    quick: Make, monkeypatch: pytest.MonkeyPatch, own: float, others: float, expected: str
) -> None:
    class Two(Processes):
        def any(self, flag: bool) -> bool:
            return flag or others < 1.15

    monkeypatch.setattr(rates, "bf16_gain", lambda learning: own if learning else None)
    learner = Learner(quick(precision="auto"), processes=Two())
    assert learner.precision == expected and learner.gain == own
    assert next(learner.network.parameters()).dtype == {"bf16": torch.bfloat16, "fp32": torch.float32}[expected]
    assert Learner(quick(precision="fp32")).gain is None
