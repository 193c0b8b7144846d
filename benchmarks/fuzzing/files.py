"""Small valid files of every kind that is read. To try another kind: one entry in FILES, its bytes and its ending."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from dualpix.io.formats.png_chunks import MARK, chunk
from fuzzing import forms, trained
from fuzzing.canon import cr3

Levels = NDArray[np.uint8] | NDArray[np.uint16]
HEIC = Path(__file__).parents[2] / "tests" / "io" / "formats" / "heic"  # since no encoder is at hand
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6"/></x:xmpmeta>'


class File(NamedTuple):
    """A valid file, the ending of its name, and who reads it: a key of READERS in `fuzz.py`."""

    content: bytes
    ending: str
    readers: str = "picture"


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


def avif(bits: int) -> bytes:
    return bytes(
        imagecodecs.avif_encode(levels() if bits == 8 else levels(np.uint16) >> 6, level=95, bitspersample=bits)
    )


def netpbm(start: str, samples: bytes | str) -> bytes:
    return start.encode() + (samples.encode() if isinstance(samples, str) else samples)


def mpo() -> bytes:
    return by_pillow("MPO", save_all=True, append_images=[Image.fromarray(levels(seed=1))])


def interlaced() -> bytes:
    """Grey of 4 bits in the seven passes of Adam7."""
    rows = b"".join(
        b"\0" + bytes(range((len(range(left, 32, across)) + 1) // 2))
        for left, top, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                                        (1, 0, 2, 2), (0, 1, 1, 2))
        for _ in range(top, 24, down)
    )  # fmt: skip
    header = struct.pack(">IIBBBBB", 32, 24, 4, 0, 0, 0, 1)
    return MARK + b"".join((chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")))


def png_with_texts() -> bytes:
    profile = zlib.compress(b"\nexif\n      14\n" + (b"II*\0\x08\0\0\0" + bytes(6)).hex().encode())
    chunks = [
        (b"gAMA", struct.pack(">I", 50000)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
        (b"tEXt", b"Title\0A title"),
        (b"zTXt", b"Author\0\0" + zlib.compress(b"Somebody")),
        (b"iTXt", b"Comment\0\1\0de\0Kommentar\0" + zlib.compress("Größe".encode())),
        (b"zTXt", b"Raw profile type exif\0\0" + profile),
    ]
    whole = by_pillow("PNG")
    return whole[:33] + b"".join(chunk(kind, body) for kind, body in chunks) + whole[33:]


def jpeg_with_comments() -> bytes:
    iptc = b"\x1c\x02\x78\0\x09A caption"
    resource = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
    segments = ((0xFE, b"A comment"), (0xED, resource), (0xEB, b"JP\0\1\0\0\0\1\0\0\0\x18jumb"))
    whole = by_pillow("JPEG", dpi=(300, 300))
    more = b"".join(struct.pack(">BBH", 0xFF, code, len(body) + 2) + body for code, body in segments)
    return whole[:20] + more + whole[20:]


def arrays(packed: bool) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, left=levels(np.uint16), right=levels(np.uint16, seed=1))
    return buffer.getvalue()


def raw(kind: str) -> bytes:
    """Two frames of a mosaic, H x W each, uncompressed: as two samples of a DNG, or in two directories of a CR2."""
    frames = [levels(np.uint16, 48, 64, seed)[:, :, 0] // 8 + 600 for seed in (0, 1)]
    common = {256: ("I", 64), 257: ("I", 48), 259: ("H", 1), 262: ("H", 32803), 278: ("I", 48), 271: ("s", b"Canon\0"),
              272: ("s", b"Canon EOS 5D Mark IV\0"), 33421: ("H", 2, 2), 33422: ("B", 0, 1, 1, 2)}  # fmt: skip
    pages = frames
    if kind == "dng":
        pages = [np.stack(frames, axis=-1)]
        matrix = (32406, -15372, -4986, -9689, 18758, 415, 557, -2040, 10570)
        common |= {50706: ("B", 1, 4, 0, 0), 50713: ("H", 2, 2), 50714: ("I", *[512] * 4), 50717: ("I", 15000, 15000),
                   50721: ("i", *(part for value in matrix for part in (value, 10000))),
                   50728: ("r", 5, 10, 1, 1, 625, 1000)}  # fmt: skip
    out = b"II*\0\x08\0\0\0" if kind == "dng" else b"II*\0\x10\0\0\0CR\2\0\0\0\0\0"
    for number, page in enumerate(pages):
        samples, content = page.shape[2] if page.ndim == 3 else 1, page.astype("<u2").tobytes()
        tags = common | {258: ("H", *[16] * samples), 277: ("H", samples), 279: ("I", len(content)), 273: ("I", 0)}
        start = len(out) + len(directory(tags, 0, 0))
        following = start + len(content) if number + 1 < len(pages) else 0
        out += directory(tags | {273: ("I", start)}, len(out), following) + content
    return out


TIFF_KINDS = {"B": (1, 1), "s": (2, 1), "H": (3, 2), "I": (4, 4), "r": (5, 8), "i": (10, 8)}


def directory(tags: dict[int, tuple[Any, ...]], at: int, following: int) -> bytes:
    """A little-endian TIFF directory at `at`, with the values of its tags behind it."""
    fields, behind, base = b"", b"", at + 6 + 12 * len(tags)
    for tag, (layout, *values) in sorted(tags.items()):
        code, size = TIFF_KINDS[layout]
        numbers = f"<{len(values)}{ {'r': 'I'}.get(layout, layout) }"
        value = values[0] if layout == "s" else struct.pack(numbers, *values)
        fields += struct.pack("<HHI", tag, code, len(value) // size)
        fields += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", base + len(behind))
        behind += value + bytes(len(value) % 2) if len(value) > 4 else b""
    return struct.pack("<H", len(tags)) + fields + struct.pack("<I", following) + behind


def pack() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("0000.jpg"), by_pillow("JPEG"))
        said = {"format": "dualpix-pack", "version": 1, "photos": [{"file": "0000.jpg", "licence": "CC0"}]}
        archive.writestr(zipfile.ZipInfo("pack.json"), json.dumps(said))
    return buffer.getvalue()


def lines(*objects: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


CAMERA = b"II*\0\x08\0\0\0"
CAMERA_TAGS = {256: ("I", 64), 257: ("I", 48), 271: ("s", b"Canon\0"), 272: ("s", b"Canon EOS R5\0"), 274: ("H", 1)}
MANIFEST = lines(
    {"left": "a_L.png", "right": "a_R.png", "output": "deep/a.png"},
    {"left": "b.npz"},
    {"left": "c_L.tif", "right": "c_R.tif", "output": None},
)
CSV = b'"left","right","output"\n"a_L.png","a_R.png","deep/a.png"\n"b.npz"\n"c_L.tif","c_R.tif"\n'
JOURNAL = lines(
    {"state": "started", "output": "a.png"},
    {"state": "made", "output": "a.png", "signature": "ab12", "file": [1200, 1700000000000000000]},
    {"state": "started", "output": "b.png"},
    {"state": "failed", "output": "b.png", "reason": "it is empty"},
)
LOG = lines(
    {"began_at_step": 0, "version": "0.1.0", "data": ["ab12"]},
    *({"step": step, "loss": 1 / step, "speed": 9.5} for step in (2, 4, 6)),
    {"step": 6, "validation": {"psnr": 21.5, "ssim": 0.7}},
    {"resumed_at_step": 4},
    {"step": 6, "loss": 0.2, "validation": {"psnr": 22.5, "ssim": 0.8}},
)

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
    "png-interlaced": lambda: File(interlaced(), ".png"),
    "png-texts": lambda: File(png_with_texts(), ".png"),
    "jpeg-comments": lambda: File(jpeg_with_comments(), ".jpg"),
    "avif": lambda: File(avif(8), ".avif"),
    "avif-10": lambda: File(avif(10), ".avif"),
    "heic-10": lambda: File((HEIC / "10.heic").read_bytes(), ".heic"),
    "heic-alpha": lambda: File((HEIC / "noted.heic").read_bytes(), ".heic"),
    "heic-tiles": lambda: File((HEIC / "grid.heic").read_bytes(), ".heic"),
    "npz": lambda: File(arrays(packed=False), ".npz", "views"),
    "npz-deflate": lambda: File(arrays(packed=True), ".npz", "views"),
    "dng": lambda: File(raw("dng"), ".dng", "views"),
    "cr2": lambda: File(raw("cr2"), ".cr2", "views"),
    "cr3": lambda: File(cr3(CAMERA + directory(CAMERA_TAGS, 8, 0)), ".cr3", "views"),
    "pack": lambda: File(pack(), ".pack", "pack"),
    "form": lambda: File(forms.form(), ".txt", "form"),
    "manifest": lambda: File(MANIFEST, ".jsonl", "manifest"),
    "journal": lambda: File(JOURNAL, ".jsonl", "journal"),
    "log": lambda: File(LOG, ".jsonl", "log"),
    "csv": lambda: File(CSV, ".csv", "manifest"),
    "weights": lambda: File(trained.weights(), ".safetensors", "weights"),
    "state": lambda: File(trained.state(), ".pt", "state"),
    "recipe": lambda: File(trained.recipe(), ".json", "recipe"),
    "ifan": lambda: File(trained.ifan(), ".pt", "ifan"),
    "keras": lambda: File(trained.keras(), ".hdf5", "keras"),
}
