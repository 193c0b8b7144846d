"""Bands as they are planned for a device: on one with memory of its own, all that is free there is used."""

import pytest
import torch

from dualpix.inference import planning
from dualpix.inference.bands import make_plan
from dualpix.inference.engines.pytorch import Runner
from small_networks import tiny


def test_comfort_is_a_matter_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """45 megapixels on a GPU with 79 GB free are computed at once, where a CPU would be left some memory."""
    monkeypatch.setattr(planning, "free_bytes", lambda device: 79_000_000_000)
    runner, views = Runner(tiny(), "fp32", "cpu"), [torch.empty(3, 5480, 8220)] * 2
    on_cpu = make_plan(runner, views)
    runner.device = torch.device("cuda")
    on_gpu = make_plan(runner, views)
    assert len(on_gpu.bands) == 1 < len(on_cpu.bands)
