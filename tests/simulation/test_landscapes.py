"""Scenes laid out as photographs are."""

import numpy as np
import torch
from torch import Tensor

from dualpix.simulation.landscapes import MOST_DISPARITY_PX, draw_landscape, with_depth
from dualpix.simulation.painting import Canvas
from dualpix.simulation.render import Layer, composite
from dualpix.simulation.sensor import Tone


def ground(nearest: int = 255) -> Tensor:
    """Noise on a plane that comes nearer towards the bottom."""
    picture = torch.randint(0, 256, (3, 90, 120), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    depth = torch.linspace(0, nearest, 90)[:, None].expand(90, 120).byte()
    return torch.cat([picture, depth[None]])


def landscape(rng: np.random.Generator, photo: Tensor, rho: float, most_blur_px: float) -> list[Layer]:
    return draw_landscape(rng, [photo], [0], 64, rho, most_blur_px).paint(Tone(), Canvas([photo]))


def test_the_ground_comes_towards_the_camera() -> None:
    """Blur is affine in inverse depth: rising towards the bottom it goes from behind the focus to before it."""
    for seed in range(5):
        layers = landscape(np.random.default_rng(seed), ground(), 0.4, 28.0)
        _, blur_px = composite(layers, 0)
        rows = blur_px.mean(1)
        assert bool((rows.diff() < 1e-3).all()) and float(rows[0]) > float(rows[-1])
        assert float(blur_px.abs().max()) <= MOST_DISPARITY_PX / 0.4 + 1e-3
        assert float(blur_px.abs().min()) < 0.5, "something is in focus"


def test_all_layers_together_show_the_photograph() -> None:
    layers = landscape(np.random.default_rng(1), ground(), 0.4, 28.0)
    sharp, _ = composite(layers, 0)
    assert bool((layers[0].alpha == 1).all())
    assert 0.05 < float(sharp.std()) < 0.5


def test_a_low_rho_does_not_make_endless_blur() -> None:
    layers = landscape(np.random.default_rng(2), ground(), 0.05, 20.0)
    assert max(float(layer.blur_px.abs().max()) for layer in layers) <= 20.0


def test_flat_depth_is_one_plane() -> None:
    layers = landscape(np.random.default_rng(3), ground(nearest=0), 0.4, 28.0)
    assert len(layers) == 1 and float(layers[0].blur_px.std()) < 1e-4


def test_photographs_without_depth_are_left_out() -> None:
    assert with_depth([ground()[:3], ground(), ground()[:3]]) == [1]
