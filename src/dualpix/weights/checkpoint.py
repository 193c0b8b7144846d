"""Weights on disk: one safetensors file that says which network it belongs to, how it was trained and what it scored.

The tensors are the network's state dict; the file's header holds one JSON text under the key `dualpix`:
`format`, `network`, `arguments`, `recipe`, `scores`, `extra`. Nothing is guessed when reading and nothing is executed:
the named network is built, every tensor must match in name and shape, and every number must be finite.
The state of an unfinished training (optimiser, step) is not a checkpoint; the trainer keeps that itself.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from dualpix import networks
from dualpix.errors import CheckpointError, DualpixError, reason_of
from dualpix.machine.files import parse_json, write_whole
from dualpix.machine.modes import settled
from dualpix.networks.blank import without_numbers
from dualpix.tables import nearest
from dualpix.weights import hub
from dualpix.weights.exported import ENGINE_OF, Exported, mark, read_facts

FORMAT = 1
MAX_HEADER_BYTES = 2 * 1024 * 1024
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FLOATING = {"F64", "F32", "F16", "BF16"}
KIND = re.compile("[A-Z][A-Z0-9_]{0,15}")
"""What the name of a number format in a file looks like: "F32", "BF16"."""

WEIGHTS = {"mccnet-fast": "mccnet-fast.safetensors", "mccnet": "mccnet.safetensors"}
DEFAULT_WEIGHTS = "mccnet-fast"


@dataclass(frozen=True)
class Checkpoint:
    """A network ready to use, and where it comes from.

    Args:
        network: In float32 and evaluation mode.
        name: With `arguments`, rebuilds the network: `networks.create(name, **arguments)`.
        arguments: Keyword arguments of the network.
        recipe: Settings of its training, as JSON values.
        scores: What it scored, as JSON values.
        extra: Whatever else the file says, such as the licence.
        path: The file it was read from.
    """

    network: nn.Module
    name: str
    arguments: dict[str, Any]
    recipe: dict[str, Any]
    scores: dict[str, Any]
    extra: dict[str, Any]
    path: Path


def save(
    path: str | Path,
    network: nn.Module,
    name: str,
    arguments: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
    *,
    extra: Mapping[str, Any] | None = None,
    dtype: str = "fp32",
) -> Path:
    """Write `network` to `path` and return the path. The file appears whole or not at all.

    Args:
        path: A `.safetensors` file; folders that are missing are made, an existing file is replaced.
        network: Any network of `NETWORKS` or `DEFOCUS_ESTIMATORS`.
        name: With which `networks.create` builds it.
        arguments: And its keyword arguments.
        recipe: How it was trained, as JSON values.
        scores: What it scored, as JSON values.
        extra: Anything else to keep, as JSON values.
        dtype: How floating-point tensors are stored: "fp32", "bf16" or "fp16".

    Raises:
        CheckpointError: A number is not finite (once stored), or the file cannot be written.
        ValueError: There is no such `dtype`.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    tensors = {key: _stored(value, DTYPES[dtype]) for key, value in network.state_dict().items()}
    check_finite(tensors, f"The weights for {path}")
    card = {
        "format": FORMAT,
        "network": name,
        "arguments": dict(arguments or {}),
        "recipe": dict(recipe or {}),
        "scores": dict(scores or {}),
        "extra": dict(extra or {}),
    }
    _write(Path(path), safetensors.torch.save(tensors, {"dualpix": json.dumps(card, sort_keys=True)}))
    return Path(path)


