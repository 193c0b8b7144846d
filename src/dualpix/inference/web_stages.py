"""The shipped network in stages, as the page that computes in a browser loads it: a file for each, and facts.

`networks.export.stages` says what the stages are. One more part finds the disparity by which several scales are joined.
What is written is run stage by stage and compared with the network before it is left there.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.errors import MachineError
from dualpix.inference.engines.conversion import web_part_bytes
from dualpix.inference.engines.memory import measure_cost
from dualpix.inference.export import MOST, facts_of
from dualpix.inference.finder import Finder, disparity_of
from dualpix.inference.summary import trained_px
from dualpix.inference.web_manifest import WORKSPACE_FACTOR, check_pair
from dualpix.io.writing import make_folder
from dualpix.machine.files import write_whole
from dualpix.networks import Network
from dualpix.networks.export import Graph, graph_of
from dualpix.networks.export.layers import GraphCorrelation
from dualpix.networks.export.stages import VIEW, Features, Stage, stages_of
from dualpix.networks.export.winograd import by_winograd
from dualpix.weights import checkpoint
from dualpix.weights.exported import package

SAMPLE_ROWS, SAMPLE_COLUMNS = 80, 336
"""Of the picture that is traced. At a quarter of its size rows are of several blocks of the correlation; those of one
block would give graphs for such rows alone.
"""

CHECKED = ((96, 560), (16, 48))
"""Rows and columns of pictures on which files are compared with the network."""

PAD_COLUMNS = 5
"""Of these, so many are padding."""

PROBE_ROWS, PROBE_COLUMNS = 512, 512
"""Of the picture whose tensors are counted; none is computed. With few rows, kernels would be the most of them."""

WIDTH = "width"
"""The argument that says how many columns of the picture are no padding."""


class Find(nn.Module):
    """Both views 1 3 H W -> disparity in pixels and confidence, 1 2 H W, as `finder.Finder` finds them."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        network = graph.network
        self.stem, self.encode, self.correlate = network.stem, network.encode_half, network.correlate_half

    def forward(self, left: Tensor, right: Tensor, width: Tensor) -> Tensor:
        """`width`: columns that are no padding, of shape 1."""
        correlate = cast(GraphCorrelation, self.correlate)
        half = cast(nn.Module, self.encode)(cast(nn.Module, self.stem)(F.pixel_unshuffle(torch.cat([left, right]), 2)))
        normed = correlate.norm.pixels(half)  # 2 H/2 W/2 C
        seen = F.linear(normed, correlate.project)
        reach, columns = correlate.max_disparity, (width + 1) // 2
        forth = log_attention(seen[:1], normed[1:], reach, columns)
        back = log_attention(seen[1:], normed[:1], reach, columns)
        return disparity_of(forth, back, left, right, 2)


def log_attention(query: Tensor, key: Tensor, reach: int, width: Tensor) -> Tensor:
    """`networks.layers.correlation.log_attention` in plain operations: B H W C each -> B 2reach+1 H W.

    `query` is scaled already; `width`: the number of valid columns, of shape 1.
    """
    columns = key.shape[2]
    wide = F.pad(key, (0, 0, reach, reach))
    scores = torch.stack([(query * wide[:, :, k : k + columns]).sum(-1) for k in range(2 * reach + 1)], 1)
    place = torch.arange(columns, device=key.device)
    seen = place + torch.arange(-reach, reach + 1, device=key.device)[:, None]
    is_there = ((seen >= 0) & (seen < width) & (place < width))[None, :, None]
    return torch.where(is_there, scores, -torch.inf).log_softmax(1).masked_fill(~is_there, -torch.inf)


def export_stages(folder: str | Path) -> Path:
    """Write the shipped network in stages, and `network.json`, which says how they are run.

    Args:
        folder: Where to; it is made if it does not exist, and files in it are replaced.

    Returns:
        The path of `network.json`.

    Raises:
        MachineError: A package is missing, or the files do not compute what the network does.
        PictureError: The folder cannot be made.
    """
    opened = checkpoint.load(checkpoint.DEFAULT_WEIGHTS)
    graph = graph_of(opened.network)
    by_winograd(graph)
    *stages, find = _stages(graph, opened.network)
    contents = _contents((*stages, find))
    difference = max(_difference(opened.network, (*stages, find), contents, *size) for size in CHECKED)
    if not difference <= MOST["fp16"]:
        raise MachineError(
            f"The network in stages was not written: its output would differ by {difference:.2g}, more than the"
            f" {MOST['fp16']:g} allowed; try another version of the engine."
        )
    place = Path(folder)
    make_folder(place)
    for name, content in contents.items():
        write_whole(place / f"{name}.onnx", content)
    facts = facts_of(opened, "fp16")
    manifest = {
        "network": opened.name,
        "weights": Path(opened.path).stem,
        "licence": facts["licence"],
        "version": facts["version"],
        "difference": difference,
        "size_multiple": graph.spec.size_multiple,
        "trained_px": trained_px(opened.recipe),
        "check": check_pair(opened.network),
        "stages": [_told(stage, contents[stage.name]) for stage in stages],
        "find": _told(find, contents["find"]),
    }
    write_whole(place / "network.json", (json.dumps(manifest) + "\n").encode())
    return place / "network.json"


