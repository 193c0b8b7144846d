"""A pack of photographs: one small file that is taken wherever a folder of photographs is.

A zip archive of JPEG files (4:4:4) beside `pack.json`, which lists for each its source, licence and size. Photographs
that come from lossy files are reduced by averaging, at least by half, so that their own coding does not show, and all
by more where they are not sharp at that; those that are sharp at no size are left out.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dualpix.errors import DataError, DualpixError, PictureError, shortened
from dualpix.io import Picture, read_picture
from dualpix.io.formats.jpeg import JPEG
from dualpix.io.opening import Part
from dualpix.io.reading import TURNED
from dualpix.io.writing import check_place
from dualpix.machine.files import parse_json, write_whole
from dualpix.pairs.sample import check_folder, in_few_words, list_pictures

FORMAT, VERSION = "dualpix-pack", 1
LIST = "pack.json"
MOST_BYTES = 28_000_000
QUALITY = 92
"""Of the JPEG files."""

REDUCTIONS = (1, 2, 3, 4, 6, 8)
LOSSLESS = (".png", ".tif", ".tiff", ".ppm", ".bmp")
SMALLEST_PX = 256
LARGEST_PIXELS = 600_000
READ_PIXELS = 4 * LARGEST_PIXELS
"""What declares more was not made by `pack`, and is not decoded."""

TILE_PX = 32
SHARP = (0.3, 0.12, 0.04)
"""Of a tile, the least contrast of the finest octave as a share of that of the three next; natural spectra have a half,
a quarter and an eighth. What is far out of focus has contrast in the coarsest of them alone."""

SHARP_TILES = 0.7
"""Of the tiles with contrast, how many have to be sharp."""

CONTRAST = 0.008
UNKNOWN = "not stated"


@dataclass(frozen=True)
class Packed:
    """What `pack` has made.

    Args:
        file: The pack.
        kept: Names of the photographs in it, as FOLDER/NAME.
        dropped: Names of those left out, and why.
        size_bytes: Of the file.
        notes: On what looks odd about the photographs in it.
    """

    file: Path
    kept: tuple[str, ...]
    dropped: Mapping[str, str]
    size_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackedPhoto:
    """A photograph in a pack; `stem` and `read_bytes` are those of a file's path."""

    pack: Path
    name: str

    @property
    def stem(self) -> str:
        """Its name without the ending."""
        return Path(self.name).stem

    def __str__(self) -> str:
        return f"{self.pack}/{self.name}"

    def read_bytes(self) -> bytes:
        """Its file. Raises `DataError` if the pack is damaged."""
        with _opened(self.pack) as archive:
            return _member(archive, self.pack, self.name)

    def decode(self) -> Tensor:
        """uint8, 3 x H x W. Raises `DataError` if the pack is damaged."""
        content = self.read_bytes()
        try:
            header = JPEG.read_header(Part(content, str(self))) if JPEG.start.match(content) else None
            if header is None or header.width * header.height > READ_PIXELS:
                raise ValueError
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as picture:
                if picture.size != (header.width, header.height):
                    raise ValueError
                pixels = np.array(picture.convert("RGB"))
        except (OSError, ValueError, SyntaxError, PictureError) as error:
            raise _damaged(self.pack, f"{shortened(self.name)} is no picture") from error
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def is_pack(path: str | Path) -> bool:
    """Whether a path is a file, as packs are; other photographs lie in folders."""
    return Path(path).is_file()


def photos_in(path: str | Path) -> list[PackedPhoto]:
    """The photographs of a pack, in its order.

    Raises:
        DataError: It is no pack, damaged, of another version, or empty.
    """
    listed = read_list(path)
    return [PackedPhoto(Path(path), one["file"]) for one in listed]


