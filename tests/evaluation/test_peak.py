"""The peak memory is that of the one method, in a process of its own."""

from functools import partial
from pathlib import Path

import pytest
import torch

from dualpix.errors import MachineError
from dualpix.evaluation import TABLE_ROWS, blurred, evaluate
from dualpix.evaluation.peak import STATUS, can_measure, peak_bytes
from dualpix.inference.options import DeblurOptions
from dualpix.networks import create
from dualpix.weights import checkpoint

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="measured on Linux only")


def test_a_large_parent_does_not_count(simulated: Path, tmp_path: Path) -> None:
    """A parent of 1.2 GB more than the method needs, which `ru_maxrss` would inherit; the table shows what is found."""
    path = checkpoint.save(tmp_path / "k.safetensors", create("kpac", width=8), "kpac", {"width": 8})
    ballast = torch.ones(1_200_000_000, dtype=torch.uint8)
    methods = {"KPAC": path, "function": blurred, "RDPD+": TABLE_ROWS["RDPD+"]}
    found = evaluate(simulated, methods, tmp_path / "run", scenes=0, peak_memory=True)
    assert len(ballast) > 0
    peaks = {row.method: row.peak_bytes for row in found.rows}
    assert peaks["input"] is peaks["function"] is peaks["RDPD+"] is None
    assert peaks["KPAC"] is not None and 150e6 < peaks["KPAC"] < 1.2e9
    line = next(line for line in found.summary.splitlines() if line.startswith("| KPAC |"))
    assert f"| {peaks['KPAC'] / 1e9:.2f} |" in line and "peak GB" in found.summary
    assert f",{peaks['KPAC']}," in (tmp_path / "run" / "methods.csv").read_text()


def test_what_no_other_process_can_open_is_not_measured() -> None:
    assert can_measure("mccnet-fast") and can_measure(TABLE_ROWS["JNB"])
    assert not can_measure(blurred) and not can_measure(create("kpac", width=8)) and not can_measure(partial(blurred))


def test_a_process_that_fails_says_why() -> None:
    sample = {"left": torch.rand(3, 16, 16), "right": torch.rand(3, 16, 16), "name": "x"}
    with pytest.raises(MachineError, match=r"could not be measured: .*There is no weights file nowhere\.safetensors"):
        peak_bytes("mine", "nowhere.safetensors", sample, DeblurOptions())
