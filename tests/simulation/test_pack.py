"""A pack: what is sharp, in little room, read wherever photographs are; and what is wrong with one."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from dualpix.cli import app
from dualpix.errors import DataError, PictureError
from dualpix.simulation.pack import PackedPhoto, pack, photos_in, read_list, sharp_share, sharpest
from dualpix.simulation.photos import read_photos, share_photos
from dualpix.simulation.simulate import simulate


def photograph(seed: int, size: int = 560) -> Image.Image:
    """Grey levels with the spectrum of photographs, 1/f."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    frequency[0, 0] = 1
    planes = np.fft.ifft2(np.fft.fft2(rng.normal(size=(3, size, size))) / frequency).real
    planes = 128 + 50 * planes / planes.std()
    return Image.fromarray(planes.transpose(1, 2, 0).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("here") / "mine"
    folder.mkdir()
    photograph(0).save(folder / "sharp.png")
    photograph(1).save(folder / "coded.jpg", quality=80)
    photograph(2).filter(ImageFilter.GaussianBlur(20)).save(folder / "blurred.png")
    photograph(3, 1080).filter(ImageFilter.GaussianBlur(2.0)).save(folder / "soft.png")
    photograph(4, 100).save(folder / "small.png")
    return folder


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    return pack([folder], tmp_path / "photos.pack", licences={"mine": "CC0"}).file


def test_the_sharp_ones_are_kept_and_said_whose_they_are(folder: Path, tmp_path: Path) -> None:
    done = pack([folder], tmp_path / "photos.pack", licences={"mine": "CC0"})
    assert done.kept == ("mine/coded.jpg", "mine/sharp.png", "mine/soft.png")
    assert done.dropped == {"mine/blurred.png": "it is sharp at no size", "mine/small.png": "it is sharp at no size"}
    listed = read_list(done.file)
    assert [one["source"] for one in listed] == list(done.kept) and {one["licence"] for one in listed} == {"CC0"}
    factors = {one["source"]: one["reduced"] for one in listed}
    assert factors["mine/sharp.png"] == 1 and factors["mine/coded.jpg"] == 2 and factors["mine/soft.png"] > 1
    kept = photos_in(done.file)[1].decode()
    original = torch.from_numpy(np.array(Image.open(folder / "sharp.png"))).permute(2, 0, 1)
    assert kept.shape == original.shape
    assert float((kept.float() - original.float()).abs().mean()) < 6, "a coding that hardly shows"


def test_blur_is_told_from_sharpness() -> None:
    picture = photograph(5)
    shares = []
    for radius in (0.0, 1.5, 4.0):
        pixels = np.array(picture.filter(ImageFilter.GaussianBlur(radius)) if radius else picture)
        shares.append(sharp_share(torch.from_numpy(pixels).permute(2, 0, 1) / 255))
    assert shares[0] > 0.9 and shares[1] < 0.3 and shares[2] == 0
    assert sharpest(torch.full((3, 600, 600), 0.5))[1] == 0, "nothing to see is not sharp"


def test_a_background_far_out_of_focus_counts_against_a_photograph() -> None:
    sharp, blurred = photograph(6), photograph(6).filter(ImageFilter.GaussianBlur(6.0))
    shares = []
    for part in (0.25, 0.75):
        shallow = sharp.copy()
        shallow.paste(blurred.crop((0, 0, 560, round(560 * part))))
        shares.append(sharp_share(torch.from_numpy(np.array(shallow)).permute(2, 0, 1) / 255))
    assert shares == pytest.approx([0.75, 0.25], abs=0.08)


def test_what_is_too_much_is_made_smaller(folder: Path, tmp_path: Path) -> None:
    done = pack([folder], tmp_path / "small.pack", most_bytes=120_000)
    assert done.size_bytes <= 120_000 and len(done.kept) == 3
    with pytest.raises(DataError, match="do not fit into 2000 bytes"):
        pack([folder], tmp_path / "tiny.pack", most_bytes=2000)


def test_it_is_taken_in_place_of_a_folder(packed: Path, folder: Path, tmp_path: Path) -> None:
    plain, shared = read_photos([packed, folder]), share_photos([packed], tmp_path / "store")
    assert len(plain) == 3 + 5 and len(shared) == 3
    assert all(torch.equal(one, two) for one, two in zip(plain[:3], shared, strict=True))
    assert simulate([packed], tmp_path / "pairs", 1, 64).made == 1


def test_the_command_makes_one(folder: Path, tmp_path: Path) -> None:
    words = ["pack", str(folder), "-o", str(tmp_path / "photos.pack")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0 and "3 photographs, 2 left out" in result.output and "not stated" in result.output
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1 and "exists already; choose another name, or give --overwrite" in again.output
    with pytest.raises(DataError, match="no folder 'other' to give a licence for"):
        pack([folder], tmp_path / "other.pack", licences={"other": "CC0"})
    endless = CliRunner().invoke(app, [*words, "--overwrite", "--megabytes", "inf"])
    assert endless.exit_code == 2 and "give a number of megabytes" in endless.output
    assert list(pack([folder, folder], tmp_path / "once.pack").dropped) == ["mine/blurred.png", "mine/small.png"]


def test_where_it_cannot_be_written_is_told_before_anything_is_read(folder: Path, tmp_path: Path) -> None:
    looked: list[int] = []
    for output, says in (("missing/a.pack", "missing does not exist; create it first"), ("", "is a folder")):
        with pytest.raises(PictureError, match=says):
            pack([folder], tmp_path / output, overwrite=True, progress=lambda done, _: looked.append(done))
    assert not looked
    with pytest.raises(DataError, match=r"There are no photographs in .*; give folders that hold pictures"):
        pack([tmp_path], tmp_path / "a.pack")


def changed(packed: Path, **changes: object) -> Path:
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    said = json.loads(members.pop("pack.json")) | changes
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("pack.json", json.dumps(said))
    return packed


def test_what_is_wrong_with_a_pack_is_one_sentence(packed: Path, tmp_path: Path) -> None:
    content = packed.read_bytes()

    def wrong(match: str) -> None:
        with pytest.raises(DataError, match=match):
            read_photos([packed])

    packed.write_bytes(content[: len(content) // 2])
    wrong("is no pack of photographs, or a damaged one")
    broken = bytearray(content)
    broken[2000:2100] = bytes(100)
    packed.write_bytes(broken)
    wrong(r"is a damaged pack: 0000.jpg cannot be read")
    packed.write_bytes(content)
    changed(packed, version=2)
    wrong("is a pack of version 2, and this is dualpix for version 1")
    changed(packed, version=1, photos=[])
    wrong("is a pack without photographs")
    changed(packed, photos=[{"file": "9.jpg"}])
    wrong("9.jpg is missing")
    changed(packed, format="other")
    wrong("is no pack of photographs")
    assert str(PackedPhoto(packed, "0000.jpg")).endswith("photos.pack/0000.jpg")


@pytest.mark.parametrize("member", ["pack.json", "0001.jpg"])
@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_what_inflates_is_not_unpacked(packed: Path, member: str, how: int) -> None:
    """Some kilobytes could become gigabytes; `pack` compresses nothing."""
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content + b" " * 10_000_000 * (name == member), how if name == member else None)
    assert packed.stat().st_size < 1_000_000
    with pytest.raises(DataError, match=f"is a damaged pack: {member} cannot be read"):
        read_photos([packed])


def test_a_photograph_that_declares_more_pixels_than_any_is_not_decoded(packed: Path) -> None:
    """Of 65,500 x 65,500 pixels Pillow raises an error of its own, and of 10,000 x 10,000 it only warns."""
    with zipfile.ZipFile(packed) as archive:
        members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    for side in (10_000, 65_500):
        frame = members["0000.jpg"].index(b"\xff\xc0")
        members["0000.jpg"][frame + 5 : frame + 9] = 2 * side.to_bytes(2, "big")
        with zipfile.ZipFile(packed, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        with pytest.raises(DataError, match=r"is a damaged pack: 0000\.jpg is no picture"):
            read_photos([packed])


def test_what_looks_odd_about_photographs_in_it_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    Image.open(folder / "sharp.png").convert("RGBA").save(tmp_path / "mine" / "sharp.png")
    done = pack([tmp_path / "mine"], tmp_path / "p.pack")
    assert len(done.notes) == 1 and "has an alpha channel (transparency): it is ignored." in done.notes[0]
