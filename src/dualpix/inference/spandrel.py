"""Our networks for programs that load models by spandrel, as chaiNNer does: found by what a file holds.

spandrel hands an architecture the tensors of a file and nothing of its header, where ours say which network it is and
with which arguments. So it is told from the tensors of the weights that are shipped, or from a tensor `KEY` that holds
the header's text, which `save` writes; nothing is guessed from shapes, which do not tell how far a correlation looks.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor, nn

from dualpix import networks
from dualpix.errors import CheckpointError, DualpixError, how_to_install, reason_of
from dualpix.inference.engines.pytorch import adds_input, padded_views
from dualpix.machine.files import parse_json, write_whole
from dualpix.weights import checkpoint

try:
    import spandrel
except ImportError as error:
    raise DualpixError(f"Descriptors of models need spandrel: {how_to_install('spandrel')}.") from error
except RuntimeError as error:  # of PyTorch: "operator torchvision::nms does not exist"
    raise DualpixError(
        f"spandrel cannot be imported ({reason_of(error)}); install the torchvision that belongs to PyTorch"
        f" {torch.__version__}, from where that came from."
    ) from error

KEY = "dualpix"
"""The tensor of bytes that holds `network` and `arguments` as JSON."""

OWN_TENSORS = {"mccnet": "cc1.project.weight", "mccnet-fast": "correlate_half.project.weight"}
"""A tensor by which shipped networks are told from others, so that a file of ours without arguments is named as one."""

Tensors = Mapping[str, Tensor]


class DualpixArchitecture(spandrel.Architecture[nn.Module]):
    """One network of `dualpix.NETWORKS` as spandrel knows architectures; its identity is "dualpix-" and the name.

    Args:
        name: A key of `dualpix.NETWORKS`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(id=f"dualpix-{name}", name=name, detect=partial(_holds, name))

    def load(self, state_dict: dict[str, Any]) -> "DualpixDescriptor":
        """Describe the network that the tensors belong to.

        Raises:
            CheckpointError: They do not say with which arguments it was made, or do not fit it.
        """
        tensors = {key: value for key, value in state_dict.items() if key != KEY}
        checkpoint.check_finite(tensors, f"Weights of {self.name}")
        arguments = _card(state_dict)["arguments"] if KEY in state_dict else _shipped_arguments(self.name, tensors)
        return DualpixDescriptor(self, networks.create(self.name, **arguments), tensors)


class DualpixDescriptor(spandrel.ImageModelDescriptor[nn.Module]):
    """A network of ours, with its weights, as spandrel describes models; `tags` are its views.

    Args:
        architecture: What it is.
        network: One of that architecture; it is changed in place.
        tensors: Its weights.

    Raises:
        CheckpointError: They do not fit the network.
    """

    def __init__(self, architecture: DualpixArchitecture, network: nn.Module, tensors: Tensors) -> None:
        spec = networks.spec_of(network)
        # A pixel that looks along the whole row sees another row in a tile.
        sees_all = any(getattr(layer, "max_disparity", 0) is None for layer in network.modules())
        try:
            super().__init__(
                network.eval(),
                dict(tensors),
                architecture=architecture,
                purpose="Restoration",
                tags=list(spec.views),
                supports_half=architecture.name in OWN_TENSORS,  # measured
                supports_bfloat16=True,
                scale=1,
                input_channels=3 * len(spec.views),
                output_channels=3,
                size_requirements=spandrel.SizeRequirements(spec.size_multiple, spec.size_multiple),
                tiling=spandrel.ModelTiling.DISCOURAGED if sees_all else spandrel.ModelTiling.SUPPORTED,
            )
        except RuntimeError as error:  # of PyTorch, whose text lists every tensor
            reason = str(error).splitlines()[-1].strip()
            raise CheckpointError(f"The weights do not fit {architecture.name}: {reason}") from error

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        """Deblur views of any size.

        What sides lack to `size_requirements` is filled up by repeating the edge and hidden from the correlation, as
        `dualpix.deblur` does; spandrel would reflect it, and the last columns would be matched with reflections.

        Args:
            image: The views stacked as channels in the order of `tags`, B x 3 views x H x W, display-encoded in
                [0, 1]; of the model's device and number format.

        Returns:
            The sharp picture, B x 3 x H x W in [0, 1], of the same device and format.

        Raises:
            ValueError: For another number of dimensions or channels.
        """
        if image.ndim != 4 or image.shape[1] != self.input_channels:
            raise ValueError(
                f"an image of shape {tuple(image.shape)} was given; stack {' and '.join(self.tags)} as"
                f" B x {self.input_channels} x H x W"
            )
        views = image.chunk(len(self.tags), 1)
        padded, masked = padded_views(views, networks.spec_of(self.model))
        added = adds_input(cast(networks.Network, self.model))
        call = self.model.eval().correction if added else self.model.eval()
        output: Tensor = call(*padded, **masked)[..., : image.shape[2], : image.shape[3]].float()
        if added:
            output = output + torch.stack(views).float().mean(0)  # which half precision would round
        return output.clamp(0, 1).to(image.dtype)


