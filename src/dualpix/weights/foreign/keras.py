"""Weights of DPDNet and RDPD as their authors publish them: HDF5 files of Keras 2, read with h5py (extra `foreign`).

Such a file holds a list of layers in the order in which data pass through them, and under each layer's name its arrays.
Files of whole models hold that under `model_weights`, beside settings and the optimiser's state, which are ignored.
Keras numbers the names by how often a layer was made before, so only order, kind and shape are compared.

| Keras                                          | here                                                  |
|------------------------------------------------|-------------------------------------------------------|
| `kernel`, rows x columns x in x out            | `weight`, out x in x rows x columns                   |
| `recurrent_kernel`, gates in the order i f c o | the same, gates in the same order                     |
| colours blue, green, red, of each view in turn | red, green, blue: first layer's inputs, last's output |

Nothing in the file is executed. Links, external storage and virtual arrays, by which a file can make other files be
opened, are refused, and shapes are compared before anything is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dualpix import networks
from dualpix.errors import CheckpointError, how_to_install, reason_of
from dualpix.networks.blank import without_numbers
from dualpix.networks.rdpd import ConvLSTM

Shapes = dict[str, tuple[int, ...]]

MOST_LAYERS = 1000
LARGEST_CHUNK = 2**20

DAMAGED = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)
"""What h5py raises, depending on where a file is broken."""


@dataclass(frozen=True)
class Wanted:
    """A layer of the network: its tensors by Keras's names for them, and their shapes in Keras."""

    name: str
    tensors: dict[str, str]
    shapes: Shapes


@dataclass(frozen=True)
class StoredLayer:
    """A layer of the file that has weights."""

    name: str
    arrays: dict[str, Any]
    shapes: Shapes


def translate(path: Path, network_name: str, **arguments: Any) -> dict[str, Tensor]:
    """As `dualpix.weights.foreign.translate`, for files of Keras 2."""
    with without_numbers():
        network = networks.create(network_name, **arguments)
    wanted = list(_layers_of(network))
    with _opened(path) as file:
        try:
            found = list(_layers_in(path, file))
            _check(path, network_name, found, wanted)
            tensors = {
                tensor: _as_tensor(layer.arrays[part])
                for layer, place in zip(found, wanted, strict=True)
                for part, tensor in place.tensors.items()
            }
        except DAMAGED as error:
            raise CheckpointError(f"{path} is damaged ({reason_of(error)}); get the file again.") from error
    _turn_colours(tensors, wanted)
    return {key: tensors[key] for key in network.state_dict()}


def _layers_of(network: nn.Module) -> Iterator[Wanted]:
    """The layers that have weights, in the order in which data pass through them, which is that of their definition."""
    inside = ""
    for name, module in network.named_modules():
        if isinstance(module, ConvLSTM):
            inside = f"{name}."
            names = {"kernel": "input.weight", "recurrent_kernel": "recurrent.weight", "bias": "input.bias"}
        elif isinstance(module, nn.Conv2d) and not (inside and name.startswith(inside)):
            names = {"kernel": "weight", "bias": "bias"}
        else:
            continue
        own = {part: module.get_parameter(parameter) for part, parameter in names.items()}
        shapes = {part: _shape_in_keras(tuple(parameter.shape)) for part, parameter in own.items()}
        yield Wanted(name, {part: f"{name}.{parameter}" for part, parameter in names.items()}, shapes)


def _shape_in_keras(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if len(shape) == 1 else (*shape[2:], shape[1], shape[0])


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"There is no weights file {path}; give an existing .hdf5 or .h5 file.")
    try:
        import h5py
    except ImportError as error:
        raise CheckpointError(
            f"Reading {path} needs an optional package that cannot be imported ({error}); install it with:"
            f" {how_to_install('foreign')}."
        ) from error
    try:
        if not h5py.is_hdf5(path):
            raise CheckpointError(f"{path} is not an HDF5 file; give the .hdf5 or .h5 file that Keras wrote.")
        return h5py.File(path, "r")
    except OSError as error:
        raise CheckpointError(f"{path} is truncated or damaged ({reason_of(error)}); get the file again.") from error


