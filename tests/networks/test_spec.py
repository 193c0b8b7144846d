"""What networks say of themselves, compared with what they do; and modules that say it as older versions had it."""

import inspect

import pytest
import torch
from torch import Tensor, nn

from dualpix.errors import RecipeError
from dualpix.networks import CORRELATING, DEFOCUS_ESTIMATORS, NETWORKS
from dualpix.networks.blank import without_numbers
from dualpix.networks.spec import NetworkSpec, spec_of
from dualpix.networks.streaming import prepared
from small_networks import small


def test_networks_that_correlate_are_listed() -> None:
    with without_numbers():
        found = [name for name, kind in NETWORKS.items() if spec_of(kind()).attention_radius_px is not None]
    assert found == list(CORRELATING)


@pytest.mark.parametrize("name", [*NETWORKS, *DEFOCUS_ESTIMATORS])
def test_a_record_says_what_the_network_has(name: str) -> None:
    for network in (small(name), prepared(small(name))):
        spec = spec_of(network)
        taken = list(inspect.signature(network.forward).parameters)
        assert tuple(taken[: len(spec.views)]) == spec.views
        assert spec.takes_width == ("width" in taken)
        assert spec.tells_correction == hasattr(network, "correction")
        assert (spec.attention_radius_px is not None) == hasattr(network, "log_attention")
        streams = type(network) is not type(small(name))
        assert (spec.steady_state_rows is not None) == streams


class OldThatLooks(nn.Module):
    """As `MCCNet` was before it had a record."""

    views, multiple, reach_px, attention_reach_px = ("left", "right"), 8, 40, 10

    def forward(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        return left

    def log_attention(self, left: Tensor, right: Tensor) -> Tensor:
        return left


def test_what_an_older_network_masks_and_looks_at_is_understood() -> None:
    network = OldThatLooks()
    with pytest.warns(DeprecationWarning):
        spec = spec_of(network)
    assert spec == NetworkSpec(("left", "right"), 8, 40, takes_width=True, attention_radius_px=10)
    network.correlation = False  # built without what it would look with
    with pytest.warns(DeprecationWarning):
        assert spec_of(network).attention_radius_px is None


class Old(nn.Module):
    views, multiple, reach_px = ("left", "right"), 4, 3

    def correction(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.zeros_like(left)


def test_a_network_of_an_older_version_is_understood_and_told_what_to_write() -> None:
    with pytest.warns(DeprecationWarning, match=r"give it spec = NetworkSpec\(views=\('left', 'right'\)"):
        spec = spec_of(Old())
    assert spec == NetworkSpec(("left", "right"), 4, 3, tells_correction=True, residual=True)


def test_a_module_that_says_nothing_is_told_how() -> None:
    with pytest.raises(RecipeError, match="Linear does not say which views it takes; give it an attribute spec"):
        spec_of(nn.Linear(3, 3))


@pytest.mark.parametrize(
    "wrong", [{"views": ()}, {"views": ("left", "left")}, {"views": ("left",), "size_multiple": 0}]
)
def test_a_record_of_no_network_is_refused(wrong: dict) -> None:
    with pytest.raises(RecipeError, match="network cannot"):
        NetworkSpec(**wrong)
