"""What every network promises, over the whole table."""

import inspect
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dualpix.errors import RecipeError
from dualpix.networks import NETWORKS, create
from small_networks import shaken, small

names = pytest.mark.parametrize("name", NETWORKS)

LATE = ("decode_half.0", "decode_half.2", "up_full.reduce", "decode_full.0", "decode_full.2", "paint.0", "paint.2")

UNTAUGHT = {
    "rdpd": ["memory.recurrent.weight"],
    "mdp": [f"late.{v}.{layer}.{kind}" for v in ("left", "right") for layer in LATE for kind in ("weight", "bias")],
}
"""What one sharp picture cannot teach: how to remember the one before, how to paint the views."""


def views_for(network: nn.Module, rows: int, columns: int, batch: int = 1) -> list[Tensor]:
    """Views of `rows` x `columns` times the network's `multiple`."""
    torch.manual_seed(rows + columns)
    size = (rows * network.spec.size_multiple, columns * network.spec.size_multiple)  # type: ignore[operator]
    return [torch.rand(batch, 3, *size) for _ in network.spec.views]  # type: ignore[union-attr]


@names
def test_says_what_it_wants(name: str) -> None:
    network = small(name)
    assert set(network.spec.views) <= {"left", "right", "center"} and len(set(network.spec.views)) == len(
        network.spec.views
    )  # type: ignore
    assert isinstance(network.spec.size_multiple, int) and network.spec.size_multiple >= 1
    parameters = list(inspect.signature(network.forward).parameters.values())
    assert [p.name for p in parameters if p.default is p.empty] == list(network.spec.views)  # type: ignore[arg-type]


@names
@torch.no_grad()
@pytest.mark.parametrize(("rows", "columns", "batch"), [(1, 1, 1), (1, 5, 2), (7, 1, 1), (3, 2, 3)])
def test_output_has_the_size_of_the_views(name: str, rows: int, columns: int, batch: int) -> None:
    network = shaken(small(name))
    views = views_for(network, rows, columns, batch)
    sharp = network(*views)
    assert sharp.shape == views[0].shape and sharp.dtype == torch.float32 and sharp.isfinite().all()


@names
@torch.no_grad()
def test_pictures_of_a_batch_do_not_mix(name: str) -> None:
    network = shaken(small(name))
    views = views_for(network, 2, 3, batch=3)
    together = network(*views)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], network(*(v[i : i + 1] for v in views)), rtol=1e-4, atol=1e-4)


@names
def test_gradients_reach_every_parameter(name: str) -> None:
    network = shaken(small(name))
    network(*views_for(network, 2, 3)).square().mean().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == UNTAUGHT.get(name, [])


@names
@torch.no_grad()
def test_saved_and_loaded_is_the_same(name: str, tmp_path: Path) -> None:
    network = shaken(small(name))
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    again = small(name)
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    views = views_for(network, 2, 3)
    assert torch.equal(again.eval()(*views), network(*views))


@names
@torch.no_grad()
def test_memory_layout_changes_nothing(name: str) -> None:
    network = shaken(small(name))
    views = views_for(network, 2, 3)
    before = network(*views)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    after = network(*(view.contiguous(memory_format=torch.channels_last) for view in views))
    assert after.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


@names
@pytest.mark.parametrize("how", ["weights", "autocast"])
def test_bf16_is_finite_and_near(name: str, how: str) -> None:
    torch.manual_seed(0)
    network = small(name).eval()
    views = views_for(network, 2, 3)
    wanted = network(*views).detach()
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        sharp = network(*views) if how == "autocast" else network.bfloat16()(*(view.bfloat16() for view in views))
    torch.testing.assert_close(sharp.detach().float(), wanted, rtol=0, atol=0.05)
    sharp.float().square().mean().backward()
    taught = [p for key, p in network.named_parameters() if key not in UNTAUGHT.get(name, [])]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in taught)


@names
@pytest.mark.parametrize("axis", [2, 3], ids=["rows", "columns"])
@torch.no_grad()
def test_no_line_sees_farther_than_it_says(name: str, axis: int) -> None:
    network = shaken(small(name)).double()
    spec, multiple = network.spec, network.spec.size_multiple
    reach = spec.receptive_radius_px if axis == 2 else spec.receptive_columns_px
    if reach is None:
        pytest.skip("sees all of them")
    assert isinstance(reach, int) and isinstance(multiple, int)
    middle = -(-(reach + 1) // multiple)
    sides = (2 * middle + 1, 1) if axis == 2 else (1, 2 * middle + 1)
    views = [view.double() for view in views_for(network, *sides)]
    before = network(*views)
    for line in range(middle * multiple, (middle + 1) * multiple):
        other = [view.clone() for view in views]
        for view in other:
            view.select(axis, line).add_(10.0)
        changed = (network(*other) != before).transpose(axis, 3).amax((0, 1, 2)).nonzero().flatten()
        assert line - reach <= int(changed.min()) and int(changed.max()) <= line + reach


@names
@torch.no_grad()
def test_the_valid_width_hides_the_padding_from_the_correlation(name: str) -> None:
    """What the padding holds, hundreds of columns away, changes nothing on the left."""
    network = shaken(small(name))
    if "width" not in inspect.signature(network.forward).parameters:
        pytest.skip("does not correlate along rows")
    views = views_for(network, 1, 30)
    width = 28 * network.spec.size_multiple  # type: ignore[operator]
    other = [view.clone() for view in views]
    for view in other:
        view[..., width:] = 1 - view[..., width:]
    left = slice(0, 8)
    assert torch.equal(network(*views, width=width)[..., left], network(*other, width=width)[..., left])


def test_unknown_names_are_answered_with_the_table() -> None:
    with pytest.raises(RecipeError, match=r"no network called 'mccnett'.*mccnet-fast.*mean 'mccnet'"):
        create("mccnett")


def test_arguments_reach_the_constructor() -> None:
    assert create("mccnet", max_disparity=5).cc1.max_disparity == 5  # type: ignore[union-attr]
    with pytest.raises(RecipeError, match="disparity"):
        create("mccnet", disparity=5)
