"""What the PNG decoder passes over, or takes too long for."""

import struct
import subprocess
import sys
import textwrap
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


def test_depths_that_a_kind_of_colour_has_not_are_refused(tmp_path: Path, make) -> None:
    whole = palette_png(make, 8, 20, 3)
    for bits, colour in ((16, 3), (4, 2), (1, 6), (2, 4), (3, 0)):
        header = whole[16:24] + bytes([bits, colour, 0, 0, 0])
        content = whole[:8] + make["chunk"](b"IHDR", header) + whole[33:]
        assert "has a damaged PNG header" in refusal(tmp_path / "a.png", content), (bits, colour)


def test_an_animated_png_is_refused(tmp_path: Path, make) -> None:
    frames = [Image.fromarray(np.roll(make["smooth"](), shift, 1)) for shift in (0, 5, 9)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert "is an animation; give a still picture" in refusal(tmp_path / "a.png", (tmp_path / "a.png").read_bytes())
    frames[0].save(tmp_path / "one.png")
    one = (tmp_path / "one.png").read_bytes()
    still = one[:33] + make["chunk"](b"acTL", struct.pack(">II", 1, 0)) + one[33:]
    (tmp_path / "one.png").write_bytes(still)
    assert read_picture(tmp_path / "one.png").notes == ()


@pytest.mark.parametrize("more", [2**18, 2**23, 2**26])
def test_a_png_that_unpacks_to_far_more_than_its_pixels_is_refused(tmp_path: Path, make, more: int) -> None:
    rows = np.pad(make["smooth"]().reshape(40, -1), ((0, 0), (1, 0))).tobytes()
    header = make["chunk"](b"IHDR", struct.pack(">IIBBBBB", 48, 40, 8, 2, 0, 0, 0))
    packed = zlib.compress(rows + bytes(more), 9)
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


def by_hand(make, header: tuple[int, ...], packed: bytes, more: bytes = b"") -> bytes:
    chunks = (b"IHDR", struct.pack(">IIBBBBB", *header)), (b"IDAT", packed), (b"IEND", more)
    return b"\x89PNG\r\n\x1a\n" + b"".join(make["chunk"](kind, body) for kind, body in chunks)


def test_a_small_png_that_unpacks_to_500_mb_takes_no_memory(tmp_path: Path, make) -> None:
    """Only 100 MB are left."""
    packer = zlib.compressobj(9)
    packed = packer.compress(bytes(64 * (1 + 64 * 3)))
    for _ in range(500):
        packed += packer.compress(bytes(2**20))
    packed += packer.flush()
    path = tmp_path / "a.png"
    path.write_bytes(by_hand(make, (64, 64, 8, 2, 0, 0, 0), packed))
    code = """
        import resource, sys
        import dualpix
        dualpix.read_picture(sys.argv[2])
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + 100 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            dualpix.read_picture(sys.argv[1])
        except dualpix.DualpixError as error:
            print(error)
    """
    small = tmp_path / "small.png"
    small.write_bytes(make["png"](make["smooth"]()))
    command = [sys.executable, "-c", textwrap.dedent(code), str(path), str(small)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout == f"{path} holds far more data than its pixels need; export it again.\n"


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("size", [(16, 16), (17, 19), (33, 23)])
def test_interlaced_pictures_hold_as_much_as_their_passes_need(
    tmp_path: Path, make, bits: int, size: tuple[int, int]
) -> None:
    """One byte of pixels less is too few. Against Pillow."""
    width, height = size
    rng = np.random.default_rng(bits)
    rows = b""
    for left, top, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                                    (0, 1, 1, 2)):  # fmt: skip
        columns = len(range(left, width, across))
        for _ in range(top, height, down):
            rows += b"\0" + rng.bytes((columns * bits + 7) // 8)
    path = tmp_path / "a.png"
    path.write_bytes(by_hand(make, (width, height, bits, 0, 0, 0, 1), zlib.compress(rows)))
    theirs = np.asarray(Image.open(path)).astype(float)
    theirs /= {1: 1, 16: 65535}.get(bits, 255)
    assert np.abs(read_picture(path).pixels[0].numpy() - theirs).max() < 1e-6
    short = by_hand(make, (width, height, bits, 0, 0, 0, 1), zlib.compress(rows[:-1]))
    assert "is damaged or cut short" in refusal(tmp_path / "short.png", short)


def test_a_wrong_checksum_of_pixels_is_damage(tmp_path: Path, make) -> None:
    content = make["png"](make["smooth"]())
    at = content.index(b"IDAT") + 20
    changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    assert "is damaged or cut short (IDAT: the checksum is wrong)" in refusal(tmp_path / "a.png", changed)
    rows = bytearray(zlib.compress(bytes(16 * 49)))
    rows[-1] ^= 1
    bad = by_hand(make, (16, 16, 8, 2, 0, 0, 0), bytes(rows))
    assert "is damaged or cut short" in refusal(tmp_path / "b.png", bad)


def test_a_fact_with_a_wrong_checksum_is_none(tmp_path: Path, make) -> None:
    """Decoders pass over it, too."""
    gamma = bytearray(make["chunk"](b"gAMA", struct.pack(">I", 100000)))
    (tmp_path / "a.png").write_bytes(make["png"](make["smooth"](), extra=bytes(gamma)))
    assert read_picture(tmp_path / "a.png").metadata.icc is not None
    gamma[-1] ^= 1
    (tmp_path / "b.png").write_bytes(make["png"](make["smooth"](), extra=bytes(gamma)))
    assert read_picture(tmp_path / "b.png").metadata.icc is None


def test_a_padded_last_row_is_no_damage(tmp_path: Path, make) -> None:
    rows = np.pad(make["smooth"]().reshape(40, -1), ((0, 0), (1, 0))).tobytes()
    (tmp_path / "a.png").write_bytes(by_hand(make, (48, 40, 8, 2, 0, 0, 0), zlib.compress(rows + bytes(300))))
    assert np.array_equal(
        (read_picture(tmp_path / "a.png").pixels.numpy() * 255).round(), make["smooth"]().transpose(2, 0, 1)
    )
