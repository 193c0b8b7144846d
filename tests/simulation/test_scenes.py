"""Random scenes and lenses: lawful, decided by their seed, and spread as the layout says."""

from dataclasses import replace

import numpy as np
import torch

from dualpix.simulation.kernels import Lens
from dualpix.simulation.painting import Canvas
from dualpix.simulation.render import Layer, margin_px, render
from dualpix.simulation.scenes import DISPARITIES_PX, Layout, draw_scene
from dualpix.simulation.sensor import Tone

SIZE = 80
PLAIN = Layout(balanced=0.0, native=0.0, landscapes=0.0, rough=0.0)


def scene(seed: int, layout: Layout | None = None, rho: float = 0.4) -> list:
    return draw_scene(np.random.default_rng(seed), [], SIZE, layout, rho).paint(Tone(0.3), Canvas())


def shown(rng: np.random.Generator, photo: torch.Tensor, layout: Layout) -> Layer:
    """The background of a scene of one photograph."""
    return draw_scene(rng, [photo], SIZE, layout).paint(Tone(), Canvas([photo]))[0]


def test_scenes_are_lawful() -> None:
    for seed in range(30):
        layers = scene(seed)
        assert bool((layers[0].alpha == 1).all()), "the background is opaque"
        assert 1 <= len(layers) <= 1 + Layout().max_objects
        means = [float(layer.blur_px.mean()) for layer in layers[1:]]
        assert means == sorted(means, reverse=True), "objects come from back to front"
        for layer in layers:
            assert layer.colour.shape == (3, SIZE, SIZE)
            assert layer.alpha.shape == layer.blur_px.shape == (SIZE, SIZE)
            assert float(layer.alpha.min()) >= 0 and float(layer.alpha.max()) <= 1
            assert float(layer.colour.min()) >= 0 and float(layer.colour.max()) < 12
            assert bool(torch.isfinite(layer.blur_px).all())


def test_blur_stays_flat_or_tilted_as_a_plane_in_space_is() -> None:
    tilts = []
    for seed in range(30):
        for layer in scene(seed):
            blur = layer.blur_px
            assert float(blur.diff(n=2, dim=0).abs().max()) < 1e-4 and float(blur.diff(n=2, dim=1).abs().max()) < 1e-4
            tilts.append(float(torch.hypot(blur[1, 0] - blur[0, 0], blur[0, 1] - blur[0, 0])))
    assert max(tilts) <= Layout().slant_px + 1e-4
    assert 0.25 < np.mean([tilt < 1e-5 for tilt in tilts]) < 0.55


def test_blur_has_the_spread_that_is_asked_for() -> None:
    layout = replace(PLAIN, far_px=(6.0, 10.0), far_tail_px=14.0, near_px=5.0, slant_px=0.0, single=0.0)
    scenes = [scene(seed, layout) for seed in range(60)]
    behind = np.array([float(layers[0].blur_px.mean()) for layers in scenes])
    assert behind.max() <= 14 and 0.7 < np.mean(behind > 3.5) < 0.95
    objects = np.array([float(layer.blur_px.mean()) for layers in scenes for layer in layers[1:]])
    assert objects.min() >= -5 and objects.min() < -0.5
    assert 0.2 < np.mean(abs(objects) < 0.5) < 0.55, "many are near the focal plane"


def test_single_surfaces_and_photographs_come_as_often_as_asked_for() -> None:
    assert all(len(scene(seed, replace(PLAIN, single=1.0))) == 1 for seed in range(10))
    assert all(len(scene(seed, replace(PLAIN, single=0.0))) > 1 for seed in range(10))
    red = torch.zeros(3, 100, 100, dtype=torch.uint8)
    red[0] = 255
    layouts = [replace(PLAIN, single=1.0, photos=share) for share in (0.0, 1.0)]
    rngs = [np.random.default_rng(seed) for seed in range(10)]
    none, all_red = ([shown(rng, red, layout).colour for rng in rngs] for layout in layouts)
    assert all(float(colour[1:].max()) == 0 for colour in all_red)
    assert not any(float(colour[1:].max()) == 0 for colour in none)


def test_surfaces_are_as_dark_as_asked_for_and_else_the_same() -> None:
    grey = torch.full((3, 100, 100), 128, dtype=torch.uint8)
    layouts = [replace(PLAIN, single=1.0, photos=1.0, shade=shade) for shade in (0.0, 2.0)]
    light = float(Tone().decode(torch.tensor(128 / 255)))
    lit, dark = ([shown(np.random.default_rng(seed), grey, layout) for seed in range(60)] for layout in layouts)
    share = np.array([float(layer.colour.median()) / light for layer in dark])
    assert all(0.999 <= float(layer.colour.median()) / light <= 1.106 for layer in lit)
    assert np.exp(-2) <= share.min() < 0.2 and 0.8 < share.max() <= 1.106 and 0.3 < np.median(share) < 0.5
    assert all(torch.equal(one.blur_px, two.blur_px) for one, two in zip(lit, dark, strict=True))


def test_a_seed_gives_its_scene() -> None:
    for a, b in zip(scene(5), scene(5), strict=True):
        assert torch.equal(a.colour, b.colour) and torch.equal(a.alpha, b.alpha) and torch.equal(a.blur_px, b.blur_px)
    assert not torch.equal(scene(5)[0].colour, scene(6)[0].colour)


def test_scenes_render_to_finite_light() -> None:
    lens = Lens(softness_px=0.4)
    for seed in range(6):
        layers = scene(seed, Layout(far_px=(2.0, 6.0), far_tail_px=8.0, near_px=6.0))
        margin = margin_px(lens, layers)
        seen = render(layers, lens, margin)
        assert seen.shape == (2, 3, SIZE - 2 * margin, SIZE - 2 * margin)
        assert bool(torch.isfinite(seen).all()) and float(seen.min()) >= 0


def test_balanced_scenes_show_every_disparity_about_as_often() -> None:
    rho, counts = 0.5, np.zeros(len(DISPARITIES_PX))
    layout = Layout(balanced=1.0, slant_px=0.0, single=1.0, far_tail_px=99.0, far_px=(1.0, 99.0))
    for seed in range(300):
        shown = float((scene(seed, layout, rho)[0].blur_px * rho).abs().max())
        counts += [low <= shown < high for low, high in DISPARITIES_PX]
    assert counts.sum() == 300 and counts.min() > 50


def test_a_share_of_balanced_scenes_lies_in_front() -> None:
    layout = Layout(balanced=1.0, slant_px=0.0, single=1.0)
    signs = [float(scene(seed, layout)[0].blur_px.mean()) > 0 for seed in range(200)]
    assert 0.55 < np.mean(signs) < 0.85


def test_native_scenes_are_hardly_blurred() -> None:
    layers = [layer for seed in range(30) for layer in scene(seed, Layout(native=1.0, slant_px=0.0))]
    assert max(float(layer.blur_px.abs().max()) for layer in layers) < 4.5


def test_rough_surfaces_have_detail_everywhere() -> None:
    """The least detailed ninth of a surface has more than a fifth of the detail of the whole, most of the time."""
    even = []
    for seed in range(20):
        colour = scene(seed, Layout(rough=1.0, single=1.0))[0].colour.mean(0)
        slopes = colour.diff(dim=1)[:-1].abs() + colour.diff(dim=0)[:, :-1].abs()
        parts = torch.nn.functional.adaptive_avg_pool2d(slopes[None, None], 3)
        even.append(float(parts.min() / parts.mean()))
    assert np.median(even) > 0.2
