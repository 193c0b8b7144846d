"""Pictures that the page's code makes, beside those of the package, in Node with onnxruntime-web: `make site-test`."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.inference.deblur import Deblurred, deblur_pair
from dualpix.inference.disparity import disparity
from site_pairs import bundled

SITE = Path(__file__).parents[1]
NODE = shutil.which("node")
NETWORK = SITE / "_network"
pytestmark = pytest.mark.skipif(
    NODE is None or not (NETWORK / "network.json").is_file() or not (SITE / "node_modules").is_dir(),
    reason="needs Node and make site",
)
OFF = 8 / 65535


def by_page(views: tuple[Tensor, Tensor], limit: float, folder: Path) -> tuple[Tensor, dict[str, Any]]:
    """The picture, and what is told. `limit`: bytes of memory that it may take."""
    _, height, width = views[0].shape
    (folder / "asked.json").write_text(json.dumps({"width": width, "height": height, "limit": limit}))
    (folder / "views.bin").write_bytes(b"".join(view.numpy().astype("<f4").tobytes() for view in views))
    call = [str(NODE), str(SITE / "tests" / "deblurred.mjs"), str(folder), str(NETWORK)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    levels = np.fromfile(folder / "sharp.bin", "<u2").astype(np.float32) / 65535
    return torch.from_numpy(levels).view(3, height, width), json.loads(done.stdout)


def by_package(views: tuple[Tensor, Tensor]) -> Deblurred:
    return deblur_pair({"left": views[0], "right": views[1], "name": "pair"}, engine="torch", precision="fp32")


def crop(name: str, times: int = 1) -> Tensor:
    """A part of the bundled pair, at odd sizes, enlarged."""
    part = bundled(name)[:, 100:233, 200:351][None]
    return F.interpolate(part, scale_factor=float(times), mode="bicubic").clamp(0, 1)[0].contiguous()


@pytest.mark.parametrize("limit", [1e9, 1.2e8])
def test_strips_make_the_picture_of_the_package(tmp_path: Path, limit: float) -> None:
    views = crop("left"), crop("right")
    found, told = by_page(views, limit, tmp_path)
    expected = by_package(views)
    assert float((found - expected.picture).abs().max()) <= OFF
    assert told["off"] < 1e-3 and told["notes"] == list(expected.warnings)
    assert told["strips"] == 4 if limit == 1e9 else told["strips"] > 12
    planes = torch.from_numpy(np.fromfile(tmp_path / "found.bin", "<f4")).view(2, *views[0].shape[1:])
    theirs = disparity(*views)
    assert float((planes[1:] - theirs.confidence).abs().mean()) < 1e-3
    is_sure = theirs.confidence > 0.3
    assert float((planes[:1] - theirs.disparity_px)[is_sure].abs().max()) < 0.05


def test_several_scales_make_the_picture_of_the_package(tmp_path: Path) -> None:
    views = crop("left", 3), crop("right", 3)
    views[1][:, 200:] = views[1][:, 200:].roll(9, 2)  # farther apart than one scale can undo, in one half
    expected = by_package(views)
    assert len(expected.plan.scales) > 1, "the views lie too near for this test"
    found, told = by_page(views, 1e9, tmp_path)
    assert "joined with 1/3 of the size" in told["plan"]
    difference = (found - expected.picture).abs()
    assert float(difference.max()) <= 2 / 255
    assert float(-10 * difference.square().mean().log10()) > 55
