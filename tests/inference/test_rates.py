"""Which precision is the faster: decided by the times that a test makes up, and remembered for this machine alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dualpix.inference import rates

HAS_BF16 = rates.has_bf16  # the real one, before fixtures take its place


class Clock:
    """Says that a step took so long, fp32 and bf16 in turns."""

    def __init__(self, *seconds: tuple[float, float]) -> None:
        self.left = [one for pair in seconds for one in pair]
        self.asked = 0

    def __call__(self, step: Callable[[], object]) -> float:
        self.asked += 1
        return self.left.pop(0) if len(self.left) > 2 else self.left[self.asked % 2 - 1]


class Never(Clock):
    def __call__(self, step: Callable[[], object]) -> float:
        raise AssertionError("measured where it is known already, or need not be")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with bf16, of which nothing is known yet; where its cache is."""
    monkeypatch.delenv(rates.SWITCH)
    monkeypatch.setattr(rates, "has_bf16", lambda: True)
    monkeypatch.setattr(rates, "measured_here", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dualpix"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process would start."""
    monkeypatch.setattr(rates, "measured_here", {})


def test_the_least_of_several_in_turns_decides() -> None:
    """The busy moments of other programs fall on either."""
    clock = Clock((0.09, 0.02), (0.03, 0.05), (0.05, 0.06), (0.04, 0.02), (0.03, 0.02))
    assert rates.measure(False, clock) == pytest.approx(0.03 / 0.02) and clock.asked == 2 * rates.ROUNDS


@pytest.mark.parametrize(("seconds", "rounds"), [((0.01, 0.05), 1), ((0.3, 0.2), 1), ((0.1, 0.06), 3)])
def test_a_hopeless_or_slow_machine_is_not_kept_busy(seconds: tuple[float, float], rounds: int) -> None:
    clock = Clock(seconds)
    assert rates.measure(False, clock) == pytest.approx(seconds[0] / seconds[1]) and clock.asked == 2 * rounds


@pytest.mark.parametrize("learning", [False, True])
def test_what_is_timed_runs_in_both_precisions_and_leaves_random_numbers_alone(learning: bool) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    seen = []

    def timed(step: Callable[[], object]) -> float:
        with torch.profiler.profile(record_shapes=False) as profile:
            step()
        seen.append({event.key for event in profile.key_averages()})
        return 0.01

    assert rates.measure(learning, timed) == 1
    assert torch.equal(torch.rand(3), expected)
    assert all("aten::conv2d" in names and ("aten::convolution_backward" in names) == learning for names in seen)


def test_a_verdict_is_kept_for_learning_and_for_use_apart(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rates.bf16_gain(False, Clock((0.03, 0.02))) == 1.5
    assert rates.bf16_gain(True, Clock((0.02, 0.02))) == 1
    assert len(list(cache.iterdir())) == 2
    for _ in range(2):
        assert rates.bf16_gain(False, Never()) == 1.5 and rates.bf16_gain(True, Never()) == 1
        forget(monkeypatch)


def test_another_machine_torch_or_number_of_threads_is_measured_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates.bf16_gain(False, Clock((0.03, 0.02)))
    changes = {
        "processor": lambda: monkeypatch.setattr(rates, "processor", lambda: "another"),
        "torch": lambda: monkeypatch.setattr(torch, "__version__", "99.0"),
        "threads": lambda: monkeypatch.setattr(torch, "get_num_threads", lambda: 61),
        "limit": lambda: monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE"),
    }
    for number, change in enumerate(changes.values(), 2):
        change()
        assert rates.bf16_gain(False, Clock((0.02 * number, 0.02))) == number
        assert len(list(cache.iterdir())) == number


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[1]", b"7", b"null", b'{"gain": 3.0}', b'{"gain": [1]}', b"[" * 100_000]
)
def test_a_damaged_file_is_measured_anew_and_mended(
    cache: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    rates.bf16_gain(False, Clock((0.03, 0.02)))
    (file,) = cache.iterdir()
    good = file.read_bytes()
    file.write_bytes(content)
    forget(monkeypatch)
    assert rates.bf16_gain(False, Clock((0.03, 0.02))) == 1.5
    assert file.read_bytes() == good and list(cache.iterdir()) == [file]


@pytest.mark.parametrize(
    "change", [{"processor": "another"}, {"threads": 99}, {"gain": 0}, {"gain": -1.5}, {"gain": float("nan")}, {"a": 1}]
)
def test_the_file_of_another_machine_under_this_name_is_not_believed(
    cache: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    """As where several machines share a home."""
    rates.bf16_gain(False, Clock((0.03, 0.02)))
    (file,) = cache.iterdir()
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"gain": 9.0} | change))
    forget(monkeypatch)
    assert rates.bf16_gain(False, Clock((0.04, 0.02))) == 2


@pytest.mark.parametrize("kind", ["file in the way", "no home"])
def test_a_cache_that_cannot_be_written_is_no_error(cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "no home":

        def homeless() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(rates, "cache_folder", homeless)
    else:
        cache.write_text("a file, where the folder should be")
    assert rates.bf16_gain(False, Clock((0.03, 0.02))) == 1.5
    assert rates.bf16_gain(False, Never()) == 1.5
    forget(monkeypatch)
    assert rates.bf16_gain(False, Clock((0.04, 0.02))) == 2


def test_without_instructions_for_bf16_nothing_is_measured(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(rates.SWITCH, raising=False)
    monkeypatch.setattr(rates, "has_bf16", lambda: False)
    assert rates.bf16_gain(False, Never()) is rates.bf16_gain(True, Never()) is None
    assert not cache.exists()


def test_the_processor_has_a_name() -> None:
    assert rates.processor() == rates.processor() and len(rates.processor().strip()) > 16


@pytest.mark.parametrize(
    ("dot_products", "tiles", "library", "expected"),
    [(True, False, True, True), (False, True, True, True), (False, False, True, False), (True, True, False, False)],
)
def test_bf16_needs_the_processor_and_the_library(
    monkeypatch: pytest.MonkeyPatch, dot_products: bool, tiles: bool, library: bool, expected: bool
) -> None:
    """oneDNN takes bf16 wherever there is AVX-512, if need be by emulation; and nowhere once told to use AVX2 alone."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: dot_products, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: library)
    assert HAS_BF16() is expected


def test_a_switch_in_the_environment_keeps_to_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rates.SWITCH, "1")
    monkeypatch.setattr(rates, "has_bf16", lambda: True)
    assert rates.bf16_gain(timed=lambda step: pytest.fail("measured")) is None


@pytest.mark.parametrize(
    ("machine", "flags", "lacks"),
    [
        ("x86_64", "sse4_1 avx2 fma", True),
        ("x86_64", "avx2 avx_vnni", False),
        ("x86_64", "avx512f avx512_vnni avx512_bf16", False),
        ("aarch64", None, False),
    ],
)
def test_what_processors_are_known_to_lack(
    machine: str, flags: str | None, lacks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"Features": "asimd"} if flags is None else {"flags": flags}
    monkeypatch.setattr(rates, "processor_facts", lambda: facts)
    monkeypatch.setattr(rates.platform, "machine", lambda: machine)
    monkeypatch.setattr(rates, "has_bf16", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: False)
    assert rates.lacks_vnni() is lacks
    assert rates.emulates("bf16") is rates.emulates("fp16") is (machine == "x86_64")
    assert not rates.emulates("fp32") and not rates.emulates("int8")
