"""Make picture files of every kind, and write down what `dualpix` reads from them, for the tests in JavaScript.

    python site/files/testing/fixtures.py FOLDER [NUMBER]

FOLDER gets the files, `expected.json` with what `dualpix.io` says of each, and their levels as `NAME.f32`.
FOLDER/broken gets files that were broken at random, of which nothing is known but that reading them must end well: as
many of each kind as a second argument says. FOLDER/pairs gets what `fixture_pairs.py` makes.
"""

import hashlib
import io
import itertools
import json
import struct
import sys
import zlib
from pathlib import Path
from random import Random
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

ROOT = Path(__file__).parents[3]
sys.path += [str(ROOT / "tests"), str(ROOT / "benchmarks"), str(Path(__file__).parent)]

from fixture_pairs import adobe_rgb, write_pairs  # noqa: E402

from camera_exif import exif, focus_range, ratio, short  # noqa: E402
from dualpix.errors import DualpixError  # noqa: E402
from dualpix.io import read_picture  # noqa: E402
from fuzzing.files import FILES  # noqa: E402
from fuzzing.mutations import mutate  # noqa: E402
from picture_files import by_pillow, chunk, every_kind, png, smooth, tiff, tiff_by_library  # noqa: E402

XMP = b"""<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"
 tiff:Orientation="6" tiff:BitsPerSample="8" exif:PixelXDimension="4000" GCamera:MotionPhoto="1" dc:format='image/heic'>
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Gr\xc3\xbc\xc3\x9fe &amp; more</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"""
IPTC = b"\x1c\x02\x78\0\x09A caption"
RESOURCES = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC


TRAINED = ("weights", "state", "recipe", "ifan", "keras")  # kinds of files that take long to make


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def camera_exif(order: str = "<") -> bytes:
    """With a maker note whose offsets count from the start of the block, and the size of an older picture."""
    exposure = {33437: ratio(28, 10, order), 40962: short(6000, order), 40963: short(4000, order)}
    return exif(exposure, {0x0093: focus_range(300, 250, 20, order)}, order)


def exif_with_thumbnail(orientation: int) -> bytes:
    small = by_pillow(smooth(height=16, width=24), "JPEG")
    main = [(274, 3, 1, struct.pack("<HH", orientation, 0)), (305, 2, 4, b"Old\0")]
    first = struct.pack("<H", 2) + b"".join(struct.pack("<HHI", *field[:3]) + field[3] for field in main)
    at = 8 + len(first) + 4
    second = [(513, 4, 1, struct.pack("<I", at + 30)), (514, 4, 1, struct.pack("<I", len(small)))]
    behind = struct.pack("<H", 2) + b"".join(struct.pack("<HHI", *field[:3]) + field[3] for field in second)
    return b"II*\0\x08\0\0\0" + first + struct.pack("<I", at) + behind + bytes(4) + small


