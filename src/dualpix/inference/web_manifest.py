"""What a page must know of a network to run it in bands: a JSON file beside the exported network.

A browser tab neither measures its memory nor reads a network's record, so both are written down when it is exported.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dualpix.errors import CheckpointError
from dualpix.inference.engines.memory import measure_cost
from dualpix.inference.summary import trained_px
from dualpix.machine.files import write_whole
from dualpix.networks.export import Graph
from dualpix.networks.spec import spec_of
from dualpix.weights.checkpoint import Checkpoint

PROBE_ROWS, PROBE_WIDTH = 64, 512
"""Rows and columns of the picture whose tensors are counted; none is computed."""

CHECK_ROWS, CHECK_WIDTH = 16, 48
"""Of the small pair in the file; they divide by what any network here needs."""

WORKSPACE_FACTOR = 0.85
"""Memory of an engine in WebAssembly over that of the tensors that live at once (`results/browser.md`)."""


def require_bands(network: nn.Module) -> None:
    """Raise `CheckpointError` unless the network runs in bands of rows of a left and a right view."""
    spec = spec_of(network)
    if spec.receptive_radius_px is None or spec.views != ("left", "right"):
        raise CheckpointError(
            f"A browser has memory for bands of rows only, and {type(network).__name__} takes"
            f" {' and '.join(spec.views)}, and whole pictures at once; give the weights of a network that takes bands"
            " of a left and a right view, such as mccnet-fast."
        )


def write_manifest(file: Path, name: str, opened: Checkpoint, graph: Graph, facts: Mapping[str, Any]) -> None:
    """Write `file` with the ending .json.

    Args:
        file: The exported network.
        name: What the file will be called.
        opened: The checkpoint that it was made of.
        graph: What was exported.
        facts: Its `licence` and `version`, and its greatest `difference` from the checkpoint's network.
    """
    spec = graph.spec
    content = file.read_bytes()
    manifest = {
        "file": name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "network": opened.name,
        "weights": Path(opened.path).stem,
        "licence": facts["licence"],
        "version": facts["version"],
        "difference": facts["difference"],
        "size_multiple": spec.size_multiple,
        "receptive_radius_px": spec.receptive_radius_px,
        "bytes_per_px": _bytes_per_px(graph),
        "trained_px": trained_px(opened.recipe),
    }
    manifest["check"] = check_pair(opened.network)
    write_whole(file.with_suffix(".json"), (json.dumps(manifest) + "\n").encode())


def check_pair(network: nn.Module) -> dict[str, Any]:
    """A small pair and what the network makes of it, by which a page sees that its engine computes as it should."""
    generator = torch.Generator().manual_seed(0)
    views = [torch.rand(1, 3, CHECK_ROWS, CHECK_WIDTH, generator=generator).mul(100).round() / 100 for _ in range(2)]
    with torch.no_grad():
        sharp = network(*views)
    named = {"left": views[0], "right": views[1], "sharp": sharp}
    lists = {name: [round(value, 5) for value in picture.flatten().tolist()] for name, picture in named.items()}
    return {"width": CHECK_WIDTH, "height": CHECK_ROWS} | lists


def _bytes_per_px(graph: Graph) -> int:
    """Bytes that the engine holds at most for each pixel that is computed at once."""
    shape = graph.to("meta")

    def run(rows: int) -> None:
        with torch.no_grad():
            shape(*(torch.zeros(1, 3, rows, PROBE_WIDTH, device="meta") for _ in shape.spec.views))

    return round(measure_cost(run, PROBE_ROWS, 0, 1, WORKSPACE_FACTOR).row_bytes / PROBE_WIDTH)
