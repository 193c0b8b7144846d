"""Refocusing: white stays white, discs have their radius, and edges are those of a lens that sees layers."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dualpix.simulation.refocus import brighten_highlights, nodes_of, refocus_light


def disc_mask(size: int, radius: float) -> Tensor:
    y, x = torch.meshgrid(*(torch.arange(size, dtype=torch.float32) - size / 2 + 0.5,) * 2, indexing="ij")
    return (radius + 0.5 - torch.hypot(y, x)).clamp(0, 1)


def texture(seed: int, size: int) -> Tensor:
    coarse = torch.rand(1, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)[0].clamp(0, 1)


def seen_through_pupil(layers: list[tuple[Tensor, Tensor, float]], points: int = 16) -> Tensor:
    """The exact picture of flat layers, the first behind: each point of the pupil sees them shifted, sharp, one over
    the other. Shifts are made by the Fourier transform."""
    axis = (torch.arange(points) + 0.5) * (2 / points) - 1
    places = [(float(u), float(w)) for u in axis for w in axis if u * u + w * w <= 1]
    total = torch.zeros_like(layers[0][0])
    for u, w in places:
        seen = torch.zeros_like(total)
        for colour, alpha, blur_px in layers:
            moved = [shifted(plane, blur_px * w, blur_px * u) for plane in (colour * alpha, alpha[None])]
            seen = seen * (1 - moved[1]) + moved[0]
        total += seen / len(places)
    return total


def shifted(planes: Tensor, down: float, across: float) -> Tensor:
    y, x = torch.fft.fftfreq(planes.shape[1])[:, None], torch.fft.rfftfreq(planes.shape[2])
    turn = torch.exp(-2j * math.pi * (down * y + across * x))
    return torch.fft.irfft2(torch.fft.rfft2(planes) * turn, s=planes.shape[1:])


def decibels(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10(float((a - b).square().mean()))


def test_what_is_in_focus_stays_to_the_last_bit() -> None:
    picture = texture(0, 40)
    assert torch.equal(refocus_light(picture, torch.zeros(40, 40)), picture)


@pytest.mark.parametrize("span", [(-3.0, 2.0), (-14.0, 9.0), (0.0, 30.0)])
def test_white_stays_white_whatever_lies_before_what(span: tuple[float, float]) -> None:
    """No dark seams between layers, at edges, or at the borders of the picture."""
    blur_px = torch.linspace(*span, 100).expand(80, 100).clone()
    blur_px[20:50, 30:60] = span[0]
    blur_px[30:40, 40:90] = span[1]
    made = refocus_light(torch.full((3, 80, 100), 0.7), blur_px)
    assert float((made - 0.7).abs().max()) < 2e-3


@pytest.mark.parametrize("radius", [3.0, -5.5, 8.0, 15.0, -20.0, 33.0])
def test_a_point_of_light_becomes_a_disc_of_its_radius(radius: float) -> None:
    """Its variance along an axis is a quarter of the square of the radius, whatever the picture was reduced to."""
    light = torch.zeros(3, 161, 161)
    light[:, 80, 80] = 1
    made = refocus_light(light, torch.full((161, 161), radius))[0].double()
    place = torch.arange(161, dtype=torch.float64) - 80
    assert float(made.sum()) == pytest.approx(1, abs=1e-3)
    assert float((made.sum(0) * place**2).sum()) == pytest.approx(radius**2 / 4 + 1 / 6, rel=0.06)


@pytest.mark.parametrize(("behind", "before", "least"), [(6.0, 0.0, 35), (0.0, -6.0, 32), (9.0, -4.0, 34)])
def test_edges_are_those_that_a_lens_sees(behind: float, before: float, least: float) -> None:
    """Against the sum over all points of the pupil, which knows what is hidden; per-pixel blurring is worse."""
    size, inner = 128, slice(24, 104)
    far, near, alpha = texture(1, size), texture(2, size) * 0.8, disc_mask(size, 26)
    true = seen_through_pupil([(far, torch.ones(size, size), behind), (near, alpha, before)])[:, inner, inner]
    sharp = far * (1 - alpha) + near * alpha
    blur_px = torch.where(alpha > 0.5, before, behind)
    made = refocus_light(sharp, blur_px)[:, inner, inner]
    alone = [refocus_light(sharp, torch.full((size, size), blur)) for blur in (behind, before)]
    naive = torch.where(alpha > 0.5, alone[1], alone[0])[:, inner, inner]
    assert decibels(made, true) > least
    assert decibels(made, true) > decibels(naive, true) + 1


@pytest.mark.parametrize("rows", [48, 7])
def test_bands_are_as_good_as_the_whole(rows: int) -> None:
    """Slants, jumps both ways, and what is hidden behind them."""
    light = texture(3, 200)
    blur_px = torch.linspace(-12, 20, 200).expand(200, 200).clone()
    blur_px[40:110, 50:120], blur_px[150:] = -14.0, 27.0
    whole = refocus_light(light, blur_px, bands=[(0, 200)])
    bands = [(first, min(first + rows, 200)) for first in range(0, 200, rows)]
    torch.testing.assert_close(refocus_light(light, blur_px, bands=bands), whole, atol=2e-6, rtol=0)


def test_small_clipped_lights_grow_and_skies_do_not() -> None:
    light = torch.full((3, 100, 100), 0.2)
    light[:, 60:63, 60:63] = 1
    light[:, :40] = 1
    made = brighten_highlights(light, 3.0)
    assert float(made[:, 61, 61].min()) > 2.5
    assert torch.equal(made[:, :20], light[:, :20]) and torch.equal(made[:, 80:], light[:, 80:])
    assert brighten_highlights(light, 1.0) is light


def test_layers_span_all_blur_and_have_one_in_focus() -> None:
    nodes = nodes_of(-2.7, 11.0)
    assert nodes[0] <= -2.7 and nodes[-1] >= 11 and 0.0 in nodes and nodes == sorted(nodes)
    assert nodes_of(0.0, 0.0) == [0.0]
    assert np.diff(nodes_of(-100, 100)).min() > 0
