"""What the doctor says is what the system says."""

import platform
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import torch

from dualpix.inference import doctor, engines, rates
from dualpix.networks import create
from dualpix.weights import checkpoint

Command = Callable[..., tuple[int, str, str]]


def test_it_names_machine_limits_engines_precision_and_caches(
    dualpix: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "dualpix").mkdir()
    (tmp_path / "dualpix" / "kept.xml").write_bytes(bytes(2_500_000))
    code, out, err = dualpix("doctor")
    assert (code, err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert platform.python_version() in lines["dualpix"] and torch.__version__ in lines["dualpix"]
    assert lines["threads"] == f"{torch.get_num_threads()}, as OMP_NUM_THREADS says"
    assert lines["precision"] == "fp32, as DUALPIX_NO_BF16 is set"
    assert lines["cache"] == f"{tmp_path / 'dualpix'}, 1 files, 2.5 MB; may be deleted"
    assert "GB free" in lines["memory"] and lines["engines"].startswith(f"torch {metadata.version('torch')}")


def test_it_says_why_there_is_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(rates.SWITCH)
    for name in rates.LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(rates, "has_bf16", lambda: False)
    assert doctor.examine()["precision"] == "fp32, as this processor has no bf16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert doctor.examine()["precision"].endswith("has no bf16, or ONEDNN_MAX_CPU_ISA keeps PyTorch from it")


def test_its_instructions_are_those_of_the_system() -> None:
    said = doctor.examine()["instructions"]
    assert said.startswith(torch.backends.cpu.get_cpu_capability())
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().partition("flags")[2].partition("\n")[0] if cpuinfo.is_file() else ""
    if not flags:
        pytest.skip("the system does not tell what its processor of the x86 family has")
    assert ("no VNNI" in said) == ("vnni" not in flags)
    assert "no matrix tiles" in said or "amx_tile" in flags
    assert "no bf16" in said or "avx512_bf16" in flags or "amx_bf16" in flags


def test_engines_are_timed_on_the_same_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "ENGINES", {"torch": engines.ENGINES["torch"]})  # converting takes long
    small = {"widths": [4, 4, 8, 8], "depths": [1, 1, 0, 0, 0, 0, 0]}
    checkpoint.save(tmp_path / "w.safetensors", create("mccnet-fast", **small), "mccnet-fast", small)
    seconds = doctor.compare(str(tmp_path / "w.safetensors"))
    assert list(seconds) == ["torch fp32"] and 0 < seconds["torch fp32"] < 600
