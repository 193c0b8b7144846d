"""Pictures decoded once, into files that are mapped into memory: a part of one costs no more than its own bytes.

A file's name is a digest of the picture's content, so a picture that has changed is decoded again, and one that lies in
two places only once. Files are written whole or not at all, and hold what the picture's own file holds to the bit.
"""

import hashlib
import io
import json
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualpix.errors import DataError
from dualpix.io.formats.npy import map_npy
from dualpix.io.reading import read_picture
from dualpix.machine.files import parse_json, write_whole

DECODING = 1
"""To be increased whenever a change makes the same picture file give other pixels."""

MOST_GB = 24.0
"""Room for DPDD: 424 scenes of 1680 x 1120 at 16 bits, without their centre views, are 14 GB."""

NOTES = ".json"
"""The ending of a file beside a decoded picture, with what was said of it on reading."""

FREE_BYTES = 2 * 10**9
"""Of the disk, what is left free for others."""

PEAKS = {torch.uint8: 255, torch.uint16: 65535}


class Stored(NamedTuple):
    """A decoded picture.

    pixels: uint8, uint16 or float32, 3 x H x W, mapped from a file, or float32 in memory. See `in_unit_range`.
    grey: Whether the picture has one channel, which then stands for all three.
    notes: Those of `read_picture`.
    """

    pixels: Tensor
    grey: bool
    notes: tuple[str, ...] = ()


class DecodedPictures:
    """A folder of decoded pictures; call it with a picture's file. Several threads and processes may do so at once.

    A picture for which there is no room is decoded whenever it is asked for. Room is made by deleting the files that
    nobody has asked for since this object was made, the oldest first.

    Args:
        folder: Where they are kept; it need not exist, and may be deleted at any time.
        most_gb: The most that the folder may hold, in GB (10^9 bytes); 0 to keep nothing.
        tell: Given one sentence, once, if there is no room for some.

    Raises:
        DataError: `most_gb` is no amount.

    Example:
        >>> import tempfile
        >>> from dualpix import write_picture
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_picture(f"{folder}/a.png", torch.full((3, 16, 24), 0.2), depth=8)
        ...     pixels, grey, notes = DecodedPictures(Path(folder) / "decoded")(Path(f"{folder}/a.png"))
        ...     pixels.dtype, pixels.shape, float(in_unit_range(pixels)[0, 0, 0]) == float(torch.tensor(51 / 255))
        (torch.uint8, torch.Size([3, 16, 24]), True)
    """

    def __init__(self, folder: Path, most_gb: float = MOST_GB, tell: Callable[[str], None] | None = None) -> None:
        if not 0 <= most_gb < math.inf:
            raise DataError(f"Decoded pictures cannot take {most_gb} GB; give a number from 0, or 0 to keep none.")
        self.folder, self.most_bytes, self.tell = folder, int(most_gb * 10**9), tell
        self.began = time.time()
        self.held: int | None = None  # bytes in the folder, once they have been counted
        self.open: dict[Path, Stored] = {}
        self.used: set[Path] = set()  # clocks of disks may be behind, so times of files do not tell enough
        self.without_room: set[Path] = set()
        self.lock = threading.Lock()

    def __call__(self, path: Path) -> Stored:
        """The picture in a file, decoded now if it was not before. Raises `PictureError` if it cannot be read."""
        if path in self.open:
            return self.open[path]
        content = b"" if path in self.without_room or not self.most_bytes else _content(path)
        if not content:
            picture = read_picture(path)
            return Stored(picture.pixels, picture.grey, picture.notes)
        file = self.folder / f"{hashlib.blake2b(content, digest_size=16, salt=b'%d' % DECODING).hexdigest()}.npy"
        self.used.add(file)
        found = _mapped(file, path.name) or self._decode(path, file)
        if path not in self.without_room:
            self.open[path] = found
        return found

    def _decode(self, path: Path, file: Path) -> Stored:
        picture = read_picture(path)
        content = io.BytesIO()
        np.save(content, _compact(picture.pixels, picture.grey))
        keep_notes(file, path.name, picture.notes)
        if why := self._written(file, content.getbuffer()):
            if self.tell and not self.without_room:
                self.tell(f"Some pictures are decoded whenever a crop of them is needed: {why}.")
            self.without_room.add(path)
            return Stored(picture.pixels, picture.grey, picture.notes)
        return _mapped(file, path.name) or Stored(picture.pixels, picture.grey, picture.notes)

    def _written(self, file: Path, content: memoryview) -> str:
        """Write a file; returns why that was not done, "" if it was."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.lock:
                if not self._make_room(len(content)):
                    return f"there is no more room in {self.folder}"
            write_whole(file, content)
        except OSError as error:
            return f"{file} cannot be written ({error.strerror or error})"
        return ""

    def _make_room(self, needed: int) -> bool:
        kept = [(path, path.stat()) for path in self.folder.glob("*.npy")] if self.held is None else []
        self.held = sum(stat.st_size for _, stat in kept) if self.held is None else self.held
        if self._is_room(needed):
            self.held += needed
            return True
        files = [(path, path.stat()) for path in self.folder.glob("*.npy") if path not in self.used]
        for path, stat in sorted(files, key=lambda file: file[1].st_mtime):
            if stat.st_mtime >= self.began:
                break
            with suppress(OSError):  # another process has it open, on a system where that matters
                path.unlink()
                path.with_suffix(NOTES).unlink(missing_ok=True)
                self.held -= stat.st_size
            if self._is_room(needed):
                self.held += needed
                return True
        return False

    def _is_room(self, needed: int) -> bool:
        held = self.held or 0
        return held + needed <= self.most_bytes and shutil.disk_usage(self.folder).free - needed >= FREE_BYTES


def in_unit_range(pixels: Tensor) -> Tensor:
    """Numbers of a `Stored` as float32 in [0, 1], bit by bit those of `read_picture`; others as they are."""
    peak = PEAKS.get(pixels.dtype)
    return pixels if peak is None else pixels.float().div_(peak)


def _content(path: Path) -> bytes:
    """Of a file; nothing if it cannot be read, for `read_picture` to say why."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _compact(pixels: Tensor, grey: bool) -> NDArray[np.generic]:
    """H x W x 3, or x 1 if grey: neighbours lie beside one another. In bytes or words where these are all there is."""
    planes = (pixels[:1] if grey else pixels).permute(1, 2, 0).contiguous()
    for kind, peak in ((np.uint8, 255), (np.uint16, 65535)):
        whole = (planes * peak).round()
        if torch.equal(whole / peak, planes):
            return whole.numpy().astype(kind)
    return planes.numpy()


def keep_notes(file: Path, name: str, notes: Sequence[str]) -> None:
    """Keep what `read_picture` says of a picture called `name` beside `file`, where it is decoded, if that can be."""
    with suppress(OSError):
        if notes:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file.with_suffix(NOTES), json.dumps([note.removeprefix(name) for note in notes]).encode())


def kept_notes(file: Path, name: str) -> tuple[str, ...]:
    """What `keep_notes` has kept, of a picture of the same content that may be called otherwise."""
    with suppress(OSError, ValueError, TypeError):
        return tuple(f"{name}{note}" for note in parse_json(file.with_suffix(NOTES).read_bytes()))
    return ()


def _mapped(file: Path, name: str) -> Stored | None:
    """The picture in a file, which counts as used now; None if it is not there or is damaged."""
    try:
        pixels = map_npy(file)
        os.utime(file)
    except (OSError, ValueError):
        return None
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        return None
    return Stored(pixels.permute(2, 0, 1).expand(3, -1, -1), pixels.shape[2] == 1, kept_notes(file, name))