def install(registry: spandrel.ArchRegistry = spandrel.MAIN_REGISTRY) -> list[spandrel.ArchSupport]:
    """Let `spandrel.ModelLoader` know our networks, before any others that take the same tensors for theirs.

    Args:
        registry: Which loaders look into; without one of your own, that of all loaders.

    Returns:
        What was added: nothing at the second call.
    """
    others = tuple(
        support.architecture.id for support in registry if not support.architecture.id.startswith("dualpix-")
    )
    ours = (DualpixArchitecture(name) for name in networks.NETWORKS)
    added: list[spandrel.ArchSupport] = registry.add(
        *(spandrel.ArchSupport.from_architecture(architecture, others) for architecture in ours), ignore_duplicates=True
    )
    return added


def describe(weights: str | Path = checkpoint.DEFAULT_WEIGHTS) -> "DualpixDescriptor":
    """Any weights of ours as spandrel describes models.

    Args:
        weights: As `dualpix.load` takes them, but no file for another engine.

    Returns:
        In float32, on the CPU.

    Raises:
        CheckpointError: As `dualpix.load` does, and for a file for another engine.
    """
    found = _loaded(weights)
    return DualpixDescriptor(DualpixArchitecture(found.name), found.network, found.network.state_dict())


def save(path: str | Path, weights: str | Path) -> Path:
    """Write weights so that `spandrel.ModelLoader`, once told by `install`, opens them.

    Args:
        path: A `.safetensors` file; folders that are missing are made, and it appears whole or not at all.
        weights: As `describe` takes them.

    Returns:
        The path.

    Raises:
        CheckpointError: As `describe` does; for another ending, which spandrel could not read, and a file that cannot
            be written.
    """
    place = Path(path)
    if place.suffix != ".safetensors":
        raise CheckpointError(f"{place} does not end in .safetensors; choose such a name.")
    found = _loaded(weights)
    tensors = dict(found.network.state_dict())
    card = json.dumps({"network": found.name, "arguments": found.arguments}).encode()
    tensors[KEY] = torch.frombuffer(bytearray(card), dtype=torch.uint8)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, safetensors.torch.save(tensors))
    except OSError as error:
        raise CheckpointError(f"{place} cannot be written: {error.strerror or error}; choose another place.") from error
    return place


def _loaded(weights: str | Path) -> checkpoint.Checkpoint:
    found = checkpoint.load(weights)
    if next(found.network.parameters()).is_meta:
        raise CheckpointError(f"{weights} is for another engine; give the .safetensors file it was exported from.")
    return found


def _holds(name: str, state_dict: Tensors) -> bool:
    if KEY in state_dict:
        return bool(_card(state_dict)["network"] == name)
    return name in OWN_TENSORS and OWN_TENSORS[name] in state_dict


def _card(state_dict: Tensors) -> dict[str, Any]:
    """`network` and `arguments`, as `save` wrote them."""
    held = state_dict[KEY]
    try:
        card = parse_json(bytes(held.cpu().numpy())) if held.dtype == torch.uint8 else None
    except ValueError:
        card = None
    if not isinstance(card, dict) or not isinstance(card.get("network"), str):
        card = None
    if card is None or not isinstance(card.get("arguments"), dict):
        raise CheckpointError(
            f"The weights are damaged: their tensor {KEY!r} does not name a network and its arguments; save them again."
        )
    return card


def _shipped_arguments(name: str, tensors: Tensors) -> dict[str, Any]:
    shipped = checkpoint.find(name)
    known = safetensors.torch.load_file(shipped)
    if known.keys() != tensors.keys() or not all(_equal(known[key], tensors[key]) for key in known):
        raise CheckpointError(
            f"These weights look like those of {name}, but do not say with which arguments it was made; write them by"
            " `dualpix.inference.spandrel.save`, which takes any file of weights that dualpix made."
        )
    arguments: dict[str, Any] = checkpoint.read_card(name)["arguments"]
    return arguments


def _equal(shipped: Tensor, given: Tensor) -> bool:
    return shipped.shape == given.shape and torch.equal(shipped.to(given.dtype), given.cpu())