@settled()
def load(path_or_name: str | Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Read a checkpoint file, or the shipped weights of that name.

    Args:
        path_or_name: A key of `WEIGHTS`, a `.safetensors` file, a folder that holds `model.safetensors`, a repository
            of the Hugging Face hub ("owner/name", "owner/name@revision"; extra `hub`), or a file that `dualpix export`
            wrote for another engine. From the last kind the network gets only its shape, on the device "meta"; the
            numbers stay in the file.
        device: Where the network goes.

    Returns:
        The network in float32 and evaluation mode, with what the file says about it.

    Raises:
        CheckpointError: The file is missing, damaged, of another kind, or does not fit the network that it names.

    Example:
        >>> opened = load("mccnet")
        >>> opened.name, opened.arguments, next(opened.network.parameters()).dtype
        ('mccnet', {'max_disparity': 24}, torch.float32)
    """
    path = find(path_or_name)
    if path.suffix in ENGINE_OF:
        return _load_exported(path)
    header, card = _read_header(path)
    name, arguments = card["network"], card["arguments"]
    _check_fit(path, header, name, _shape_of(path, name, arguments))
    try:
        tensors = safetensors.torch.load(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged ({reason_of(error)}); get the file again.") from error
    check_finite(tensors, str(path))
    with torch.random.fork_rng(devices=[]):
        network = networks.create(name, **arguments)
    network.load_state_dict(tensors, strict=True)
    check_finite(network.state_dict(), str(path))  # Again: a number stored as float64 can be too large for float32.
    network.to(device=device, dtype=torch.float32).eval()
    return Checkpoint(network, name, arguments, card["recipe"], card["scores"], card["extra"], path)


def _load_exported(path: Path) -> Checkpoint:
    card = _read_exported(path)
    network = _shape_of(path, card["network"], card["arguments"]).eval()
    mark(network, Exported(path, card["precision"]))
    return Checkpoint(network, card["network"], card["arguments"], card["recipe"], card["scores"], card["extra"], path)


def _read_exported(path: Path) -> dict[str, Any]:
    try:
        card = read_facts(path)
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise CheckpointError(f"{path} is damaged ({reason}); export it again with `dualpix export`.") from error
    if not isinstance(card, dict) or not isinstance(card.get("precision"), str):
        raise CheckpointError(f"{path} was not made by `dualpix export`: it does not say which network it holds.")
    return _check_card(path, card)


def read_card(path_or_name: str | Path) -> dict[str, Any]:
    """Return what a checkpoint says about itself, reading only its header.

    Args:
        path_or_name: As `load` takes it.

    Returns:
        `network`, `arguments`, `recipe`, `scores`, `extra`.

    Raises:
        CheckpointError: As `load` does.
    """
    path = find(path_or_name)
    return _read_exported(path) if path.suffix in ENGINE_OF else _read_header(path)[1]


def find(path_or_name: str | Path) -> Path:
    """Return the file of weights that a text or path means: shipped, itself, or that of a folder or a repository.

    Raises:
        CheckpointError: There is no such file or repository, or it is a folder without weights.
    """
    if isinstance(path_or_name, str) and path_or_name in WEIGHTS:
        shipped = Path(str(resources.files("dualpix") / "weights" / WEIGHTS[path_or_name]))
        if not shipped.is_file():
            raise CheckpointError(
                f"The weights {path_or_name!r} are not part of this installation ({shipped} is missing); "
                "install the package again, or train your own with `dualpix train` and give their file."
            )
        return shipped
    if isinstance(path_or_name, str) and hub.is_repository(path_or_name):
        return hub.fetch(path_or_name)
    if not isinstance(path_or_name, str | os.PathLike):
        raise CheckpointError(f"A thing of type {type(path_or_name).__name__} names no weights; give a file or a name.")
    path = Path(path_or_name)
    if path.is_dir() and not (path / hub.FILE).is_file():
        raise CheckpointError(f"{path} is a folder without a {hub.FILE}; give the .safetensors file inside it.")
    path = path / hub.FILE if path.is_dir() else path
    if not path.is_file():
        raise CheckpointError(
            f"There is no weights file {path}; give an existing .safetensors file or one of: {', '.join(WEIGHTS)}."
            + nearest(WEIGHTS, str(path))
        )
    return path


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    kept = tensor.detach().cpu()
    # A clone of its own: safetensors refuses tensors that share memory, as tied parameters do.
    return (kept.to(dtype) if kept.is_floating_point() else kept).contiguous().clone()


def check_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    """Raise `CheckpointError` if a number is NaN or infinite; `what`, in the plural, begins the sentence."""
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{what} hold NaN or infinity in {key!r}: such a network is broken; use an earlier checkpoint "
                "(or, if it was stored as fp16, store it as fp32 or bf16)."
            )


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"The weights cannot be written to {path}: {reason}; choose another place.") from error


def _read_header(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors' entries (name -> dtype, shape, data_offsets) and our card, without reading any tensor."""
    try:
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            start = file.read(512)
            size = int.from_bytes(start[:8], "little")
            if start[8:9] != b"{":  # Checked first: the length before it can begin like a pickle.
                _refuse_pickle(path, start)
                raise CheckpointError(f"{path} is not a safetensors file; give a .safetensors file made by `dualpix`.")
            if size > MAX_HEADER_BYTES:
                raise CheckpointError(
                    f"{path} declares a header of {size} bytes, more than the {MAX_HEADER_BYTES} that weights of this "
                    "package can need; it is damaged or was not made by `dualpix`."
                )
            file.seek(8)
            text = file.read(size)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(text) < size:
        raise CheckpointError(f"{path} is truncated: it ends inside its own header; get the file again.")
    header = _parse(path, text, "header")
    metadata = header.pop("__metadata__", {})
    _check_length(path, header, total - 8 - size)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("dualpix"), str):
        raise CheckpointError(
            f"{path} is a safetensors file but not one made by `dualpix`: it does not say which network it belongs to."
        )
    return header, _check_card(path, _parse(path, metadata["dualpix"], "description"))


