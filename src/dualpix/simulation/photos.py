"""Folders and packs of ordinary photographs, read in the form that the simulator uses."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.errors import DataError
from dualpix.io import read_picture
from dualpix.io.decoded import keep_notes, kept_notes
from dualpix.io.formats.npy import map_npy
from dualpix.machine.files import write_whole
from dualpix.pairs.sample import check_folder, in_few_words, list_pictures
from dualpix.simulation.pack import PackedPhoto, is_pack, oddities, photos_in

SMALLEST_PX = 64
DECODING = 1  # to be increased whenever a change makes the same file give other pixels

Tell = Callable[[str], None]
Photo = Path | PackedPhoto
Note = Callable[[Photo, Sequence[str]], None]


class Photos(Sequence[Tensor]):
    """Photographs in memory-mapped files: however many processes open them, the machine holds one copy.

    Each is uint8, 3 x H x W, or 4 x H x W with a map of inverse depth. Pickling sends the names of the files only.

    Args:
        files: Files as `share_photos` writes them.

    Raises:
        OSError: A file is missing.
        ValueError: A file is damaged.
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
    """Read all pictures directly inside some folders.

    Args:
        folders: The folders; a file that `dualpix pack` made counts as one.
        smallest_px: Pictures with a shorter side than this are left out.
        tell: Given one sentence about the pictures left out, and some on what looks odd.

    Returns:
        uint8, 3 x H x W each, folder by folder in the order of their names.

    Raises:
        DataError: A folder does not exist, or no picture is large enough.
        PictureError: A picture cannot be read.
    """
    paths = _list(folders)
    photos = []
    with _told(tell) as note:
        for path in paths:
            photo, notes = _decode(path)
            photos.append(photo)
            note(path, notes)
    large = _large(paths, [min(photo.shape[1:]) for photo in photos], folders, smallest_px, tell)
    return [photos[number] for number in large]


def share_photos(
    folders: Sequence[str | Path],
    store: Path,
    smallest_px: int = SMALLEST_PX,
    depths: str | Path | None = None,
    tell: Tell | None = None,
) -> Photos:
    """Decode the photographs of some folders once for all processes and runs, into one file for each in `store`.

    A file's name is a digest of the photograph's content, so a photograph that has changed is decoded again.

    Args:
        folders: The folders; a file that `dualpix pack` made counts as one.
        store: Where the decoded files are kept.
        smallest_px: Pictures with a shorter side than this are left out.
        depths: A folder with maps of inverse depth: `FOLDER/NAME.png` for the photograph NAME of a folder called
            FOLDER, a grey picture of any size, white for near. Photographs that have a map get it as a fourth plane,
            sharpened along their own edges.
        tell: Given one sentence about the pictures left out, and some on what looks odd.

    Raises:
        DataError: As for `read_photos`.
        PictureError: As for `read_photos`.
        OSError: The store cannot be written.
    """
    maps = None if depths is None else check_folder(depths)
    paths = _list(folders)
    with _told(tell) as note:
        files = [_keep(path, store, _depth_of(path, maps), note) for path in paths]
    shared = Photos(files)
    large = _large(paths, [min(photo.shape[1:]) for photo in shared], folders, smallest_px, tell)
    return Photos([shared.files[number] for number in large])


def _list(folders: Sequence[str | Path]) -> list[Photo]:
    found: list[Photo] = []
    for folder in [folders] if isinstance(folders, str | Path) else folders:
        found += photos_in(folder) if is_pack(folder) else list_pictures(check_folder(folder))
    return found


def _decode(path: Photo) -> tuple[Tensor, Sequence[str]]:
    """And what there is to say of it."""
    if isinstance(path, PackedPhoto):
        return path.decode(), ()
    picture = read_picture(path)
    return (picture.pixels * 255).round().to(torch.uint8), oddities(picture)


def _name_of(photo: Photo) -> str:
    """By which notes on it begin."""
    return photo.name if isinstance(photo, Path) else photo.stem


@contextmanager
def _told(tell: Tell | None) -> Iterator[Note]:
    """Gives what takes notes on photographs, which `tell` is given in few words in the end."""
    found: dict[str, Sequence[str]] = {}

    def note(photo: Photo, notes: Sequence[str]) -> None:
        found[str(photo)] = [note.replace(_name_of(photo), str(photo), 1) for note in notes]

    yield note
    for sentence in in_few_words(found):
        if tell is not None:
            tell(sentence)


def _large(
    paths: Sequence[Photo], sides: Sequence[int], folders: Sequence[str | Path], smallest_px: int, tell: Tell | None
) -> list[int]:
    """The indices of those that are large enough; `tell` is given a sentence about the others."""
    large = [number for number, side in enumerate(sides) if side >= smallest_px]
    if not large:
        places = ", ".join(str(folder) for folder in folders)
        raise DataError(f"There is no photograph of {smallest_px} px or more in {places}; name a folder of pictures.")
    if tell and (small := [path for path, side in zip(paths, sides, strict=True) if side < smallest_px]):
        count = f"{len(small)} of {len(paths)} photographs, the first of them {small[0]}"
        tell(f"Left out, with fewer than {smallest_px} px on a side: {count}.")
    return large


def _depth_of(photo: Photo, depths: Path | None) -> Path | None:
    if depths is None or isinstance(photo, PackedPhoto):
        return None
    found = depths / Path(os.path.realpath(photo)).parent.name / f"{photo.stem}.png"
    return found if found.exists() else None


def _keep(path: Photo, store: Path, depth: Path | None, note: Note) -> Path:
    """The file in `store` with the decoded photograph, written if it is not there yet."""
    digest = hashlib.blake2b(path.read_bytes(), digest_size=16, salt=b"%d" % DECODING)
    if depth is not None:
        digest.update(depth.read_bytes())
    file = store / f"{digest.hexdigest()}.npy"
    try:
        _map(file)
        note(path, kept_notes(file, _name_of(path)))
    except (OSError, ValueError):
        photo, notes = _decode(path)
        keep_notes(file, _name_of(path), notes)
        note(path, notes)
        if depth is not None:
            inverse_depth = along_edges(read_picture(depth).pixels[:1], photo.float() / 255)
            photo = torch.cat([photo, (inverse_depth * 255).round().to(torch.uint8)])
        content = io.BytesIO()
        np.save(content, photo.contiguous().numpy())
        store.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getbuffer())
    return file


def along_edges(coarse: Tensor, photo: Tensor, radius: int = 3, epsilon: float = 2e-3) -> Tensor:
    """Enlarge a coarse map so that it follows the edges of a photograph (fast guided filter, He and Sun, 2015).

    Args:
        coarse: 1 x h x w in [0, 1].
        photo: 3 x H x W in [0, 1].
        radius: Of the filter's window, in pixels of the coarse map.
        epsilon: Variance of the photograph below which an area counts as flat.

    Returns:
        1 x H x W in [0, 1].
    """
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
    """Map a photograph into memory. Raises OSError, or ValueError for a file that holds none."""
    photo = map_npy(file)
    if photo.dtype != torch.uint8 or photo.ndim != 3:
        raise ValueError(f"{file} does not hold a photograph")
    return photo
