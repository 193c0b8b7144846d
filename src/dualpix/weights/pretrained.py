"""Networks as plain modules, read and written the way other libraries of the field do: a folder with a model card."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dualpix import networks
from dualpix.errors import CheckpointError
from dualpix.machine.files import write_whole
from dualpix.weights import checkpoint, hub

CONFIG, CARD = "config.json", "README.md"
TAGS = ("dual-pixel", "defocus-deblurring", "image-restoration", "photography")


def from_pretrained(
    path_or_name: str | Path, *, revision: str | None = None, device: str | torch.device = "cpu"
) -> nn.Module:
    """A network with its weights, in float32 and eval mode, as a plain `nn.Module`.

    Args:
        path_or_name: shipped weights (`WEIGHTS`), a `.safetensors` file, a folder that holds `model.safetensors`, or a
            repository of the Hugging Face hub, "owner/name" or "owner/name@revision" (extra `hub`).
        revision: a branch, tag or commit of that repository.
        device: where the network goes.

    Returns:
        The network: views B x 3 x H x W, display-encoded and in [0, 1], give the sharp picture B x 3 x H x W, not
        clipped. Its `spec` says which views it takes and by what their sides divide; `network.save_pretrained(folder)`
        writes it.

    Raises:
        CheckpointError: as `load` does; for a revision of something that is no repository.

    Example:
        >>> import dualpix
        >>> network = dualpix.from_pretrained("mccnet-fast")
        >>> network.spec.views
        ('left', 'right')
    """
    if revision is not None:
        if not hub.is_repository(str(path_or_name)):
            raise CheckpointError(f"{path_or_name} is no repository of the hub and has no revision {revision!r}.")
        path_or_name = hub.fetch(str(path_or_name), revision)
    found = checkpoint.load(path_or_name, device)
    network = found.network
    # As an attribute, since networks inherit from nothing of ours; what is saved is the network's state of that moment.
    object.__setattr__(
        network,
        "save_pretrained",
        partial(
            save_pretrained,
            network,
            name=found.name,
            arguments=found.arguments,
            recipe=found.recipe,
            scores=found.scores,
            extra=found.extra,
        ),
    )
    return network


def save_pretrained(
    network: nn.Module,
    folder: str | Path,
    *,
    name: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    dtype: str = "fp32",
    licence: str = "apache-2.0",
) -> Path:
    """Write a network as the Hugging Face hub expects it: `model.safetensors`, `config.json`, and a card `README.md`.

    Upload the folder with `hf upload owner/name FOLDER`. A card that is there already stays, since people edit it.

    Args:
        network: of `create` or `from_pretrained`, or your own of a table's kind with `name`.
        folder: made if it is not there.
        name: of the network, as `create` takes it; None for what a network of `create` remembers.
        arguments: with which `create` makes it.
        recipe: how it was trained, as plain JSON values.
        scores: what it reached; numbers are shown on the card.
        extra: what else the file is to say.
        dtype: how numbers are stored: "fp32", "bf16" or "fp16".
        licence: of the weights, as the hub names it, for the card.

    Returns:
        The folder.

    Raises:
        CheckpointError: for a network that does not remember what made it, numbers that are not finite, and a folder
            that cannot be written.
    """
    made = networks.made_as(network)
    if name is None:
        if made is None:
            kind = type(network).__name__
            raise CheckpointError(
                f"{kind} was not made by `create`; give name= and arguments= of the table of networks."
            )
        name, arguments = made
    place = Path(folder)
    checkpoint.save(place / hub.FILE, network, name, arguments, recipe, scores, extra=extra, dtype=dtype)
    config = {"library_name": "dualpix", "model_type": name, "arguments": dict(arguments or {}), "dtype": dtype}
    try:
        write_whole(place / CONFIG, json.dumps(config, indent=2, sort_keys=True).encode() + b"\n")
        if not (place / CARD).exists():
            write_whole(place / CARD, _card(network, name, dict(scores or {}), licence).encode())
    except OSError as error:
        raise CheckpointError(f"{place} cannot be written: {error.strerror or error}; choose another place.") from error
    return place


def _card(network: nn.Module, name: str, scores: dict[str, Any], licence: str) -> str:
    """The model card: what the hub shows and searches, and how the weights are used."""
    tags = "".join(f"- {tag}\n" for tag in (*TAGS, name))
    spec = networks.spec_of(network)
    made = "one picture that is sharp everywhere"
    deblurs = 'sharp = dualpix.deblur("left.png", "right.png", weights="owner/name")   # a photograph\n'
    if name in networks.DEFOCUS_ESTIMATORS:
        made, deblurs = "a map of its blur: the radius in pixels", ""
    count = sum(parameter.numel() for parameter in network.parameters())
    figures = {key: value for key, value in scores.items() if isinstance(value, int | float)}
    table = "".join(f"| {key} | {value:.4g} |\n" for key, value in figures.items())
    return (
        f"---\nlicense: {licence}\nlibrary_name: dualpix\npipeline_tag: image-to-image\ntags:\n{tags}---\n\n"
        f"# {name}\n\nTurns the {' and the '.join(spec.views)} view of a dual-pixel photograph into {made}."
        f" {count:,} parameters.\n\n```python\nimport dualpix\n\n{deblurs}"
        'network = dualpix.from_pretrained("owner/name")                         # a plain torch.nn.Module\n```\n'
        + (f"\n| score | value |\n|---|---:|\n{table}" if table else "")
    )
