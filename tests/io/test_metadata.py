"""Colour profile, EXIF and XMP go through every format; Pillow and a reader of boxes by hand look at the result."""

import io
import random
import struct
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image, ImageCms

from dualpix.errors import PictureError
from dualpix.io import Metadata, check_output, read_picture, suffix_of, write_picture

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6" dc:t="\xc3\xa4"/></x:xmpmeta>'
SOURCES = ["png", "jpg", "webp", "tif", "big-endian.tif", "jxl"]
TARGETS = ["png", "jpg", "webp", "tif", "jxl"]
NOTE = "dualpix 0.1.0, mccnet, weights test"
MAKER, MAKER_AT = 37500, 600


def exif_block(order: str = "<", thumbnail: int = 0) -> bytes:
    """An EXIF block as cameras write it, by hand: exposure, place, perhaps a thumbnail, and a maker's note at byte 600
    that holds the place of its own second half, counted from the start of the block."""

    def directory(base: int, entries: dict[int, tuple[int, int, bytes]], follow: int = 0) -> bytes:
        fields, behind = b"", b""
        for tag, (kind, count, value) in sorted(entries.items()):
            fields += struct.pack(order + "HHI", tag, kind, count)
            if len(value) > 4:
                fields += struct.pack(order + "I", base + 2 + 12 * len(entries) + 4 + len(behind))
                behind += value + b"\0" * (len(value) % 2)
            else:
                fields += value.ljust(4, b"\0")
        return struct.pack(order + "H", len(entries)) + fields + struct.pack(order + "I", follow) + behind

    def long(value: int) -> tuple[int, int, bytes]:
        return 4, 1, struct.pack(order + "I", value)

    def word(text: bytes) -> tuple[int, int, bytes]:
        return 2, len(text) + 1, text + b"\0"

    note = b"MAKER" + struct.pack(order + "I", MAKER_AT + 20) + bytes(11) + b"the second half"
    ratio = struct.pack(order + "II", 1, 250)
    first = {271: word(b"Canon"), 272: word(b"EOS 5D Mark IV"), 274: (3, 1, struct.pack(order + "H", 6))}
    first |= {305: word(b"Camera 1.0"), 34665: long(300), 34853: long(450), 282: (5, 1, ratio)}
    exposure = {33434: (5, 1, ratio), 34855: (3, 1, struct.pack(order + "H", 800)), MAKER: (7, len(note), note)}
    place = {1: word(b"N"), 2: (5, 3, 3 * ratio)}
    block = (
        {"<": b"II*\0", ">": b"MM\0*"}[order]
        + struct.pack(order + "I", 8)
        + directory(8, first, 520 if thumbnail else 0)
    )
    block = block.ljust(300, b"\0") + directory(300, exposure)
    at = block.index(note)
    block = block[:at] + b"\0" * len(note) + block[at + len(note) :]
    block = block.replace(struct.pack(order + "HHII", MAKER, 7, len(note), at),
                          struct.pack(order + "HHII", MAKER, 7, len(note), MAKER_AT))  # fmt: skip
    block = block.ljust(450, b"\0") + directory(450, place)
    block = block.ljust(520, b"\0") + directory(520, {513: long(700), 514: long(thumbnail)})
    block = block.ljust(MAKER_AT, b"\0") + note
    return block.ljust(700, b"\0") + random.Random(0).randbytes(thumbnail)


def levels() -> np.ndarray:
    y, x = np.mgrid[:24, :40]
    return np.stack([x * 6, y * 10, (x + y) * 4], axis=-1).astype(np.uint8)


