"""Networks without numbers have the shapes of those with, and cost nothing."""

import subprocess
import sys

import pytest
import torch

from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS
from dualpix.networks.blank import without_numbers
from small_networks import small


@pytest.mark.parametrize("name", [*NETWORKS, *DEFOCUS_ESTIMATORS])
def test_shapes_are_those_of_the_network(name: str) -> None:
    with without_numbers():
        blank = small(name).state_dict()
    whole = small(name).state_dict()
    assert {key: (value.shape, value.dtype) for key, value in blank.items()} == {
        key: (value.shape, value.dtype) for key, value in whole.items()
    }
    assert all(value.is_meta for value in blank.values())


def test_drawing_is_as_ever_afterwards() -> None:
    with without_numbers():
        small("mccnet")
    assert torch.nn.init.normal_(torch.zeros(100)).std() > 0.5


def test_weights_are_read_without_a_compiler() -> None:
    """It takes a second to import, and memory."""
    code = "import sys, dualpix; dualpix.load('mccnet'); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr
