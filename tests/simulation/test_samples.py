"""Simulated samples: what one seed gives, how light adds up, and the signs of blur and disparity."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dualpix.errors import DataError
from dualpix.simulation.kernels import Lens
from dualpix.simulation.light import MOST_CONTRAST
from dualpix.simulation.render import Layer, render
from dualpix.simulation.samples import CODECS, SHOTS_PER_LENS, Simulated, expose
from dualpix.simulation.scenes import Layout
from dualpix.simulation.sensor import Sensor, Tone

PICTURES = ("left", "right", "center", "sharp")


@pytest.fixture(scope="module")
def photos() -> list[Tensor]:
    """Coarse noise, in colour."""
    coarse = torch.rand(2, 3, 50, 60, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bicubic").clamp(0, 1)
    return [(photo * 255).byte() for photo in fine]


def same(a: dict, b: dict) -> bool:
    return a["name"] == b["name"] and all(torch.equal(a[key], b[key]) for key in (*PICTURES, "blur_px"))


def test_a_sample_is_that_of_its_seed_and_index_whatever_came_before(photos: list[Tensor]) -> None:
    data = Simulated(photos, size=48, count=200, seed=3, compressed=0.5)
    first, _, again = data[SHOTS_PER_LENS + 1], data[2], data[SHOTS_PER_LENS + 1]
    assert same(first, again)
    assert same(first, Simulated(photos, size=48, count=100, seed=3, compressed=0.5)[SHOTS_PER_LENS + 1])
    assert not torch.equal(first["left"], data[SHOTS_PER_LENS + 2]["left"])
    assert not torch.equal(first["left"], replace(data, seed=4)[SHOTS_PER_LENS + 1]["left"])


def test_samples_have_the_promised_form(photos: list[Tensor]) -> None:
    data = Simulated(photos, size=40, count=5)
    assert len(data) == 5
    names = set()
    for index in range(5):
        sample = data[index]
        assert set(sample) == {*PICTURES, "blur_px", "name"}
        names.add(sample["name"])
        for key in PICTURES:
            assert sample[key].shape == (3, 40, 40) and sample[key].dtype == torch.float32
            assert float(sample[key].min()) >= 0 and float(sample[key].max()) <= 1
        assert sample["blur_px"].shape == (1, 40, 40)
    assert len(names) == 5
    for index in (-1, 5):
        with pytest.raises(IndexError):
            data[index]


@pytest.mark.parametrize("depth", [8, 16])
def test_pictures_have_the_depth_of_files(photos: list[Tensor], depth: int) -> None:
    sample = Simulated(photos, size=40, count=1, depth=depth)[0]
    for key in PICTURES:
        levels = sample[key].double() * (2**depth - 1)
        assert float((levels - levels.round()).abs().max()) < 0.01
    assert (
        float((sample["left"].double() * 255 - (sample["left"].double() * 255).round()).abs().max()) > 0.1 or depth == 8
    )


def layers(size: int = 64) -> list[Layer]:
    """White bars before grey noise, so that something clips."""
    colour = torch.rand(3, size, size, generator=torch.Generator().manual_seed(1)) * 0.6
    bars = ((torch.arange(size) // 7) % 2).float().expand(size, size)
    return [
        Layer(colour, torch.ones(size, size), torch.full((size, size), 5.0)),
        Layer(torch.full((3, size, size), 1.4), bars, torch.full((size, size), -2.0)),
    ]


SENSORS = {
    "clean": Sensor(),
    "shaded": Sensor(shading=0.05, tone=Tone(0.4)),
    "noisy": Sensor(shading=-0.02, shot=1e-3, read=3e-3, tone=Tone(0.2)),
}


@pytest.mark.parametrize("sensor", SENSORS.values(), ids=SENSORS)
def test_the_views_average_to_the_centre_in_linear_light_and_only_there(sensor: Sensor) -> None:
    sample = expose(layers(), Lens(rho=0.6), 12, sensor, seed=5)
    light = {key: sensor.tone.decode(sample[key].double().float()) for key in PICTURES}
    assert torch.allclose((light["left"] + light["right"]) / 2, light["center"], atol=1e-5)
    assert float(((sample["left"] + sample["right"]) / 2 - sample["center"]).abs().mean()) > 1e-3


@pytest.mark.parametrize("sensor", SENSORS.values(), ids=SENSORS)
def test_the_centre_is_made_after_noise_and_clipping(sensor: Sensor) -> None:
    lens = Lens(rho=0.6)
    exposed = sensor.expose(render(layers(), lens, 12), torch.Generator().manual_seed(5)).clamp(0, 1)
    sample = expose(layers(), lens, 12, sensor, seed=5)
    assert torch.equal(sample["center"], sensor.tone.encode(exposed.mean(0)))
    assert torch.equal(sample["left"], sensor.tone.encode(exposed[0]))
    assert torch.equal(sample["right"], sensor.tone.encode(exposed[1]))


def test_the_views_of_files_still_average_to_the_centre(photos: list[Tensor]) -> None:
    """To the rounding of 16 bits, with the tone curve undone by bisection and not by the package."""
    data = Simulated(photos, size=48, count=3, layout=Layout(photos=1.0))
    for index in range(3):
        sample, rng = data[index], np.random.default_rng([0, index, 0])
        contrast = float(rng.uniform(0, MOST_CONTRAST))  # the first draw of a sample
        light = [linear(sample[key].double().numpy(), contrast) for key in ("left", "right", "center")]
        bright = light[2] > 0.01
        assert np.abs((light[0] + light[1]) / 2 - light[2])[bright].max() < 1e-4


def linear(display: np.ndarray, contrast: float) -> np.ndarray:
    low, high = np.zeros_like(display), np.ones_like(display)
    for _ in range(40):
        x = (low + high) / 2
        v = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
        below = (1 - contrast) * v + contrast * (3 * v**2 - 2 * v**3) < display
        low, high = np.where(below, x, low), np.where(below, high, x)
    return low


def detail(picture: Tensor) -> float:
    return float(picture.diff(dim=-1).abs().mean())


def test_the_sharp_picture_is_in_focus_or_stopped_down(photos: list[Tensor]) -> None:
    layout = Layout(balanced=0.0, native=0.0, rough=0.0, far_px=(9.0, 12.0), photos=1.0, single=1.0)
    pinhole, stopped = (Simulated(photos, 64, 1, seed=2, sharp_aperture=a, layout=layout)[0] for a in (0.0, 0.4))
    assert torch.equal(pinhole["left"], stopped["left"])
    assert detail(pinhole["sharp"]) > 1.1 * detail(stopped["sharp"]) > 1.3 * detail(pinhole["center"])


def test_what_is_in_focus_is_already_sharp() -> None:
    colour = torch.rand(3, 60, 60, generator=torch.Generator().manual_seed(1))
    near = [Layer(colour, torch.ones(60, 60), torch.zeros(60, 60))]
    for aperture in (0.0, 4 / 22):
        sample = expose(near, Lens(), 10, Sensor(), aperture)
        worst = max(float((sample[key] - Tone().encode(colour)[:, 10:-10, 10:-10]).abs().max()) for key in PICTURES[:3])
        assert worst < 1e-5
        assert float((sample["sharp"] - sample["center"]).abs().max()) < (1e-5 if aperture == 0 else 0.05)


@pytest.mark.parametrize("side", [1, -1])
def test_the_sign_of_blur_is_the_sign_of_disparity(photos: list[Tensor], side: int) -> None:
    """Behind the focal plane content lies further right in the right view; found by trying shifts."""
    layout = Layout(balanced=0.0, native=0.0, rough=0.0, far_px=(8.0, 12.0), photos=1.0, single=1.0, slant_px=0.001)
    data, found = Simulated(photos, 96, 40, seed=1, layout=layout), 0
    for index in range(8):
        sample, rho = data[index], data.lens(index).rho
        if float(sample["blur_px"].min()) < 6:
            continue
        views = (sample["left"], sample["right"])[::side]
        wanted = side * rho * float(sample["blur_px"].mean())
        shifts = range(-9, 10)
        wrong = [float((torch.roll(views[0], d, -1) - views[1])[..., 10:-10].square().mean()) for d in shifts]
        assert shifts[int(np.argmin(wrong))] == pytest.approx(wanted, abs=1.5)
        found += 1
    assert found >= 4


def test_compressed_views_are_worse_and_the_sharp_picture_is_not_compressed(photos: list[Tensor]) -> None:
    plain, coded = (Simulated(photos, 48, 1, compressed=share)[0] for share in (0.0, 1.0))
    assert torch.equal(plain["sharp"], coded["sharp"]) and torch.equal(plain["blur_px"], coded["blur_px"])
    for key in ("left", "right", "center"):
        assert 1e-4 < float((plain[key] - coded[key]).abs().mean()) < 0.05


def test_each_codec_can_be_the_only_one() -> None:
    views = [Simulated([], 48, 1, compressed=1, codecs=(name,))[0]["left"] for name in CODECS]
    views.append(Simulated([], 48, 1)[0]["left"])
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(views, 2))


def test_unknown_codecs_are_refused() -> None:
    for codecs in ((), ("jpeg", "gif")):
        with pytest.raises(DataError, match="give one or more of jpeg, vp8, h264"):
            Simulated([], 48, 1, codecs=codecs)


def test_a_lens_serves_a_row_of_shots_and_another_the_next(photos: list[Tensor]) -> None:
    data = Simulated(photos, 48, 1000)
    assert data.lens(0) == data.lens(SHOTS_PER_LENS - 1) != data.lens(SHOTS_PER_LENS)


def test_patterns_will_do_where_there_are_no_photographs() -> None:
    assert Simulated([], 40, 1)[0]["left"].shape == (3, 40, 40)