def camera_tiff(exif: bytes) -> bytes:
    """A TIFF whose own first directory holds what the block's does, so that it is a block and a picture in one."""
    order = "<" if exif[:2] == b"II" else ">"
    count = struct.unpack_from(order + "H", exif, 8)[0]
    fields = {
        struct.unpack_from(order + "H", exif, 10 + 12 * i)[0]: exif[10 + 12 * i : 22 + 12 * i] for i in range(count)
    }
    start, pixels = exif + b"\0" * (len(exif) % 2), levels()
    spots = {"pixels": len(start), "icc": len(start) + pixels.nbytes}
    spots["xmp"] = spots["icc"] + len(ICC)
    end = spots["xmp"] + len(XMP) + len(XMP) % 2
    for tag, kind, number, value in [
        (256, 4, 1, 40), (257, 4, 1, 24), (258, 3, 3, end), (259, 4, 1, 1), (262, 4, 1, 2),
        (273, 4, 1, spots["pixels"]), (277, 4, 1, 3), (278, 4, 1, 24), (279, 4, 1, pixels.nbytes),
        (700, 1, len(XMP), spots["xmp"]), (34675, 7, len(ICC), spots["icc"]),
    ]:  # fmt: skip
        fields[tag] = struct.pack(order + "HHII", tag, kind, number, value)
    body = start + pixels.tobytes() + ICC + XMP + b"\0" * (len(XMP) % 2) + struct.pack(order + "HHH", 8, 8, 8)
    directory = struct.pack(order + "H", len(fields)) + b"".join(fields[tag] for tag in sorted(fields)) + bytes(4)
    return body[:4] + struct.pack(order + "I", len(body)) + body[8:] + directory


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def source(kind: str, exif: bytes) -> bytes:
    if kind.endswith("tif"):
        return camera_tiff(exif)
    if kind == "jxl":
        plain = bytes(imagecodecs.jpegxl_encode(levels(), lossless=True, usecontainer=True))
        return plain + box(b"Exif", bytes(4) + exif) + box(b"xml ", XMP)
    buffer = io.BytesIO()
    form = {"jpg": "JPEG"}.get(kind, kind.upper())
    options = {"lossless": True} if kind == "webp" else {"quality": 95} if kind == "jpg" else {}
    chunks = {"icc_profile": ICC, "exif": (b"" if kind == "webp" else b"Exif\0\0") + exif}
    if kind != "png":
        chunks["xmp"] = XMP
    Image.fromarray(levels()).save(buffer, form, **options, **chunks)
    data = buffer.getvalue()
    if kind == "png":
        body = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)  # compressed, at the end
        extra = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        data = data[:-12] + extra + data[-12:]
    return data


def found(path: Path) -> tuple[bytes | None, Image.Exif, bytes | None]:
    """Profile, EXIF and XMP as others read them."""
    if path.suffix == ".jxl":
        data, at, boxes = path.read_bytes(), 0, {}
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "big") or len(data) - at
            boxes[data[at + 4 : at + 8]] = data[at + 8 : at + size]
            at += size
        exif = Image.Exif()
        exif.load(boxes.get(b"Exif", bytes(4))[4:])
        return None, exif, boxes.get(b"xml ")
    with Image.open(path) as opened:
        if path.suffix == ".png":
            opened.load()  # Of a TIFF, that would turn the picture and forget the orientation.
        exif = opened.getexif()
        for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            exif.get_ifd(tag)
        xmp = opened.info.get("xmp") or getattr(opened, "tag_v2", {}).get(700)
        return opened.info.get("icc_profile"), exif, xmp


def raw_exif(path: Path) -> bytes:
    """The bytes that hold the EXIF block; of a TIFF, the file."""
    data = path.read_bytes()
    if path.suffix in (".tif", ".tiff"):
        return data
    at = min(at for mark in (b"II*\0", b"MM\0*") if (at := data.find(mark)) >= 0)
    return data[at:]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", SOURCES)
