"""From the authors' file to one that `--weights` takes, by the function and by the command."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from dualpix.errors import CheckpointError
from dualpix.networks import create
from dualpix.weights import checkpoint
from dualpix.weights.importing import import_weights

Command = Callable[..., tuple[int, str, str]]
NARROW = {"widths": [2, 3, 4, 5, 6]}


@pytest.fixture
def authors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`authors.hdf5` in the current folder: ones in all layers of a narrow DPDNet, in Keras's layout."""
    monkeypatch.chdir(tmp_path)
    convolutions = [module for module in create("dpdnet", **NARROW).modules() if isinstance(module, torch.nn.Conv2d)]
    with h5py.File("authors.hdf5", "w") as file:
        file.attrs["layer_names"] = [f"conv2d_{number}" for number in range(len(convolutions))]
        for name, convolution in zip(file.attrs["layer_names"], convolutions, strict=True):
            out, into, height, width = convolution.weight.shape
            layer = file.create_group(name)
            layer.attrs["weight_names"] = [f"{name}/kernel:0", f"{name}/bias:0"]
            layer[f"{name}/kernel:0"] = np.ones((height, width, into, out), np.float32)
            layer[f"{name}/bias:0"] = np.ones(out, np.float32)
    return tmp_path / "authors.hdf5"


def test_what_is_imported_is_a_checkpoint(authors: Path) -> None:
    path = import_weights(authors, "dpdnet", "ours.safetensors", NARROW)
    opened = checkpoint.load(path)
    assert (opened.name, opened.arguments, opened.extra) == ("dpdnet", NARROW, {"imported_from": "authors.hdf5"})
    assert all(torch.equal(tensor, torch.ones_like(tensor)) for tensor in opened.network.state_dict().values())


def test_what_exists_is_replaced_only_when_told(authors: Path) -> None:
    Path("ours.safetensors").write_text("old")
    with pytest.raises(CheckpointError, match="exists; give another name, or overwrite=True"):
        import_weights(authors, "dpdnet", "ours.safetensors", NARROW)
    import_weights(authors, "dpdnet", "ours.safetensors", NARROW, overwrite=True)
    with pytest.raises(CheckpointError, match=r"ours.pth cannot hold weights.*\.safetensors"):
        import_weights(authors, "dpdnet", "ours.pth", NARROW)


def test_the_command_imports(authors: Path, dualpix: Command) -> None:
    words = ["--arguments", '{"widths": [2, 3, 4, 5, 6]}', "-o", "ours.safetensors"]
    code, out, err = dualpix("import-weights", "authors.hdf5", "--network", "dpdnet", *words)
    assert (code, out, err) == (0, "ours.safetensors: ready for --weights\n", "")
    assert checkpoint.load("ours.safetensors").name == "dpdnet"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--network", "dpdnet"], 1, "does not fit network 'dpdnet'"),
        (["--network", "mccnet"], 1, "no network whose authors' weights can be read called 'mccnet'"),
        (["--network", "dpdnet", "--arguments", "[1]"], 2, "not a JSON object"),
        (["--network", "dpdnet", "--arguments", "widths"], 2, "not a JSON object"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], code: int, says: str, authors: Path, dualpix: Command) -> None:
    exit_code, out, err = dualpix("import-weights", "authors.hdf5", *words, "-o", "ours.safetensors")
    assert (exit_code, out) == (code, "") and says in err and "Traceback" not in err
    assert not Path("ours.safetensors").exists()
