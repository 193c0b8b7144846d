"""What takes seconds to convert is kept in the user's cache folder, under a name that tells what it was made from."""

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
"""Rows and columns of the bundled pair by which what is kept is tried: few, textured, and of a size nothing divides."""

MOST_ERROR = {"fp32": 1e-5, "int8": 0.02}
"""Root mean square of the difference from PyTorch, above which it is not rounding."""

PACKAGES = ("torch", "openvino", "onnx", "onnxscript")


def place(network: nn.Module, precision: str, suffix: str) -> Path:
    """Where the form of `network` is kept or to be kept; the folder need not exist."""
    print_ = hashlib.sha256(json.dumps([precision, _versions(), repr(network), spec_of(network).views]).encode())
    for name, value in network.state_dict().items():
        print_.update(name.encode())
        print_.update(value.detach().cpu().contiguous().numpy().tobytes())
    return cache_folder() / f"{type(network).__name__.lower()}-{precision}-{print_.hexdigest()[:16]}{suffix}"


def agrees(run: Callable[[Sequence[Tensor]], Tensor], network: nn.Module, precision: str) -> bool:
    """Whether `run`, made from what was kept in `precision`, gives for a small crop what `network` gives in PyTorch.

    A file may have been damaged, cut short, or written by a library that took the wrong locale, and still be readable.
    """
    views = [view[:, CROP[0], CROP[1]] for view in bundled_views(spec_of(network).views)]
    expected = pytorch.Runner(cast(Network, network), "fp32", "cpu")(views)
    error = float((run(views) - expected).square().mean().sqrt())
    return error < MOST_ERROR[precision]


def bundled_views(names: Sequence[str]) -> list[Tensor]:
    """The views of the pair inside the package."""
    pair = {name: read_picture(DEMO / f"{name}.png").pixels for name in ("left", "right")}
    pair["center"] = (pair["left"] + pair["right"]) / 2
    return [pair[name] for name in names]


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
    package = Path(str(resources.files("dualpix")))
    sources = [*sorted((package / "networks" / "export").glob("*.py")), Path(__file__).with_name("conversion.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
