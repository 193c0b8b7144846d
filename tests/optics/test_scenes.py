"""Random scenes and lenses: lawful, decided by their seed, and spread as the layout says."""

import numpy as np
import pytest
import torch

from dualpix.optics.kernels import Lens, kernels, pupil
from dualpix.optics.render import margin_px, render
from dualpix.optics.scenes import Layout, draw_lens, draw_scene
from dualpix.optics.sensor import Tone

SIZE = 80


def scene(seed: int, layout: Layout | None = None) -> list:
    return draw_scene(np.random.default_rng(seed), [], SIZE, Tone(0.3), layout)


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
    layout = Layout(far_px=(6.0, 10.0), far_tail_px=14.0, near_px=5.0, slant_px=0.0, single=0.0)
    scenes = [scene(seed, layout) for seed in range(60)]
    behind = np.array([float(layers[0].blur_px.mean()) for layers in scenes])
    assert behind.max() <= 14 and 0.7 < np.mean(behind > 3.5) < 0.95
    objects = np.array([float(layer.blur_px.mean()) for layers in scenes for layer in layers[1:]])
    assert objects.min() >= -5 and objects.min() < -0.5
    assert 0.2 < np.mean(abs(objects) < 0.5) < 0.55, "many are near the focal plane"


def test_single_surfaces_and_photographs_come_as_often_as_asked_for() -> None:
    assert all(len(scene(seed, Layout(single=1.0))) == 1 for seed in range(10))
    assert all(len(scene(seed, Layout(single=0.0))) > 1 for seed in range(10))
    red = torch.zeros(3, 100, 100, dtype=torch.uint8)
    red[0] = 255
    layouts = [Layout(single=1.0, photos=share) for share in (0.0, 1.0)]
    rngs = [np.random.default_rng(seed) for seed in range(10)]
    none, all_red = ([draw_scene(rng, [red], SIZE, Tone(), layout)[0].colour for rng in rngs] for layout in layouts)
    assert all(float(colour[1:].max()) == 0 for colour in all_red)
    assert not any(float(colour[1:].max()) == 0 for colour in none)


def test_surfaces_are_as_dark_as_asked_for_and_else_the_same() -> None:
    grey = torch.full((3, 100, 100), 128, dtype=torch.uint8)
    layouts = [Layout(single=1.0, photos=1.0, shade=shade) for shade in (0.0, 2.0)]
    light = float(Tone().decode(torch.tensor(128 / 255)))
    lit, dark = (
        [draw_scene(np.random.default_rng(seed), [grey], SIZE, Tone(), layout)[0] for seed in range(60)]
        for layout in layouts
    )
    share = np.array([float(layer.colour.median()) / light for layer in dark])
    assert all(0.999 <= float(layer.colour.median()) / light <= 1.106 for layer in lit)
    assert np.exp(-2) <= share.min() < 0.2 and 0.8 < share.max() <= 1.106 and 0.3 < np.median(share) < 0.5
    assert all(torch.equal(one.blur_px, two.blur_px) for one, two in zip(lit, dark, strict=True))


def test_a_seed_gives_its_scene() -> None:
    for a, b in zip(scene(5), scene(5), strict=True):
        assert torch.equal(a.colour, b.colour) and torch.equal(a.alpha, b.alpha) and torch.equal(a.blur_px, b.blur_px)
    assert not torch.equal(scene(5)[0].colour, scene(6)[0].colour)
    assert draw_lens(np.random.default_rng(3)) == draw_lens(np.random.default_rng(3))


def test_every_drawn_lens_can_be_made() -> None:
    """Also where blades, clip and rim leave less of the pupil; `pupil` raises if rho is too much for it."""
    lenses = [draw_lens(np.random.default_rng(seed)) for seed in range(150)]
    for lens in lenses:
        assert len(pupil(lens, 32)[0]) > 300
    assert 0.25 < np.median([lens.rho for lens in lenses]) < 0.45
    assert min(lens.rho for lens in lenses) >= 0.12 and max(lens.rho for lens in lenses) <= 0.6
    assert len({lens.blades for lens in lenses}) == 2 and len({lens.clip for lens in lenses}) > 20


@pytest.mark.parametrize("seed", range(4))
def test_drawn_lenses_keep_disparity_and_light(seed: int) -> None:
    lens = draw_lens(np.random.default_rng([seed, 1]))
    pair = kernels(lens, 9.0).double()
    x = torch.arange(pair.shape[-1]) - pair.shape[-1] // 2
    left, right = ((view.sum(0) * x).sum() for view in pair)
    assert pair.sum((1, 2)).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert float(right - left) == pytest.approx(9 * lens.rho, rel=0.02)


def test_scenes_render_to_finite_light() -> None:
    lens = Lens(softness_px=0.4)
    for seed in range(6):
        layers = scene(seed, Layout(far_px=(2.0, 6.0), far_tail_px=8.0, near_px=6.0))
        margin = margin_px(lens, layers)
        seen = render(layers, lens, margin)
        assert seen.shape == (2, 3, SIZE - 2 * margin, SIZE - 2 * margin)
        assert bool(torch.isfinite(seen).all()) and float(seen.min()) >= 0
