"""Tone, shading and noise, measured on flat patches and compared with the published sRGB curve."""

import math

import numpy as np
import pytest
import torch
from skimage import color

from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, render
from dualpix.simulation.sensor import Sensor, Tone, quantise

tones = pytest.mark.parametrize("contrast", [0.0, 0.3, 0.6])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_plain_tone_is_srgb() -> None:
    """scikit-image decodes sRGB on its way to CIE XYZ; the Y of a grey is its linear light."""
    display = torch.linspace(0, 1, 1001)
    grey = display.double().numpy()[:, None, None].repeat(3, 2)
    linear = Tone().decode(display)
    assert np.allclose(linear, color.rgb2xyz(grey)[:, 0, 1], atol=2e-4)
    assert float(linear[500]) == pytest.approx(0.2140411, abs=1e-6)
    assert torch.allclose(Tone().encode(linear), display, atol=1e-6)


@tones
def test_decoding_undoes_encoding(contrast: float) -> None:
    tone, linear = Tone(contrast), torch.rand(3, 200, 200, generator=seeded())
    assert torch.allclose(tone.decode(tone.encode(linear)), linear, atol=1e-4)
    display = torch.linspace(0, 1, 4000)
    assert torch.allclose(tone.encode(tone.decode(display)), display, atol=1e-4)
    assert tone.decode(torch.tensor([0.0, 1.0, -0.5, 2.0])).tolist() == pytest.approx([0, 1, 0, 1])
    assert tone.encode(torch.tensor([0.0, 1.0, -0.5, 2.0])).tolist() == pytest.approx([0, 1, 0, 1])


@tones
def test_tones_rise(contrast: float) -> None:
    tone = Tone(contrast)
    assert bool((tone.encode(torch.linspace(0, 1, 5000)).diff() > 0).all())
    assert bool((tone.decode(torch.linspace(0, 1, 5000)).diff() > 0).all())


def test_contrast_darkens_shadows_and_brightens_lights() -> None:
    plain, lifted = (Tone(contrast).encode(torch.tensor([0.02, 0.7])) for contrast in (0.0, 0.6))
    assert lifted[0] < plain[0] - 0.03 and lifted[1] > plain[1] + 0.03


def edge_views(lens: Lens | None = None) -> torch.Tensor:
    """A dark half beside a white one, out of focus, through an ideally split lens."""
    colour = torch.full((3, 64, 96), 0.02)
    colour[..., 48:] = 0.9
    layer = Layer(colour, torch.ones(64, 96), torch.full((64, 96), 6.0))
    return render([layer], lens or Lens(rho=0.848, split=1.0), 12)


def test_views_average_to_the_view_of_the_whole_lens_in_linear_light_only() -> None:
    views = edge_views()
    whole = edge_views(Lens(rho=1e-6))[0]  # hardly split: each view sees through all of the lens
    assert torch.allclose(views.mean(0), whole, atol=1e-5)
    encode = Tone().encode
    wrong = (encode(views).mean(0) - encode(whole))[..., 30:42].abs().mean()
    assert float(wrong) > 1e-2


def test_shading_tilts_the_views_against_each_other_and_not_their_mean() -> None:
    views = torch.full((2, 3, 40, 101), 0.5)
    left, right = Sensor(shading=0.1).expose(views)
    assert left[0, 0, [0, 50, 100]].tolist() == pytest.approx([0.55, 0.5, 0.45])
    assert right[0, 0, [0, 50, 100]].tolist() == pytest.approx([0.45, 0.5, 0.55])
    assert torch.allclose((left + right) / 2, views[0])


@pytest.mark.parametrize("light", [0.0, 0.1, 0.8])
def test_noise_has_the_variance_that_is_asked_for(light: float) -> None:
    sensor = Sensor(shot=2e-3, read=0.02)
    exposed = sensor.expose(torch.full((2, 3, 400, 400), light), seeded()).double()
    wanted = 2e-3 * light + 0.02**2
    for view in exposed:
        assert float(view.mean()) == pytest.approx(light, abs=4 * math.sqrt(wanted / view.numel()))
        assert float(view.var()) == pytest.approx(wanted, rel=0.03)
    assert float(exposed.mean(0).var()) == pytest.approx(wanted / 2, rel=0.03)
    a, b = ((view - view.mean()).flatten() for view in exposed)
    assert abs(float((a * b).mean())) < 0.01 * wanted
    assert abs(float((a[1:] * a[:-1]).mean())) < 0.01 * wanted


def test_noise_is_that_of_its_seed_and_a_clean_sensor_has_none() -> None:
    views, sensor = edge_views(), Sensor(shot=1e-3, read=1e-3)
    assert torch.equal(sensor.expose(views, seeded(3)), sensor.expose(views, seeded(3)))
    assert not torch.equal(sensor.expose(views, seeded(3)), sensor.expose(views, seeded(4)))
    assert torch.equal(Sensor().expose(views), views)


@pytest.mark.parametrize("depth", [8, 16])
def test_quantising_rounds_to_the_nearest_level(depth: int) -> None:
    picture = torch.rand(3, 50, 50, generator=seeded()) * 1.2 - 0.1
    levels = quantise(picture, depth) * (2**depth - 1)
    assert torch.allclose(levels, levels.round(), atol=1e-2)
    assert float((quantise(picture, depth) - picture.clamp(0, 1)).abs().max()) <= 0.5001 / (2**depth - 1)
    assert torch.equal(quantise(quantise(picture, depth), depth), quantise(picture, depth))
