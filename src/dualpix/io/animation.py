"""Moving pictures: a few frames that repeat, as WebP, which browsers and programs for messages show."""

import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from torch import Tensor

from dualpix.errors import PictureError
from dualpix.io.metadata import Metadata
from dualpix.io.opening import as_path
from dualpix.io.writing import check_output, to_levels, upright, write_encoded
from dualpix.machine.urls import Location, as_location

SUFFIX, QUALITY = ".webp", 80


def check_animation(path: str | Location, overwrite: bool = False, inputs: Iterable[str | Location] = ()) -> None:
    """Find out, before any work is done, whether `path` can be written. Raises PictureError as `check_output` does."""
    if as_location(path).suffix.lower() != SUFFIX:
        raise PictureError(f"{path} cannot hold a moving picture here; end its name in {SUFFIX}.")
    check_output(path, overwrite, inputs)


def write_animation(
    path: str | Path,
    frames: Iterable[Tensor],
    milliseconds: int,
    overwrite: bool = False,
    metadata: Metadata | None = None,
) -> int:
    """Write frames, 3 H W each in [0, 1], to be shown that long each, again and again; returns the size in bytes.

    Of `metadata` only profile and orientation matter: frames are turned upright. Raises `PictureError`.
    """
    check_animation(path, overwrite)
    data = encode_animation(frames, milliseconds, metadata)
    write_encoded([(as_path(path), data)], overwrite)
    return len(data)


def encode_animation(frames: Iterable[Tensor], milliseconds: int, metadata: Metadata | None = None) -> bytes:
    """The bytes that `write_animation` writes."""
    known = metadata or Metadata()
    shown = [Image.fromarray(to_levels(upright(frame, known.orientation), 8)) for frame in frames]
    data, more = io.BytesIO(), {"icc_profile": known.icc} if known.icc else {}
    shown[0].save(
        data,
        "WEBP",
        save_all=True,
        append_images=shown[1:],
        duration=milliseconds,
        loop=0,
        quality=QUALITY,
        method=3,
        **more,
    )
    return data.getvalue()