def adam7(levels: np.ndarray) -> bytes:
    """An interlaced PNG of 8 or 16 bits, whose rows use all five filters in turn."""
    height, width, channels = levels.shape
    step, rows = channels * levels.dtype.itemsize, b""
    for left, top, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                                    (0, 1, 1, 2)):  # fmt: skip
        part = levels[top::down, left::across]
        raw = part.astype(part.dtype.newbyteorder(">")).reshape(len(part), -1).view(np.uint8).astype(int)
        rows += b"".join(filtered(raw, y, step, y % 5) for y in range(len(raw)))
    head = struct.pack(
        ">IIBBBBB", width, height, 8 * levels.dtype.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 1
    )
    body = zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def filtered(raw: np.ndarray, y: int, step: int, kind: int) -> bytes:
    row = raw[y]
    left = np.pad(row, (step, 0))[: len(row)]
    above = raw[y - 1] if y else np.zeros_like(row)
    corner = np.pad(above, (step, 0))[: len(row)]
    guess = left + above - corner
    far = [abs(guess - other) for other in (left, above, corner)]
    paeth = np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner))
    taken = [0 * row, left, above, (left + above) // 2, paeth][kind]
    return bytes([kind]) + ((row - taken) % 256).astype(np.uint8).tobytes()


def tiffs() -> dict[str, bytes]:
    made = {}
    for kind, packing, tiled, order, planes in itertools.product(
        (np.uint8, np.uint16), (None, "lzw", "zlib", "packbits"), (False, True), "<>", (False, True)
    ):
        levels = smooth(kind)
        options: dict[str, Any] = {"compression": packing, "byteorder": order}
        options |= {"tile": (16, 32)} if tiled else {"rowsperstrip": 7}
        if packing in ("lzw", "zlib"):
            options["predictor"] = order == "<" or tiled
        if planes:
            options |= {"planarconfig": "separate"}
            levels = np.moveaxis(levels, -1, 0).copy()
        name = f"{np.dtype(kind).itemsize * 8}-{packing}-{'tiles' if tiled else 'strips'}-{'LM'[order == '>']}"
        made[f"tiff-{name}{'-planes' if planes else ''}.tif"] = tiff_by_library(levels, **options)
    big = {"bigtiff": True, "compression": "lzw", "predictor": True, "byteorder": ">"}
    made["tiff-big.tif"] = tiff_by_library(smooth(np.uint16), **big)
    made["tiff-grey-alpha.tif"] = tiff_by_library(
        smooth(np.uint16)[:, :, :2].copy(), photometric="minisblack", extrasamples=[2], planarconfig="contig"
    )
    for kind in (np.float16, np.float32, np.float64):
        levels = (smooth(np.uint16) / 65535).astype(kind)
        made[f"tiff-{np.dtype(kind).name}.tif"] = tiff_by_library(levels)
        made[f"tiff-{np.dtype(kind).name}-3.tif"] = tiff_by_library(levels, compression="zlib", predictor=3)
    return made


def pngs() -> dict[str, bytes]:
    made = {}
    for kind, channels in itertools.product((np.uint8, np.uint16), (1, 2, 3, 4)):
        levels = np.dstack([smooth(kind), smooth(kind)[::-1, :, 0]])[:, :, :channels].copy()
        bits = 8 * np.dtype(kind).itemsize
        made[f"png-{bits}-{channels}.png"] = bytes(imagecodecs.png_encode(levels.squeeze()))
        made[f"png-{bits}-{channels}-adam7.png"] = adam7(np.ascontiguousarray(levels[:37, :43]))
    for colours in (2, 4, 16, 200):
        palette = Image.fromarray(smooth()).quantize(colours)
        for more in ({}, {"transparency": 0}):
            buffer = io.BytesIO()
            palette.save(buffer, "PNG", **more)
            made[f"png-palette-{colours}{'-clear' if more else ''}.png"] = buffer.getvalue()
    clear = chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    made["png-clear.png"] = png(smooth(), clear)
    for name, extra in {
        "gamma": chunk(b"gAMA", struct.pack(">I", 100000)),
        "wide": chunk(b"cICP", bytes([12, 13, 0, 1])),
        "pq": chunk(b"cICP", bytes([9, 16, 0, 1])),
        "srgb": chunk(b"sRGB", b"\0"),
        "corners": chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
        "low": b"",
    }.items():
        made[f"png-{name}.png"] = png(smooth(np.uint16) // (1 if extra else 16), extra)
    return made


def noted() -> dict[str, bytes]:
    """With profile, EXIF, XMP and orientation, in every format that holds them."""
    levels, made = smooth(), {}
    for orientation in range(1, 9):
        block = exif_with_thumbnail(orientation)
        for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
            more = {"lossless": True} if kind == "WEBP" else {}
            with Image.fromarray(levels) as picture:
                buffer = io.BytesIO()
                told = {"exif": block} if kind != "TIFF" else {"exif": with_orientation(orientation)}
                picture.save(buffer, kind, icc_profile=adobe_rgb(), **told, **more)
            made[f"turned-{orientation}.{kind.lower()}"] = buffer.getvalue()
    for order in "<>":
        block = camera_exif(order)
        name = "LM"[order == ">"]
        made[f"camera-{name}.jpg"] = by_pillow(levels, "JPEG", exif=block, icc_profile=srgb(), xmp=XMP, dpi=(300, 300))
        made[f"camera-{name}.webp"] = by_pillow(levels, "WEBP", exif=block, icc_profile=srgb(), xmp=XMP)
        extra = chunk(b"eXIf", block) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
        extra += chunk(b"tEXt", b"Title\0A title") + chunk(b"iTXt", b"Author\0\0\0de\0Autor\0" + "Größe".encode())
        made[f"camera-{name}.png"] = png(
            smooth(np.uint16), extra + chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1))
        )
        tags: dict[str, Any] = {
            "byteorder": order,
            "resolution": (240, 240),
            "resolutionunit": 2,
            "iccprofile": adobe_rgb(),
        }
        extras = [(700, 1, len(XMP), XMP, True), (34377, 7, len(RESOURCES), RESOURCES, True)]
        extras += [(271, 2, 6, "Canon", True), (274, 3, 1, 8, True), (315, 2, 4, "Ann", True)]
        made[f"camera-{name}.tif"] = tiff_by_library(smooth(np.uint16), extratags=extras, **tags)
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 9) + b"A comment"
    resource = b"Photoshop 3.0\0" + RESOURCES
    app13 = b"\xff\xed" + struct.pack(">H", 2 + len(resource)) + resource
    plain = by_pillow(levels, "JPEG")
    made["comment.jpg"] = plain[:20] + comment + app13 + plain[20:]
    made["adobe-by-tags.jpg"] = by_pillow(levels, "JPEG", exif=exif({40961: short(2)}))
    made["grey.jpg"] = by_pillow(levels[:, :, 0], "JPEG", exif=camera_exif())
    return made


