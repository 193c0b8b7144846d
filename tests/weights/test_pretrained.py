"""Networks as plain modules, in the layout of the hub, and through `torch.hub`."""

import copy
import json
from pathlib import Path

import pytest
import torch
import yaml

import dualpix
from dualpix.errors import CheckpointError
from small_networks import TINY

HOME = Path(__file__).parents[2]


def test_what_is_saved_is_read_again_with_its_card(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = dualpix.create("mccnet-fast", **TINY).eval()
    folder = dualpix.save_pretrained(network, tmp_path / "mine", scores={"psnr": 27.62, "data": "phone"})
    again = dualpix.from_pretrained(folder)
    views = torch.rand(2, 1, 3, 32, 32)
    assert torch.equal(again(*views), network(*views)) and not again.training
    assert json.loads((folder / "config.json").read_text())["model_type"] == "mccnet-fast"
    head, text = (folder / "README.md").read_text().split("---\n", 2)[1:]
    assert yaml.safe_load(head)["library_name"] == "dualpix" and "| psnr | 27.62 |" in text

    assert f"{sum(parameter.numel() for parameter in network.parameters()):,} parameters" in text

    with torch.no_grad():
        for parameter in again.parameters():
            parameter += 0.01
    (folder / "README.md").write_text("mine")
    copy.deepcopy(again).save_pretrained(folder)  # type: ignore[operator]
    changed = dualpix.load(folder)
    assert torch.equal(changed.network(*views), again(*views)) and changed.scores["psnr"] == 27.62
    assert (folder / "README.md").read_text() == "mine"


def test_a_network_of_no_table_needs_its_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Conv2d was not made by `create`"):
        dualpix.save_pretrained(torch.nn.Conv2d(3, 3, 1), tmp_path)
    with pytest.raises(CheckpointError, match="is no repository of the hub and has no revision 'v1'"):
        dualpix.from_pretrained("mccnet-fast", revision="v1")
    with pytest.raises(CheckpointError, match=r"is a folder without a model\.safetensors"):
        dualpix.from_pretrained(tmp_path)


def test_the_card_of_a_network_that_maps_the_blur_promises_no_sharp_picture(tmp_path: Path) -> None:
    text = (dualpix.save_pretrained(dualpix.create("dmenet"), tmp_path) / "README.md").read_text()
    assert "into a map of its blur" in text and "sharp everywhere" not in text and "dualpix.deblur" not in text


def test_torch_hub_opens_the_checkout() -> None:
    network = torch.hub.load(str(HOME), "mccnet_fast", source="local")
    expected = dualpix.load("mccnet-fast").network.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())
    with pytest.raises(ValueError, match="The weights decide about max_disparity"):
        torch.hub.load(str(HOME), "mccnet", source="local", max_disparity=8)
