"""Folders of ordinary photographs, as the simulator wants them."""

import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from dualpix.data.samples import check_folder, list_pictures
from dualpix.errors import DataError
from dualpix.files import write_whole
from dualpix.images import read_picture

SMALLEST_PX = 64
DECODING = 1  # raised whenever the same file comes to give other pixels


Found = TypeVar("Found")


class Photos(Sequence[Tensor]):
    """Photographs in files, bytes 3 x H x W each, that are mapped into memory: however many processes open them, and
    whichever are sent to another, the machine holds one copy.

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


def read_photos(folders: Sequence[str | Path], smallest_px: int = SMALLEST_PX) -> list[Tensor]:
    """All pictures directly inside the folders, as bytes 3 x H x W, in the order of their names.

    Raises `DataError` if a folder does not exist or no picture in them is at least `smallest_px` on both sides.
    """
    photos = [_decode(path) for path in _list(folders)]
    photos = [photo for photo in photos if min(photo.shape[1:]) >= smallest_px]
    return _some(photos, folders, smallest_px)


def share_photos(folders: Sequence[str | Path], store: Path, smallest_px: int = SMALLEST_PX) -> Photos:
    """Like `read_photos`, decoded once for all processes and all runs: into `store`, a file for each photograph.

    Its name is a digest of the photograph's own file, so that one that has changed is decoded again. Raises OSError if
    the store cannot be written, too.
    """
    shared = Photos([_keep(path, store) for path in _list(folders)])
    large = [file for file, photo in zip(shared.files, shared, strict=True) if min(photo.shape[1:]) >= smallest_px]
    return Photos(_some(large, folders, smallest_px))


def _list(folders: Sequence[str | Path]) -> list[Path]:
    return [path for folder in folders for path in list_pictures(check_folder(folder))]


def _decode(path: Path) -> Tensor:
    return (read_picture(path).pixels * 255).round().to(torch.uint8)


def _some(photos: list[Found], folders: Sequence[str | Path], smallest_px: int) -> list[Found]:
    if not photos:
        places = ", ".join(str(folder) for folder in folders)
        raise DataError(f"There is no photograph of {smallest_px} px or more in {places}; name a folder of pictures.")
    return photos


def _keep(path: Path, store: Path) -> Path:
    """The file in `store` with the photograph decoded, made if it is not there."""
    digest = hashlib.blake2b(path.read_bytes(), digest_size=16, salt=b"%d" % DECODING)
    file = store / f"{digest.hexdigest()}.npy"
    try:
        _map(file)
    except (OSError, ValueError):
        content = io.BytesIO()
        np.save(content, _decode(path).contiguous().numpy())
        store.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getbuffer())
    return file


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