def test_everything_goes_from_any_format_to_any_other(tmp_path: Path, kind: str, target: str) -> None:
    exif = exif_block(">" if "big" in kind else "<")
    given, path = tmp_path / f"in.{kind}", tmp_path / f"out.{target}"
    given.write_bytes(source(kind, exif))
    picture = read_picture(given)
    orientation = 1 if kind == "jxl" else 6  # there the file's own header counts, and says nothing
    assert picture.metadata.orientation == orientation
    assert write_picture(path, picture.pixels, 8, metadata=replace(picture.metadata, software=NOTE)) == []

    icc, tags, xmp = found(path)
    if target == "jxl" or kind == "jxl":
        orientation = 1
    assert icc == (None if "jxl" in (kind, target) else ICC)
    assert xmp == XMP.replace(b'"6"', b'"%d"' % orientation)
    assert tags[274] == orientation and tags[305] == NOTE
    assert tags[271] == "Canon" and tags[272] == "EOS 5D Mark IV" and float(tags[282]) == 1 / 250
    exposure, place = tags.get_ifd(ExifTags.IFD.Exif), tags.get_ifd(ExifTags.IFD.GPSInfo)
    assert exposure[34855] == 800 and float(exposure[33434]) == 1 / 250
    assert place[1] == "N" and [float(part) for part in place[2]] == [1 / 250] * 3
    # The maker's note is whole, and what it says about its own place still holds.
    note = exposure[MAKER]
    assert note.startswith(b"MAKER") and note.endswith(b"the second half")
    at = int.from_bytes(note[5:9], "big" if "big" in kind else "little")
    assert raw_exif(path)[at:].startswith(b"the second half")
    if not kind.endswith("tif") and target != "tif":
        assert raw_exif(path)[8 : len(exif)] == exif[8:]
    again = read_picture(path)
    assert again.metadata.orientation == orientation and again.metadata.xmp == xmp


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_blocks_that_need_no_change_stay_bit_for_bit(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"in.{kind}").write_bytes(source(kind, exif_block()))
    metadata = read_picture(tmp_path / f"in.{kind}").metadata
    assert (metadata.icc, metadata.exif, metadata.xmp) == (ICC, exif_block(), XMP)
    write_picture(tmp_path / f"out.{kind}", read_picture(tmp_path / f"in.{kind}").pixels, 8, metadata=metadata)
    assert read_picture(tmp_path / f"out.{kind}").metadata == metadata


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_with_all_metadata_is_sound(tmp_path: Path, make, depth: int, order: str) -> None:
    """Two other readers see the same levels, whatever stands before them."""
    pixels = make["smooth"](np.uint16 if depth == 16 else np.uint8, 300, 200)
    (tmp_path / "in.png").write_bytes(make["png"](pixels))
    metadata = Metadata(ICC, exif_block(order), XMP, 6, NOTE)
    write_picture(tmp_path / "out.tif", read_picture(tmp_path / "in.png").pixels, depth, metadata=metadata)
    with tifffile.TiffFile(tmp_path / "out.tif") as opened:
        assert opened.byteorder == order and len(opened.pages) == 1
        np.testing.assert_array_equal(opened.asarray(), pixels)
        tags = opened.pages[0].tags
        assert tags["InterColorProfile"].value == ICC and tags["XMP"].value == XMP
        assert tags["ExifTag"].value["ISOSpeedRatings"] == 800 and tags["Software"].value == NOTE
        assert sorted(tag.code for tag in tags) == [tag.code for tag in tags]
    if depth == 8:
        with Image.open(tmp_path / "out.tif") as opened:
            np.testing.assert_array_equal(np.asarray(opened), np.rot90(pixels, -1))  # Pillow turns a TIFF by its tag


@pytest.mark.parametrize("target", [*TARGETS, "ppm"])
def test_stripped_files_hold_no_metadata_at_all(tmp_path: Path, target: str) -> None:
    (tmp_path / "in.jpg").write_bytes(source("jpg", exif_block()))
    picture, path = read_picture(tmp_path / "in.jpg"), tmp_path / f"out.{target}"
    write_picture(path, picture.pixels, metadata=Metadata(orientation=picture.metadata.orientation))
    write_picture(tmp_path / f"plain.{target}", picture.pixels.transpose(1, 2).flip(2))
    assert path.read_bytes() == (tmp_path / f"plain.{target}").read_bytes()
    data = path.read_bytes()
    marks = (b"Canon", b"Exif", b"eXIf", b"iCCP", b"ICC", b"xmpmeta", b"XMP", b"xml ", b"dualpix", b"tifffile")
    assert not [mark for mark in marks if mark in data]


def test_a_note_needs_no_other_metadata(tmp_path: Path) -> None:
    for target in TARGETS:
        path = tmp_path / f"out.{target}"
        assert write_picture(path, zeros(), metadata=Metadata(software=NOTE)) == []
        assert found(path)[1][305] == NOTE


def zeros() -> torch.Tensor:
    return torch.zeros(3, 20, 30)


def test_what_a_jpeg_is_too_small_for(tmp_path: Path) -> None:
    """A profile may take many segments; EXIF and XMP may not."""
    noise = random.Random(1).randbytes(200_000)
    profile = ICC[:128] + noise
    # Behind the blanked thumbnail of the block stands a part that no directory names.
    exif = exif_block(thumbnail=80_000) + b"a part of its own"
    metadata = Metadata(profile, exif, b"<x>" + noise.hex().encode() + b"</x>", 6, NOTE)
    notes = write_picture(tmp_path / "out.jpg", zeros(), metadata=metadata)
    assert "thumbnail" in notes[0] and "everything but the tags of its main directories is left out" in notes[1]
    assert "XMP packet is too long" in notes[2] and len(notes) == 3
    icc, tags, xmp = found(tmp_path / "out.jpg")
    assert icc == profile and xmp is None and read_picture(tmp_path / "out.jpg").metadata.icc == profile
    assert tags[274] == 6 and tags[305] == NOTE and tags.get_ifd(ExifTags.IFD.Exif)[34855] == 800

    huge = Image.Exif()
    huge[270] = "x" * 70_000
    notes = write_picture(tmp_path / "more.jpg", zeros(), metadata=Metadata(exif=huge.tobytes()[6:], orientation=8))
    assert len(notes) == 1 and "all but the orientation" in notes[0] and found(tmp_path / "more.jpg")[1][274] == 8


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    (note,) = write_picture(tmp_path / "out.ppm", zeros(), metadata=Metadata(ICC, exif_block(), XMP))
    assert note == "A .ppm file holds no metadata; left out: the colour profile, EXIF, XMP."
    (note,) = write_picture(tmp_path / "out.pgm", zeros(), metadata=Metadata(xmp=XMP), grey=True)
    assert note == "A .pgm file holds no metadata; left out: XMP."
    assert write_picture(tmp_path / "noted.ppm", zeros(), metadata=Metadata(software=NOTE)) == []
    for target in ("png", "tif", "jpg"):  # a profile for colours in a grey picture
        (note,) = write_picture(tmp_path / f"out.{target}", zeros(), metadata=Metadata(ICC), grey=True)
        assert "another number of channels" in note and found(tmp_path / f"out.{target}")[0] is None


