"""Pictures decoded once: bit by bit what is read from their own files, whoever is killed or runs out of room."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from dualpix.errors import DataError, PictureError
from dualpix.io import decoded, read_picture
from dualpix.io.decoded import DecodedPictures, in_unit_range

SIZE = 40 * 30 * 3  # bytes of a picture of `save`


def save(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "kept"),
    [
        ("bytes.tif", "uint8", (30, 40, 3), torch.uint8),
        ("words.tif", "uint16", (30, 40, 3), torch.uint16),
        ("grey.tif", "uint16", (30, 40), torch.uint16),
        ("floats.tif", "float32", (30, 40, 3), torch.float32),
    ],
)
def test_every_depth_is_kept_to_the_bit(
    tmp_path: Path, name: str, dtype: str, shape: tuple[int, ...], kept: torch.dtype
) -> None:
    values = np.random.default_rng(0).random(shape)
    whole = values if dtype == "float32" else values * np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / name, whole.astype(dtype), photometric="rgb" if len(shape) == 3 else "minisblack")
    for _ in range(2):
        found, wanted = DecodedPictures(tmp_path / "kept")(tmp_path / name), read_picture(tmp_path / name)
        assert found.pixels.dtype == kept and found.grey == wanted.grey == (len(shape) == 2)
        assert torch.equal(in_unit_range(found.pixels), wanted.pixels)
    (file,) = (tmp_path / "kept").glob("*.npy")
    assert file.stat().st_size == 128 + values.size * np.dtype(dtype).itemsize


def test_each_is_decoded_once_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(decoded, "read_picture", lambda path: read.append(path) or read_picture(path))
    one, two = save(tmp_path / "one.png"), save(tmp_path / "two.png", 1)
    shutil.copy(one, tmp_path / "copy.png")
    for pictures in (DecodedPictures(tmp_path / "kept"), DecodedPictures(tmp_path / "kept")):
        for path in (one, two, tmp_path / "copy.png", one):
            pictures(path)
    assert read == [one, two]
    save(one, 2)
    assert torch.equal(in_unit_range(DecodedPictures(tmp_path / "kept")(one).pixels), read_picture(one).pixels)
    assert read == [one, two, one]


@pytest.mark.parametrize("damage", [b"", b"nothing", slice(0, -1)])
def test_a_damaged_file_is_not_trusted(tmp_path: Path, damage: bytes | slice) -> None:
    path = save(tmp_path / "one.png")
    DecodedPictures(tmp_path / "kept")(path)
    (file,) = (tmp_path / "kept").glob("*.npy")
    file.write_bytes(file.read_bytes()[damage] if isinstance(damage, slice) else damage)
    assert torch.equal(in_unit_range(DecodedPictures(tmp_path / "kept")(path).pixels), read_picture(path).pixels)
    assert file.stat().st_size == 128 + SIZE


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    pictures = DecodedPictures(tmp_path / "kept")
    with pytest.raises(PictureError, match=r"gone\.png does not exist"):
        pictures(tmp_path / "gone.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"bad\.png"):
        pictures(tmp_path / "bad.png")
    assert not (tmp_path / "kept").exists()


def test_room_is_limited_and_made_by_what_is_no_longer_used(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{number}.png", number) for number in range(5)]
    folder, told = tmp_path / "kept", list[str]()
    room = 2.5 * (SIZE + 128) / 1e9
    before = DecodedPictures(folder, room)
    old = [before(path) for path in paths[:2]]
    time.sleep(0.02)
    pictures = DecodedPictures(folder, room, told.append)
    pictures(paths[1])  # used again, so it stays
    for path in paths[2:] * 2:
        assert torch.equal(in_unit_range(pictures(path).pixels), read_picture(path).pixels)
    assert len(list(folder.glob("*.npy"))) == 2 and pictures.without_room == {paths[3], paths[4]}
    (sentence,) = told
    assert sentence.startswith("Some pictures are decoded whenever a crop of them is needed: there is no more room in")
    assert torch.equal(in_unit_range(old[0].pixels), read_picture(paths[0]).pixels), "mapped still, though deleted"
    DecodedPictures(tmp_path / "none", 0)(paths[0])
    assert not (tmp_path / "none").exists()


def test_a_full_disk_and_a_place_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, told = save(tmp_path / "one.png"), list[str]()
    blocked = DecodedPictures(path / "kept", tell=told.append)
    assert torch.equal(in_unit_range(blocked(path).pixels), read_picture(path).pixels)
    monkeypatch.setattr(decoded, "FREE_BYTES", 2**62)
    full = DecodedPictures(tmp_path / "kept", tell=told.append)
    assert torch.equal(in_unit_range(full(path).pixels), read_picture(path).pixels)
    assert "cannot be written (Not a directory)" in told[0] and "no more room" in told[1]
    assert not list((tmp_path / "kept").iterdir())


@pytest.mark.parametrize("most_gb", [-1.0, float("nan"), float("inf")])
def test_what_is_no_amount_is_refused(tmp_path: Path, most_gb: float) -> None:
    with pytest.raises(DataError, match="give a number from 0"):
        DecodedPictures(tmp_path, most_gb)


PROGRAM = """
import sys
from pathlib import Path
from dualpix.io.decoded import DecodedPictures
pictures = DecodedPictures(Path(sys.argv[1]) / "kept")
for path in sorted(Path(sys.argv[1]).glob("*.png")):
    sys.stdin.readline()
    pictures(path)
    print(path, flush=True)
"""


def test_killed_half_way_it_leaves_nothing_that_is_trusted(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (500, 600, 3)).astype(np.uint8)
    for number in range(5):
        Image.fromarray(np.roll(whole, number, 0)).save(tmp_path / f"{number:02}.png", compress_level=0)
    command, pipe = [sys.executable, "-c", PROGRAM, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        for _ in range(2):
            print(file=process.stdin, flush=True)
            process.stdout.readline()
        print(file=process.stdin, flush=True)
        while len(list(tmp_path.glob("kept/*"))) + len(list(tmp_path.glob("kept/.*"))) < 3:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert 2 <= len(list(tmp_path.glob("kept/*.npy"))) <= 3
    pictures = DecodedPictures(tmp_path / "kept")
    for path in sorted(tmp_path.glob("*.png")):
        assert torch.equal(in_unit_range(pictures(path).pixels), read_picture(path).pixels)