def _layers_in(path: Path, file: Any) -> Iterator[StoredLayer]:
    root = _member(path, file, "model_weights") if "model_weights" in file else file
    names = _listed(root, "layer_names")
    if not names:
        raise CheckpointError(
            f"{path} is an HDF5 file but not one of Keras 2: it has no list of layers; give a file written by"
            " `model.save` or `model.save_weights` of Keras 2, with a name that ends in .hdf5 or .h5."
        )
    backend = root.attrs.get("backend", b"tensorflow")
    if _text(backend) != "tensorflow":
        raise CheckpointError(
            f"{path} was written with Keras on {_text(backend)}, not on TensorFlow; convert it there."
        )
    for name in names[:MOST_LAYERS]:
        layer = _member(path, root, name)
        # The last word of model/layer/kernel:0, however deep the layer was wrapped.
        arrays = {key.split("/")[-1].split(":")[0]: _array(path, layer, key) for key in _listed(layer, "weight_names")}
        if arrays:
            yield StoredLayer(name, arrays, {part: tuple(array.shape) for part, array in arrays.items()})


def _listed(group: Any, name: str) -> list[str]:
    """A list of names; Keras cuts one that is too long for an HDF5 attribute into `name0`, `name1`, ..."""
    numbered = takewhile(group.attrs.__contains__, (f"{name}{number}" for number in count()))
    pieces = [name] if name in group.attrs else numbered
    return [_text(text) for piece in pieces for text in np.atleast_1d(group.attrs[piece])]


def _text(text: Any) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)


def _member(path: Path, group: Any, name: str) -> Any:
    """What `group` holds at `name`, reached without following links."""
    import h5py

    for step in name.split("/"):
        if not isinstance(group.get(step, getlink=True), h5py.HardLink):
            raise CheckpointError(
                f"{path} keeps {name!r} in another place or not at all; give the file that Keras wrote."
            )
        group = group[step]
    return group


def _array(path: Path, layer: Any, key: str) -> Any:
    import h5py

    array = _member(path, layer, key)
    if not isinstance(array, h5py.Dataset) or array.dtype.kind != "f" or array.external or array.is_virtual:
        raise CheckpointError(f"{path} does not hold {key!r} as numbers of its own; give the file that Keras wrote.")
    if array.chunks and prod(array.chunks) > max(array.size, LARGEST_CHUNK):  # A chunk is unpacked as a whole.
        raise CheckpointError(f"{path} keeps {key!r} in pieces larger than itself; give the file that Keras wrote.")
    return array


def _check(path: Path, network_name: str, found: list[StoredLayer], wanted: list[Wanted]) -> None:
    """Raise `CheckpointError`, naming the first layer that is missing, additional or different."""
    there, due = [layer.shapes for layer in found], [layer.shapes for layer in wanted]
    if there == due:
        return
    first = next((i for i, (a, b) in enumerate(zip(there, due, strict=False)) if a != b), min(len(there), len(due)))
    fits = f"{path} does not fit network {network_name!r}"
    if there[:first] + there[first + 1 :] == due:
        raise CheckpointError(
            f"{fits}: its layer {found[first].name!r} ({_words(there[first])}) is one more than the network has."
        )
    if there == due[:first] + due[first + 1 :]:
        raise CheckpointError(
            f"{fits}: a layer is missing from the file, {wanted[first].name!r} ({_words(due[first])}) of the network."
        )
    if first == len(there) or first == len(due):
        raise CheckpointError(f"{fits}: it has {len(there)} layers with weights, and the network {len(due)}.")
    raise CheckpointError(
        f"{fits}: its layer {found[first].name!r} has {_words(there[first])}, and the network's {wanted[first].name!r}"
        f" {_words(due[first])}; another network or other arguments (such as up_kernel) may fit."
    )


def _words(shapes: Shapes) -> str:
    return ", ".join(f"{part} {' x '.join(map(str, shape))}" for part, shape in shapes.items())


def _as_tensor(array: Any) -> Tensor:
    tensor = torch.from_numpy(array[()].astype(np.float32))
    return tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor


def _turn_colours(tensors: dict[str, Tensor], wanted: list[Wanted]) -> None:
    first, last = wanted[0].tensors["kernel"], wanted[-1].tensors
    channels = tensors[first].shape[1]
    colours = channels - channels % 3  # The rest is RDPD's map of distances, which has no colours.
    order = torch.cat([torch.arange(colours).view(-1, 3).flip(1).flatten(), torch.arange(colours, channels)])
    tensors[first] = tensors[first][:, order].contiguous()
    for tensor in last.values():
        tensors[tensor] = tensors[tensor].flip(0)
