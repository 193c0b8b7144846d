"""Titles, authors and comments stay with the photograph, and what cannot go along is said. Pillow reads the results."""

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from dualpix.io import Metadata, read_picture, write_picture
from dualpix.io.texts import Text

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def levels() -> np.ndarray:
    y, x = np.mgrid[:24, :40]
    return np.stack([x * 6, y * 10, (x + y) * 4], axis=-1).astype(np.uint8)


def png(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    Image.fromarray(levels()).save(path)
    data = path.read_bytes()
    extra = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    path.write_bytes(data[:33] + extra + data[33:])
    return path


def jpeg(path: Path, *segments: tuple[int, bytes]) -> Path:
    Image.fromarray(levels()).save(path, quality=95)
    data = path.read_bytes()
    extra = b"".join(struct.pack(">BBH", 0xFF, code, len(body) + 2) + body for code, body in segments)
    path.write_bytes(data[:2] + extra + data[2:])
    return path


def rewritten(given: Path, path: Path) -> list[str]:
    picture = read_picture(given)
    return [*picture.notes, *write_picture(path, picture.pixels, 8, metadata=picture.metadata)]


def test_texts_of_a_png_stay_in_a_png(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "A harbour")
    info.add_text("Author", "Zoë Müller")
    info.add_text("Copyright", "© someone " * 200, zip=True)
    info.add_itxt("Comment", "春の港", "ja", "コメント")
    info.add_itxt("Description", "дом" * 1000, zip=True)
    Image.fromarray(levels()).save(tmp_path / "in.png", pnginfo=info)
    assert rewritten(tmp_path / "in.png", tmp_path / "out.png") == []
    with Image.open(tmp_path / "in.png") as before, Image.open(tmp_path / "out.png") as after:
        assert after.text == before.text and len(after.text) == 5
        assert (after.text["Comment"].lang, after.text["Comment"].tkey) == ("ja", "コメント")


@pytest.mark.parametrize("words", [b"plain", "Zoë".encode(), "Zoë".encode("latin-1"), b"ends in zeros\0\0"])
@pytest.mark.parametrize("target", ["jpg", "png"])
def test_a_comment_of_a_jpeg_stays(tmp_path: Path, words: bytes, target: str) -> None:
    given = jpeg(tmp_path / "in.jpg", (0xFE, words))
    assert rewritten(given, tmp_path / f"out.{target}") == []
    text = words.rstrip(b"\0").decode("latin-1" if b"\xeb" in words else "utf-8")
    with Image.open(tmp_path / f"out.{target}") as after:
        assert (after.text["Comment"] if target == "png" else after.info["comment"].decode()) == text


def test_all_comments_of_a_jpeg_stay_in_order(tmp_path: Path) -> None:
    given = jpeg(tmp_path / "in.jpg", (0xFE, b"one"), (0xFE, b"two" * 20_000), (0xFE, b"three"))
    assert rewritten(given, tmp_path / "out.jpg") == []
    assert [text.text for text in read_picture(tmp_path / "out.jpg").metadata.texts] == ["one", "two" * 20_000, "three"]
    assert rewritten(tmp_path / "out.jpg", tmp_path / "out.png") == []
    assert rewritten(tmp_path / "out.png", tmp_path / "again.jpg") == []
    assert (tmp_path / "again.jpg").stat().st_size == (tmp_path / "out.jpg").stat().st_size


@pytest.mark.parametrize("target", ["jpg", "tif", "webp", "jxl", "ppm"])
def test_texts_that_a_format_has_no_place_for_are_named(tmp_path: Path, target: str) -> None:
    given = png(tmp_path / "in.png", (b"tEXt", b"Title\0A harbour"), (b"tEXt", b"Author\0me"), (b"tEXt", b"Comment\0c"))
    (note,) = rewritten(given, tmp_path / f"out.{target}")
    assert "'Title', 'Author'" in note and "left out" in note and ("'Comment'" in note) == (target != "jpg")


def test_stripped_files_hold_no_texts(tmp_path: Path) -> None:
    picture = read_picture(png(tmp_path / "in.png", (b"tEXt", b"Title\0A harbour")))
    assert write_picture(tmp_path / "out.png", picture.pixels, metadata=Metadata()) == []
    assert b"A harbour" not in (tmp_path / "out.png").read_bytes()


def test_texts_that_no_png_can_hold_are_named(tmp_path: Path) -> None:
    texts = Text("", "a"), Text("k" * 80, "b"), Text("дом", "c"), Text("Title", "d\0e")
    (note,) = write_picture(tmp_path / "a.png", levels(), metadata=Metadata(texts=texts))
    assert "''" in note and "'дом'" in note and "Title" not in note
    assert read_picture(tmp_path / "a.png").metadata.texts == (Text("Title", "d e"),)


def dumped(name: bytes, data: bytes) -> tuple[bytes, bytes]:
    text = b"\n%s\n%8d\n%s\n" % (name, len(data), data.hex().encode())
    return b"zTXt", b"Raw profile type " + name + b"\0\0" + zlib.compress(text)


def test_blocks_that_a_png_holds_as_texts_are_those_blocks(tmp_path: Path) -> None:
    """As ImageMagick writes them."""
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "A camera", 6
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r/></x:xmpmeta>'
    iptc = b"\x1c\x02\x78\0\x09A caption"
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
    chunks = [
        dumped(b"exif", exif.tobytes()),
        dumped(b"xmp", packet),
        dumped(b"icc", PROFILE),
        dumped(b"8bim", resource),
    ]
    picture = read_picture(png(tmp_path / "in.png", *chunks))
    found = picture.metadata
    assert found.exif == exif.tobytes().removeprefix(b"Exif\0\0") and found.orientation == 6
    assert found.xmp == packet and found.icc == PROFILE and found.photoshop == resource and found.texts == ()
    again = read_picture(png(tmp_path / "iptc.png", dumped(b"iptc", iptc), dumped(b"APP1", exif.tobytes()))).metadata
    assert again.photoshop == resource and again.exif == found.exif


def test_what_belongs_to_the_old_file_alone_is_left_out_and_named(tmp_path: Path) -> None:
    of_the_file = [(b"tEXt", b"date:create\x002020-01-01"), (b"tEXt", b"Thumb::URI\0file:///home/me/in.png")]
    given = png(tmp_path / "in.png", *of_the_file, (b"caBX", b"\0\0\0\x10jumbc2pa"), (b"tEXt", b"Title\0t"))
    (note,) = rewritten(given, tmp_path / "out.png")
    assert "content credentials (C2PA)" in note and "date:create" in note and "Thumb::URI" in note
    with Image.open(tmp_path / "out.png") as after:
        assert after.text == {"Title": "t"}


def test_content_credentials_are_named_whatever_the_format(tmp_path: Path) -> None:
    box = struct.pack(">I", 24) + b"jumb" + b"\0\0\0\x10jumdc2pa" + bytes(4)
    jpeg(tmp_path / "a.jpg", (0xEB, b"JP\0\1\0\0\0\1" + box))
    Image.fromarray(levels()).save(tmp_path / "a.webp", lossless=True)
    data = (tmp_path / "a.webp").read_bytes() + b"C2PA" + struct.pack("<I", 4) + b"abcd"
    (tmp_path / "a.webp").write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    (tmp_path / "a.jxl").write_bytes(bytes(imagecodecs.jpegxl_encode(levels(), lossless=True, usecontainer=True)) + box)
    Image.fromarray(levels()).save(tmp_path / "a.tif", tiffinfo={52545: b"c2pa"})
    for kind in ("jpg", "webp", "jxl", "tif"):
        picture = read_picture(tmp_path / f"a.{kind}")
        assert "content credentials (C2PA)" in " ".join(picture.notes), kind
        write_picture(tmp_path / f"out.{kind}", picture.pixels, 8, metadata=picture.metadata)
        assert b"c2pa" not in (tmp_path / f"out.{kind}").read_bytes()


def test_segments_of_makers_are_named_and_those_of_encoders_are_not(tmp_path: Path) -> None:
    encoders = [(0xE0, b"JFXX\0\x10"), (0xEC, b"Ducky\0\1\0\4\0\0\0\x3c"), (0xEE, b"Adobe\0d\0\0\0\0\1")]
    assert read_picture(jpeg(tmp_path / "a.jpg", *encoders)).notes == ()
    (note,) = read_picture(jpeg(tmp_path / "b.jpg", (0xE4, b"maker"), (0xE4, b"more"), (0xEA, b"AROT"))).notes
    assert note.endswith("Left out: a block of its maker or software (APP4), a block of its maker or software (APP10).")
    (note,) = read_picture(jpeg(tmp_path / "c.jpg", (0xE2, b"urn:iso:std:iso:ts:21496:-1\0abc"))).notes
    assert "a gain map" in note


def test_what_is_damaged_or_too_long_is_told_and_costs_nothing_else(tmp_path: Path) -> None:
    long = b"tEXt", b"Title\0" + bytes(65 for _ in range(2**23))
    bomb = b"zTXt", b"Author\0\0" + zlib.compress(bytes(2**24))
    cut = b"zTXt", b"Source\0\0" + zlib.compress(b"abc" * 999)[:-8]
    bare = b"tEXt", b"no keyword"
    profile = b"iCCP", b"x\0\0" + zlib.compress(PROFILE)[:-9]
    picture = read_picture(png(tmp_path / "a.png", long, bomb, cut, bare, profile, (b"tEXt", b"Comment\0kept")))
    assert picture.metadata.texts == (Text("Comment", "kept"),) and picture.metadata.icc is None
    assert [note.removeprefix("a.png: ") for note in picture.notes] == [
        "A part of its metadata is longer than 8 MB: it is left out.",
        "A part of its metadata is damaged: it is left out.",
    ]
    parts = (0xE2, b"ICC_PROFILE\0\x01\x02" + PROFILE[:100])  # of which the second is missing
    (note,) = read_picture(jpeg(tmp_path / "b.jpg", parts)).notes
    assert "A part of its metadata is damaged" in note
