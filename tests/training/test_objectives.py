"""What networks are taught: each objective against its formula written out in NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dualpix.networks import create
from dualpix.networks.spec import NetworkSpec
from dualpix.training.objectives import OBJECTIVES

NAMES = ("center", "left", "right", "sharp")


def pictures(size: int = 32, batch: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {name: torch.rand(batch, 3, size, size, generator=generator) for name in NAMES}
    return made | {"blur_px": 12 * torch.randn(batch, 1, size, size, generator=generator)}


def plain(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().double().numpy() for name, tensor in tensors.items()}


def squares(one: np.ndarray, two: np.ndarray) -> float:
    assert one.shape == two.shape
    return float(((one - two) ** 2).mean())


@pytest.mark.parametrize(
    ("name", "weights", "target"),
    [("multi-task", (1, 0.2, 0.2, 0.2), "sharp"), ("multi-task-views", (1, 1, 0.2, 0.2), "center")],
)
def test_multi_task_is_the_four_terms_of_mdp(name: str, weights: tuple, target: str) -> None:
    torch.manual_seed(0)
    network, batch = create("mdp", width=4), pictures()
    loss = OBJECTIVES[name].compute(network, {key: batch[key] for key in OBJECTIVES[name].needs})
    made, true = plain(network.outputs(batch["center"])), plain(batch)
    both = (np.concatenate([made["left"], made["right"]], 1), np.concatenate([true["left"], true["right"]], 1))
    terms = [
        squares(made["sharp"], true[target]),
        squares(*both),
        squares((made["left"] + made["right"]) / 2, true["center"]),
        squares(made["left"] - made["right"], true["left"] - true["right"]),
    ]
    assert loss.item() == pytest.approx(np.dot(weights, terms), rel=1e-5)


def means_of_squares(picture: np.ndarray, side: int = 8) -> np.ndarray:
    batch, channels, height, width = picture.shape
    return picture.reshape(batch, channels, height // side, side, width // side, side).mean((3, 5))


@pytest.mark.parametrize("dual", [False, True])
def test_reblur_is_the_three_terms_of_ifan(dual: bool) -> None:
    torch.manual_seed(0)
    network, batch = create("ifan", channels=4, filters=2, reblur=True, dual=dual), pictures()
    loss = OBJECTIVES["reblur"].compute(network, batch)
    views = (batch["center"], batch["left"], batch["right"])
    made, true = plain(network.outputs(*views, sharp=batch["sharp"])), plain(batch)
    expected = [
        squares(made["sharp"], true["sharp"]),
        squares(made["aligned"], means_of_squares(true["left"])),
        squares(made["reblurred"], means_of_squares(true["center"])),
    ]
    assert loss.item() == pytest.approx(sum(expected), rel=1e-5)
    loss.backward()
    untaught = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert untaught == []


def test_blur_map_is_the_map_and_five_guesses_of_it() -> None:
    torch.manual_seed(0)
    network, batch = create("dmenet", width=4).eval(), pictures()
    loss = OBJECTIVES["blur-map"].compute(network, batch)
    made = plain(network.outputs(batch["center"]))
    true = np.minimum((np.abs(batch["blur_px"].double().numpy()) + 1) / 15, 1)
    assert (true == 1).any() and (true < 1).any()
    expected = squares(made["map"], true)
    for scale in (16, 8, 4, 2, 1):
        expected += squares(made[f"map_{scale}"], true[:, :, ::scale, ::scale])
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_in_bf16_the_loss_is_float32_and_near(name: str) -> None:
    torch.manual_seed(0)
    small = {"mdp": {"width": 4}, "ifan": {"channels": 4, "filters": 2, "reblur": True}, "dmenet": {"width": 4}}
    which = {"multi-task": "mdp", "multi-task-views": "mdp", "reblur": "ifan", "blur-map": "dmenet"}[name]
    network, batch = create(which, **small[which]).eval(), pictures()
    exact = OBJECTIVES[name].compute(network, batch)
    rough = OBJECTIVES[name].compute(network.bfloat16(), batch)
    assert rough.dtype == torch.float32 and rough.item() == pytest.approx(exact.item(), rel=0.05)


def test_what_a_network_does_not_make_is_named() -> None:
    class Half(nn.Module):
        spec = NetworkSpec(("center",))

        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Parameter(torch.zeros(1))

        def outputs(self, center: Tensor) -> dict[str, Tensor]:
            return {"left": center, "sharp": center}

    with pytest.raises(ValueError, match="it makes left, sharp, but not right"):
        OBJECTIVES["multi-task"].compute(Half(), pictures())
    with pytest.raises(AttributeError, match="outputs"):
        OBJECTIVES["multi-task"].compute(create("mccnet-fast"), pictures())
