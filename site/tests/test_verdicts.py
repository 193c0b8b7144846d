"""What the page finds in a hundred pairs, beside what the package finds: `make site-test`."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dualpix.simulation.simulate import CAMERAS, simulate_from_depth
from made_textures import natural_texture
from site_pairs import CHANGES, Pair, assert_same, bundled, found_by_package, found_by_page

NODE = shutil.which("node")
HEIGHT, WIDTH = 288, 352
PLACES = ((0, 0), (192, 288), (100, 140))  # of crops of the bundled pair
DEPTHS_M = ((0.9, 3.0), (2.0, 1.1))  # at the left and the right edge of simulated scenes


def cut(view: Tensor, place: tuple[int, int]) -> Tensor:
    return view[:, place[0] : place[0] + HEIGHT, place[1] : place[1] + WIDTH].contiguous()


def scene(seed: int, near_m: float, far_m: float) -> Pair:
    depth_m = torch.linspace(near_m, far_m, WIDTH).expand(HEIGHT, -1).contiguous()
    made = simulate_from_depth(natural_texture(HEIGHT, WIDTH, seed), depth_m, CAMERAS["5d-mark-iv-50mm-f4"])
    return made["left"], made["right"]


@pytest.mark.skipif(NODE is None, reason="needs Node: apt-get install nodejs")
def test_a_hundred_pairs(tmp_path: Path) -> None:
    """Photographs and simulated scenes, each changed in every way."""
    whole = bundled("left"), bundled("right")
    sources = {f"crop at {place}": (cut(whole[0], place), cut(whole[1], place)) for place in PLACES}
    sources |= {f"scene {seed}": scene(seed, *depths) for seed, depths in enumerate(DEPTHS_M)}
    pairs = {f"{name}, {kind}": change(*pair) for name, pair in sources.items() for kind, change in CHANGES.items()}
    assert len(pairs) == 100
    verdicts = set()
    for (name, pair), theirs in zip(pairs.items(), found_by_page(str(NODE), pairs.values(), tmp_path), strict=True):
        ours = found_by_package(pair)
        verdicts.add(ours["verdict"])
        try:
            assert_same(ours, theirs)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    assert len(verdicts) >= 7
