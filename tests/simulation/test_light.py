"""What the drawn lenses, sensors and developers are like."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from dualpix.simulation.developer import Developer, smooth
from dualpix.simulation.kernels import Lens, kernels, largest_rho, pupil
from dualpix.simulation.light import Light, draw_lens, draw_sensor
from dualpix.simulation.sensor import Sensor, Tone


def lenses(light: Light, count: int = 120) -> list[Lens]:
    return [draw_lens(np.random.default_rng(seed), light) for seed in range(count)]


def narrowness(lens: Lens, blur_px: float) -> float:
    """How many times more concentrated the narrower view is: the areas of two discs would stand like this."""
    left, right = kernels(lens, blur_px).double().square().sum((1, 2)).tolist()
    return max(left / right, right / left)


def middles(pair: Tensor) -> list[float]:
    x = torch.arange(pair.shape[-1], dtype=torch.float64) - pair.shape[-1] // 2
    return [float((view.double().sum(0) * x).sum()) for view in pair]


def test_a_seed_gives_its_lens_and_sensor() -> None:
    assert lenses(Light(), 3) == lenses(Light(), 3)
    sensors = [draw_sensor(np.random.default_rng(5), Tone(0.2), Light()) for _ in range(2)]
    assert sensors[0] == sensors[1]


def test_every_drawn_lens_can_be_made_at_every_blur() -> None:
    """Also where blades, clip and rim leave less of the pupil; `pupil` raises if rho is too much for it."""
    for lens in lenses(Light()):
        for blur_px in (-24.0, 0.0, 9.0, 36.0):
            assert len(pupil(lens, 64, blur_px)[0]) > 1000


def test_rho_covers_its_range_and_the_low_end_more_often() -> None:
    rhos = [lens.rho for lens in lenses(Light(one_sided=0.0, falling=0.0))]
    assert 0.08 <= min(rhos) < 0.1 and 0.5 < max(rhos) <= 0.65
    assert 0.3 < np.mean(np.array(rhos) < 0.25) < 0.6


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_drawn_lenses_keep_disparity_and_light(seed: int, share: float) -> None:
    lens = draw_lens(np.random.default_rng([seed, 1]), Light(one_sided=share, aberration_px=0.0))
    pair = kernels(lens, 9.0)
    left, right = middles(pair)
    assert pair.sum((1, 2)).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert right - left == pytest.approx(9 * lens.rho, rel=0.03)


def test_only_the_one_sided_family_has_views_of_unequal_width() -> None:
    straight = Light(aberration_px=0.0, uneven=0.0)
    even = [
        narrowness(lens, 7.0) for lens in lenses(Light(one_sided=0.0, aberration_px=0.0, uneven=0.0)) if not lens.skew
    ]
    odd = [narrowness(lens, 7.0) for lens in lenses(straight) if lens.side is not None]
    assert max(even) < 1.1
    assert 0.35 < len(odd) / 120 < 0.65
    assert np.quantile(odd, 0.9) > 1.45


def test_the_broad_view_is_the_one_on_the_lenss_side() -> None:
    """The right view, on the right (side > 0); it hardly moves, while the left one's crescent lies far out."""
    lens = Lens(rho=0.6, side=0.6)
    left, right = middles(kernels(lens, 7.0))
    assert right - left == pytest.approx(4.2, rel=0.02)
    assert left < -2.5 and 0 < right < 1.5
    mirrored = middles(kernels(Lens(rho=0.6, side=-0.6), 7.0))
    assert mirrored == pytest.approx([-right, -left], abs=0.02)


def test_one_sidedness_shrinks_beyond_eight_pixels() -> None:
    lens = Lens(rho=0.6, side=0.6)
    narrow = [narrowness(lens, blur_px) for blur_px in (5.0, 8.0, 15.0, 22.0)]
    assert narrow[0] == pytest.approx(narrow[1], rel=0.15)
    assert narrow[1] > 1.2 * narrow[2] > 1.2 * narrow[3]


