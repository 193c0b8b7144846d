"""For `torch.hub.load(REPOSITORY, NAME)`: the networks of dualpix as plain modules."""

import sys
from pathlib import Path

dependencies = ["torch", "numpy", "safetensors", "pydantic"]

try:
    import dualpix
except ImportError:  # From a checkout that is not installed, as torch.hub has it.
    sys.path.insert(0, str(Path(__file__).parent / "src"))
    import dualpix


def mccnet_fast(pretrained=True):
    """The default network: left and right view, B x 3 x H x W in [0, 1], to the sharp picture."""
    return dualpix.from_pretrained("mccnet-fast") if pretrained else dualpix.create("mccnet-fast")


def mccnet(pretrained=True, **arguments):
    """The network of the paper; without weights it takes the arguments of `dualpix.create("mccnet", ...)`."""
    if pretrained and arguments:
        raise ValueError(f"The weights decide about {', '.join(arguments)}; leave it out, or give pretrained=False.")
    return dualpix.from_pretrained("mccnet") if pretrained else dualpix.create("mccnet", **arguments)


def from_pretrained(path_or_name, revision=None):
    """Weights by name, file, folder or repository of the Hugging Face hub."""
    return dualpix.from_pretrained(path_or_name, revision=revision)