def _refuse_pickle(path: Path, start: bytes) -> None:
    if start.startswith((b"PK\x03\x04", b"\x80")) or start[257:262] == b"ustar":
        raise CheckpointError(
            f"{path} is a pickle or torch.save file, and opening one can run any program hidden in it, so it is never "
            "opened; give a .safetensors file made by `dualpix` (`dualpix.weights.checkpoint.save` writes one)."
        )


def _parse(path: Path, text: bytes | str, part: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: its {part} is not valid JSON; get the file again.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: its {part} is not a JSON object; get the file again.")
    return value


def _check_length(path: Path, header: dict[str, Any], data_bytes: int) -> None:
    for key, entry in header.items():
        if not _is_entry(entry):
            raise CheckpointError(f"{path} is damaged: its entry {key!r} is unreadable; get the file again.")
    ends = [entry["data_offsets"][1] for entry in header.values()]
    if max(ends, default=0) > data_bytes:
        raise CheckpointError(
            f"{path} is truncated: it declares {max(ends)} bytes of weights and holds {data_bytes}; get the file again."
        )


def _is_entry(entry: Any) -> bool:
    """Whether it describes a tensor: a dtype, sizes and two offsets, and no true or false among the numbers."""
    if not isinstance(entry, dict) or not KIND.fullmatch(str(entry.get("dtype"))):
        return False
    lists = [entry.get("shape"), entry.get("data_offsets")]
    if not all(isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers) for numbers in lists):
        return False
    return len(entry["data_offsets"]) == 2


def _check_card(path: Path, card: dict[str, Any]) -> dict[str, Any]:
    version = card.get("format")
    if type(version) is int and version > FORMAT:
        raise CheckpointError(f"{path} has format {version}, newer than this version of `dualpix` reads; update it.")
    kinds = {"network": str, "arguments": dict, "recipe": dict, "scores": dict, "extra": dict}
    wrong = [key for key, kind in kinds.items() if not isinstance(card.get(key), kind)]
    if type(version) is not int or version != FORMAT or wrong:
        what = ", ".join(wrong) or "format"
        raise CheckpointError(f"{path} is damaged: its description lacks a usable {what}; get the file again.")
    return card


def _shape_of(path: Path, name: str, arguments: dict[str, Any]) -> nn.Module:
    """The network that a file names, without numbers."""
    try:
        with without_numbers():
            return networks.create(name, **arguments)
    except DualpixError as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from error


def _check_fit(path: Path, header: dict[str, Any], name: str, network: nn.Module) -> None:
    """Refuse, before any tensor is read or allocated, a file whose tensors are not those of the network it names."""
    expected = network.state_dict()
    for key, value in expected.items():
        if key not in header:
            raise CheckpointError(f"{path} does not fit network {name!r}: the tensor {key!r} is missing from the file.")
        if (header[key]["dtype"] in FLOATING) != value.is_floating_point():
            raise CheckpointError(f"{path} is damaged: {key!r} holds {header[key]['dtype']}; get the file again.")
        shape = tuple(value.shape)
        if tuple(header[key]["shape"]) != shape:
            raise CheckpointError(
                f"{path} does not fit network {name!r}: {key!r} has shape {_by(header[key]['shape'])} in the file and "
                f"{_by(shape)} in the network."
            )
    for key in header:
        if key not in expected:
            raise CheckpointError(f"{path} does not fit network {name!r}, which has no tensor {key!r}.")


def _by(shape: tuple[int, ...] | list[int]) -> str:
    return " x ".join(map(str, shape)) or "()"
