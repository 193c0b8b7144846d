"""Training objectives of networks that output more than the sharp picture, or something else (`losses` has the rest).

An objective compares what the network's `outputs` give, by name, with what the samples hold. Networks are asked by
name for what they make, and none is known here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dualpix.networks.spec import spec_of
from dualpix.plugins import Guarded, Origin, Table, other_than
from dualpix.training.losses import mse, one_number

MAP_SCALES = (16, 8, 4, 2, 1)


@dataclass(frozen=True)
class Objective:
    """`compute(network, batch)` -> one number to make small.

    needs: names of what it takes from a sample, whatever the network's own views are.
    compute: of a network in training and a batch of named pictures B C H W, which also holds the network's views.
        Raises ValueError or AttributeError for a network that does not make what is compared.
    maps: whether it trains a network that estimates the blur instead of undoing it.
    """

    needs: tuple[str, ...]
    compute: Callable[[nn.Module, Mapping[str, Tensor]], Tensor]
    maps: bool = False


def multi_task(network: nn.Module, batch: Mapping[str, Tensor], weights: Sequence[float], sharp: str) -> Tensor:
    """MDP's objective (Abuolaim et al., WACV 2022): a weighted sum of mean squared errors.

    Args:
        network: One whose `outputs` makes "left", "right" and "sharp".
        batch: "left", "right", "center" and, unless `sharp` is another name, "sharp"; B 3 H W each in [0, 1].
        weights: Of the errors of the sharp picture, of both views together, of their mean as the combined view, and of
            their difference.
        sharp: The name of what the sharp picture is compared with.
    """
    made = _outputs(network, batch, ("left", "right", "sharp"))
    left, right = batch["left"], batch["right"]
    terms = (
        mse(made["sharp"], batch[sharp]),
        (mse(made["left"], left) + mse(made["right"], right)) / 2,
        mse((made["left"] + made["right"]) / 2, batch["center"]),
        mse(made["left"] - made["right"], left - right),
    )
    return sum((weight * term for weight, term in zip(weights, terms, strict=True)), terms[0].new_zeros(()))


def reblur(network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """IFAN's objective (Lee et al., CVPR 2021): the sum of three mean squared errors.

    They are those of the sharp picture; of the right view brought to the left one by the disparity; and of the sharp
    picture blurred again as the combined view. The last two are taken at an eighth of the size, where a pixel is the
    mean of 8 x 8.
    """
    made = _outputs(
        network,
        {name: batch[name] for name in ("center", "left", "right")},
        ("sharp", "aligned", "reblurred"),
        views=("center", "left", "right"),
        sharp=batch["sharp"],
    )
    left, center = (F.avg_pool2d(batch[name], 8) for name in ("left", "center"))
    return mse(made["sharp"], batch["sharp"]) + mse(made["aligned"], left) + mse(made["reblurred"], center)


def blur_map(network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """What remains of DMENet's objective (Lee et al., CVPR 2019) where the true map is known.

    It is the mean squared error of the map, and those of its guesses at five scales s = 1, 2, 4, 8, 16, each compared
    with every s-th pixel of the true one.
    """
    made = _outputs(network, batch, ("map", *(f"map_{scale}" for scale in MAP_SCALES)))
    true = network.map_of(batch["blur_px"])  # type: ignore[operator]
    guesses = [mse(made[f"map_{scale}"], true[..., ::scale, ::scale]) for scale in MAP_SCALES]
    return sum(guesses, mse(made["map"], true))


def _guarded(objective: Objective, origin: Origin) -> Objective:
    return replace(objective, compute=Guarded(objective.compute, origin, one_number))


OBJECTIVES: Table[Objective] = Table(
    "objectives",
    {
        "multi-task": Objective(
            ("center", "left", "right", "sharp"), partial(multi_task, weights=(1.0, 0.2, 0.2, 0.2), sharp="sharp")
        ),
        # MDP's first phase, which needs no sharp picture. Theirs leaves the decoders of the sharp picture as they are;
        # here they learn to repeat the combined view.
        "multi-task-views": Objective(
            ("center", "left", "right"), partial(multi_task, weights=(1.0, 1.0, 0.2, 0.2), sharp="center")
        ),
        "reblur": Objective(("center", "left", "right", "sharp"), reblur),
        "blur-map": Objective(("blur_px",), blur_map, maps=True),
    },
    other_than(Objective),
    _guarded,
)


def _outputs(
    network: nn.Module,
    batch: Mapping[str, Tensor],
    wanted: Sequence[str],
    *,
    views: Sequence[str] | None = None,
    **more: Tensor,
) -> dict[str, Tensor]:
    """What the network makes, in float32 whatever it computes in. `views`: those given to it, by default its own."""
    named: Any = network
    dtype = next(network.parameters()).dtype
    given = [batch[name].to(dtype) for name in views or spec_of(named).views]
    made = named.outputs(*given, **{name: picture.to(dtype) for name, picture in more.items()})
    if missing := [name for name in wanted if name not in made]:
        raise ValueError(f"it makes {', '.join(made)}, but not {', '.join(missing)}")
    return {name: made[name].float() for name in wanted}
