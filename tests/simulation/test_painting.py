"""Values brought to a device, once."""

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from dualpix.simulation.painting import moved


def test_what_is_there_already_is_not_moved() -> None:
    """Only memory of the CPU can be pinned: of a tensor of a GPU, here one without values, PyTorch refuses to."""
    with FakeTensorMode():
        there = torch.empty(2, device="cuda")
        assert moved(there, torch.device("cuda")) is there
    here = torch.ones(2)
    assert moved(here, torch.device("cpu")) is here
    assert moved(here, torch.device("meta")).device.type == "meta"
