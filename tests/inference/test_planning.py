"""Plans: which rows are computed together, and what that needs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dualpix.errors import MachineError
from dualpix.inference import planning, rates
from dualpix.inference.engines.memory import measure_cost
from dualpix.inference.planning import Cost

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2GB", 2_000_000_000),
        ("2 gb", 2_000_000_000),
        ("2G", 2_000_000_000),
        ("1.5GiB", 1_610_612_736),
        ("800MB", 800_000_000),
        ("64KiB", 65_536),
        ("123456", 123_456),
        (123_456, 123_456),
    ],
)
def test_memory_is_written_as_people_do(text: str | int, amount: int) -> None:
    assert planning.parse_memory(text) == amount


@pytest.mark.parametrize("text", ["", "GB", "two", "-1GB", "0", "0GB", "2 apples", "1e9", "IB", "2IB", -5])
def test_other_texts_are_no_memory(text: str | int) -> None:
    with pytest.raises(MachineError, match="800MB"):
        planning.parse_memory(text)


def test_free_memory_is_what_the_machine_says() -> None:
    total = next(
        int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line
    )
    assert 0 < planning.free_bytes(CPU) < total


@pytest.mark.parametrize("height", [16, 17, 63, 64, 65, 1120])
@pytest.mark.parametrize("rows", [1, 8, 9, 100, 2000])
@pytest.mark.parametrize("multiple", [1, 8])
def test_bands_tile_the_picture(height: int, rows: int, multiple: int) -> None:
    bands = planning.split(height, rows, multiple)
    assert [row for first, last in bands for row in range(first, last)] == list(range(height))
    assert all(first % multiple == 0 for first, _ in bands)
    for first, last in bands:
        top, bottom = planning.around((first, last), height, multiple, 21)
        assert top % multiple == 0 and (bottom % multiple == 0 or bottom == height)
        assert top == 0 or top <= first - 21
        assert bottom == height or bottom >= last + 21


def test_a_picture_that_fits_is_left_whole() -> None:
    assert planning.choose_bands(1000, 8, 100, Cost(10, 1), 2000, 1010) == ((0, 1000),)


def test_bands_are_as_few_as_the_memory_allows() -> None:
    cost = Cost(1_000, 10)
    for limit in range(3_000, 11_000, 500):
        bands = planning.choose_bands(1000, 8, 40, cost, limit, limit)
        tallest = [planning.around(band, 1000, 8, 40) for band in bands]
        assert max(cost.peak_bytes(bottom - top) for top, bottom in tallest) <= limit
        if len(bands) > 1:
            fewer = planning.split(1000, -(-1000 // (len(bands) - 1)), 8)
            rows = max(bottom - top for top, bottom in (planning.around(band, 1000, 8, 40) for band in fewer))
            assert cost.peak_bytes(rows) > limit


def test_comfort_is_kept_only_while_it_is_cheap() -> None:
    cost = Cost(0, 1)
    assert len(planning.choose_bands(1000, 8, 20, cost, 10_000, 400)) == 3
    # Bands of 100 rows would compute 200 rows around each of them: better to use the memory there is.
    bands = planning.choose_bands(1000, 8, 100, cost, 10_000, 300)
    extra = sum(bottom - top for top, bottom in (planning.around(band, 1000, 8, 100) for band in bands)) / 1000 - 1
    assert len(bands) > 1 and extra <= planning.MOST_EXTRA
    # Unless the memory is not there.
    assert len(planning.choose_bands(1000, 8, 100, cost, 300, 300)) > len(bands)


def test_too_little_memory_is_refused_with_the_amount_needed() -> None:
    cost = Cost(1_000_000_000, 10_000_000)
    with pytest.raises(MachineError, match=r"at least 1\.88 GB .* 1\.80 GB"):
        planning.choose_bands(1000, 8, 40, cost, 1_800_000_000, 1_800_000_000)
    assert planning.choose_bands(1000, 8, 40, cost, 1_880_000_000, 1_800_000_000)[0] == (0, 8)


def test_a_network_that_sees_everything_is_never_cut() -> None:
    assert planning.choose_bands(1000, 8, None, Cost(0, 1), 1000, 10) == ((0, 1000),)
    with pytest.raises(MachineError, match="cannot be cut"):
        planning.choose_bands(1000, 8, None, Cost(0, 1), 999, 999)


def test_the_cost_of_a_row_is_that_of_the_tensors_alive_at_once() -> None:
    def run(rows: int) -> torch.Tensor:
        start = torch.zeros(10, rows, 100)  # 4,000 bytes a row
        wide = torch.cat([start, start, start])  # 12,000 more, the peak
        view = wide[:10].view(10, -1)
        del start, wide
        half = view.to(torch.float16).float()  # 2,000, then 4,000 more, on 12,000 kept alive by the view
        view.add_(1)
        return half

    cost = measure_cost(run, 16, 500)
    assert cost.row_bytes == pytest.approx(planning.WORKSPACE_FACTOR * 18_000, abs=1)
    assert cost.fixed_bytes == 500


def test_what_does_not_grow_with_the_rows_is_counted_once() -> None:
    def run(rows: int) -> torch.Tensor:
        return torch.zeros(1_000_000) + torch.zeros(rows, 1).sum()

    cost = measure_cost(run, 16, 0)
    assert cost.row_bytes < 10
    assert 4_000_000 <= cost.fixed_bytes <= 8_100_000


def test_unknown_devices_and_precisions_are_refused() -> None:
    assert planning.choose_device("cpu") == CPU
    for device in ("gpu", "cuda:97", "meta:x"):
        with pytest.raises(MachineError, match="cpu"):
            planning.choose_device(device)
    with pytest.raises(MachineError, match=r"fp8.*bf16"):
        planning.choose_precision("fp8", CPU, True)


@pytest.mark.parametrize(
    ("gain", "taken"), [(None, "fp32"), (0.5, "fp32"), (1.149, "fp32"), (1.15, "bf16"), (2, "bf16")]
)
def test_bf16_is_taken_only_where_it_is_fast_and_costs_no_depth(gain: float | None, taken: str) -> None:
    assert planning.choose_precision("auto", CPU, adds_input=True, gain=gain) == taken
    assert planning.choose_precision("auto", CPU, adds_input=True, among=("fp32",), gain=gain) == "fp32"
    assert planning.choose_precision("auto", CPU, adds_input=False, gain=gain) == "fp32"
    for precision in ("bf16", "fp16"):
        assert planning.choose_precision(precision, CPU, adds_input=False, gain=gain) == precision


def test_bf16_is_measured_only_where_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(rates, "bf16_gain", lambda learning: asked.append(learning) or 1.4)
    assert planning.bf16_gain("auto", CPU, adds_input=False) is None
    assert planning.bf16_gain("auto", torch.device("cuda"), adds_input=True) is None
    assert planning.bf16_gain("fp32", CPU, adds_input=True) is planning.bf16_gain("bf16", CPU, adds_input=True) is None
    assert asked == []
    assert planning.bf16_gain("auto", CPU, adds_input=True) == 1.4
    assert planning.bf16_gain("auto", CPU, adds_input=True, learning=True) == 1.4
    assert asked == [False, True]


def test_a_plan_says_what_was_measured() -> None:
    plan = planning.Plan(((0, 30),), 8, "bf16", "cpu", 900_000_000, gain=1.62)
    assert str(plan) == "whole, bf16 on cpu (bf16 measured 1.6 times as fast as fp32), about 0.9 GB"
    assert str(replace(plan, precision="fp32", gain=None)) == "whole, fp32 on cpu, about 0.9 GB"
    slow = "emulated and slow: this processor has no bf16"
    assert str(replace(plan, gain=None, emulated=True)) == f"whole, bf16 on cpu ({slow}), about 0.9 GB"


@pytest.mark.parametrize(
    ("device", "capability", "has_bf16", "best", "to_learn_in"),
    [
        ("cuda", (8, 0), True, "bf16", "bf16"),
        ("cuda", (7, 5), False, "fp16", "fp32"),
        ("cuda", (6, 1), False, "fp32", "fp32"),
        ("mps", None, None, "fp16", "fp32"),
    ],
)
def test_gpus_take_the_best_16_bits_they_have(
    monkeypatch: pytest.MonkeyPatch, device: str, capability: object, has_bf16: object, best: str, to_learn_in: str
) -> None:
    """The choice alone: no such device is needed to make it."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    gpu = torch.device(device)
    assert planning.choose_precision("auto", gpu, adds_input=True) == best
    assert planning.choose_precision("auto", gpu, adds_input=True, among=("fp32", "bf16")) == to_learn_in
    assert planning.choose_precision("auto", gpu, adds_input=False) == "fp32"


@pytest.mark.parametrize("there", [(), ("mps",), ("cuda",), ("cuda", "mps")])
def test_a_gpu_is_taken_if_there_is_one(monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in there)
    assert planning.choose_device("auto").type == [*there, "cpu"][0]


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has the device that must be missing")
def test_what_a_device_cannot_hold_is_refused() -> None:
    """This build of PyTorch knows the device by name only, so that nothing can be made on it."""
    with pytest.raises(MachineError, match="'mps' cannot compute in fp16"):
        planning.choose_precision("fp16", torch.device("mps"), True)


def test_a_narrow_probe_stands_for_the_whole_width() -> None:
    def run(width: int) -> Callable[[int], torch.Tensor]:
        return lambda rows: torch.zeros(3, rows, width) + torch.zeros(3, 8, width).sum()

    assert measure_cost(run(20), 16, 500, widening=5) == measure_cost(run(100), 16, 500)
