"""Small valid files of every kind that is read. To try another kind: one entry in FILES, its bytes and its ending."""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

Levels = NDArray[np.uint8] | NDArray[np.uint16]
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'


class File(NamedTuple):
    """A valid file and the ending of its name. Two views in one, if its readers are to find them there."""

    content: bytes
    ending: str


def levels(dtype: type = np.uint8, height: int = 24, width: int = 32, seed: int = 0) -> Levels:
    """H x W x 3, a ramp with noise."""
    top = np.iinfo(dtype).max
    y, x, c = np.mgrid[:height, :width, :3]
    ramp = (x + y + 9 * c) / (width + height + 27) * 0.9 * top
    return (ramp + np.random.default_rng(seed).integers(0, top // 12, ramp.shape)).astype(dtype)


def by_pillow(kind: str, picture: Levels | None = None, mode: str | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(levels() if picture is None else picture)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def noted(kind: str) -> bytes:
    """With profile, EXIF and, where Pillow writes it, XMP."""
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "A camera", 6
    exif.get_ifd(0x8769)[0xA001] = 1
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    more = {} if kind == "PNG" else {"xmp": XMP}
    return by_pillow(kind, icc_profile=profile, exif=exif.tobytes(), **more)


def tiff(dtype: type = np.uint16, pages: int = 1, **options: Any) -> bytes:
    buffer = io.BytesIO()
    for number in range(pages):
        tifffile.imwrite(
            buffer, levels(dtype, seed=number), append=number > 0, photometric="rgb", metadata=None, **options
        )
        buffer.seek(0)
    return buffer.getvalue()


def jpegxl() -> bytes:
    return bytes(imagecodecs.jpegxl_encode(levels(), lossless=True, usecontainer=True))


def netpbm(start: str, samples: bytes | str) -> bytes:
    return start.encode() + (samples.encode() if isinstance(samples, str) else samples)


def mpo() -> bytes:
    return by_pillow("MPO", save_all=True, append_images=[Image.fromarray(levels(seed=1))])


FILES: dict[str, Callable[[], File]] = {
    "png": lambda: File(by_pillow("PNG"), ".png"),
    "png-16": lambda: File(bytes(imagecodecs.png_encode(levels(np.uint16))), ".png"),
    "png-palette": lambda: File(by_pillow("PNG", mode="P"), ".png"),
    "png-noted": lambda: File(noted("PNG"), ".png"),
    "jpeg": lambda: File(by_pillow("JPEG"), ".jpg"),
    "jpeg-progressive": lambda: File(by_pillow("JPEG", progressive=True), ".jpg"),
    "jpeg-restarts": lambda: File(by_pillow("JPEG", restart_marker_blocks=1), ".jpg"),
    "jpeg-noted": lambda: File(noted("JPEG"), ".jpg"),
    "mpo": lambda: File(mpo(), ".mpo"),
    "webp": lambda: File(by_pillow("WEBP"), ".webp"),
    "webp-lossless": lambda: File(by_pillow("WEBP", lossless=True), ".webp"),
    "webp-noted": lambda: File(noted("WEBP"), ".webp"),
    "jpegxl": lambda: File(jpegxl(), ".jxl"),
    "tiff": lambda: File(tiff(rowsperstrip=8), ".tif"),
    "tiff-deflate": lambda: File(tiff(compression="zlib", predictor=True, rowsperstrip=8), ".tif"),
    "tiff-lzw-tiles": lambda: File(tiff(compression="lzw", tile=(16, 16)), ".tif"),
    "tiff-packbits": lambda: File(tiff(np.uint8, compression="packbits", byteorder=">"), ".tif"),
    "tiff-zstd-big": lambda: File(tiff(compression="zstd", bigtiff=True, rowsperstrip=8), ".tif"),
    "tiff-jpeg": lambda: File(tiff(np.uint8, compression="jpeg", rowsperstrip=16), ".tif"),
    "tiff-pages": lambda: File(tiff(pages=2, rowsperstrip=8), ".tif"),
    "ppm": lambda: File(netpbm("P6\n32 24\n255\n", levels().tobytes()), ".ppm"),
    "ppm-plain": lambda: File(netpbm("P3\n32 24\n255\n", " ".join(map(str, levels().ravel())) + "\n"), ".ppm"),
    "pgm-16": lambda: File(netpbm("P5 32 24 65535 ", levels(np.uint16)[:, :, 0].astype(">u2").tobytes()), ".pgm"),
}
