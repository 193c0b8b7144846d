"""Small picture files of every kind that is read, most made by hand or by another library than the package's."""

import io
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(levels: np.ndarray, extra: bytes = b"") -> bytes:
    """A PNG by the book: no row filter, big-endian samples. `extra` chunks go before the pixels."""
    levels = levels[:, :, None] if levels.ndim == 2 else levels
    height, width, channels = levels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = levels.astype(levels.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 8 * levels.dtype.itemsize, colour, 0, 0, 0)
    body = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff(levels: np.ndarray, order: str = "<", tags: dict[int, int] | None = None) -> bytes:
    """An uncompressed grey or RGB TIFF of one strip, in either byte order. `tags` adds or replaces entries."""
    levels = levels[:, :, None] if levels.ndim == 2 else levels
    height, width, channels = levels.shape
    kinds = {"u": 1, "f": 3}
    values = {256: width, 257: height, 258: 8 * levels.dtype.itemsize, 259: 1, 262: 2 if channels > 2 else 1}
    values |= {277: channels, 278: height, 279: levels.nbytes, 339: kinds[levels.dtype.kind]} | (tags or {})
    values[273] = 8 + 2 + 12 * (len(values) + 1) + 4
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in sorted(values.items()))
    start = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    directory = struct.pack(order + "H", len(values)) + entries + struct.pack(order + "I", 0)
    return start + directory + levels.astype(levels.dtype.newbyteorder(order)).tobytes()


def tiff_by_library(levels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, levels, **{"photometric": "rgb", "metadata": None} | options)
    return buffer.getvalue()


def by_pillow(levels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, kind, **options)
    return buffer.getvalue()


