"""What a network is asked for is checked before it is built."""

from typing import Any

import pytest
import torch

from dualpix.errors import RecipeError
from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS, create

SMALLEST: list[tuple[str, dict[str, Any]]] = [
    ("mccnet-fast", {"widths": [1, 1, 1, 1], "depths": [0] * 7, "max_disparity": 0}),
    ("mccnet-fast", {"widths": (1, 2, 3, 1), "depths": (1,) * 7, "max_disparity": 4096}),
    ("mccnet", {"max_disparity": 0, "slope": 0, "fusion_channels": [1, 1, 1], "score_scale": -1}),
    ("dpdnet", {"widths": [1] * 5, "up_kernel": 31, "dropout": 1}),
    ("dpdnet-single", {"widths": [1] * 5, "up_kernel": 1}),
    ("rdpd", {"widths": [1] * 5, "bottom_convolutions": 1}),
    ("mdp", {"width": 1, "up_kernel": 1}),
    ("kpac", {"width": 4, "levels": 3, "dual": True}),
    ("ifan", {"channels": 1, "filters": 1, "dual": True}),
    ("restormer", {"channels": 2, "blocks": [0] * 4, "heads": [1, 2, 1, 1], "refinement": 0, "expansion": 0.5}),
    ("dmenet", {"width": 2, "largest_px": 1e-9}),
]


@pytest.mark.parametrize(("name", "arguments"), SMALLEST)
def test_the_least_that_is_accepted_computes(name: str, arguments: dict[str, Any]) -> None:
    network = create(name, **arguments).eval()
    with torch.no_grad():
        output = network(*torch.rand(len(network.spec.views), 1, 3, 32, 48))  # type: ignore[arg-type]
    assert output.shape[2:] == (32, 48) and output.isfinite().all()


def test_every_network_is_among_them() -> None:
    assert {name for name, _ in SMALLEST} == NETWORKS.keys() | DEFOCUS_ESTIMATORS.keys()


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        *(("mccnet-fast", {"max_disparity": value}, "max_disparity") for value in (-5, True, 1.5, 8.0, "8", None, [1])),
        ("mccnet-fast", {"max_disparity": 10**30}, "max_disparity"),
        ("mccnet-fast", {"widths": [8, 8, 8]}, r"widths\[3\]"),
        ("mccnet-fast", {"widths": [8, 8, 8, 8, 8]}, "widths"),
        ("mccnet-fast", {"widths": [8, 0, 8, 8]}, r"widths\[1\]"),
        ("mccnet-fast", {"widths": 8}, "widths"),
        ("mccnet-fast", {"depths": [10**7] * 7}, "depths"),
        ("mccnet-fast", {"depths": [1, 1, 1, 1, 1, 1, -1]}, r"depths\[6\]"),
        ("mccnet", {"slope": float("inf")}, "slope"),
        ("mccnet", {"slope": True}, "slope"),
        ("mccnet", {"fusion": 1}, "fusion"),
        ("mccnet", {"upsampling": "area"}, "upsampling"),
        ("mccnet", {"name": "mccnet"}, "unexpected keyword argument 'name'"),
        ("mccnet", {"self": 1}, "unexpected keyword argument 'self'"),
        ("dpdnet", {"dropout": 1.5}, "dropout"),
        ("kpac", {"levels": True}, "levels"),
        ("restormer", {"channels": 3}, "must be even"),
        ("restormer", {"heads": [1, 2, 4, 7]}, "must divide by heads"),
        ("dmenet", {"largest_px": 0}, "largest_px"),
        ("mdp", {"width": object()}, "JSON"),
    ],
)
def test_whatever_else_is_refused_before_anything_is_built(name: str, arguments: dict[str, Any], told: str) -> None:
    with torch.device("meta"), pytest.raises(RecipeError, match=told):
        create(name, **arguments)
