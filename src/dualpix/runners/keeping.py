"""What takes seconds to convert is kept in the user's cache folder, under a name that tells what it was made from."""

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import cast

from torch import nn

from dualpix.files import cache_folder
from dualpix.networks import Network

PACKAGES = ("torch", "openvino", "onnx", "onnxscript")


def place(network: nn.Module, precision: str, suffix: str) -> Path:
    """Where the form of `network` is kept or to be kept; the folder need not exist."""
    print_ = hashlib.sha256(json.dumps([precision, _versions(), repr(network), cast(Network, network).views]).encode())
    for name, value in network.state_dict().items():
        print_.update(name.encode())
        print_.update(value.detach().cpu().contiguous().numpy().tobytes())
    return cache_folder() / f"{type(network).__name__.lower()}-{precision}-{print_.hexdigest()[:16]}{suffix}"


def _versions() -> list[str]:
    """A new version of this package or of an engine may make another form."""
    found = [_own_version()]
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _own_version() -> str:
    """From the sources, since not every change of them has a new number."""
    folder = Path(__file__).parents[1] / "graphs"
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()