def with_orientation(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[274], tags[271] = orientation, "Canon"
    return tags


def jpegs() -> dict[str, bytes]:
    levels, made = smooth(height=61, width=83), {}
    for sampling, progressive, quality in itertools.product(("4:4:4", "4:2:2", "4:2:0"), (False, True), (60, 95)):
        name = f"jpeg-{sampling.replace(':', '')}-{quality}{'-progressive' if progressive else ''}.jpg"
        made[name] = by_pillow(levels, "JPEG", subsampling=sampling, progressive=progressive, quality=quality)
    made["jpeg-restarts.jpg"] = by_pillow(levels, "JPEG", restart_marker_blocks=2)
    return made


def avifs() -> dict[str, bytes]:
    deep, made = smooth(np.uint16, height=61, width=83), {}
    for bits in (8, 10, 12):
        levels = smooth() if bits == 8 else deep >> (16 - bits)
        made[f"avif-{bits}.avif"] = bytes(imagecodecs.avif_encode(levels, level=95, bitspersample=bits))
    made["avif-grey.avif"] = bytes(imagecodecs.avif_encode(smooth()[:, :, 0].copy(), level=95))
    clear = Image.fromarray(np.dstack([smooth(), smooth()[:, :, :1]]))
    whole = Image.fromarray(smooth())
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "noted": (whole, {"icc_profile": adobe_rgb(), "xmp": XMP}),
        "420": (whole, {"subsampling": "4:2:0"}),
        "clear": (clear, {}),
    }
    for name, (picture, more) in kinds.items():
        buffer = io.BytesIO()
        picture.save(buffer, "AVIF", exif=camera_exif(), **more)
        made[f"avif-{name}.avif"] = buffer.getvalue()
    for orientation in range(1, 9):
        buffer = io.BytesIO()
        Image.fromarray(smooth()).save(buffer, "AVIF", exif=with_orientation(orientation))
        made[f"avif-turned-{orientation}.avif"] = buffer.getvalue()
    return made


def files() -> dict[str, bytes]:
    kinds = {f"kind-{kind.name}": kind.content for kind in every_kind()}
    others = {name: make() for name, make in FILES.items() if name not in TRAINED}
    known = {f"made-{name}{file.ending}": file.content for name, file in others.items() if file.readers == "picture"}
    return kinds | known | tiffs() | pngs() | noted() | jpegs() | avifs() | damaged()


