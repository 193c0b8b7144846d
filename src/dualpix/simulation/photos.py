"""Folders of ordinary photographs, as the simulator wants them."""

import hashlib
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.errors import DataError
from dualpix.io import read_picture
from dualpix.machine.files import write_whole
from dualpix.pairs.sample import check_folder, list_pictures

SMALLEST_PX = 64
DECODING = 1  # raised whenever the same file comes to give other pixels

Tell = Callable[[str], None]


class Photos(Sequence[Tensor]):
    """Photographs in files, bytes 3 x H x W each (4 with a map of inverse depth), that are mapped into memory: however
    many processes open them, and whichever are sent to another, the machine holds one copy.

    files: as `share_photos` writes them. Raises OSError or ValueError for one that is missing or damaged.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self.pictures = [_map(file) for file in self.files]

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> "Photos": ...
    def __getitem__(self, index: int | slice) -> "Tensor | Photos":
        return Photos(self.files[index]) if isinstance(index, slice) else self.pictures[index]

    def __reduce__(self) -> tuple[Any, ...]:
        return Photos, (self.files,)


def read_photos(
    folders: Sequence[str | Path], smallest_px: int = SMALLEST_PX, tell: Tell | None = None
) -> list[Tensor]:
    """All pictures directly inside the folders, as bytes 3 x H x W, in the order of their names.

    Those that are smaller than `smallest_px` on a side are left out, and `tell` is given a sentence on them. Raises
    `DataError` if a folder does not exist or all are, and `PictureError` for one that cannot be read.
    """
    paths = _list(folders)
    photos = [_decode(path) for path in paths]
    large = _large(paths, [min(photo.shape[1:]) for photo in photos], folders, smallest_px, tell)
    return [photos[number] for number in large]


def share_photos(
    folders: Sequence[str | Path],
    store: Path,
    smallest_px: int = SMALLEST_PX,
    depths: str | Path | None = None,
    tell: Tell | None = None,
) -> Photos:
    """Like `read_photos`, decoded once for all processes and all runs: into `store`, a file for each photograph.

    depths: a folder with maps of inverse depth, grey pictures of any size, white near: `FOLDER/NAME.png` for the
        photograph NAME of a folder called FOLDER. Photographs that have one get it as a fourth plane, sharpened along
        their own edges.

    A file's name is a digest of what is in it, so that a photograph that has changed is decoded again. Raises OSError
    if the store cannot be written, too.
    """
    maps = None if depths is None else check_folder(depths)
    paths = _list(folders)
    shared = Photos([_keep(path, store, _depth_of(path, maps)) for path in paths])
    large = _large(paths, [min(photo.shape[1:]) for photo in shared], folders, smallest_px, tell)
    return Photos([shared.files[number] for number in large])


def _list(folders: Sequence[str | Path]) -> list[Path]:
    return [path for folder in folders for path in list_pictures(check_folder(folder))]


def _decode(path: Path) -> Tensor:
    return (read_picture(path).pixels * 255).round().to(torch.uint8)


def _large(
    paths: Sequence[Path], sides: Sequence[int], folders: Sequence[str | Path], smallest_px: int, tell: Tell | None
) -> list[int]:
    """The numbers of those that are large enough; the others are told of."""
    large = [number for number, side in enumerate(sides) if side >= smallest_px]
    if not large:
        places = ", ".join(str(folder) for folder in folders)
        raise DataError(f"There is no photograph of {smallest_px} px or more in {places}; name a folder of pictures.")
    if tell and (small := [path for path, side in zip(paths, sides, strict=True) if side < smallest_px]):
        count = f"{len(small)} of {len(paths)} photographs, the first of them {small[0]}"
        tell(f"Left out, with fewer than {smallest_px} px on a side: {count}.")
    return large


def _depth_of(photo: Path, depths: Path | None) -> Path | None:
    if depths is None:
        return None
    found = depths / Path(os.path.realpath(photo)).parent.name / f"{photo.stem}.png"
    return found if found.exists() else None


def _keep(path: Path, store: Path, depth: Path | None) -> Path:
    """The file in `store` with the photograph decoded, made if it is not there."""
    digest = hashlib.blake2b(path.read_bytes(), digest_size=16, salt=b"%d" % DECODING)
    if depth is not None:
        digest.update(depth.read_bytes())
    file = store / f"{digest.hexdigest()}.npy"
    try:
        _map(file)
    except (OSError, ValueError):
        photo = _decode(path)
        if depth is not None:
            inverse_depth = along_edges(read_picture(depth).pixels[:1], photo.float() / 255)
            photo = torch.cat([photo, (inverse_depth * 255).round().to(torch.uint8)])
        content = io.BytesIO()
        np.save(content, photo.contiguous().numpy())
        store.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getbuffer())
    return file


def along_edges(coarse: Tensor, photo: Tensor, radius: int = 3, epsilon: float = 2e-3) -> Tensor:
    """`coarse`, 1 h w in [0, 1], enlarged to a photograph, 3 H W, whose edges it follows (the fast guided filter, He
    and Sun, 2015)."""
    size = coarse.shape[-2:]
    guide = photo.mean(0, keepdim=True)[None]
    small = F.interpolate(guide, size, mode="area")
    wanted = coarse[None]

    def mean(plane: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(plane, (radius,) * 4, mode="replicate"), 2 * radius + 1, 1)

    slope = (mean(small * wanted) - mean(small) * mean(wanted)) / (mean(small**2) - mean(small) ** 2 + epsilon)
    offset = mean(wanted) - slope * mean(small)
    slope, offset = (
        F.interpolate(mean(x), guide.shape[-2:], mode="bilinear", align_corners=False) for x in (slope, offset)
    )
    return (slope * guide + offset)[0].clamp(0, 1)


def _map(file: Path) -> Tensor:
    """PyTorch closes the file it maps; NumPy would keep it open, one for each photograph."""
    with file.open("rb") as opened:
        np.lib.format.read_magic(opened)
        shape, _, dtype = np.lib.format.read_array_header_1_0(opened)
        start, size = opened.tell(), opened.seek(0, io.SEEK_END)
    if dtype != np.uint8 or size != start + math.prod(shape):
        raise ValueError(f"{file} does not hold a photograph")
    whole = torch.from_file(str(file), shared=False, size=size, dtype=torch.uint8)
    return whole[start:].view(shape)