def smooth(dtype: type = np.uint8, height: int = 40, width: int = 48) -> np.ndarray:
    """H x W x 3, a ramp with noise in the low bits: no two rows, columns or channels alike."""
    top = np.iinfo(dtype).max
    y, x, c = np.mgrid[:height, :width, :3]
    ramp = (x * 3 + y * 2 + c * 20) / (3 * width + 2 * height + 60) * top * 0.9
    noise = np.random.default_rng(0).integers(0, top // 20, ramp.shape)
    return (ramp + noise).astype(dtype)


@dataclass(frozen=True)
class Kind:
    """One small file: its pixels by another reading, H x W x 3 in [0, 1], and how far from these ours may lie."""

    name: str
    content: bytes
    depth: int
    pixels: np.ndarray
    tolerance: float = 1e-7


def exact(name: str, content: bytes, levels: np.ndarray) -> Kind:
    return Kind(name, content, 8 * levels.dtype.itemsize, levels / np.iinfo(levels.dtype).max)


def as_pillow_reads(name: str, content: bytes) -> Kind:
    """For 8-bit formats only: at 16 bits Pillow drops the lower eight."""
    levels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    return Kind(name, content, 8, levels / 255, tolerance=1.01 / 255)


def netpbm(levels: np.ndarray, top: int, plain: bool = False) -> bytes:
    kind = {(False, 1): 5, (False, 3): 6, (True, 1): 2, (True, 3): 3}[plain, levels.shape[2]]
    start = f"P{kind}\n# a comment\n{levels.shape[1]} {levels.shape[0]}\n{top}\n".encode()
    if plain:
        return start + "\n".join(" ".join(map(str, row.ravel())) for row in levels).encode() + b"\n"
    return start + levels.astype(">u2" if top > 255 else "u1").tobytes()


def jpegxl(levels: np.ndarray) -> bytes:
    """Lossless, so that the levels themselves are the oracle; samples of 16 bits are declared linear, so only 8."""
    return bytes(imagecodecs.jpegxl_encode(levels, lossless=True, usecontainer=levels.ndim == 3))


def every_kind() -> list[Kind]:
    a8, a16 = smooth(), smooth(np.uint16)
    a10 = a16 // 64
    one_bit = io.BytesIO()
    Image.fromarray(a8).convert("1").save(one_bit, "PNG")
    grey = np.repeat(a16[:, :, :1], 3, axis=-1)
    palette = io.BytesIO()
    Image.fromarray(a8).quantize(64).save(palette, "PNG")
    return [
        exact("16-bit.png", png(a16), a16),
        exact("8-bit.png", png(a8), a8),
        exact("grey.png", png(a16[:, :, 0]), grey),
        as_pillow_reads("palette.png", palette.getvalue()),
        exact("16-bit.tif", tiff(a16), a16),
        exact("big-endian.tif", tiff(a16, ">"), a16),
        exact("grey.tif", tiff(a16[:, :, 0]), grey),
        exact("float.tif", tiff((a16 / 65535).astype(np.float32)), a16),
        exact("deflate.tif", tiff_by_library(a16, compression="zlib", predictor=True, rowsperstrip=8), a16),
        exact("tiles-lzw.tif", tiff_by_library(a16, compression="lzw", tile=(16, 16)), a16),
        exact("planes.tif", tiff_by_library(np.moveaxis(a8, -1, 0).copy(), planarconfig="separate", bigtiff=True), a8),
        exact("packbits.tif", tiff_by_library(a16, compression="packbits", byteorder=">"), a16),
        exact(
            "zstd-big.tif", tiff_by_library(a16, compression="zstd", predictor=True, bigtiff=True, byteorder=">"), a16
        ),
        exact(
            "lzw-planes.tif", tiff_by_library(np.moveaxis(a16, -1, 0).copy(), planarconfig=2, compression="lzw"), a16
        ),
        exact("alpha.tif", tiff_by_library(np.dstack([a16, a16[:, :, 0]]), extrasamples=[2], compression="lzw"), a16),
        as_pillow_reads("jpeg.tif", tiff_by_library(a8, compression="jpeg", rowsperstrip=16)),
        as_pillow_reads("jpeg-tiles.tif", tiff_by_library(a8, compression="jpeg", tile=(32, 32))),
        as_pillow_reads("jpeg-grey.tif", tiff_by_library(a8[:, :, 0], compression="jpeg", photometric="minisblack")),
        exact("8-bit.jxl", jpegxl(a8), a8),
        exact("bare-grey.jxl", jpegxl(a8[:, :, 0]), np.repeat(a8[:, :, :1], 3, axis=-1)),
        exact("16-bit.ppm", netpbm(a16, 65535), a16),
        exact("8-bit.pgm", netpbm(a8[:, :, :1], 255), np.repeat(a8[:, :, :1], 3, axis=-1)),
        exact("plain.ppm", netpbm(a8, 255, plain=True), a8),
        exact("plain.pgm", netpbm(a16[:, :, :1], 65535, plain=True), grey),
        Kind("10-bit.ppm", netpbm(a10, 1023), 16, a10 / 1023),
        as_pillow_reads("1-bit.png", one_bit.getvalue()),
        as_pillow_reads("baseline.jpg", by_pillow(a8, "JPEG", quality=90)),
        as_pillow_reads("progressive.jpg", by_pillow(a8, "JPEG", quality=90, progressive=True)),
        as_pillow_reads("lossy.webp", by_pillow(a8, "WEBP")),
        exact("lossless.webp", by_pillow(a8, "WEBP", lossless=True), a8),
        as_pillow_reads("with-metadata.webp", by_pillow(a8, "WEBP", icc_profile=b"not a profile")),
    ]


@pytest.fixture(params=every_kind(), ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """One small file of each kind in turn."""
    return request.param


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder one may enter but not change, with a file one may not read; the superuser steps down meanwhile."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "theirs.png").write_bytes(png(smooth()))
    (folder / "theirs.png").chmod(0o600)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    else:
        (folder / "theirs.png").chmod(0)
        folder.chmod(0o555)
    yield folder
    os.seteuid(before)
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def make() -> dict[str, Callable[..., object]]:
    """The builders above, by name: test files cannot import one another."""
    return {f.__name__: f for f in (chunk, png, tiff, tiff_by_library, by_pillow, smooth)}


def scene(height: int = 256, width: int = 320, seed: int = 0) -> np.ndarray:
    """H x W x 3 in [0, 1]: rectangles of all sizes and colours over each other, so edges run both ways everywhere."""
    dice = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 0.5)
    for size in np.linspace(120, 6, 500):
        y, x = dice.integers(-20, height), dice.integers(-20, width)
        h, w = (dice.uniform(0.5, 1.5, 2) * size).astype(int) + 3
        picture[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = dice.uniform(0.05, 0.95, 3)
    return picture


def half_aperture(blur_px: float, side: int) -> np.ndarray:
    """K x K: a disc of radius |blur_px|; behind the focus its weight rises towards `side` (-1 left, +1 right)."""
    reach = int(abs(blur_px)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = np.hypot(x, y) <= max(abs(blur_px), 0.5)
    ramp = 1 + (side * x / blur_px if blur_px else 0 * x)
    return inside * ramp / (inside * ramp).sum()


def view(picture: np.ndarray, blur_px: float, side: int) -> torch.Tensor:
    """The view through one half of the aperture of a flat scene, 3 x H x W, wrapped at the borders."""
    kernel = half_aperture(blur_px, side)
    padded = np.zeros(picture.shape[:2])
    padded[: len(kernel), : len(kernel)] = kernel
    padded = np.roll(padded, (-(len(kernel) // 2), -(len(kernel) // 2)), (0, 1))
    spectrum = np.fft.rfft2(picture, axes=(0, 1)) * np.fft.rfft2(padded)[:, :, None]
    blurred = np.fft.irfft2(spectrum, s=picture.shape[:2], axes=(0, 1))
    return torch.from_numpy(np.ascontiguousarray(blurred.transpose(2, 0, 1))).float().clamp(0, 1)


@pytest.fixture
def defocused() -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """`views(blur_px, ...)`: left and right view, 3 x H x W, of a scene of upright stripes, one for each blur."""

    def build(*blurs_px: float, seed: int = 0, stripes: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        picture = scene(seed=seed) if stripes is None else 0.15 * scene() + 0.425 + 0.34 * stripes
        count = len(blurs_px)
        left, right = (
            torch.cat([view(picture, blurs_px[i], side).chunk(count, dim=2)[i] for i in range(count)], dim=2)
            for side in (-1, 1)
        )
        return left, right

    return build
