"""What training leaves and what others trained: weights, the state and recipe of a run, and the files of authors."""

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from dualpix import networks
from dualpix.training.learner import Learner
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe, to_dict
from dualpix.training.run_folder import RunFolder
from dualpix.training.state import pack
from dualpix.weights import checkpoint
from dualpix.weights.foreign import translate
from dualpix.weights.foreign.pytorch import _their_name as their_name

ARGUMENTS: dict[str, Any] = {"widths": [2, 2, 2, 2], "depths": [1, 0, 0, 0, 0, 0, 0], "max_disparity": 4}
RECIPE = Recipe(network="mccnet-fast", arguments=ARGUMENTS, crop=32, batch=1, steps=9, precision="fp32")
STEP = 3
IFAN: dict[str, Any] = {"channels": 1, "filters": 1}
DPDNET: dict[str, Any] = {"widths": (1, 1, 1, 1, 1)}


def weights() -> bytes:
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(0)
        network = networks.create("mccnet-fast", **ARGUMENTS)
        return checkpoint.save(
            Path(folder) / "a.safetensors", network, "mccnet-fast", ARGUMENTS, {"steps": 3}, {"psnr": 21.5}
        ).read_bytes()


def state() -> bytes:
    """`last.pt` after some steps."""
    learner = Learner(RECIPE)
    for master in learner.masters:
        master.grad = torch.ones_like(master)
    for _ in range(STEP):
        learner.optimiser.step(1e-4, Processes())
    learner.step = STEP
    rest = {"spent": 12.5, "best_score": 21.5, "losses": [0.5, 0.25], "precision": "fp32"}
    return bytes(pack({"learner": learner.state(), **rest, "origin": {"version": "0.1.0", "data": {"photos": "ab12"}}}))


def recipe() -> bytes:
    return json.dumps(to_dict(RECIPE)).encode()


def resume(path: Path) -> int:
    """Go on with the run in the file's folder, of which state or recipe is broken; the step it had come to."""
    folder = path.parent
    for name, make in (("last.pt", state), ("recipe.json", recipe)):
        if name != path.name:
            (folder / name).write_bytes(make())
    for name in ("log.jsonl", "last.safetensors"):
        (folder / name).unlink(missing_ok=True)
    run = RunFolder(folder, RECIPE, Processes(), None)
    try:
        learner = Learner(RECIPE)
        run.begin(learner)
    finally:
        run.close()
    numbers = [number for number in learner.averaged().state_dict().values() if number.is_floating_point()]
    if not all(bool(number.isfinite().all()) for number in numbers) or not 0 <= learner.step <= RECIPE.steps:
        raise AssertionError("it goes on from what cannot be")
    return learner.step


def ifan() -> bytes:
    """Named tensors as IFAN's authors save them, below what trainers put around."""
    network = networks.create("ifan", **IFAN)
    found = {f"module.{their_name(name)}": tensor for name, tensor in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"params": found}, buffer)
    return buffer.getvalue()


def _layers() -> Iterator[dict[str, tuple[int, ...]]]:
    """Kernels and biases of DPDNet with one channel throughout, as Keras shapes them."""
    for size, below, above in (
        [(3, 6, 1), (3, 1, 1)] + [(3, 1, 1)] * 8 + [(2, 1, 1), (3, 2, 1), (3, 1, 1)] * 4 + [(3, 1, 3), (1, 3, 3)]
    ):
        yield {"kernel": (size, size, below, above), "bias": (above,)}


def keras() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        root = file.create_group("model_weights")
        names = []
        for number, shapes in enumerate(_layers()):
            name = f"conv2d_{number}"
            names.append(name.encode())
            layer = root.create_group(name)
            layer.attrs["weight_names"] = [f"{name}/{part}:0".encode() for part in shapes]
            for part, shape in shapes.items():
                layer[f"{name}/{part}:0"] = np.full(shape, 0.1, np.float32)
        root.attrs["layer_names"], root.attrs["backend"] = names, b"tensorflow"
    return buffer.getvalue()


def read_ifan(path: Path) -> dict[str, Tensor]:
    return translate(path, "ifan", **IFAN)


def read_keras(path: Path) -> dict[str, Tensor]:
    return translate(path, "dpdnet", **DPDNET)
