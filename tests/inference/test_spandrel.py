"""Networks by spandrel's own loader, beside what `dualpix.deblur` makes of the same views."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

import dualpix
from dualpix.errors import CheckpointError, DualpixError
from dualpix.weights import checkpoint
from small_networks import TINY, tiny

spandrel = pytest.importorskip("spandrel", reason="spandrel is not installed")
bridge = importlib.import_module("dualpix.inference.spandrel")
HOME = Path(__file__).parents[2]
DEMO = Path(dualpix.__file__).parent / "demo_pair"


@pytest.fixture
def loader() -> "spandrel.ModelLoader":
    registry = spandrel.MAIN_REGISTRY.copy()
    assert {added.architecture.id for added in bridge.install(registry)} >= {"dualpix-mccnet", "dualpix-mccnet-fast"}
    assert bridge.install(registry) == [] and "dualpix-mccnet" not in spandrel.MAIN_REGISTRY
    return spandrel.ModelLoader(registry=registry)


@pytest.fixture
def views() -> list[Tensor]:
    return [dualpix.read_picture(DEMO / f"{view}.png").pixels[:, 40:83, 60:111] for view in ("left", "right")]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    return checkpoint.save(tmp_path / "mine.safetensors", tiny(), "mccnet-fast", TINY | {"max_disparity": 3})


def deblurred(views: list[Tensor], weights: str | Path) -> Tensor:
    return dualpix.deblur(*views, weights, guard=False, scale="1", precision="fp32", engine="torch", turn="none")


@pytest.mark.parametrize("name", dualpix.WEIGHTS)
def test_the_shipped_weights_are_found_and_make_the_same_picture(
    loader: "spandrel.ModelLoader", views: list[Tensor], name: str
) -> None:
    model = loader.load_from_file(checkpoint.find(name))
    assert (model.architecture.name, model.purpose, model.scale) == (name, "Restoration", 1)
    assert (model.input_channels, model.output_channels, model.tags) == (6, 3, ["left", "right"])
    assert model.size_requirements.multiple_of == dualpix.load(name).network.spec.size_multiple
    assert model.tiling == spandrel.ModelTiling.SUPPORTED  # both look into a window
    sharp = model(torch.cat(views)[None])[0]
    torch.testing.assert_close(sharp, deblurred(views, name), atol=1e-5, rtol=0)


def test_weights_of_ones_own_say_what_they_are(
    loader: "spandrel.ModelLoader", views: list[Tensor], trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="look like those of mccnet-fast, but do not say with which arguments"):
        loader.load_from_file(trained)
    model = loader.load_from_file(bridge.save(tmp_path / "new" / "net.safetensors", trained))
    image = torch.cat(views)[None]
    torch.testing.assert_close(model(image)[0], deblurred(views, trained), atol=1e-5, rtol=0)
    assert torch.equal(bridge.describe(trained)(image), model(image))
    for dtype, most in ((torch.bfloat16, 0.02), (torch.float16, 0.002)):
        exact = bridge.describe(trained)(image.to(dtype).float())
        low = model.to(dtype)(image.to(dtype))
        assert low.dtype == dtype and (low.float() - exact).abs().max() < most


def test_whole_rows_are_not_to_be_tiled_and_one_view_is_three_channels(tmp_path: Path) -> None:
    whole = checkpoint.save(tmp_path / "whole.safetensors", dualpix.create("mccnet"), "mccnet")
    assert bridge.describe(whole).tiling == spandrel.ModelTiling.DISCOURAGED
    single = {"widths": (8, 16, 32, 64, 128)}
    one = checkpoint.save(
        tmp_path / "one.safetensors", dualpix.create("dpdnet-single", **single), "dpdnet-single", single
    )
    model = bridge.describe(one)
    assert (model.input_channels, model.tags) == (3, ["center"])
    assert model(torch.rand(1, 3, 37, 50)).shape == (1, 3, 37, 50)


def test_other_models_stay_what_they_are(loader: "spandrel.ModelLoader") -> None:
    compact = importlib.import_module("spandrel.architectures.Compact").Compact(num_feat=8, num_conv=2)
    assert loader.load_from_state_dict(compact.state_dict()).architecture.id == "Compact"
    with pytest.raises(spandrel.UnsupportedModelError):
        loader.load_from_state_dict({"nothing.weight": torch.zeros(1)})


def test_what_is_damaged_is_one_sentence(
    loader: "spandrel.ModelLoader", trained: Path, views: list[Tensor], tmp_path: Path
) -> None:
    good = safetensors.torch.load_file(bridge.save(tmp_path / "net.safetensors", trained))
    text = torch.frombuffer(bytearray(b'{"network": 3}'), dtype=torch.uint8)
    for card in (text, text[:5], torch.zeros(3)):
        with pytest.raises(CheckpointError, match="'dualpix' does not name a network and its arguments"):
            loader.load_from_state_dict(good | {"dualpix": card})
    first = "stem.weight"
    with pytest.raises(CheckpointError, match=r"do not fit mccnet-fast: size mismatch for stem\.weight"):
        loader.load_from_state_dict(good | {first: torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"Weights of mccnet-fast hold NaN or infinity in 'stem\.weight'"):
        loader.load_from_state_dict(good | {first: good[first] * torch.nan})
    with pytest.raises(CheckpointError, match=r"net\.pth does not end in \.safetensors"):
        bridge.save("net.pth", trained)
    with pytest.raises(ValueError, match=r"shape \(1, 3, 43, 51\) was given; stack left and right as B x 6 x H x W"):
        bridge.describe(trained)(views[0][None])


def test_without_spandrel_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    monkeypatch.delitem(sys.modules, "dualpix.inference.spandrel")
    with pytest.raises(DualpixError, match=r"need spandrel: pip install -e '\.\[spandrel\]'"):
        importlib.import_module("dualpix.inference.spandrel")


def test_what_the_page_shows_runs(views: list[Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (HOME / "docs" / "python.md").read_text()
    (snippet,) = re.findall(r"```python\n(import spandrel\n.+?)```", page, re.DOTALL)
    monkeypatch.setattr(spandrel.MAIN_REGISTRY, "__dict__", dict(vars(spandrel.MAIN_REGISTRY)))
    monkeypatch.chdir(tmp_path)
    for name, view in zip(("left", "right"), views, strict=True):
        dualpix.write_picture(f"{name}.png", view)
    names: dict[str, Tensor] = {}
    exec(compile(snippet, "python.md", "exec"), names)
    assert names["sharp"].shape == views[0].shape
    assert (tmp_path / "for-spandrel.safetensors").is_file()
