"""Simulated scenes kept on disk, so that a trainer can read what another process, or an earlier run, has rendered.

Scene i depends only on the simulator's settings and on i, so it does not matter who renders it; the store is only a
cache. Files are written whole and hold bytes, C x H x W: the left, right and sharp picture, and then what a store is
asked to keep besides: the combined view (3 planes), and the blur (2 planes, which together are its half-precision
numbers).
"""

import io
import json
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dualpix.io.formats.npy import read_npy
from dualpix.machine.files import write_whole
from dualpix.simulation.samples import DRAWING, Simulated

PICTURES = ("left", "right", "sharp")
MAP = "blur_px"
MORE = ("center", MAP)
"""What is kept on request only, since it makes a store larger by half."""


@dataclass(frozen=True)
class Rendered:
    """The samples of a simulator at 8 bits, read from a folder where they are there, otherwise rendered and kept.

    Attributes:
        simulated: The simulator.
        folder: Where samples are kept; all users of a folder must agree on `more`.
        more: Names in MORE that are kept too.
    """

    simulated: Simulated
    folder: Path
    more: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.simulated)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        """`left`, `right`, `sharp`, 3 x H x W in [0, 1]; if kept, `center` too, and `blur_px`, 1 x H x W; `name`."""
        names = (*PICTURES, *self.more)
        planes = torch.split(torch.from_numpy(self._read(index)), [_planes(name) for name in names])
        return {name: _unpack(name, part) for name, part in zip(names, planes, strict=True)} | {"name": str(index)}

    def has(self, index: int) -> bool:
        """Whether scene `index` is kept already."""
        return self._path(index).exists()

    def render(self, index: int) -> np.ndarray:
        """Render scene `index` and keep it; returns the bytes as they are kept, C x H x W."""
        sample = self.simulated.sample(index, (*PICTURES, *self.more))
        pixels = torch.cat([_pack(name, torch.as_tensor(sample[name])) for name in (*PICTURES, *self.more)]).numpy()
        self.folder.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.save(content, pixels)
        write_whole(self._path(index), content.getbuffer())
        return pixels

    def forget(self, before: int) -> None:
        """Delete every kept scene with an index below `before`."""
        for path in self.folder.glob("*.npy"):
            if int(path.stem) < before:
                path.unlink(missing_ok=True)

    def _read(self, index: int) -> np.ndarray:
        try:
            return read_npy(self._path(index)).copy()
        except (OSError, ValueError):
            return self.render(index)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:07d}.npy"


def store_name(simulated: Simulated, more: tuple[str, ...] = ()) -> str:
    """A folder name that differs between settings that give different pictures, and between values of `more`."""
    settings = {f.name: str(getattr(simulated, f.name)) for f in fields(simulated) if f.name not in ("photos", "count")}
    settings["drawing"] = str(DRAWING)
    settings["photos"] = [zlib.crc32(photo.numpy().tobytes()) for photo in simulated.photos]  # type: ignore[assignment]
    return "-".join([f"{simulated.size}px", f"{zlib.crc32(json.dumps(settings, sort_keys=True).encode()):08x}", *more])


def _planes(name: str) -> int:
    return 2 if name == MAP else 3


def _pack(name: str, thing: Tensor) -> Tensor:
    """A picture or map, C x H x W, as uint8, `_planes` x H x W."""
    if name != MAP:
        return (thing * 255).round().byte()
    return thing.half().contiguous().view(torch.uint8).reshape(*thing.shape[1:], 2).permute(2, 0, 1)


def _unpack(name: str, planes: Tensor) -> Tensor:
    if name != MAP:
        return planes.float().div_(255)
    return planes.permute(1, 2, 0).contiguous().view(torch.float16).permute(2, 0, 1).float()