def test_a_rho_beyond_the_shape_is_refused_and_the_largest_is_not() -> None:
    lens = Lens(side=0.3, rim=-0.5, rim_order=1.0)
    largest = largest_rho(lens)
    pupil(Lens(side=0.3, rim=-0.5, rim_order=1.0, rho=largest))
    with pytest.raises(ValueError, match="choose a smaller rho"):
        pupil(Lens(side=0.3, rim=-0.5, rim_order=1.0, rho=largest + 0.1))


def test_aberrations_blur_what_is_in_focus_and_leave_its_place() -> None:
    """By the definition of transverse aberration: with no split, the middle of all rays stays within a tenth."""
    for number in range(5):
        amounts = [0.0] * 5
        amounts[number] = 1.5
        pair = kernels(Lens(rho=1e-6, aberrations=tuple(amounts)), 0.0)
        assert float(pair[0].max()) < 0.6
        assert max(map(abs, middles(pair))) < 0.15
        assert max(map(abs, middles(pair.transpose(1, 2)))) < 0.15


def test_the_rim_brightens_on_one_side_of_the_focus_and_darkens_on_the_other() -> None:
    lens = Lens(rho=1e-6, rim_growth=0.3)
    behind, before = (kernels(lens, blur_px)[0] for blur_px in (12.0, -12.0))
    middle = behind.shape[-1] // 2
    assert float(behind[middle, middle]) < 0.8 * float(before[middle, middle])


def test_noise_has_the_variance_that_is_asked_for_with_grain_too() -> None:
    light = torch.full((2, 3, 200, 200), 0.3)
    for grain_px in (0.0, 0.8):
        noise = Sensor(shot=1e-2, read=1e-2, grain_px=grain_px).expose(light, torch.Generator().manual_seed(1)) - 0.3
        assert float(noise.std()) == pytest.approx((0.3 * 1e-2 + 1e-4) ** 0.5, rel=0.02)
        neighbours = float((noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean())
        assert (neighbours > 0.3) == (grain_px > 0)


def test_shares_of_noisy_and_sharpened_pairs() -> None:
    light = Light(noisy=0.6, grainy=0.5, sharpened=0.25, local_tone=0.1, shot=(1e-6, 1e-2))
    sensors = [draw_sensor(np.random.default_rng(seed), Tone(), light) for seed in range(400)]
    shares = [
        np.mean([bool(value) for value in values])
        for values in zip(
            *((s.shot, s.grain_px, s.developer.sharpening, s.developer.local_tone) for s in sensors), strict=True
        )
    ]
    assert shares == pytest.approx([0.6, 0.3, 0.25, 0.1], abs=0.07)
    assert max(sensor.shot for sensor in sensors) > 5e-3


def test_smoothing_is_a_gaussian() -> None:
    picture = torch.rand(1, 1, 40, 50, generator=torch.Generator().manual_seed(0))
    wanted = gaussian_filter(picture[0, 0].double().numpy(), 1.2, mode="nearest", truncate=4 / 1.2)
    assert np.abs(smooth(picture, 1.2)[0, 0].numpy() - wanted).max() < 1e-5


def test_a_developer_does_the_same_to_all_pictures() -> None:
    pictures = torch.rand(4, 3, 30, 40, generator=torch.Generator().manual_seed(2))
    developer = Developer(sharpening=0.8, radius_px=1.0, local_tone=0.3, seed=4)
    together, alone = developer.develop(pictures), developer.develop(pictures[2:3])
    assert torch.allclose(together[2:3], alone, atol=1e-6)
    assert float(together.min()) >= 0 and float(together.max()) <= 1
    assert torch.equal(Developer().develop(pictures), pictures)


def test_sharpening_overshoots_at_an_edge_and_local_tone_moves_flat_parts() -> None:
    edge = torch.full((1, 3, 32, 32), 0.3)
    edge[..., 16:] = 0.7
    sharpened = Developer(sharpening=1.0).develop(edge)
    assert float(sharpened.max()) > 0.75 and float(sharpened.min()) < 0.25
    toned = Developer(local_tone=0.3, seed=1).develop(torch.full((1, 3, 32, 32), 0.5))
    assert float(toned.std()) > 0.01 and float(toned.diff(dim=-1).abs().max()) < 0.03