def _stages(graph: Graph, network: nn.Module) -> tuple[Stage, ...]:
    """Those that make the picture, and the one that finds the disparity."""
    reach_px = Finder(cast(Network, network)).spec.receptive_radius_px
    assert reach_px is not None
    views = {"left": VIEW, "right": VIEW}
    find = Stage("find", Find(graph).eval(), views, {"found": Features(1, 2, 1)}, reach_px, 16, takes_width=True)
    return (*stages_of(graph, network), find)


def _contents(stages: Sequence[Stage]) -> dict[str, bytes]:
    """Of the file of each stage, by its name."""
    samples, contents = _views(SAMPLE_ROWS, SAMPLE_COLUMNS), dict[str, bytes]()
    for stage in stages:
        given = {name: samples[name] for name in _arguments(stage)}
        contents[stage.name] = web_part_bytes(stage.module, given, list(stage.outputs))
        with torch.no_grad():
            made = stage.module(*given.values())
        samples |= dict(zip(stage.outputs, made if isinstance(made, tuple) else (made,), strict=True))
    return contents


def _arguments(stage: Stage) -> list[str]:
    return [*stage.inputs, *([WIDTH] if stage.takes_width else [])]


def _views(rows: int, columns: int) -> dict[str, Tensor]:
    """Noise, of which some columns count as padding."""
    generator = torch.Generator().manual_seed(0)
    views = {name: torch.rand(1, 3, rows, columns, generator=generator) for name in ("left", "right")}
    return views | {WIDTH: torch.tensor([columns - PAD_COLUMNS])}


def _difference(
    network: nn.Module, stages: Sequence[Stage], contents: Mapping[str, bytes], rows: int, columns: int
) -> float:
    """How far, in [0, 1], the picture is from what the network gives at most, or the confidence in the mean.

    In noise one offset wins over another by so little that rounding the weights to 16 bits decides, in single pixels.
    """
    found = _views(rows, columns)
    left, right, width = found["left"], found["right"], columns - PAD_COLUMNS
    for stage in stages:
        found |= _run(contents[stage.name], {name: found[name] for name in _arguments(stage)})
    with torch.no_grad():
        sharp = network(left, right, width=width)
        confidence = Finder(cast(Network, network))(left, right, width)[:, 1:]
    off, unsure = found["sharp"] - sharp, found["found"][:, 1:] - confidence
    return max(float(off[..., :width].abs().max()), float(unsure[..., :width].abs().mean()))


def _run(content: bytes, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a file gives for `given`, in ONNX Runtime."""
    session = package("onnxruntime", "onnx").InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    made = session.run(names, {name: value.numpy() for name, value in given.items()})
    return {name: torch.from_numpy(value) for name, value in zip(names, made, strict=True)}


def _told(stage: Stage, content: bytes) -> dict[str, Any]:
    """What the page must know of a stage; features as [batch, channels, step_px]."""
    kinds = {
        kind: {name: [one.batch, one.channels, one.step_px] for name, one in features.items()}
        for kind, features in (("inputs", stage.inputs), ("outputs", stage.outputs))
    }
    return {
        "file": f"{stage.name}.onnx",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **kinds,
        "takes_width": stage.takes_width,
        "reach_px": stage.reach_px,
        "multiple_px": stage.multiple_px,
        "bytes_per_px": _bytes_per_px(stage),
    }


def _bytes_per_px(stage: Stage) -> int:
    """Bytes that the engine holds at most for each pixel of the picture that is computed at once."""
    module = copy.deepcopy(stage.module).to("meta")
    width = [torch.tensor([PROBE_COLUMNS], device="meta")] if stage.takes_width else []

    def run(rows: int) -> None:
        given = [
            torch.zeros(one.batch, one.channels, rows // one.step_px, PROBE_COLUMNS // one.step_px, device="meta")
            for one in stage.inputs.values()
        ]
        with torch.no_grad():
            module(*given, *width)

    return round(measure_cost(run, PROBE_ROWS, 0, 1, WORKSPACE_FACTOR).row_bytes / PROBE_COLUMNS)