def test_a_jpeg_xl_is_refused_before_the_work_if_its_colours_would_be_wrong(tmp_path: Path) -> None:
    metadata = Metadata(bytes(imagecodecs.cms_profile("adobergb")))
    for call in (check_output, lambda path, metadata: write_picture(path, zeros(), metadata=metadata)):
        with pytest.raises(PictureError, match=r"colour profile other than sRGB.*choose \.png or \.tif"):
            call(tmp_path / "out.jxl", metadata=metadata)
    assert not list(tmp_path.iterdir())


def test_a_compressed_packet_that_unpacks_to_very_much_does_no_harm(tmp_path: Path, make) -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(10**7)) for _ in range(6)) + packer.flush()
    chunks = make["chunk"](b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb) + make["chunk"](b"iCCP", b"x\0\0" + bomb)
    (tmp_path / "bomb.png").write_bytes(make["png"](make["smooth"](), extra=chunks))
    tracemalloc.start()
    try:
        assert read_picture(tmp_path / "bomb.png").metadata == Metadata()
        assert tracemalloc.get_traced_memory()[1] < 3e7
    finally:
        tracemalloc.stop()


def test_a_directory_whose_entries_share_their_bytes_takes_no_more_memory(tmp_path: Path) -> None:
    """4000 entries of 4 MB each, all of them the same 4 MB."""
    size = 4_000_000
    entries = b"".join(struct.pack("<HHII", 51_000 + i, 7, size, 50_000) for i in range(4000))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 4000) + entries
    picture = source("webp", exif_block()[:8] + bytes(6))
    body = block.ljust(50_000, b"\0") + bytes(size)
    chunk = b"EXIF" + struct.pack("<I", len(body)) + body
    at = picture.index(b"EXIF")
    content = picture[:at] + chunk + picture[at + 8 + 14 :]
    (tmp_path / "bomb.webp").write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    tracemalloc.start()
    try:
        metadata = read_picture(tmp_path / "bomb.webp").metadata
        assert metadata.exif is not None and len(metadata.exif) == len(body) and metadata.xmp == XMP
        assert tracemalloc.get_traced_memory()[1] < 6e7
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", SOURCES)
def test_damaged_metadata_never_costs_the_picture(tmp_path: Path, kind: str) -> None:
    """Bytes of the EXIF block are changed at random; the picture is read, and can be written in any format."""
    exif = exif_block(">" if "big" in kind else "<")
    content, dice = source(kind, exif), random.Random(kind)
    at, path = content.index(exif[300:500]) - 300, tmp_path / f"in.{kind}"
    for number in range(60):
        damaged = bytearray(content)
        for _ in range(dice.choice((1, 3, 10))):
            damaged[at + dice.randrange(300 if kind.endswith("tif") else 8, 530)] = dice.choice(
                (0, 255, dice.randrange(256))
            )
        path.write_bytes(damaged)
        picture = read_picture(path)
        assert picture.pixels.shape == (3, 24, 40)
        target = tmp_path / f"out.{TARGETS[number % len(TARGETS)]}"
        write_picture(target, picture.pixels, 8, True, replace(picture.metadata, software=NOTE))
        assert read_picture(target).pixels.shape[0] == 3


def test_the_usual_extension_follows_the_content(tmp_path: Path, kind) -> None:
    path = tmp_path / "no-extension"
    path.write_bytes(kind.content)
    assert suffix_of(path) == Path(kind.name).suffix
