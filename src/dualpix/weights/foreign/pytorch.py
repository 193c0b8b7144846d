"""Weights of IFAN as its authors publish them: `torch.save` files of named tensors, read without executing anything.

Names begin with `module.` if they were saved from parallel training, with `_orig_mod.` if from a compiled network, and
with `Network.` for the deblurring network; `reblurNet.` begins those of the network that only training needs. Trainers
put the tensors below a name of their own, beside other things. Inside, numbers denote the scale: `conv1_1` to `conv4_3`
extract features and `kconv...` predict filters, three convolutions each at full size to an eighth; `upconv3` to
`upconv1` lead back to full size.

The published weights were trained while the code applied the first taps twice, so they need `reuse_taps=True`. Such a
file can be recognised: the second taps were never trained, and their biases are still zero.
"""

import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualpix import networks
from dualpix.errors import CheckpointError, reason_of
from dualpix.networks.blank import without_numbers
from dualpix.networks.ifan import IFAN, TAPS

TRAINING_ONLY = "reblurNet."
COMPILED = "_orig_mod."
WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "network", "net")
"""Names below which trainers keep the tensors; the running mean of the weights, which they publish, comes first."""
MOST_WRAPPERS = 4

PLACES = {
    **{f"extract.{level}.{layer}.": f"conv{level + 1}_{layer + 1}." for level in range(4) for layer in range(3)},
    **{f"read.{level}.{layer}.": f"kconv{level + 1}_{layer + 1}." for level in range(4) for layer in range(3)},
    "estimate.": "DME.",
    "embed.": "conv_DME.",
    "fuse.": "conv4_4.",
    "predict.": "F.",
    "filter.": "F.3.",
    "deepen.": "conv_res.",
    **{
        f"up_{size}.{ours}.": f"upconv{scale}_{theirs}."
        for scale, size in ((3, "quarter"), (2, "half"), (1, "full"))
        for ours, theirs in (("raise_size", "u"), ("refine.0", "1"), ("refine.1", "2"))
    },
    "head.": "out_res.",
    "reblur.predict.": f"{TRAINING_ONLY}RBF.",
}
"""How the names of our tensors begin, and how the authors' names do."""


def translate(path: Path, network_name: str, **arguments: Any) -> dict[str, Tensor]:
    """As `weights.foreign.translate`; the network for training alone is left out, unless `reblur=True` asks for it."""
    with without_numbers():
        network = networks.create(network_name, **arguments)
    assert isinstance(network, IFAN)
    found = _shorten(path, _read(path))
    wanted = {ours: _their_name(ours) for ours in network.state_dict()}
    _check_names(path, set(found), set(wanted.values()), drop=network.reblur is None)
    tensors = {}
    for ours, like in network.state_dict().items():
        tensors[ours] = _checked(path, wanted[ours], found[wanted[ours]], tuple(like.shape))
    if not network.filter.reuse_taps and _second_taps_are_untaught(tensors["filter.bias"], network):
        raise CheckpointError(
            f"{path} was trained with the first taps of its filters used twice, as the published weights were; give"
            " reuse_taps=True."
        )
    return tensors


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"There is no weights file {path}; give the file that IFAN's authors publish.")
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is not a PyTorch file of tensors alone, and anything else in one could run a program, so it is not"
            " opened; give the file of weights that IFAN's authors publish."
        ) from error
    except Exception as error:  # Depending on where a file is broken, torch raises nearly anything.
        raise CheckpointError(f"{path} is damaged ({reason_of(error)}); get the file again.") from error
    for _ in range(MOST_WRAPPERS):
        if _is_named_tensors(content):
            return dict(content)
        wrapper = next((name for name in WRAPPERS if isinstance(content, dict) and name in content), None)
        if wrapper is None:
            break
        content = content[wrapper]
    raise CheckpointError(
        f"{path} holds no plain list of named tensors, nor one as {', '.join(WRAPPERS[:-1])} or {WRAPPERS[-1]};"
        " give IFAN's weights."
    )


def _check_archive(path: Path) -> None:
    """Raise ValueError for a zip file that would unpack to more than its own size: `torch.save` compresses nothing."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > file.seek(0, os.SEEK_END):
            raise ValueError("it would become larger than it is, which torch.save never does")


def _is_named_tensors(content: Any) -> bool:
    items = content.items() if isinstance(content, dict) else [(None, None)]
    return all(isinstance(name, str) and isinstance(value, Tensor) for name, value in items)


def _shorten(path: Path, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without `_orig_mod.`, and without `module.` and `Network.` if the names have them throughout."""
    short = {name.replace(COMPILED, ""): tensor for name, tensor in found.items()}
    for prefix, others in (("module.", ()), ("module.", ()), ("Network.", (TRAINING_ONLY,))):
        if all(name.startswith((prefix, *others)) for name in short):
            short = {name.removeprefix(prefix): tensor for name, tensor in short.items()}
    if len(short) < len(found):
        raise CheckpointError(f"{path} holds the same tensor under several names; give IFAN's weights.")
    return short


def _their_name(ours: str) -> str:
    beginning = next(place for place in PLACES if ours.startswith(place))
    rest = ours.removeprefix(beginning)
    # A residual unit is two convolutions with an activation between, which the authors number as a layer of its own.
    rest = re.sub(r"units\.(\d)\.0\.0\.", r"stem.\1.0.", rest)
    rest = re.sub(r"units\.(\d)\.1\.", r"stem.\1.2.", rest)
    return PLACES[beginning] + rest


def _check_names(path: Path, found: set[str], wanted: set[str], drop: bool) -> None:
    missing = sorted(wanted - found)
    left_over = sorted(name for name in found - wanted if not (drop and name.startswith(TRAINING_ONLY)))
    if missing:
        raise CheckpointError(
            f"{path} does not hold the weights of IFAN: {len(missing)} of {len(wanted)} tensors are missing,"
            f" {missing[0]!r} for one; give the file that its authors publish."
        )
    if left_over:
        raise CheckpointError(f"{path} holds {left_over[0]!r}, which IFAN does not have; give its authors' file.")


def _checked(path: Path, name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tensor.is_meta or tensor.is_nested or tensor.layout != torch.strided or not tensor.is_floating_point():
        kind = "no numbers at all" if tensor.is_meta else f"{tensor.dtype}, not plain floating numbers"
        raise CheckpointError(f"{path} does not fit: {name!r} holds {kind}.")
    if tuple(tensor.shape) != shape:
        sizes = (" x ".join(map(str, one)) or "()" for one in (tensor.shape, shape))
        raise CheckpointError(
            f"{path} does not fit: {name!r} is {next(sizes)}, and {next(sizes)} with these arguments; dual, filters and"
            " channels must be those it was trained with."
        )
    plain = tensor.detach().to(torch.float32).contiguous().clone()
    if not bool(plain.isfinite().all()):
        raise CheckpointError(f"{path} holds NaN or infinity in {name!r}: such weights are broken; get the file again.")
    return plain


def _second_taps_are_untaught(bias: Tensor, network: IFAN) -> bool:
    steps, channels = network.filter.steps, network.filter.channels
    taps = bias[: steps * channels * 2 * TAPS].reshape(steps, 2, channels * TAPS)
    return bool((taps[:, 1] == 0).all()) and bool((taps[:, 0] != 0).any())
