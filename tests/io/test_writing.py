import os
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image

from dualpix.errors import PictureError
from dualpix.io import check_output, read_picture, refuse_overwriting_inputs, write_picture

ENDINGS = ["png", "tif", "tiff", "jpg", "jpeg", "webp", "jxl", "ppm", "PNG", "Tif", "JPG"]


def picture(height: int = 20, width: int = 30) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def refusal(path: Path, **arguments: object) -> str:
    """Both the check before the work and the writing itself say so."""
    messages = set()
    for call in (lambda: check_output(path, **arguments), lambda: write_picture(path, picture(), **arguments)):
        with pytest.raises(PictureError) as caught:
            call()
        messages.add(str(caught.value))
    (message,) = messages
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
    return message


def png_by_the_book(content: bytes) -> np.ndarray:
    """Decode a PNG of unfiltered or Sub-filtered rows with nothing but zlib."""
    at, data, header = 8, b"", b""
    while at < len(content):
        (length,), kind = struct.unpack(">I", content[at : at + 4]), content[at + 4 : at + 8]
        body = content[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0]
        header, data = (body if kind == b"IHDR" else header), data + (body if kind == b"IDAT" else b"")
        at += 12 + length
    width, height, bits, colour, *rest = struct.unpack(">IIBBBBB", header)
    assert colour == 2 and rest == [0, 0, 0]
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, -1)
    assert set(rows[:, 0]) <= {0, 1}
    samples = rows[:, 1:].reshape(height, width, 3 * bits // 8)
    samples = np.where(rows[:, :1, None] == 1, np.cumsum(samples, axis=1, dtype=np.uint8), samples)
    return np.ascontiguousarray(samples).view(f">u{bits // 8}")


@pytest.mark.parametrize("ending", ["png", "tif", "jxl", "ppm"])
def test_all_65536_levels_survive_writing_and_reading(tmp_path: Path, ending: str) -> None:
    ramp = torch.arange(65536).reshape(256, 256)
    levels = torch.stack([ramp, ramp.flip(0), ramp.T])
    path = tmp_path / f"ramp.{ending}"
    write_picture(path, levels / 65535)
    again = read_picture(path)
    assert again.depth == 16
    assert torch.equal((again.pixels.double() * 65535).round().long(), levels)
    write_picture(tmp_path / f"twice.{ending}", again.pixels)
    assert (tmp_path / f"twice.{ending}").read_bytes() == path.read_bytes()


def test_a_png_holds_what_the_book_says(tmp_path: Path) -> None:
    for depth in (8, 16):
        path = tmp_path / f"{depth}.png"
        write_picture(path, picture(), depth)
        expected = np.round(picture().numpy() * (2**depth - 1)).transpose(1, 2, 0)
        np.testing.assert_array_equal(png_by_the_book(path.read_bytes()), expected)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_extension_decides_the_format(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"Übersicht 1.{ending}"
    smooth = torch.linspace(0, 1, 64).expand(3, 48, 64)
    write_picture(path, smooth)
    kind = ending.lower()
    if kind != "jxl":  # which Pillow does not know
        with Image.open(path) as opened:
            assert opened.format == {"tif": "TIFF", "jpg": "JPEG"}.get(kind, kind.upper())
    assert read_picture(path).depth == (8 if kind in ("jpg", "jpeg", "webp") else 16)
    assert float((read_picture(path).pixels - smooth).abs().max()) < 0.02


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "ppm"])
def test_8_bits_are_exact_where_the_format_loses_nothing(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"picture.{ending}"
    write_picture(path, picture(), depth=8)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(np.asarray(opened), np.round(picture().numpy() * 255).transpose(1, 2, 0))


def test_values_are_clipped_and_rounded_to_the_nearest(tmp_path: Path) -> None:
    values = torch.tensor([-3.0, 0.0, 0.49 / 255, 0.51 / 255, 254.49 / 255, 254.51 / 255, 1.0, 7.0])
    path = tmp_path / "picture.png"
    write_picture(path, values.expand(3, 16, 8).repeat(1, 1, 2), depth=8)
    row = (read_picture(path).pixels[0, 0] * 255).round().int().tolist()
    assert row == [0, 0, 0, 1, 254, 255, 255, 255] * 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_float_types_and_gradients_are_no_obstacle(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "picture.png"
    write_picture(path, torch.full((3, 16, 16), 0.5, dtype=dtype, requires_grad=True))
    assert float(read_picture(path).pixels.mean()) == pytest.approx(0.5, abs=1e-5)


def test_wrong_tensors_and_depths_are_told(tmp_path: Path) -> None:
    for wrong in (torch.rand(2, 20, 30), torch.rand(1, 3, 20, 30), torch.ones(3, 20, 30).int()):
        with pytest.raises(PictureError, match="give"):
            write_picture(tmp_path / "a.png", wrong)
    with pytest.raises(PictureError, match="8 or 16"):
        write_picture(tmp_path / "a.png", picture(), depth=12)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_not_written(tmp_path: Path, value: float) -> None:
    pixels = picture()
    pixels[1, 2, 3] = value
    with pytest.raises(PictureError, match="NaN or Inf"):
        write_picture(tmp_path / "a.png", pixels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["png", "tif", "jpg", "webp", "jxl", "pgm", "ppm"])
def test_grey_goes_out_as_grey(tmp_path: Path, ending: str) -> None:
    """One channel wherever the format has it, the same levels in any case."""
    levels = (torch.arange(256).reshape(16, 16) / 255).expand(3, 16, 16)
    path = tmp_path / f"picture.{ending}"
    write_picture(path, levels, depth=8, grey=True)
    again = read_picture(path)
    assert again.grey == (ending not in ("webp", "ppm")) and again.depth == 8
    assert float((again.pixels - levels).abs().max()) <= (0.03 if ending == "jpg" else 1e-6)


def test_colours_are_not_written_as_grey_by_mistake(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"\.pgm holds grey only.*choose \.ppm"):
        write_picture(tmp_path / "a.pgm", picture())


@pytest.mark.parametrize("depth", [8, 16])
def test_a_jpeg_xl_says_that_its_colours_are_srgb(tmp_path: Path, depth: int) -> None:
    """The encoder would declare 16 bits to be linear, and viewers would show the picture far too bright."""
    write_picture(tmp_path / "a.jxl", picture(), depth)
    write_picture(tmp_path / "grey.jxl", picture(), depth, grey=True)
    assert read_picture(tmp_path / "a.jxl").depth == depth  # which refuses other colours, as here:
    (tmp_path / "linear.jxl").write_bytes(imagecodecs.jpegxl_encode(np.zeros((20, 30, 3), np.uint16), lossless=True))
    with pytest.raises(PictureError, match="in linear light"):
        read_picture(tmp_path / "linear.jxl")
    assert read_picture(tmp_path / "grey.jxl").grey


def test_a_side_too_long_for_the_format_is_refused(tmp_path: Path) -> None:
    for name, side in (("a.webp", 16383), ("a.jpg", 65501)):
        with pytest.raises(PictureError, match=r"choose \.png or \.tif"):
            write_picture(tmp_path / name, torch.zeros(3, 1, side))
        write_picture(tmp_path / name, torch.zeros(3, 1, side - 1))


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("precious")
    assert "exists already" in refusal(path)
    assert path.read_text() == "precious"
    check_output(path, overwrite=True)
    write_picture(path, picture(), overwrite=True)
    assert read_picture(path).pixels.shape == (3, 20, 30)
    assert os.listdir(tmp_path) == ["a.png"]


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    assert "known picture extension; end it in one of: .png, .tif" in refusal(tmp_path / "a.bmp")
    assert "known picture extension" in refusal(tmp_path / "picture")
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.png", overwrite=True)
    assert "does not exist; create it first" in refusal(tmp_path / "missing" / "a.png")
    (tmp_path / "file").touch()
    assert "does not exist; create it first" in refusal(tmp_path / "file" / "a.png")
    assert "cannot be written" in refusal(tmp_path / ("x" * 300 + ".png"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system in which nobody can make files")
def test_a_folder_that_takes_no_files_is_refused() -> None:
    """Even the superuser cannot make files there, so this runs as anybody."""
    assert "cannot be written" in refusal(Path("/proc/self/a.png"))


def test_a_folder_without_permission_is_refused(as_nobody: Path) -> None:
    assert "a.png cannot be written: Permission denied" in refusal(as_nobody / "a.png")
    assert "exists already" in refusal(as_nobody / "theirs.png")


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output(tmp_path / "a.png", inputs=[tmp_path / "b.png"])
    check_output(tmp_path / ("x" * 251 + ".png"))
    assert not list(tmp_path.iterdir())


def test_an_input_is_never_overwritten_whatever_its_name(tmp_path: Path) -> None:
    left, right = tmp_path / "left.png", tmp_path / "right.png"
    for path in (left, right):
        write_picture(path, picture())
    (tmp_path / "link.png").symlink_to(left)
    (tmp_path / "hard.png").hardlink_to(right)
    (tmp_path / "folder").symlink_to(tmp_path)
    outputs = [
        left,
        tmp_path / "link.png",
        tmp_path / "hard.png",
        tmp_path / "folder/right.png",
        tmp_path / "./left.png",
    ]
    for output in outputs:
        for check in (refuse_overwriting_inputs, lambda out, given: check_output(out, True, given)):
            with pytest.raises(PictureError, match="is one of the inputs"):
                check(output, [left, right])
    (tmp_path / "other.png").write_bytes(left.read_bytes())
    check_output(tmp_path / "other.png", True, [left, right])
    check_output(tmp_path / "new.png", False, [left, right, tmp_path / "missing.png"])


def test_writing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "disk" / "a.png")
    write_picture(tmp_path / "link.png", picture())
    assert (tmp_path / "link.png").is_symlink() and os.listdir(tmp_path / "disk") == ["a.png"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_picture(tmp_path / "a.png", picture())
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def run(code: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the write fails half way just so."""
    path = tmp_path / "a.png"
    write_picture(path, picture())
    before = path.read_bytes()
    process = run(
        """
        import resource, sys, torch
        from dualpix.errors import PictureError
        from dualpix.io import write_picture
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            write_picture(sys.argv[1], torch.rand(3, 200, 200), overwrite=True)
        except PictureError as error:
            print(error)
        """,
        path,
    )
    said = process.communicate(timeout=300)[0]
    assert f"{path} cannot be written: File too large" in said
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.png"]


def test_an_interrupt_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """In a process of its own: an exception raised at any moment at all may hit the test runner's own code."""
    process = run(
        """
        import os, signal, sys, time, numpy, torch
        from dualpix.io import read_picture, write_picture
        folder, path, interrupted = sys.argv[1], f"{sys.argv[1]}/a.png", 0
        write_picture(path, torch.zeros(3, 16, 16))
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        for delay in numpy.linspace(1e-4, 0.04, 60):
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                write_picture(path, torch.rand(3, 300, 400), overwrite=True)
                signal.setitimer(signal.ITIMER_REAL, 0)
                time.sleep(0)  # what came just before is raised here at the latest
            except KeyboardInterrupt:
                interrupted += 1
            assert os.listdir(folder) == ["a.png"], os.listdir(folder)
            read_picture(path)
        print("interrupted", interrupted)
        """,
        tmp_path,
    )
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0 and int(said.split()[-1]) > 0, said


def test_a_killed_process_leaves_a_whole_picture_or_none(tmp_path: Path) -> None:
    """What may stay is a hidden file that no reader takes for a picture."""
    process = run(
        """
        import itertools, sys, torch
        from dualpix.io import write_picture
        pixels = torch.rand(3, 400, 500)
        print("ready", flush=True)
        for number in itertools.count():
            write_picture(f"{sys.argv[1]}/{number}.tif", pixels)
        """,
        tmp_path,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    while not (tmp_path / "3.tif").exists():
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(0.0137)
    process.kill()
    process.communicate(timeout=300)
    for path in tmp_path.iterdir():
        if path.name.startswith("."):
            assert path.suffix == ".partial"
        else:
            assert read_picture(path).pixels.shape == (3, 400, 500)


@pytest.mark.parametrize("height", [127, 128, 300])
def test_tall_pictures_are_rounded_as_short_ones_are(tmp_path: Path, height: int) -> None:
    """They are converted some rows at a time."""
    pixels = picture(height, 16)
    write_picture(tmp_path / "sharp.tif", pixels)
    expected = np.rint(pixels.numpy().astype(np.float64) * 65535).transpose(1, 2, 0)
    assert np.abs(imagecodecs.imread(tmp_path / "sharp.tif") - expected).max() <= 1
    write_picture(tmp_path / "grey.png", pixels, 8, grey=True)
    luminance = np.tensordot([0.299, 0.587, 0.114], pixels.numpy(), 1)
    assert np.abs(imagecodecs.imread(tmp_path / "grey.png") - luminance * 255).max() < 0.51
