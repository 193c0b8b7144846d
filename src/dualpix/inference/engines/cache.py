"""Converted networks, which take seconds to make, are kept in the user's cache, named after their contents."""

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from dualpix.inference.engines import pytorch
from dualpix.io import read_picture
from dualpix.machine.files import cache_folder
from dualpix.networks import Network
from dualpix.networks.spec import spec_of

DEMO = Path(str(resources.files("dualpix") / "demo_pair"))

CROP = (slice(200, 243), slice(300, 375))
"""Rows and columns of the bundled pair by which kept files are checked: few, textured, and odd in number."""

MOST_ERROR = {"fp32": 1e-5, "int8": 0.02}
"""Root mean square of the difference from PyTorch above which it is more than rounding."""

PACKAGES = ("torch", "openvino", "onnx", "onnxscript")


def place(network: nn.Module, precision: str, suffix: str) -> Path:
    """Return where the converted form of `network` is kept or would be kept; the folder need not exist."""
    print_ = hashlib.sha256(json.dumps([precision, versions(), repr(network), spec_of(network).views]).encode())
    for name, value in network.state_dict().items():
        print_.update(name.encode())
        print_.update(value.detach().cpu().contiguous().numpy().tobytes())
    return cache_folder() / f"{type(network).__name__.lower()}-{precision}-{print_.hexdigest()[:16]}{suffix}"


def agrees(run: Callable[[Sequence[Tensor]], Tensor], network: nn.Module, precision: str) -> bool:
    """Whether `run`, made from a kept file, gives for a small crop what `network` gives in PyTorch.

    A file can be readable and still wrong: damaged, cut short, or written by a library under an unsuitable locale.
    """
    views = [view[:, CROP[0], CROP[1]] for view in bundled_views(spec_of(network).views)]
    expected = pytorch.Runner(cast(Network, network), "fp32", "cpu")(views)
    error = float((run(views) - expected).square().mean().sqrt())
    return error < MOST_ERROR[precision]


def bundled_views(names: Sequence[str]) -> list[Tensor]:
    """Return the named views of the pair inside the package, 3 x H x W each."""
    pair = {name: read_picture(DEMO / f"{name}.png").pixels for name in ("left", "right")}
    pair["center"] = (pair["left"] + pair["right"]) / 2
    return [pair[name] for name in names]


def versions() -> list[str]:
    """Return the versions of this package and of the engines, since another one may convert differently."""
    found = [_own_version()]
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


def _own_version() -> str:
    """A hash of the sources that convert, since not every change of them comes with a new version number."""
    package = Path(str(resources.files("dualpix")))
    sources = [*sorted((package / "networks" / "export").glob("*.py")), Path(__file__).with_name("conversion.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
