"""What `inspect` gathers and draws."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.pairs import inspect_views
from dualpix.pairs.inspect import disparity_picture, inspect, scale_px


def test_all_of_it_is_plain_data(folder: Path) -> None:
    done = inspect("deep_L.tif", "deep_R.tif")
    told = json.loads(json.dumps(done.as_json()))
    assert (told["width"], told["height"]) == (256, 224)
    assert (told["name"], told["depth"], told["channels"], told["profile"]) == ("deep", 16, 3, "none, taken as sRGB")
    assert told["disparity"]["high_px"] == pytest.approx(2, abs=0.2) and told["disparity"]["low_px"] < 0.2
    assert abs(told["vertical_disparity"]["middle_px"]) < 0.2
    blocks = told["blocks"]
    assert blocks["textured"] >= blocks["found"] >= blocks["trusted"] >= blocks["behind"] > blocks["in_front"] == 0
    assert (told["order"], told["odd"], told["notes"]) == ("left, right", {}, [])


def test_the_picture_is_red_behind_and_blue_in_front(folder: Path) -> None:
    """The upper half of the pair has moved to the right, the lower half is in focus."""
    inspect("p_L.png", "p_R.png", picture="red.png")
    inspect("p_R.png", "p_L.png", picture="blue.png")
    red, blue = (np.asarray(Image.open(name)).astype(float) for name in ("red.png", "blue.png"))
    assert red.shape == (224, 256, 3)
    for picture, more, less in ((red, 0, 2), (blue, 2, 0)):
        excess = picture[..., more] - picture[..., less]
        assert excess[20:80, 20:-20].mean() > 40 > 10 > abs(excess[150:200, 20:-20]).mean()


def test_a_pair_without_disparity_is_drawn_grey(folder: Path) -> None:
    view = torch.rand(3, 160, 160, generator=torch.Generator().manual_seed(0))
    found = inspect_views(view, view * 0.9)
    drawn = disparity_picture(view, found)
    assert scale_px(found) == 0.5
    assert float((drawn - drawn.mean(dim=0)).abs().max()) < 0.05
    flat = torch.full((3, 40, 30), 0.5)
    assert disparity_picture(flat, inspect_views(flat, flat * 0.9)).shape == (3, 40, 30)
