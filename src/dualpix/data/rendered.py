"""Simulated scenes kept on disk, so that a trainer reads what another process, or an earlier run, has rendered.

Scene i is a function of the simulator's settings and i alone, so it makes no difference who renders it; the store is
only a memory. Files are written whole and hold bytes: C x H x W with the left, right and sharp pictures on top of one
another.
"""

import io
import json
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dualpix.data.simulated import DRAWING, Simulated
from dualpix.files import write_whole

PICTURES = ("left", "right", "sharp")


@dataclass(frozen=True)
class Rendered:
    """The samples of `simulated`, 8 bits deep: from `folder` where they are there, rendered and kept where not."""

    simulated: Simulated
    folder: Path

    def __len__(self) -> int:
        return len(self.simulated)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        """`left`, `right`, `sharp`: 3 H W in [0, 1]; `name`."""
        pixels = torch.from_numpy(self._read(index)).float().div_(255)
        return {name: pixels[3 * k : 3 * k + 3] for k, name in enumerate(PICTURES)} | {"name": str(index)}

    def has(self, index: int) -> bool:
        return self._path(index).exists()

    def render(self, index: int) -> np.ndarray:
        """Render scene `index` and keep it."""
        sample = self.simulated[index]
        stack = torch.cat([torch.as_tensor(sample[name]) for name in PICTURES])
        pixels = (stack * 255).round().byte().numpy()
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
            pixels: np.ndarray = np.load(self._path(index))
            return pixels
        except (OSError, ValueError, EOFError):
            return self.render(index)

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:07d}.npy"


def store_name(simulated: Simulated) -> str:
    """A name that differs for settings that render different pictures."""
    settings = {f.name: str(getattr(simulated, f.name)) for f in fields(simulated) if f.name not in ("photos", "count")}
    settings["drawing"] = str(DRAWING)
    settings["photos"] = [zlib.crc32(photo.numpy().tobytes()) for photo in simulated.photos]  # type: ignore[assignment]
    return f"{simulated.size}px-{zlib.crc32(json.dumps(settings, sort_keys=True).encode()):08x}"
