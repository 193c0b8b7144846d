"""How the HEIC files beside this one were made, once: needs pillow-heif 1.8.1, whose wheels hold the encoder x265.

The tests need neither; their pictures are numbers of `levels`, coded without loss. Run: python make.py
"""

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif

HERE = Path(__file__).parent


def levels(bits: int, height: int = 48, width: int = 64) -> np.ndarray:
    """H x W x 3: a ramp that looks alike in no two directions; of 10 bits, or those shifted."""
    y, x, channel = np.mgrid[:height, :width, :3]
    deep = ((5 * x + 11 * y + 300 * channel) % 1024).astype(np.uint16)
    return (deep >> 2).astype(np.uint8) if bits == 8 else deep << (bits - 10)


def alpha(height: int = 48, width: int = 64) -> np.ndarray:
    return (np.mgrid[:height, :width].sum(0) + 100).astype(np.uint8)


def heic(*pictures: np.ndarray, bits: int = 8, **options: object) -> bytes:
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    file = pillow_heif.HeifFile()
    for picture in pictures:
        height, width, channels = picture.shape
        mode = "RGBA" if channels == 4 else "RGB" if bits == 8 else "RGB;16"
        data = picture if bits == 8 else picture << (16 - bits)
        file.add_frombytes(mode, (width, height), np.ascontiguousarray(data).tobytes())
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444, **options)
    return buffer.getvalue()


def box(kind: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind.encode() + body


def full(kind: str, version: int, flags: int, *content: bytes) -> bytes:
    return box(kind, bytes([version]), flags.to_bytes(3, "big"), *content)


def coded(content: bytes) -> tuple[bytes, bytes]:
    """The hvcC box of a file with one picture, and how that picture is coded."""
    at = content.index(b"hvcC") - 4
    data = content.index(b"mdat") + 4
    return content[at : at + int.from_bytes(content[at : at + 4], "big")], content[data:]


def grid(exif: bytes) -> bytes:
    """As phones write it: 100 x 60 pixels of two tiles of 64 x 64, hidden, the picture turned, its rows in `idat`."""
    whole = np.pad(levels(8, 60, 100), ((0, 4), (0, 28), (0, 0)), mode="edge")
    tiles = [coded(heic(whole[:, left : left + 64], matrix_coefficients=0)) for left in (0, 64)]
    blocks = [data for _, data in tiles] + [struct.pack(">I", 6) + exif]
    kinds = ((1, "hvc1", 1), (2, "hvc1", 1), (3, "grid", 0), (4, "Exif", 1))
    listed = [full("infe", 2, hidden, struct.pack(">HH", number, 0), kind.encode(), b"\0")
              for number, kind, hidden in kinds]  # fmt: skip
    properties = (
        tiles[0][0],
        full("ispe", 0, 0, struct.pack(">II", 64, 64)),
        full("ispe", 0, 0, struct.pack(">II", 100, 60)),
        full("pixi", 0, 0, bytes([3, 8, 8, 8])),
        box("irot", bytes([3])),
        box("colr", b"nclx", struct.pack(">HHHB", 1, 13, 0, 128)),
    )
    of_tile = bytes([4, 0x81, 2, 4, 6])
    owners = (
        struct.pack(">I", 3)
        + b"".join(struct.pack(">H", number) + of_tile for number in (1, 2))
        + (struct.pack(">H", 3) + bytes([4, 3, 4, 0x85, 6]))
    )
    uses = (("dimg", (3, 2, 1, 2)), ("cdsc", (4, 1, 3)))
    inside = struct.pack(">BBBBHH", 0, 0, 0, 1, 100, 60)

    def index(start: int) -> bytes:
        places = []
        for number, block in zip((1, 2, 4), blocks, strict=True):
            places.append(struct.pack(">HHHHII", number, 0, 0, 1, start, len(block)))
            start += len(block)
        places.append(struct.pack(">HHHHII", 3, 1, 0, 1, 0, len(inside)))
        return full(
            "meta", 0, 0,
            full("hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            full("pitm", 0, 0, struct.pack(">H", 3)),
            full("iinf", 0, 0, struct.pack(">H", len(listed)), *listed),
            full("iref", 0, 0, *(box(kind, struct.pack(f">{len(items)}H", *items)) for kind, items in uses)),
            box("iprp", box("ipco", *properties), full("ipma", 0, 0, owners)),
            box("idat", inside),
            full("iloc", 1, 0, struct.pack(">HH", 0x4400, 4), *places),
        )  # fmt: skip

    start = box("ftyp", b"heic", bytes(4), b"mif1heic")
    return start + index(len(start) + len(index(0)) + 8) + box("mdat", *blocks)


def main() -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0110] = "A camera"
    profile = bytes(imagecodecs.cms_profile("adobergb"))
    noted = {"icc_profile": profile, "exif": exif.tobytes(), "xmp": b"<x/>"}
    files = {
        "8": heic(levels(8), matrix_coefficients=0),
        "10": heic(levels(10), bits=10),
        "12": heic(levels(12), bits=12),
        "noted": heic(np.dstack([levels(8), alpha()]), **noted),
        "two": heic(levels(8), levels(8)[:, ::-1]),
        "grid": grid(exif.tobytes()),
        "flat": heic(np.full((2048, 2048, 3), 90, np.uint8)),
    }
    for name, content in files.items():
        (HERE / f"{name}.heic").write_bytes(content)


if __name__ == "__main__":
    main()
