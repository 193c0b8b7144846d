"""Lossy coding that people's files have been through. All take and give a picture 3 H W in [0, 1]."""

import importlib
from fractions import Fraction
from typing import Any, Literal

import imagecodecs
import numpy as np
import torch
from torch import Tensor

from dualpix.errors import MachineError, how_to_install


def as_jpeg(picture: Tensor, quality: int, subsampling: Literal["444", "420"]) -> Tensor:
    """The picture as a JPEG file of that quality would bring it back."""
    return _picture(
        imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(_pixels(picture), level=quality, subsampling=subsampling))
    )


def as_vp8(picture: Tensor, quality: int) -> Tensor:
    """The picture as a key frame of VP8 (lossy WebP) of that quality would bring it back."""
    return _picture(imagecodecs.webp_decode(imagecodecs.webp_encode(_pixels(picture), level=quality, lossless=False)))


def as_h264(picture: Tensor, rate_factor: int) -> Tensor:
    """The picture as a key frame of H.264 (x264's constant rate factor, 0 best to 51; 4:2:0) would bring it back.

    Sides must be even. Raises MachineError if PyAV is not installed.
    """
    av = video_library()
    pixels = _pixels(picture)
    # Packets go straight from coder to decoder: a file around them would take a third of the time.
    coder, decoder = av.CodecContext.create("libx264", "w"), av.CodecContext.create("h264", "r")
    coder.height, coder.width = pixels.shape[:2]
    coder.pix_fmt, coder.time_base = "yuv420p", Fraction(1, 24)
    coder.options = {"crf": str(rate_factor), "preset": "medium"}
    coder.thread_count = decoder.thread_count = 1
    packets = [*coder.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")), *coder.encode()]
    (frame,) = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return _picture(frame.to_ndarray(format="rgb24"))


def video_library() -> Any:
    """PyAV. Raises MachineError if it is not installed."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise MachineError(f"Coding as H.264 needs PyAV; install it with: {how_to_install('video')}.") from error


def _pixels(picture: Tensor) -> np.ndarray:
    """H W 3, bytes."""
    planes = picture.clamp(0, 1).mul_(255).round_().byte().numpy()
    pixels = np.empty((*planes.shape[1:], 3), np.uint8)
    for number, plane in enumerate(planes):  # three times as quick as a transposition
        pixels[..., number] = plane
    return pixels


def _picture(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(pixels, dtype=np.float32) / 255).permute(2, 0, 1)