def damaged() -> dict[str, bytes]:
    """Files that no reader may take, or that no reader may unpack."""
    deep, made = smooth(np.uint16), {}
    whole = {"png": png(deep), "tif": tiff_by_library(deep, compression="zlib", rowsperstrip=8), "pgm": b"",
             "lzw.tif": tiff_by_library(deep, compression="lzw"), "plain.tif": tiff(deep),
             "jpg": by_pillow(smooth(), "JPEG"), "progressive.jpg": by_pillow(smooth(), "JPEG", progressive=True),
             "webp": by_pillow(smooth(), "WEBP"), "ppm": b"P6 48 40 255\n" + smooth().tobytes()}  # fmt: skip
    for ending, content in whole.items():
        for share in (0.2, 0.5, 0.9, 0.99):
            made[f"cut-{int(100 * share)}-{ending}"] = content[: int(share * len(content))]
    made |= {f"wrong-{ending}.png": content for ending, content in whole.items()}
    for side in (60000, 2**31 - 1):
        head = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
        made[f"absurd-{side}.png"] = png(deep)[:8] + chunk(b"IHDR", head) + png(deep)[33:]
        made[f"absurd-{side}.tif"] = tiff(deep, tags={256: side, 257: side})
        made[f"absurd-{side}.pgm"] = b"P5 %d %d 65535\n" % (side, side) + bytes(99)
    head = struct.pack(">IIBBBBB", 8000, 8000, 16, 2, 0, 0, 0)
    made["empty-64.png"] = png(deep)[:8] + chunk(b"IHDR", head) + png(deep)[33:]
    zeros = zlib.compress(bytes(2**26))
    made["bomb.png"] = png(deep)[:33] + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")
    made["bomb-profile.png"] = png(deep, chunk(b"iCCP", b"x\0\0" + zeros))
    made["bomb.tif"] = tiff(deep, tags={259: 8})[: -deep.nbytes] + zeros
    made["small.png"], made["empty.png"] = png(smooth(height=12, width=200)), b""
    strangers = {
        "psd": b"8BPS\0\1" + bytes(40),
        "gif": b"GIF89a" + bytes(40),
        "bmp": b"BM" + bytes(60),
        "mp4": b"\0\0\0\x20ftypisom" + bytes(40),
        "txt": b"These are words, not a picture.\n",
    }
    for name, content in strangers.items():
        made[f"stranger.{name}"] = content
    return made


def told(path: Path) -> dict[str, Any]:
    """What `dualpix.io` says of a file, with its levels written beside it."""
    try:
        picture = read_picture(path)
    except DualpixError as error:
        return {"error": str(error).replace(str(path), path.name)}
    levels = np.ascontiguousarray(picture.pixels.numpy().transpose(1, 2, 0))
    path.with_name(f"{path.name}.f32").write_bytes(levels.astype("<f4").tobytes())
    known = picture.metadata
    blocks = {name: getattr(known, name) for name in ("icc", "exif", "xmp", "photoshop")}
    return {
        "width": levels.shape[1],
        "height": levels.shape[0],
        "depth": picture.depth,
        "grey": picture.grey,
        "format": picture.format,
        "notes": list(picture.notes),
        "orientation": known.orientation,
        "density": known.density,
        "texts": [text._asdict() for text in known.texts],
        **{name: block and hashlib.sha256(block).hexdigest() for name, block in blocks.items()},
    }


def break_files(folder: Path, number: int) -> None:
    folder.mkdir(exist_ok=True)
    for kind, make in FILES.items():
        file = make() if kind not in TRAINED else None
        for count in range(number if file and file.readers in ("picture", "views") else 0):
            broken = mutate(file.content, Random(f"site {kind} {count}"))
            (folder / f"{kind}-{count}{file.ending}").write_bytes(broken)


def main(folder: Path, number: int = 5) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, content in files().items():
        path = folder / name
        path.write_bytes(content)
        expected[name] = told(path)
    (folder / "expected.json").write_text(json.dumps(expected))
    break_files(folder / "broken", number)
    write_pairs(folder / "pairs")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
