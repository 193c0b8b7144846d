"""docs/workflow.md as a photographer walks it: two TIFFs out of a raw developer or GIMP, one command, one TIFF back."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

import dualpix as package
from dualpix.weights import checkpoint
from small_networks import TINY, tiny

Command = Callable[..., tuple[int, str, str]]
Views = Callable[..., tuple[np.ndarray, np.ndarray]]
Entries = dict[int, tuple[int, int, bytes]]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EXIF, PLACE, XMP, IPTC, PROFILE = 34665, 34853, 700, 33723, 34675
EXPOSURE_TIME, ISO, TAKEN, LATITUDE = 33434, 34855, 36867, 2
CAPTION = b"\x1c\x02\x78\x00\x07caption\x1c\x02\x19\x00\x06garden"
PACKET = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:darktable="http://darktable.sf.net/" xmp:Rating="4" darktable:history_end="9">
<dc:subject><rdf:Bag><rdf:li>garden</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
WEIGHTS = ("-w", "tiny.safetensors")


def directory(at: int, entries: Entries) -> bytes:
    """A directory of EXIF at that place of a little-endian file: type, count and value by tag."""
    fields, behind = struct.pack("<H", len(entries)), b""
    for tag, (kind, count, value) in sorted(entries.items()):
        place = struct.pack("<I", at + 2 + 12 * len(entries) + 4 + len(behind))
        fields += struct.pack("<HHI", tag, kind, count) + (place if len(value) > 4 else value.ljust(4, b"\0"))
        behind += value if len(value) > 4 else b""
    return fields + bytes(4) + behind


def export(path: Path, levels: np.ndarray, profile: bytes = SRGB, **how: Any) -> None:
    """A TIFF as such programs write it: with a profile, EXIF, the place, XMP and IPTC."""

    def file(exposure_at: int, place_at: int) -> bytes:
        texts = {271: "Canon", 272: "EOS 5D Mark IV", 306: "2026:05:04 10:11:12"}
        tags: list[tuple[Any, ...]] = [(code, "s", 0, text, True) for code, text in texts.items()]
        tags += [(code, "B", len(block), block, True) for code, block in ((XMP, PACKET), (IPTC, CAPTION))]
        tags += [(EXIF + 1, "I", 1, exposure_at, True), (PLACE + 1, "I", 1, place_at, True)]
        buffer = io.BytesIO()
        kind = {"photometric": "rgb", "metadata": None, "software": "darktable 4.6.1", "iccprofile": profile}
        tifffile.imwrite(buffer, levels, extratags=tags, **kind | how)
        content = buffer.getvalue() + b"\0" * (buffer.tell() % 2)
        for code in (EXIF, PLACE):  # which the library does not write
            content = content.replace(struct.pack("<HHI", code + 1, 4, 1), struct.pack("<HHI", code, 4, 1))
        return content

    ratio = struct.pack("<II", 1, 250)
    exposure = {EXPOSURE_TIME: (5, 1, ratio), ISO: (3, 1, struct.pack("<H", 800))}
    exposure[TAKEN] = (2, 20, b"2026:05:04 10:11:12\0")
    at = len(file(0, 0))
    first = directory(at, exposure)
    second = directory(at + len(first), {1: (2, 2, b"N\0"), LATITUDE: (5, 3, 3 * ratio)})
    path.write_bytes(file(at, at + len(first)) + first + second)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photographer's folder, with weights that are quick."""
    checkpoint.save(tmp_path / "tiny.safetensors", tiny(), "mccnet-fast", TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PROGRAMS: dict[str, dict[str, Any]] = {
    "darktable": {},
    "Lightroom": {"compression": "zlib", "predictor": True, "rowsperstrip": 16},
    "GIMP": {"compression": "lzw", "extrasamples": [2]},  # which keeps the alpha of a layer
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_two_tiffs_go_out_and_one_comes_back_with_all_it_had(
    home: Path, views: Views, dualpix: Command, program: str
) -> None:
    pair = views()
    for name, view in zip(("left", "right"), pair, strict=True):
        opaque = np.full((*view.shape[:2], 1), 65535, np.uint16)
        levels = np.dstack([view, opaque]) if program == "GIMP" else view
        export(home / f"{name}.tif", levels, **PROGRAMS[program])
    code, out, _ = dualpix("inspect", "left.tif", "right.tif")
    assert code == 0 and "256 x 224 pixels, 16 bits" in out and "sRGB" in out and "right is 1.0" in out
    assert "left" in out.split("verdict")[1]
    words = ("left.tif", "right.tif", "-o", "sharp.tif", "--depth-mask", "mask.png")
    code, out, err = dualpix("deblur", *words, *WEIGHTS)
    assert code == 0, err
    with tifffile.TiffFile("sharp.tif") as file:
        levels, tags = file.asarray(), file.pages[0].tags
        assert levels.dtype == np.uint16 and levels.shape == (224, 256, 3)
        assert tags[PROFILE].value == SRGB and b'Rating="4"' in tags[XMP].value and b"garden" in tags[XMP].value
        assert bytes(tags[IPTC].value).startswith(CAPTION) and tags[306].value == "2026:05:04 10:11:12"
        assert tags["Software"].value == f"dualpix {package.__version__}, mccnet-fast, weights tiny"
        exposure, place = tags[EXIF].value, tags[PLACE].value
        assert (exposure["ISOSpeedRatings"], exposure["ExposureTime"]) == (800, (1, 250))
        assert exposure["DateTimeOriginal"] == "2026:05:04 10:11:12" and place["GPSLatitudeRef"] == "N"
    made = package.deblur(
        *(torch.from_numpy(view / np.float32(65535)).permute(2, 0, 1) for view in pair), "tiny.safetensors"
    )
    assert np.abs(levels - made.permute(1, 2, 0).numpy() * 65535).max() < 1, "numbers were converted"
    told = next(line for line in out.splitlines() if line.startswith("mask.png: disparity in pixels = "))
    with Image.open("mask.png") as mask:
        assert mask.size == (256, 224) and mask.mode.startswith("I;16")
        formula, _, focus = told.removeprefix("mask.png: ").partition("; in focus ")
        assert mask.getexif()[305].endswith(f"; {formula}") and float(focus)


@pytest.fixture
def exported(home: Path, views: Views) -> Path:
    for name, view in zip(("left", "right"), views(), strict=True):
        export(home / f"{name}.tif", view)
    return home


def test_other_exposures_are_matched_up_to_two_and_a_half_times(exported: Path, views: Views, dualpix: Command) -> None:
    for ratio, said in ((2.4, "which was brightened to match"), (2.6, "develop both views with the same settings")):
        export(exported / "right.tif", (views()[1] / ratio).astype(np.uint16))
        code, _, err = dualpix("deblur", "left.tif", "right.tif", "-o", f"{ratio}.tif", *WEIGHTS)
        assert (code, said in err) == (int(ratio > 2.5), True), err
        assert f"{ratio:.2f} times as bright" in err


def test_many_pairs_in_a_folder_have_their_masks_in_another(exported: Path, dualpix: Command) -> None:
    (exported / "trip").mkdir()
    for name in ("a", "b"):
        for side, view in (("L", "left"), ("R", "right")):
            (exported / "trip" / f"{name}_{side}.tif").write_bytes((exported / f"{view}.tif").read_bytes())
    code, _, err = dualpix("deblur", "trip", "-o", "sharp", "--depth-mask", "masks", *WEIGHTS)
    assert code == 0, err
    for folder, bands in (("sharp", 3), ("masks", 1)):
        assert sorted(path.name for path in (exported / folder).glob("*.tif")) == ["a.tif", "b.tif"]
        with tifffile.TiffFile(exported / folder / "a.tif") as file:
            assert (file.pages[0].samplesperpixel, file.pages[0].bitspersample) == (bands, 16)


def test_settings_that_a_program_embedded_stay_unless_metadata_are_stripped(exported: Path, dualpix: Command) -> None:
    for name, options in (("kept.tif", ()), ("stripped.tif", ("--strip-metadata",))):
        assert dualpix("deblur", "left.tif", "right.tif", "-o", name, *WEIGHTS, *options)[0] == 0
    with tifffile.TiffFile("kept.tif") as kept, tifffile.TiffFile("stripped.tif") as stripped:
        assert b"history_end" in kept.pages[0].tags[XMP].value
        assert not {XMP, IPTC, PROFILE, EXIF, PLACE, 305} & {tag.code for tag in stripped.pages[0].tags}
        np.testing.assert_array_equal(kept.asarray(), stripped.asarray())


def test_a_portrait_lies_as_it_was_exported_and_its_mask_with_it(
    exported: Path, views: Views, dualpix: Command
) -> None:
    """These programs turn the pixels of a camera that was held upright. Here what is above lies behind the focus."""
    for name, view in zip(("left", "right"), views(), strict=True):
        export(exported / f"up_{name}.tif", np.ascontiguousarray(np.rot90(view)))
    for name, pair in (("up", ("up_left.tif", "up_right.tif")), ("lying", ("left.tif", "right.tif"))):
        words = ("-o", f"{name}.tif", "--depth-mask", f"{name}.png")
        code, out, err = dualpix("deblur", *pair, *words)
        assert code == 0 and ("upright" in err) == (name == "up"), err
    up, lying = (tifffile.imread(f"{name}.tif").astype(int) for name in ("up", "lying"))
    assert np.abs(up - np.rot90(lying)).max() <= 1
    up, lying = (np.asarray(Image.open(f"{name}.png")) / 65535 for name in ("up", "lying"))
    assert np.abs(up - np.rot90(lying)).mean() < 0.001
    focus = float(out.rpartition("in focus ")[2])
    assert np.median(lying[:90]) < 0.2 < np.median(lying[140:]) == pytest.approx(focus, abs=0.05)


def test_what_extract_writes_is_taken_on(home: Path, views: Views, raw: Callable[..., bytes], dualpix: Command) -> None:
    left, right = (view[..., 1] // 5 for view in views())
    (home / "photo.dng").write_bytes(raw([left + right, left]))
    assert dualpix("extract", "photo.dng", "-o", "views")[0] == 0
    pair = [path.as_posix() for path in sorted((home / "views").iterdir())]
    assert [path.rpartition(".")[2] for path in pair] == ["tif", "tif"]
    assert "16 bits" in dualpix("inspect", *pair)[1]
    code, _, err = dualpix("deblur", *pair, "-o", "sharp.tif", *WEIGHTS)
    assert code == 0 and tifffile.imread("sharp.tif").dtype == np.uint16, err
