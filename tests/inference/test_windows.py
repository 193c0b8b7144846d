"""A network that runs on windows gives what it gives on the whole picture, in fewer pixels."""

import pytest
import torch
from tests.inference.test_sharp_zone import half_blurred, texture
from tests.small_networks import small, tiny
from torch import Tensor, nn

import dualpix
from dualpix.errors import CheckpointError
from dualpix.inference import windows as windows_of
from dualpix.inference.deblur import deblur_pair
from dualpix.inference.sharp_zone import BLOCK_PX, Zone, find_zone
from dualpix.inference.windows import cover
from dualpix.networks.spec import NetworkSpec
from dualpix.pairs.sample import Sample

SPEC = NetworkSpec(("left", "right"), 16, 24, receptive_columns_px=40)


def zone_of(rows: list[str]) -> Zone:
    share = torch.tensor([[float(letter == "x") for letter in row] for row in rows])[None]
    return Zone(share, (BLOCK_PX * len(rows), BLOCK_PX * len(rows[0])))


def far_apart() -> Zone:
    """Two small places in opposite corners of 48 x 64 blocks."""
    share = torch.zeros(1, 48, 64)
    share[:, 2:6, 3:7] = share[:, 40:45, 55:62] = 1
    return Zone(share, (48 * BLOCK_PX, 64 * BLOCK_PX))


def test_two_places_far_apart_are_two_windows() -> None:
    windows = cover(far_apart(), SPEC)
    assert windows is not None and [(one.rows, one.columns) for one in windows] == [
        ((24, 104), (40, 120)),
        ((632, 728), (872, 1000)),
    ]
    assert [(one.rows_around, one.columns_around) for one in windows] == [
        ((0, 128), (0, 160)),
        ((608, 752), (832, 1024)),
    ]


def test_whole_rows_where_the_network_sees_whole_rows() -> None:
    windows = cover(far_apart(), NetworkSpec(("left", "right"), 16, 24))
    assert windows is not None and len(windows) == 2
    assert all(one.columns_around == (0, 1024) for one in windows)


def test_the_whole_picture_where_windows_would_be_no_less() -> None:
    assert cover(far_apart(), NetworkSpec(("left", "right"), 16, 600, receptive_columns_px=600)) is None
    assert cover(far_apart(), NetworkSpec(("left", "right"))) is None
    assert cover(Zone(torch.zeros(1, 4, 4), (64, 64)), SPEC) == ()


def test_every_needed_pixel_is_in_a_window_with_all_that_it_depends_on() -> None:
    generator = torch.Generator().manual_seed(3)
    share = (torch.rand(1, 40, 70, generator=generator) > 0.995).float()
    zone = Zone(share, (40 * BLOCK_PX - 5, 70 * BLOCK_PX - 9))
    windows = cover(zone, SPEC)
    assert windows is not None
    made = torch.zeros(zone.size, dtype=torch.bool)
    for one in windows:
        made[slice(*one.rows), slice(*one.columns)] = True
        for inner, outer, side, more in zip(
            (one.rows, one.columns), (one.rows_around, one.columns_around), zone.size, (24, 40), strict=True
        ):
            assert outer[0] <= max(inner[0] - more, 0) and outer[1] >= min(inner[1] + more, side)
            assert outer[0] % 16 == 0 and (side - outer[1]) % 16 == 0
    weight = torch.nn.functional.interpolate(share[None], scale_factor=BLOCK_PX, mode="bilinear")[0, 0]
    assert made[weight[: zone.size[0], : zone.size[1]] > 0].all()
    whole = zone.size[0] * zone.size[1]
    assert sum(one.computed_px for one in windows) < whole


class WholeRows(nn.Module):
    """A network whose pixels depend on the mean of their row."""

    spec = NetworkSpec(("left", "right"), receptive_radius_px=0)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        mean = (left + right) / 2
        return mean + 0.1 * (left - right) + 0.05 * mean.mean(-1, keepdim=True)


