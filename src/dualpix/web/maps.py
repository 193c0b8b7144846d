"""Maps of a job beside its result, made when they are asked for: files as `dualpix deblur --depth-mask` writes them.

The disparity is found once, and kept with the job; that for metres is a finer one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dualpix.inference.disparity import Disparity, disparity
from dualpix.inference.maps import ENDINGS, FoundMaps, Maps, encode_maps, lay_maps
from dualpix.inference.metres import describe_metres
from dualpix.inference.optics import Optics
from dualpix.inference.options import DeblurOptions
from dualpix.io import Metadata, write_picture
from dualpix.pairs import Views, restore_orientation
from dualpix.pairs.turning import lay_like
from dualpix.web.planes import PICTURE_PX, SharpPart, matte_of
from dualpix.weights.checkpoint import Checkpoint

FOUND, REFINED = "found.npy", "refined.npy"
KINDS = {kind.replace("_", "-").removesuffix("-out"): kind for kind in ENDINGS if kind != "sweep"}
"""The maps by the names that addresses have for them, as fields of `Maps`; a sweep has an address of its own."""

FARTHEST_MM = 2**24 - 1
OpticsGiven = Mapping[str, float | None]


@dataclass(frozen=True)
class WantedMap:
    """A map that is asked for.

    Args:
        kind: A field of `Maps`.
        suffix: Of its file: .png or .tif.
        optics: For metres: what the user says of them, as keywords of `Optics.of`.
        part: For the mask: what is made sharp.
    """

    kind: str
    suffix: str
    optics: OpticsGiven = field(default_factory=dict)
    part: SharpPart | None = None


def make_map(
    folder: Path, path: Path, picture: Tensor, views: Views, metadata: Metadata, wanted: WantedMap,
    checkpoint: Checkpoint, options: DeblurOptions,
) -> None:  # fmt: skip
    """Write a map into the file `path`.

    Args:
        folder: The job's.
        path: The new file; its ending is that of `wanted`.
        picture: The result, 3 x H x W, lying as the files do.
        views: The pair, along the rows.
        metadata: Of the sharp picture.
        wanted: Which map.
        checkpoint: The weights that find the disparity.
        options: Memory and device count.

    Raises:
        DataError: For metres: an impossible value, or one that is neither given nor in the EXIF block.
        CheckpointError: The weights give no disparity.
        PictureError, FileNotFoundError: As `matte_of` does.
    """
    maps = Maps(**{wanted.kind: path})  # type: ignore[arg-type]
    if wanted.part is not None:
        made = FoundMaps(restore_orientation(matte_of(folder, lay_like(picture, views), views, wanted.part), views))
    else:
        optics = Optics.of(views, **wanted.optics) if wanted.kind == "metres" else None
        made = lay_maps(maps, views, _found(folder, views, optics, checkpoint, options), optics)
    (file,) = encode_maps(maps, made, metadata).values()
    path.write_bytes(file.data)


def show_distances(
    folder: Path, path: Path, views: Views, given: OpticsGiven, checkpoint: Checkpoint, options: DeblurOptions
) -> tuple[str, tuple[str, ...]]:
    """Write distances as a small picture for the page, and tell of them.

    Red x 65536 + green x 256 + blue is millimetres; all of 16777215 stands for infinity.

    Returns:
        The median distance and the optics in words, and notes.

    Raises:
        DataError, CheckpointError: As `make_map` does.
    """
    optics = Optics.of(views, **given)
    found = _found(folder, views, optics, checkpoint, options)
    assert found.depth_m is not None
    plain = Metadata(orientation=views["metadata"].orientation)
    write_picture(path, restore_orientation(coded_mm(found.depth_m), views), 8, True, plain)
    return f"{describe_metres(found, optics)} ({optics})", found.warnings


def coded_mm(depth_m: Tensor) -> Tensor:
    """Distances, 1 H W in metres, as the bytes of a small picture, 3 h w: single ones, since infinity has no mean."""
    step = max(1, -(-max(depth_m.shape[1:]) // PICTURE_PX))
    millimetres = (1000 * depth_m[0, step // 2 :: step, step // 2 :: step].double()).round().clamp(0, FARTHEST_MM)
    levels = [(millimetres / 65536).floor(), (millimetres / 256).floor() % 256, millimetres % 256]
    return (torch.stack(levels) / 255).float()


def _found(
    folder: Path, views: Views, optics: Optics | None, checkpoint: Checkpoint, options: DeblurOptions
) -> Disparity:
    """Disparity and confidence along the rows; with optics the refined one, and the depth."""
    path = folder / (FOUND if optics is None else REFINED)
    if path.exists():
        both = torch.from_numpy(np.load(path))
        depth_m = None if optics is None else optics.depth_m(both[:1])
        return Disparity(both[:1], both[1:], () if optics is None else optics.warnings, depth_m)
    found = disparity(
        views["left"], views["right"], checkpoint, memory=options.memory, band_rows=options.band_rows,
        device=options.device, turn="none", metres=optics,
    )  # fmt: skip
    half = path.with_stem(f"{path.stem}-half")
    np.save(half, torch.cat([found.disparity_px, found.confidence]).numpy(), allow_pickle=False)
    half.replace(path)
    return found
