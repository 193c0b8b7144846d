"""Every extra of `pyproject.toml` is named, with the line that installs it, by what needs it and lacks it."""

import importlib
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpix.errors import DualpixError
from dualpix.inference.batch import ray_connection
from dualpix.training import tracking
from dualpix.training.recipes import RECIPES
from dualpix.weights import foreign, hub

HOME = Path(__file__).parents[1]


def open_keras(folder: Path) -> None:
    (folder / "theirs.hdf5").write_bytes(b"\x89HDF")
    foreign.translate(folder / "theirs.hdf5", "dpdnet")


def torchmetric(folder: Path) -> None:
    importlib.reload(importlib.import_module("dualpix.evaluation.torchmetric"))


NEEDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "hub": ("huggingface_hub", lambda folder: hub.fetch("owner/name")),
    "foreign": ("h5py", open_keras),
    "ray": ("ray", lambda folder: ray_connection.connect("local")),
    "tensorboard": (
        "tensorboard.compat.proto.event_pb2",
        lambda folder: tracking.Tracking("tensorboard", folder, RECIPES["tiny"]),
    ),
    "mlflow": ("mlflow", lambda folder: tracking.Tracking("mlflow", folder, RECIPES["tiny"])),
    "torchmetrics": ("torchmetrics", torchmetric),
}
"""From an extra to a package of it, and something that needs it; other extras are tested beside what needs them."""


@pytest.mark.parametrize("extra", NEEDS)
def test_a_missing_extra_says_how_to_install_it(extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, use = NEEDS[extra]
    if extra in tracking.TRACKERS:
        package = tracking.TRACKERS[extra][0]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DualpixError, match=rf"pip install -e '\.\[{extra}\]'"):
        use(tmp_path)


def test_every_extra_of_users_is_named_somewhere() -> None:
    extras = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    sources = "".join(path.read_text() for path in (HOME / "src" / "dualpix").rglob("*.py"))
    named = {*re.findall(r'how_to_install\([\'"](\w+)[\'"]\)', sources), *tracking.TRACKERS}
    by_table = {"onnx", "openvino"}  # `weights.exported` names those of its engines
    assert set(extras) - {"dev", "docs"} <= named | by_table


def test_a_command_that_codes_as_video_names_its_extra(
    tmp_path: Path, dualpix: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (160, 208, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{number}.png")
    words = ("train", "tiny", 'codecs=["h264"]', "--photos", str(tmp_path / "photos"), "-o", str(tmp_path / "run"))
    code, _, err = dualpix(*words)
    assert code == 1 and err.splitlines()[-1].startswith("dualpix: Coding as H.264 needs PyAV; install it with: pip ")
    assert "'.[video]'" in err