def read_list(path: str | Path) -> list[dict[str, Any]]:
    """What a pack says of its photographs: `file`, `source`, `licence`, `reduced`; errors are those of `photos_in`."""
    path = Path(path)
    with _opened(path) as archive:
        try:
            said = parse_json(_member(archive, path, LIST))
        except ValueError as error:
            raise _damaged(path, f"its {LIST} is none") from error
        if not isinstance(said, dict) or said.get("format") != FORMAT:
            raise DataError(f"{path} is no pack of photographs; give a folder, or a file that `dualpix pack` made.")
        if said.get("version") != VERSION:
            raise DataError(
                f"{path} is a pack of version {shortened(repr(said.get('version')), 40)}, and this is dualpix for"
                f" version {VERSION}; make it again with `dualpix pack`."
            )
        listed = said.get("photos")
        if not isinstance(listed, list) or not all(
            isinstance(one, dict) and isinstance(one.get("file"), str) for one in listed
        ):
            raise _damaged(path, f"its {LIST} lists no photographs")
        if not listed:
            raise DataError(f"{path} is a pack without photographs; make it again from more of them.")
        if missing := {one["file"] for one in listed} - set(archive.namelist()):
            raise _damaged(path, f"{shortened(min(missing))} is missing")
    return listed


def pack(
    folders: Sequence[str | Path],
    output: str | Path,
    *,
    licences: Mapping[str, str] | None = None,
    most_bytes: int = MOST_BYTES,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Packed:
    """Choose the sharp photographs of some folders, and put them into one file.

    Args:
        folders: Folders of photographs.
        output: The pack to write.
        licences: By the name of a folder, under which licence its photographs may be passed on.
        most_bytes: How large the pack may become; where there is too much, all photographs are made smaller.
        overwrite: Replace an existing file.
        progress: Called after each photograph with how many are done, and of how many.

    Raises:
        DataError: A folder does not exist or holds no photographs, none of them is sharp, or they do not fit into
            `most_bytes`.
        PictureError: The file exists and `overwrite` is not set, or it cannot be written there.
        FileExistsError: The file has appeared in the meantime.
    """
    output, known = Path(output), dict(licences or {})
    places = list({place.resolve(): place for place in map(check_folder, folders)}.values())
    names = [place.resolve().name for place in places]
    if unknown := sorted(set(known) - set(names)):
        raise DataError(f"There is no folder {unknown[0]!r} to give a licence for; there are: {', '.join(names)}.")
    check_place(output, overwrite)
    files = [(name, path) for name, place in zip(names, places, strict=True) for path in list_pictures(place)]
    if not files:
        given = ", ".join(map(str, places))
        raise DataError(f"There are no photographs in {given}; give folders that hold pictures directly.")
    sharp: list[tuple[str, str, Tensor, int]] = []
    dropped: dict[str, str] = {}
    odd: dict[str, list[str]] = {}
    for done, (folder, path) in enumerate(files, 1):
        source = f"{folder}/{path.name}"
        try:
            picture = read_picture(path)
            reduced, factor = sharpest(picture.pixels, 1 if path.suffix.lower() in LOSSLESS else 2)
        except DualpixError as error:
            dropped[source] = str(error)
        else:
            if factor:
                sharp.append((source, known.get(folder, UNKNOWN), reduced, factor))
                odd[path.name] = oddities(picture)
            else:
                dropped[source] = "it is sharp at no size"
        if progress:
            progress(done, len(files))
    if not sharp:
        raise DataError(f"None of the {len(files)} photographs is sharp enough for a pack; give others.")
    content = _fitting(sharp, most_bytes)
    write_whole(output, content, overwrite)
    kept, notes = tuple(source for source, *_ in sharp), tuple(in_few_words(odd))
    return Packed(output, kept, dropped, len(content), notes)


def oddities(photo: Picture) -> list[str]:
    """What is to be told of a photograph as it was read; how it lies is nothing here."""
    return [note for note in photo.notes if TURNED not in note]


def sharpest(photo: Tensor, least: int = 2) -> tuple[Tensor, int]:
    """Reduce a photograph, 3 x H x W in [0, 1], by the smallest factor in REDUCTIONS at which it is sharp.

    Args:
        photo: The photograph.
        least: No smaller factor than this is taken.

    Returns:
        The reduced photograph, and the factor; 0 for one that is sharp at none that leaves `SMALLEST_PX`.
    """
    for factor in (factor for factor in REDUCTIONS if factor >= least):
        if min(photo.shape[1:]) // factor < SMALLEST_PX:
            break
        reduced = F.avg_pool2d(photo[None], factor)[0]
        if sharp_share(reduced) >= SHARP_TILES:
            return reduced, factor
    return photo, 0


def sharp_share(photo: Tensor) -> float:
    """Of the tiles of a photograph, 3 x H x W in [0, 1], that have contrast, the share that is sharp; 0 if none has."""
    finest, *coarser = _octaves(photo.mean(0, keepdim=True)[None])
    lit = [octave > CONTRAST**2 for octave in coarser]
    blurred = [there & (finest <= least * octave) for there, octave, least in zip(lit, coarser, SHARP, strict=True)]
    some = torch.stack(lit).any(0)
    sharp = some & ~torch.stack(blurred).any(0)
    return float(sharp.sum() / some.sum()) if bool(some.any()) else 0.0


def _octaves(luma: Tensor) -> list[Tensor]:
    """The mean square contrast of tiles of TILE_PX, in the finest octave and those of `SHARP`."""
    window = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    found = []
    for octave in range(1 + len(SHARP)):
        padded = F.pad(luma, (2, 2, 2, 2), mode="replicate")
        smooth = F.conv2d(F.conv2d(padded, window.view(1, 1, 1, 5)), window.view(1, 1, 5, 1))
        found.append(F.avg_pool2d((luma - smooth).square(), TILE_PX >> octave))
        luma = smooth[..., ::2, ::2]
    height, width = (min(tiles.shape[side] for tiles in found) for side in (-2, -1))
    return [tiles[..., :height, :width] for tiles in found]


def _fitting(sharp: Sequence[tuple[str, str, Tensor, int]], most_bytes: int) -> bytes:
    """The file, its photographs made smaller until it fits."""
    pixels = float(LARGEST_PIXELS)
    while pixels >= SMALLEST_PX**2 / 4:
        content = _archive(sharp, pixels)
        if len(content) <= most_bytes:
            return content
        pixels = 0.95 * min(pixels, max(one[2][0].numel() for one in sharp)) * most_bytes / len(content)
    raise DataError(f"{len(sharp)} photographs do not fit into {most_bytes} bytes; give fewer, or allow more.")


def _archive(sharp: Sequence[tuple[str, str, Tensor, int]], most_pixels: float) -> bytes:
    content, listed = io.BytesIO(), []
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for number, (source, licence, photo, factor) in enumerate(sharp):
            file = f"{number:04d}.jpg"
            archive.writestr(zipfile.ZipInfo(file), _coded(photo, most_pixels))
            listed.append({"file": file, "source": source, "licence": licence, "reduced": factor})
        said = {"format": FORMAT, "version": VERSION, "photos": listed}
        archive.writestr(zipfile.ZipInfo(LIST), json.dumps(said, indent=1))
    return content.getvalue()


def _coded(photo: Tensor, most_pixels: float) -> bytes:
    picture = Image.fromarray((photo * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())
    scale = (most_pixels / (picture.width * picture.height)) ** 0.5
    if scale < 1:
        size = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
        picture = picture.resize(size, Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY, subsampling="4:4:4")
    return file.getvalue()


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OverflowError) as error:
        raise DataError(
            f"{path} is no pack of photographs, or a damaged one; give a folder, or a file that `dualpix pack` made."
        ) from error


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> bytes:
    """The content of a file in a pack, which compresses nothing, so that none can become larger than the pack is."""
    try:
        entry = archive.getinfo(name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise ValueError
        return archive.read(entry)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _damaged(path, f"{shortened(name)} cannot be read") from error


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{path} is a damaged pack: {why}; copy it once more, or make it again with `dualpix pack`.")
