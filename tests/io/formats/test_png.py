"""What the PNG decoder passes over, or takes too long for."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpix.errors import PictureError
from dualpix.io import read_picture


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    return str(caught.value)


def palette_png(make, bits: int, colours: int, highest: int) -> bytes:
    """Stripes of the indices 0 to `highest`, in a palette of `colours` colours."""
    row = np.arange(32) % (highest + 1)
    packed = np.packbits(((row[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).ravel()).tobytes()
    header = struct.pack(">IIBBBBB", 32, 16, bits, 3, 0, 0, 0)
    palette = bytes(range(3 * colours))
    chunks = (b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress((b"\0" + packed) * 16)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(make["chunk"](kind, body) for kind, body in chunks)


@pytest.mark.parametrize(("bits", "colours"), [(1, 1), (2, 3), (4, 10), (8, 20)])
def test_an_index_beyond_the_palette_is_refused(tmp_path: Path, make, bits: int, colours: int) -> None:
    """The decoder makes it black."""
    within = tmp_path / "within.png"
    within.write_bytes(palette_png(make, bits, colours, colours - 1))
    theirs = np.asarray(Image.open(within).convert("RGB")).transpose(2, 0, 1) / 255
    assert np.abs(read_picture(within).pixels.numpy() - theirs).max() < 1e-6
    assert f"{colours} colours, but pixels of number {colours};" in refusal(
        tmp_path / "beyond.png", palette_png(make, bits, colours, colours)
    )


def test_an_animated_png_is_refused(tmp_path: Path, make) -> None:
    frames = [Image.fromarray(np.roll(make["smooth"](), shift, 1)) for shift in (0, 5, 9)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert "is an animation; give a still picture" in refusal(tmp_path / "a.png", (tmp_path / "a.png").read_bytes())
    frames[0].save(tmp_path / "one.png")
    one = (tmp_path / "one.png").read_bytes()
    still = one[:33] + make["chunk"](b"acTL", struct.pack(">II", 1, 0)) + one[33:]
    (tmp_path / "one.png").write_bytes(still)
    assert read_picture(tmp_path / "one.png").notes == ()


def test_a_png_that_unpacks_to_far_more_than_its_pixels_is_refused(tmp_path: Path, make) -> None:
    rows = np.pad(make["smooth"]().reshape(40, -1), ((0, 0), (1, 0))).tobytes()
    header = make["chunk"](b"IHDR", struct.pack(">IIBBBBB", 48, 40, 8, 2, 0, 0, 0))
    packed = zlib.compress(rows + bytes(2**26), 9)
    content = b"\x89PNG\r\n\x1a\n" + header + make["chunk"](b"IDAT", packed) + make["chunk"](b"IEND", b"")
    assert "far more data than its pixels need" in refusal(tmp_path / "a.png", content)


def test_a_png_packed_badly_is_read(tmp_path: Path, make) -> None:
    """Without any compression, and in many small pieces."""
    rows = np.pad(make["smooth"]().reshape(40, -1), ((0, 0), (1, 0))).tobytes()
    header = make["chunk"](b"IHDR", struct.pack(">IIBBBBB", 48, 40, 8, 2, 0, 0, 0))
    packed = zlib.compress(rows, 0)
    pieces = b"".join(make["chunk"](b"IDAT", packed[at : at + 7]) for at in range(0, len(packed), 7))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + pieces + make["chunk"](b"IEND", b""))
    assert (
        np.abs(read_picture(tmp_path / "a.png").pixels.numpy() * 255 - make["smooth"]().transpose(2, 0, 1)).max() < 1e-4
    )