@pytest.fixture(autouse=True)
def cheap_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for large pictures, where it does not matter what a window costs besides its pixels."""
    monkeypatch.setattr(windows_of, "EXTRA_PX", 10)


def pair(turned: bool = False) -> Sample:
    left, right = half_blurred(6.0, turned=turned)
    return {"left": left, "right": right, "name": "half"}


def share_of(sample: Sample) -> Tensor:
    zone = find_zone(sample["left"], sample["right"], 0.0)
    return torch.nn.functional.interpolate(zone.share[None], scale_factor=BLOCK_PX, mode="bilinear")[0, 0]


@pytest.mark.parametrize(("mirror", "band_rows"), [(False, None), (True, 96)])
def test_where_the_network_runs_the_result_is_that_of_the_whole(mirror: bool, band_rows: int | None) -> None:
    sample, network = pair(), tiny()
    options = {"precision": "fp32", "guard": False, "mirror": mirror, "band_rows": band_rows}
    whole, part = (deblur_pair(sample, network, only_blurred=only, **options) for only in (False, True))  # type: ignore[arg-type]
    share = share_of(sample)
    assert part.plan.windows == 1 and part.plan.computed < 0.9
    assert torch.allclose(part.picture[:, share == 1], whole.picture[:, share == 1], atol=2e-6)
    mean = (sample["left"] + sample["right"]) / 2
    assert torch.equal(part.picture[:, share == 0], mean[:, share == 0])
    assert part.report is not None and part.report.skipped == pytest.approx(float((share == 0).float().mean()))
    assert part.report.computed == part.plan.computed
    assert str(part.plan).startswith("1 window of ") and str(part.report).startswith("Left ")


def test_a_network_of_whole_rows_runs_on_whole_rows() -> None:
    sample = pair(turned=True)
    options = {"precision": "fp32", "guard": False}
    whole, part = (deblur_pair(sample, WholeRows(), only_blurred=only, **options) for only in (False, True))  # type: ignore[arg-type]
    inside = share_of(sample) == 1
    assert part.plan.windows == 1 and 0.5 < part.plan.computed < 0.8
    assert torch.equal(part.picture[:, inside], whole.picture[:, inside])


def test_a_sharp_pair_is_the_photograph_and_nothing_is_computed() -> None:
    view = texture(128, 128)
    right = view.clone()
    right[:, 0, 0] += 1e-3
    sample: Sample = {"left": view, "right": right, "name": "sharp"}
    seen: list[tuple[int, int]] = []
    done = deblur_pair(
        sample, tiny(), precision="fp32", only_blurred=True, progress=lambda at, all: seen.append((at, all))
    )
    assert torch.equal(done.picture, (view + right) / 2) and seen == [(1, 1)]
    assert done.plan.bands == () and str(done.plan).startswith("nothing computed, fp32 on cpu")
    assert done.report is not None and (done.report.skipped, done.report.computed) == (1, 0)


def test_progress_ends_once_and_never_falls() -> None:
    seen: list[float] = []
    count = 0

    def tell(at: int, total: int) -> None:
        nonlocal count
        seen.append(at / total)
        count += at == total

    deblur_pair(pair(), tiny(), precision="fp32", guard=False, only_blurred=True, band_rows=64, progress=tell)
    assert seen == sorted(seen) and count == 1


def test_at_several_scales_too() -> None:
    sample, network = pair(), tiny()
    whole, part = (
        deblur_pair(sample, network, precision="fp32", guard=False, scale="1/2", only_blurred=only)
        for only in (False, True)
    )
    share = share_of(sample)
    assert part.plan.scales == (2, 1) and part.plan.windows == 1
    assert torch.allclose(part.picture[:, share == 1], whole.picture[:, share == 1], atol=2e-6)


def test_a_network_that_sees_the_whole_picture_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"Restormer sees the whole picture, .* leave only_blurred=True out"):
        dualpix.deblur(texture(64, 64), texture(64, 64, 1), small("restormer"), only_blurred=True)
