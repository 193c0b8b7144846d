"""Lossy coding that the pictures people use have been through; each function takes and gives 3 x H x W in [0, 1]."""

import importlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from dualpix.errors import MachineError, how_to_install
from dualpix.machine.later import imagecodecs

Subsampling = Literal["444", "420"]


@dataclass(frozen=True)
class Coding:
    """One lossy coding; called with a picture, 3 x H x W in [0, 1], it gives what is left of it.

    Attributes:
        codec: "jpeg", "vp8" or "h264".
        quality: See `as_jpeg` and `as_vp8`; the rate factor of `as_h264`.
        subsampling: See `as_jpeg`; video always has "420".
    """

    codec: Literal["jpeg", "vp8", "h264"]
    quality: int
    subsampling: Subsampling = "420"

    def __call__(self, picture: Tensor) -> Tensor:
        """Encode and decode, by the codec itself."""
        if self.codec == "jpeg":
            return as_jpeg(picture, self.quality, self.subsampling)
        return as_vp8(picture, self.quality) if self.codec == "vp8" else as_h264(picture, self.quality)


def as_jpeg(picture: Tensor, quality: int, subsampling: Subsampling) -> Tensor:
    """Encode a picture as JPEG and decode it again.

    Args:
        picture: 3 x H x W in [0, 1].
        quality: libjpeg's quality, 1 to 100.
        subsampling: "444" for colour at full resolution, "420" for half in both directions.
    """
    return _picture(
        imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(_pixels(picture), level=quality, subsampling=subsampling))
    )


def as_vp8(picture: Tensor, quality: int) -> Tensor:
    """Encode a picture as a VP8 key frame (lossy WebP) and decode it again.

    Args:
        picture: 3 x H x W in [0, 1].
        quality: libwebp's quality, 0 to 100.
    """
    return _picture(imagecodecs.webp_decode(imagecodecs.webp_encode(_pixels(picture), level=quality, lossless=False)))


def as_h264(picture: Tensor, rate_factor: int) -> Tensor:
    """Encode a picture as an H.264 key frame (4:2:0) and decode it again.

    Args:
        picture: 3 x H x W in [0, 1], with even sides.
        rate_factor: x264's constant rate factor, 0 (best) to 51.

    Raises:
        MachineError: PyAV is not installed.
    """
    av = video_library()
    pixels = _pixels(picture)
    # Packets go directly from encoder to decoder: writing a file around them would take a third of the time.
    coder, decoder = av.CodecContext.create("libx264", "w"), av.CodecContext.create("h264", "r")
    coder.height, coder.width = pixels.shape[:2]
    coder.pix_fmt, coder.time_base = "yuv420p", Fraction(1, 24)
    coder.options = {"crf": str(rate_factor), "preset": "medium"}
    coder.thread_count = decoder.thread_count = 1
    packets = [*coder.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")), *coder.encode()]
    (frame,) = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return _picture(frame.to_ndarray(format="rgb24"))


def video_library() -> Any:
    """Import PyAV. Raises MachineError if it is not installed."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise MachineError(f"Coding as H.264 needs PyAV; install it with: {how_to_install('video')}.") from error


def _pixels(picture: Tensor) -> np.ndarray:
    """As bytes, H x W x 3."""
    planes = picture.clamp(0, 1).mul_(255).round_().byte().numpy()
    pixels = np.empty((*planes.shape[1:], 3), np.uint8)
    for number, plane in enumerate(planes):  # three times as fast as a transposition
        pixels[..., number] = plane
    return pixels


def _picture(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(pixels, dtype=np.float32) / 255).permute(2, 0, 1)
