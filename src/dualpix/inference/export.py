"""Export a network to a file that other programs run: ONNX, OpenVINO, a program of PyTorch, or ONNX for browsers.

What is written is opened again and compared with the network on pictures of odd sizes; only what agrees is left there.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dualpix import __version__, networks
from dualpix.errors import CheckpointError, MachineError, PictureError, option
from dualpix.inference.deblur import open_network
from dualpix.inference.engines import onnx, openvino, pytorch
from dualpix.inference.engines.conversion import (
    onnx_bytes,
    openvino_model,
    program_bytes,
    round_to_8_bits,
    web_bytes,
)
from dualpix.inference.web_manifest import require_bands, write_manifest
from dualpix.io.writing import make_folder
from dualpix.machine.files import write_whole
from dualpix.machine.modes import settled
from dualpix.networks import Network
from dualpix.networks.blank import without_numbers
from dualpix.networks.export import Graph, graph_of
from dualpix.networks.spec import spec_of
from dualpix.simulation.photos import Tell, read_photos
from dualpix.simulation.samples import Simulated
from dualpix.tables import pick
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import Checkpoint
from dualpix.weights.exported import Exported, exported_of, mark, package

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2", "web": ".onnx"}
"""From each form to the ending of its files."""

COMPANIONS = {"openvino": ".bin", "web": ".json"}
"""The ending of the second file of a form that has two."""

SIZES = ((75, 118), (97, 61), (33, 160))
"""Height and width of the pictures by which a file is compared with the network."""

SHIPPED_LICENCE = "Apache-2.0"
"""That of the weights inside this package, whose files do not say it; `weights/README.md` does."""

MOST = {"fp32": 1e-4, "fp16": 1e-3, "int8": 0.1}
"""The greatest difference that is accepted. In 8 bits, single pixels of the test pictures (noise) can err much."""

PAIRS, PAIR_PX = 6, 256
"""How many simulated pairs set the 8-bit scales, and their width and height."""


@dataclass(frozen=True)
class Export:
    """What was exported.

    Args:
        path: The file written.
        difference: The greatest difference from the network's own output in any of `sizes`, for values in [0, 1].
        sizes: Height and width of the pictures compared.
        facts: The metadata in the file.
        notes: One sentence for each thing that looks odd about the photographs.
    """

    path: Path
    difference: float
    sizes: tuple[tuple[int, int], ...]
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()


@settled()
def export(
    weights: str | Path | Checkpoint | None = None,
    to: str = "onnx",
    output: str | Path = "network.onnx",
    *,
    int8: bool = False,
    photos: Sequence[str | Path] = (),
    overwrite: bool = False,
) -> Export:
    """Write a network as a file for another program, after comparing its output with the network's own.

    The file takes views as 1 x 3 x H x W in [0, 1] under their names, of any height and width, and gives `sharp`, not
    clipped. For "web", weights are stored in 16 bits, and a `.json` beside the file says how to run it in bands
    (`dualpix.inference.web_manifest`).

    Args:
        weights: As `deblur` takes them, but no file that was exported already.
        to: The form, a key of `SUFFIXES`.
        output: The file to write; the form's ending is added if it is missing.
        int8: For OpenVINO, convolutions in 8 bits.
        photos: Folders of photographs: simulated pairs from them set the 8-bit scales, instead of the bundled pair.
        overwrite: Replace an existing file.

    Raises:
        MachineError: A package is missing, or the file does not compute what the network does.
        CheckpointError: The weights cannot be exported, or the file exists.
        PictureError: The output cannot be written.
        DataError: A folder of photographs holds none.
        RecipeError: There is no such form.
    """
    suffix = pick(SUFFIXES, to, "form")
    path = Path(output)
    path = path if path.suffix == suffix else path.with_name(path.name + suffix)
    if int8 and to != "openvino":
        raise MachineError(f"Only files for openvino can have 8 bits, not {to}; leave {option('int8')} out.")
    if photos and not int8:
        raise MachineError(f"Photographs are used only for 8-bit files; give {option('int8')} too.")
    if path.is_dir() or (path.exists() and not overwrite):
        raise CheckpointError(f"{path} exists already; choose another name, or give {option('overwrite')}.")
    opened = weights if isinstance(weights, Checkpoint) else checkpoint.load(weights or checkpoint.DEFAULT_WEIGHTS)
    network = open_network(opened)
    if exported_of(network) is not None:
        raise CheckpointError(f"{opened.path} was exported already; give the .safetensors file it came from.")
    if to == "web":
        require_bands(cast(nn.Module, network))
    graph = graph_of(cast(nn.Module, network))
    notes: list[str] = []
    if int8:
        round_to_8_bits(graph, _pairs(graph, photos, notes.append))
    facts = facts_of(opened, "int8" if int8 else "fp16" if to == "web" else "fp32")
    make_folder(path.parent)
    # Under another name until it is known to be right.
    trial = path.with_name(f".dualpix-{secrets.token_hex(8)}{suffix}")
    try:
        _write(trial, to, graph, facts)
        difference = _compare(trial, to, opened, facts["precision"])
        if not difference <= MOST[facts["precision"]]:
            raise MachineError(
                f"{path} was not written: its output would differ by {difference:.2g} from that of the network, more "
                f"than the {MOST[facts['precision']]:g} allowed; try another version of the engine."
            )
        if to == "web":
            write_manifest(trial, path.name, opened, graph, facts | {"difference": difference})
        for file in _files(trial, to):
            file.replace(path.with_suffix(file.suffix))
    except OSError as error:
        raise PictureError(
            f"{path} cannot be written: {error.strerror or error}; make room there, or choose another place."
        ) from error
    finally:
        for file in _files(trial, to):
            file.unlink(missing_ok=True)
    return Export(path, difference, SIZES, facts, tuple(notes))


def facts_of(opened: Checkpoint, precision: str) -> dict[str, Any]:
    """Return what the checkpoint says about itself, with the licence and the version of this package."""
    return {
        "format": checkpoint.FORMAT,
        "network": opened.name,
        "arguments": opened.arguments,
        "recipe": opened.recipe,
        "scores": opened.scores,
        "extra": opened.extra,
        "licence": opened.extra.get("licence") or (SHIPPED_LICENCE if _is_shipped(opened) else "unknown"),
        "precision": precision,
        "version": __version__,
    }


def _is_shipped(opened: Checkpoint) -> bool:
    here = Path(checkpoint.__file__).parent
    return opened.path in [here / name for name in checkpoint.WEIGHTS.values()]


def _pairs(graph: Graph, photos: Sequence[str | Path], tell: Tell) -> list[list[Tensor]]:
    if not photos:
        return [openvino.bundled_views(graph)]
    samples = Simulated(read_photos(photos, PAIR_PX, tell), PAIR_PX, PAIRS)
    return [[cast(Tensor, sample[view]) for view in graph.spec.views] for sample in (samples[i] for i in range(PAIRS))]


def _files(path: Path, to: str) -> list[Path]:
    """The files that a form consists of, the one that is opened last."""
    return [*([path.with_suffix(COMPANIONS[to])] if to in COMPANIONS else []), path]


def _write(path: Path, to: str, graph: Graph, facts: Mapping[str, Any]) -> None:
    if to == "openvino":
        openvino.save(package("openvino", "openvino"), openvino_model(graph, facts), path)
    else:
        made_by = {"onnx": onnx_bytes, "torch": program_bytes, "web": web_bytes}[to]
        write_whole(path, made_by(graph, facts))


def _compare(path: Path, to: str, opened: Checkpoint, precision: str) -> float:
    """The greatest difference between the outputs of the file and of the network."""
    network = cast(Network, opened.network)
    original = pytorch.Runner(network, "fp32", "cpu")
    if to == "torch":
        program = torch.export.load(path).module()

        def run(views: Sequence[Tensor]) -> Tensor:
            with torch.no_grad():
                named = {name: view[None] for name, view in zip(spec_of(opened.network).views, views, strict=True)}
                return cast(Tensor, program(**named)[0])
    else:
        with without_numbers():
            shape = networks.create(opened.name, **opened.arguments)
        mark(shape, Exported(path, precision))
        runner = openvino.OpenvinoRunner if to == "openvino" else onnx.OnnxRunner
        run = runner(cast(Network, shape), precision, "cpu")
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for height, width in SIZES:
        views = [torch.rand(3, height, width, generator=generator) for _ in spec_of(opened.network).views]
        worst = max(worst, float((run(views) - original(views)).abs().max()))
    return worst
