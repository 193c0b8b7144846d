"""A picture at several scales: the same in bands, within its memory, with all notes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dualpix.inference.bands import make_plan
from dualpix.inference.deblur import Deblurred, deblur, deblur_pair
from dualpix.inference.engines.pytorch import Runner
from dualpix.inference.scales import reduce
from dualpix.networks.spec import spec_of
from dualpix.pairs.sample import Sample
from small_networks import tiny


def pair(height: int = 96, width: int = 130, shift_px: int = 2) -> Sample:
    """Texture, `shift_px` further right in the right view, with more noise than views have whose mean is not kept."""
    noise = torch.rand(1, 3, height + 4, width + shift_px + 4, generator=torch.Generator().manual_seed(0))
    texture = functional.avg_pool2d(noise, 5, 1)[0]
    return {"left": texture[..., shift_px:].contiguous(), "right": texture[..., :width].contiguous(), "name": "made"}


def run(network: nn.Module, sample: Sample | None = None, **options: object) -> Deblurred:
    return deblur_pair(sample or pair(), network, precision="fp32", guard=False, **options)  # type: ignore[arg-type]


class Fragile(nn.Module):
    """`tiny`, which runs out of memory above `most_rows` rows."""

    def __init__(self, most_rows: int) -> None:
        super().__init__()
        self.inner, self.most_rows = tiny(), most_rows
        self.spec = replace(spec_of(self.inner), tells_correction=False, steady_state_rows=None)

    def forward(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        if left.shape[-2] > self.most_rows:
            raise MemoryError
        made: Tensor = self.inner(left, right, width)
        return made

    def log_attention(self, left: Tensor, right: Tensor, reach_px: int, width: int | None = None) -> Tensor:
        looks: Tensor = self.inner.log_attention(left, right, reach_px, width)
        return looks


def test_full_size_alone_is_what_a_narrow_pair_gets_and_other_scales_are_told() -> None:
    alone, auto, joined = (run(tiny(), scale=scale) for scale in ("1", "auto", "1/6"))
    assert torch.equal(alone.picture, auto.picture) and alone.plan == auto.plan and alone.plan.scales == (1,)
    assert "joined" not in str(alone.plan) and joined.plan.scales == (6, 3, 1)
    assert str(joined.plan).startswith("whole, joined with 1/6 and 1/3 of the size, fp32 on cpu")
    assert (alone.picture - joined.picture).abs().max() > 1e-3
    sample = pair()
    same = deblur(sample["left"], sample["right"], tiny(), precision="fp32", scale="1/6", guard=False)
    assert torch.equal(same, joined.picture)


@pytest.mark.parametrize("mirror", [False, True])
def test_bands_give_what_the_whole_gives(mirror: bool) -> None:
    whole, bands = (run(tiny(), scale="1/2", band_rows=rows, mirror=mirror) for rows in (96, 16))
    assert (len(whole.plan.bands), len(bands.plan.bands)) == (1, 6)
    assert (whole.picture - bands.picture).abs().max() < 1e-5


def test_a_coarse_scale_alone_is_the_network_on_reduced_views() -> None:
    """Where the views lie so far apart that nothing of full size is taken: the mean with the coarse correction."""
    sample = pair(shift_px=14)
    done = run(tiny(), sample, scale="1/2")
    small = {name: reduce(sample[name], 2) if name != "name" else "" for name in sample}
    coarse = run(tiny(), small, scale="1").picture - (small["left"] + small["right"]) / 2
    mean = (sample["left"] + sample["right"]) / 2
    expected = mean + functional.interpolate(coarse[None], scale_factor=2.0, mode="bicubic")[0]
    far = (done.picture - expected.clamp(0, 1)).abs()
    assert far[:, 16:-16, 32:-32].mean() < 0.1 * (done.picture - mean).abs().mean()


def test_what_ran_out_at_a_coarse_scale_is_told_with_the_rest() -> None:
    told = run(Fragile(200), pair(480, 48), scale="1/2").warnings
    assert [note.split("The memory ran out with ")[0] for note in told[-2:]] == ["At 1/2 of the size: ", ""]
    assert "all 240 rows at once" in told[-2] and "all 480 rows at once" in told[-1]


def test_progress_is_that_of_full_size_and_may_stop_the_others() -> None:
    seen: list[tuple[int, int]] = []
    run(tiny(), scale="1/2", band_rows=48, progress=lambda done, total: seen.append((done, total)))
    assert set(seen[:-3]) == {(0, 1)} and seen[-3:] == [(0, 2), (1, 2), (2, 2)]


def test_the_plan_counts_what_coarse_scales_leave_in_memory() -> None:
    sample, network = pair(400, 320), tiny()
    alone, joined = (run(network, sample, scale=scale).plan.peak_bytes for scale in ("1", "1/2"))
    assert joined - alone >= (4 * 3 + 4 * 2) * 200 * 160  # the coarse correction, disparity and confidence
    runner, views = Runner(network, "fp32", "cpu"), [sample["left"], sample["right"]]
    tight = make_plan(runner, views, alone, held_bytes=4_000_000)
    assert len(tight.bands) > 1 and tight.peak_bytes <= alone


def test_a_process_stays_within_the_memory_it_is_given(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]
from test_pyramid import pair, run, tiny
done = run(tiny(), pair(1600, 640), scale="1/4", memory="555MB")
sizes = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Vm"))
print(len(done.plan.bands), done.plan.peak_bytes, 1024 * int(sizes["VmHWM"].split()[0]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    bands, planned, used = map(int, done.stdout.split())
    assert bands > 1 and 0.5 * planned < used < planned <= 555e6
