"""Which engine `auto` takes: decided by what was measured, of which tests make up the times."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dualpix.errors import MachineError
from dualpix.inference import doctor, engines, planning, rates
from dualpix.inference.deblur import deblur_pair, open_network
from dualpix.inference.engines import cache as models
from dualpix.inference.engines import choosing
from dualpix.machine.files import cache_folder
from small_networks import tiny

LARGE = choosing.LEAST_PIXELS
FASTER = {"torch_s": 0.3, "other_s": 0.1, "start_s": 1.0}
SLOWER = FASTER | {"other_s": 0.29}
needs_openvino = pytest.mark.skipif(
    not importlib.util.find_spec("openvino"), reason="the extra dualpix[openvino] is not installed"
)


@pytest.fixture
def network() -> nn.Module:
    return tiny()


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of which nothing is known yet, without bf16, so that results can be compared; where its cache is."""
    monkeypatch.delenv(rates.SWITCH)
    monkeypatch.setattr(rates, "has_bf16", lambda: False)
    monkeypatch.setattr(planning, "free_bytes", lambda device: 8_000_000_000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget(monkeypatch)
    return tmp_path / "dualpix"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process would start."""
    monkeypatch.setattr(rates, "measured_here", {})
    monkeypatch.setattr(choosing, "unmeasurable", set())


def finding(monkeypatch: pytest.MonkeyPatch, found: dict[str, float] | Exception) -> list[str]:
    """From now on this is what is measured; in which precisions it was."""
    asked: list[str] = []

    def measure(network: object, precision: str) -> dict[str, float]:
        asked.append(precision)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(choosing, "measure", measure)
    return asked


def sample(height: int, width: int) -> dict[str, Any]:
    left = torch.nn.functional.avg_pool2d(torch.rand(1, 3, height + 4, width + 4), 5, 1)[0]
    return {"left": left, "right": left.roll(1, 2), "name": "pair"}


@pytest.mark.parametrize(
    ("found", "megapixels", "expected"),
    [
        # 320 x 320 in 0.3 s against 0.1 s: 2.0 s a megapixel less
        ({"torch_s": 0.3, "other_s": 0.1, "start_s": 3.8}, 2, True),
        ({"torch_s": 0.3, "other_s": 0.1, "start_s": 4.0}, 2, False),  # it saves 3.9 s
        ({"torch_s": 0.3, "other_s": 0.1, "start_s": 4.0}, 3, True),
        ({"torch_s": 0.3, "other_s": 0.201, "start_s": 0.1}, 50, False),  # 1.49 times as fast
        ({"torch_s": 0.1, "other_s": 0.3, "start_s": 0.1}, 50, False),
    ],
)
def test_a_gain_has_to_be_large_and_to_make_up_for_the_start(
    found: dict[str, float], megapixels: int, expected: bool
) -> None:
    assert choosing.pays(found, megapixels * 1_000_000) is expected


def test_both_are_timed_in_turns_and_the_least_counts() -> None:
    order: list[str] = []
    times = {"a": [0.5, 0.2, 0.21, 0.4, 0.9], "b": [0.1, 0.11, 0.3, 0.1, 0.1]}

    def timed(step: Callable[[], object]) -> float:
        step()
        return times[order[-1]].pop(0)

    found = choosing.in_turns(lambda: order.append("a"), lambda: order.append("b"), timed)
    assert found == {"torch_s": 0.2, "other_s": 0.1} and order[:4] == ["a", "b", "a", "b"]


def test_a_busy_machine_says_nothing() -> None:
    times = iter([0.2, 0.1, 0.5, 0.1, 0.3, 0.1, 0.9, 0.1, 0.4, 0.1])
    with pytest.raises(MachineError, match="too busy"):
        choosing.in_turns(lambda: None, lambda: None, lambda step: next(times))


@needs_openvino
@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_measured_once_for_large_pictures_and_kept(
    network: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    settled = {"auto": "fp32"}.get(precision, precision)
    asked = finding(monkeypatch, FASTER)
    assert choosing.choose(network, precision, "auto", LARGE - 1) == ("torch", precision, None)
    assert not asked
    for _ in range(2):
        engine, taken, gain = choosing.choose(network, precision, "cpu", LARGE)
        assert (engine, taken) == ("openvino", settled) and gain == pytest.approx(3)
        forget(monkeypatch)
    assert asked == [settled] and len(list(cache.glob("engine-*.json"))) == 1


@needs_openvino
def test_where_it_is_not_faster_torch_stays_and_the_ratio_is_told(
    network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding(monkeypatch, SLOWER)
    engine, taken, gain = choosing.choose(network, "auto", "auto", LARGE)
    assert (engine, taken) == ("torch", "auto") and gain == pytest.approx(0.3 / 0.29)


@needs_openvino
@pytest.mark.parametrize("reason", [MachineError("It computes nonsense."), MemoryError()])
def test_what_cannot_be_measured_is_tried_once_in_a_process_and_not_kept(
    network: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, reason: Exception
) -> None:
    asked = finding(monkeypatch, reason)
    for _ in range(2):
        assert choosing.choose(network, "auto", "auto", LARGE) == ("torch", "auto", None)
    assert len(asked) == 1 and not list(cache.glob("engine-*"))


@needs_openvino
@pytest.mark.parametrize("change", ["processor", "threads", "version", "weights"])
def test_another_machine_version_or_network_is_measured_anew(
    network: Any, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    asked = finding(monkeypatch, FASTER)
    choosing.choose(network, "auto", "auto", LARGE)
    if change == "processor":
        monkeypatch.setattr(rates, "processor", lambda: "another")
    elif change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 61)
    elif change == "version":
        monkeypatch.setattr(models, "versions", lambda: ["openvino 1"])
    else:
        network.head.bias.data += 1
    choosing.choose(network, "auto", "auto", LARGE)
    assert len(asked) == 2


@needs_openvino
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"[" * 9_000,
        b" " * 20_000,
        {"torch_s": 0},
        {"other_s": -1.0},
        {"other_s": True},
        {"other_s": "0.1"},
        {"start_s": None},
        {"start_s": float("nan")},
        {"torch_s": 10**400},
        {"processor": "another"},
        {"more": 1},
    ],
)
def test_a_damaged_or_foreign_record_is_measured_anew(
    network: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | dict[str, object]
) -> None:
    asked = finding(monkeypatch, FASTER)
    choosing.choose(network, "auto", "auto", LARGE)
    (file,) = cache.glob("engine-*.json")
    good = file.read_bytes()
    record = content if isinstance(content, bytes) else json.dumps(json.loads(good) | content).encode()
    file.write_bytes(record)
    forget(monkeypatch)
    assert choosing.choose(network, "auto", "auto", LARGE).gain == pytest.approx(3)
    assert len(asked) == 2 and file.read_bytes() == good


def test_nothing_is_measured_where_there_is_no_choice(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = finding(monkeypatch, FASTER)
    assert choosing.choose(network, "int8", "auto", LARGE).engine == "torch"
    with monkeypatch.context() as patch:
        patch.setenv(rates.SWITCH, "1")
        assert choosing.choose(network, "auto", "auto", LARGE).engine == "torch"
    with monkeypatch.context() as patch:
        patch.setattr(planning, "free_bytes", lambda device: 3_900_000_000)
        assert choosing.choose(network, "auto", "auto", LARGE).engine == "torch"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert choosing.choose(network, "auto", "auto", LARGE).engine == "torch"
    assert not asked


@needs_openvino
def test_the_chosen_engine_runs_and_gives_the_same_picture(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "LEAST_PIXELS", 40 * 64)
    finding(monkeypatch, FASTER | {"start_s": 1e-9})
    large, small = sample(40, 64), sample(39, 64)
    expected = deblur_pair(large, network, engine="torch")
    found = deblur_pair(large, network)
    assert "fp32 on cpu, openvino (OpenVINO measured 3.0 times as fast as PyTorch)" in str(found.plan)
    assert torch.allclose(found.picture, expected.picture, atol=1e-5)
    assert expected.plan.engine_gain is None and expected.plan.device == "cpu"
    assert deblur_pair(small, network).plan.device == "cpu"
    assert deblur_pair(large, network, memory="2GB").plan.device == "cpu"
    deblur_pair(large, network, engine="openvino")


@needs_openvino
def test_what_fails_in_the_chosen_engine_is_computed_in_torch(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs more memory, too."""
    monkeypatch.setattr(choosing, "LEAST_PIXELS", 1)
    finding(monkeypatch, FASTER | {"start_s": 1e-9})

    def fails(self: object, views: object) -> None:
        raise MachineError("OpenVINO cannot run this.")

    monkeypatch.setattr(engines.openvino.OpenvinoRunner, "__call__", fails)
    pair = sample(40, 64)
    assert torch.equal(deblur_pair(pair, network).picture, deblur_pair(pair, network, engine="torch").picture)
    with pytest.raises(MachineError, match="cannot run this"):
        deblur_pair(pair, network, engine="openvino")


@needs_openvino
def test_measuring_runs_both_engines(network: Any, cache: Path) -> None:
    steps = []

    def timed(step: Callable[[], object]) -> float:
        steps.append(step())
        return 0.02 if len(steps) % 2 else 0.01

    found = choosing.measure(network, "fp32", timed)
    assert (found["torch_s"], found["other_s"]) == (0.02, 0.01) and 0 < found["start_s"] < 600
    assert torch.allclose(steps[0], steps[1], atol=1e-5)  # type: ignore[arg-type]
    assert list(cache.glob("mccnetfast-fp32-*.xml"))


class WithoutRecord(nn.Module):
    """As users wrote networks for earlier versions."""

    views, multiple, reach_px = ("left", "right"), 4, 0

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return (left + right) / 2


@needs_openvino
@pytest.mark.filterwarnings("ignore:WithoutRecord has views:DeprecationWarning")
def test_networks_of_earlier_versions_are_measured_too() -> None:
    def seconds(step: Callable[[], object]) -> float:
        step()
        return 0.01

    found = choosing.measure(WithoutRecord().eval(), "fp32", seconds)  # type: ignore[arg-type]
    assert (found["torch_s"], found["other_s"]) == (0.01, 0.01)


@needs_openvino
def test_the_doctor_says_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is measured with the first picture of 2 megapixels" in doctor.examine()["default engine"]
    for found, words in (
        (FASTER, "openvino for pictures of 2 megapixels"),
        (SLOWER, "torch, as openvino was measured"),
    ):
        finding(monkeypatch, found)
        choosing.choose(open_network(None), "auto", "cpu", LARGE)
        assert doctor.examine()["default engine"].startswith(words)
        for file in cache_folder().glob("engine-*"):
            file.unlink()
        forget(monkeypatch)
