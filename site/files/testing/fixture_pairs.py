"""Files that are, or are not, the two views of one photograph, and what `dualpix.open_views` says of them."""

import io
import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from dualpix.errors import DualpixError
from dualpix.pairs import open_views
from picture_files import by_pillow, png, smooth, tiff, tiff_by_library


def adobe_rgb() -> bytes:
    corners = [0.64, 0.33, 1, 0.21, 0.71, 1, 0.15, 0.06, 1]
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=[0.3127, 0.329, 1], primaries=corners, gamma=563 / 256))


def stacked(*levels: np.ndarray, order: str = "<", **options: Any) -> bytes:
    """A TIFF of several pages."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder=order, bigtiff=order == ">") as writer:
        for page in levels:
            writer.write(page, photometric="rgb", metadata=None, **options)
    return buffer.getvalue()


def pixel_phone(levels: np.ndarray, seed: int = 0) -> bytes:
    """As Google's app writes a view: grey, with a header in one line."""
    grey = levels[:, :, 0] ^ np.uint16(seed)
    return b"P5 %d %d 65535 " % grey.shape[::-1] + grey.astype(">u2").tobytes()


def pairs() -> dict[str, tuple[dict[str, bytes], str | None]]:
    """Files that are, or are not, the two views of one photograph, and the layout they are read with."""
    a, b, c = (smooth(np.uint16) // (1 + share) for share in range(3))
    a8, b8 = (levels // 257 for levels in (a, b))
    a8, b8 = a8.astype(np.uint8), b8.astype(np.uint8)
    mpo = io.BytesIO()
    Image.fromarray(a8).save(mpo, "MPO", save_all=True, append_images=[Image.fromarray(b8)])
    ppm = [b"P6 48 40 255\n" + levels.tobytes() for levels in (a8, b8)]
    turned = tiff(b, tags={274: 6})
    profiled = tiff_by_library(b, iccprofile=adobe_rgb())
    phone = {side: pixel_phone(levels) for side, levels in (("left", a), ("right", b))}
    return {
        "pixel": ({f"2020_{side}.pgm": content for side, content in phone.items()}, None),
        "pixel-flat": (
            {f"2020_{side}.pgm": pixel_phone(c[:18], seed) for seed, side in enumerate(("left", "right"))},
            None,
        ),
        "two-png": ({"garden_L.png": png(a), "garden_R.png": png(b)}, None),
        "two-tiff": ({"a-left.tif": tiff(a), "a-right.tif": turned}, None),
        "two-mixed": ({"a.tif": tiff(a), "b.png": png(b)}, None),
        "two-profiles": ({"a.tif": tiff(a), "b.tif": profiled}, None),
        "two-jpeg": ({"a.jpg": by_pillow(a8, "JPEG"), "b.jpg": by_pillow(b8, "JPEG")}, None),
        "float-and-16": ({"a.tif": tiff((a / 65535).astype(np.float32)), "b.tif": tiff(b)}, None),
        "pages": ({"both.tif": stacked(a, b)}, None),
        "pages-big": ({"both.tif": stacked(a, b, order=">", compression="lzw")}, None),
        "three-pages": ({"three.tif": stacked(a, b, c)}, None),
        "page-and-preview": ({"one.tif": stacked(a, b[::2, ::2].copy())}, None),
        "mpo": ({"both.mpo": mpo.getvalue()}, None),
        "mpo-as-one": ({"both.mpo": mpo.getvalue(), "b.jpg": by_pillow(b8, "JPEG")}, None),
        "ppm": ({"both.ppm": ppm[0] + ppm[1]}, None),
        "beside": ({"both_L.png": png(np.hstack([a, b]))}, "side-by-side"),
        "above": ({"both.jpg": by_pillow(np.vstack([a8, b8]), "JPEG")}, "top-bottom"),
        "odd": ({"odd.png": png(a[:, :-1].copy())}, "side-by-side"),
        "narrow": ({"narrow.png": png(a[:, :20].copy())}, "side-by-side"),
        "halves-alike": ({"alike.png": png(np.hstack([a, a]))}, "side-by-side"),
        "one": ({"one.png": png(a)}, None),
        "alike": ({"a.png": png(a), "b.tif": tiff(a)}, None),
        "other-size": ({"a.png": png(a), "b.png": png(b[:-1].copy())}, None),
        "other-depth": ({"a.png": png(a), "b.png": png(b8)}, None),
        "other-channels": ({"a.png": png(a), "b.png": png(b[:, :, 0].copy())}, None),
        "layout-of-two": ({"a.png": png(a), "b.png": png(b)}, "side-by-side"),
        "no-picture": ({"words.txt": b"These are words, not a picture."}, None),
    }


def told_of_pair(paths: list[Path], layout: str | None) -> dict[str, Any]:
    """What `dualpix.open_views` says, with both views written into their folder."""
    try:
        views = open_views(*paths, layout=layout, turn="none")
    except DualpixError as error:
        return {"error": str(error).replace(f"{paths[0].parent}/", "")}
    for side in ("left", "right"):
        levels = np.ascontiguousarray(views[side].numpy().transpose(1, 2, 0))  # type: ignore[literal-required]
        (paths[0].parent / f"{side}.f32").write_bytes(levels.astype("<f4").tobytes())
    return {"name": views["name"], "depth": views["depth"], "grey": views["grey"], "notes": views["notes"]}


def write_pairs(folder: Path) -> None:
    expected = {}
    for case, (contents, layout) in pairs().items():
        paths = [folder / case / name for name in contents]
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, contents.values(), strict=True):
            path.write_bytes(content)
        expected[case] = {"files": list(contents), "layout": layout, **told_of_pair(paths, layout)}
    (folder / "expected.json").write_text(json.dumps(expected))
