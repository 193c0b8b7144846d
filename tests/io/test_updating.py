"""What blocks tell of the file they came from is set right or taken out; the rest of them stays. Pillow reads it."""

import io
import struct
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import ExifTags, Image, IptcImagePlugin

from dualpix.io import Metadata, read_picture, write_picture

RDF = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    "{}</rdf:RDF></x:xmpmeta>"
)
TIFF = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
OTHERS = ["png", "tif", "jpg", "webp", "jxl"]


def packet(attributes: str = "", inside: str = "") -> bytes:
    return RDF.format(f"<rdf:Description {attributes}>{inside}</rdf:Description>").encode()


def levels() -> np.ndarray:
    y, x = np.mgrid[:24, :40]
    return np.stack([x * 6, y * 10, (x + y) * 4], axis=-1).astype(np.uint8)


def rewritten(given: Path, path: Path, **changes: object) -> list[str]:
    picture = read_picture(given)
    metadata = replace(picture.metadata, **changes)
    return write_picture(path, picture.pixels, 8, overwrite=True, metadata=metadata)


def saved(path: Path, **options: object) -> Path:
    Image.fromarray(levels()).save(path, **options)
    return path


def xmp_of(path: Path) -> bytes:
    found = read_picture(path).metadata.xmp
    assert found is not None and found in path.read_bytes()
    return found


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("prefix", ["tiff", "t"])
def test_an_orientation_told_by_xmp_alone_stays(tmp_path: Path, inside: bool, prefix: str) -> None:
    """As an attribute or an element, under any prefix; and no other kind of tag begins to tell one."""
    declared = f'xmlns:{prefix}="http://ns.adobe.com/tiff/1.0/"'
    element = f"<{prefix}:Orientation> 6 </{prefix}:Orientation>"
    words = packet(declared, element) if inside else packet(f"{declared} {prefix}:Orientation='6'")
    given = saved(tmp_path / "in.jpg", quality=95, xmp=words)
    assert read_picture(given).metadata.orientation == 6
    assert rewritten(given, tmp_path / "out.jpg", software="a note") == []
    assert read_picture(tmp_path / "out.jpg").metadata.orientation == 6
    assert b"6" in xmp_of(tmp_path / "out.jpg")
    exif = Image.Exif()
    exif.load(read_picture(tmp_path / "out.jpg").metadata.exif)
    assert 274 not in exif and exif[305] == "a note"
    # Where the picture itself is turned, XMP says so.
    rewritten(given, tmp_path / "out.jxl")
    assert read_picture(tmp_path / "out.jxl").pixels.shape == (3, 40, 24)
    assert b"6" not in xmp_of(tmp_path / "out.jxl").split(b"Description", 1)[1]
    # EXIF is asked first.
    exif = Image.Exif()
    exif[274] = 3
    assert read_picture(saved(tmp_path / "both.jpg", xmp=words, exif=exif)).metadata.orientation == 3


def sized_exif(order: str = "<", interop: bool = True) -> bytes:
    """An EXIF block that tells 999 x 888 in three places."""

    def directory(base: int, *entries: tuple[int, int, int]) -> bytes:
        fields = b"".join(
            struct.pack(order + "HHI", tag, kind, 1)
            + struct.pack(order + {3: "HH", 4: "I"}[kind], value, *[0] * (kind == 3))
            for tag, kind, value in entries
        )
        return struct.pack(order + "H", len(entries)) + fields + bytes(4)

    block = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    block += directory(8, (256, 4, 999), (257, 3, 888), (34665, 4, 100))
    block = block.ljust(100, b"\0") + directory(100, (40962, 3, 999), (40963, 3, 888), (40965, 4, 200))
    return block.ljust(200, b"\0") + directory(200, (4097, 4, 999), (4098, 4, 888))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("target", OTHERS)
def test_sizes_are_those_of_the_file(tmp_path: Path, target: str, order: str) -> None:
    words = packet(
        f'{TIFF} xmlns:exif="http://ns.adobe.com/exif/1.0/" tiff:ImageWidth="999" exif:PixelYDimension="888"'
    )
    given = saved(tmp_path / "in.jpg", quality=95, exif=b"Exif\0\0" + sized_exif(order), xmp=words)
    path = tmp_path / f"out.{target}"
    rewritten(given, path, orientation=6)
    width, height = (24, 40) if target == "jxl" else (40, 24)
    exif = Image.Exif()
    exif.load(read_picture(path).metadata.exif)
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    assert (inner[40962], inner[40963]) == (width, height)
    interop = exif.get_ifd(ExifTags.IFD.Interop)
    assert (interop[4097], interop[4098]) == (width, height)
    if target != "tif":
        assert (exif[256], exif[257]) == (width, height)
    assert b'tiff:ImageWidth="%d" exif:PixelYDimension="%d"' % (width, height) in xmp_of(path)


def test_a_side_that_needs_more_bits_than_it_had(tmp_path: Path) -> None:
    long = np.zeros((16, 70_000, 3), np.uint8)
    long[8:] = 255
    Image.fromarray(long).save(tmp_path / "long.png")
    pixels = read_picture(tmp_path / "long.png").pixels
    write_picture(tmp_path / "a.png", pixels, 8, metadata=Metadata(exif=sized_exif()))
    exif = Image.Exif()
    exif.load(read_picture(tmp_path / "a.png").metadata.exif)
    assert exif.get_ifd(ExifTags.IFD.Exif)[40962] == 70_000


@pytest.mark.parametrize("target", OTHERS)
def test_the_thumbnail_of_the_blurred_view_goes_and_is_told_of(tmp_path: Path, target: str) -> None:
    small = io.BytesIO()
    Image.fromarray(levels()).save(small, "JPEG", quality=30)
    picture = small.getvalue()
    block = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHIHH", 274, 3, 1, 1, 0) + struct.pack("<I", 30)
    second = struct.pack("<H", 2) + struct.pack("<HHII", 513, 4, 1, 70) + struct.pack("<HHII", 514, 4, 1, len(picture))
    block = block.ljust(30, b"\0") + second + bytes(4)
    block = block.ljust(70, b"\0") + picture + b"behind it"
    given = saved(tmp_path / "in.png", exif=b"Exif\0\0" + block)
    (note,) = rewritten(given, tmp_path / f"out.{target}")
    assert note == "The thumbnail showed the blurred view: it is left out."
    data = (tmp_path / f"out.{target}").read_bytes()
    assert picture[100:200] not in data and b"behind it" in data
    assert rewritten(tmp_path / f"out.{target}", tmp_path / "again.png") == []


def test_a_thumbnail_in_xmp_goes_too(tmp_path: Path) -> None:
    image = 'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/"'
    inside = (
        "<xmp:Thumbnails><rdf:Alt><rdf:li><xmpGImg:image>/9j/4AAQ</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>"
    )
    given = saved(tmp_path / "in.png")
    pixels = read_picture(given).pixels
    words = packet(f'{image} xmp:Rating="5"', inside)
    notes = write_picture(tmp_path / "a.png", pixels, metadata=Metadata(xmp=words))
    assert notes == ["The thumbnail showed the blurred view: it is left out."]
    assert b"/9j/4AAQ" not in xmp_of(tmp_path / "a.png") and b'xmp:Rating="5"' in xmp_of(tmp_path / "a.png")


GOOGLE = "http://ns.google.com/photos/1.0/"
PIXEL = (
    f'xmlns:GCamera="{GOOGLE}camera/" xmlns:Container="{GOOGLE}container/" xmlns:Item="{GOOGLE}container/item/" '
    'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" GCamera:MotionPhoto="1" '
    'GCamera:MicroVideoOffset="1080" GCamera:SpecialTypeID="x"'
)
SEQUENCE = (
    '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" '
    'Item:Length="1080"/></rdf:li></rdf:Seq></Container:Directory>'
    "<GCamera:MotionPhotoVersion>1</GCamera:MotionPhotoVersion>"
)


@pytest.mark.parametrize(
    ("attributes", "inside", "gone"),
    [
        (PIXEL, SEQUENCE, [b"GainMap", b"Container", b"Motion", b"MicroVideo", b"hdr"]),
        ('xmlns:a="http://ns.apple.com/HDRGainMap/1.0/" a:HDRGainMapVersion="65536"', "", [b"65536", b"apple"]),
        (f'xmlns:GDepth="{GOOGLE}depthmap/" GDepth:Format="RangeInverse"', "", [b"RangeInverse", b"depthmap"]),
        ("", f'<Directory xmlns="{GOOGLE}container/"><a>Semantic</a></Directory>', [b"Semantic"]),
    ],
    ids=["pixel", "apple", "depth", "no prefix"],
)
def test_xmp_promises_nothing_that_is_not_there(
    tmp_path: Path, attributes: str, inside: str, gone: list[bytes]
) -> None:
    kept = 'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="Gerät"'
    given = saved(tmp_path / "in.jpg", xmp=packet(f"{attributes} {kept}", inside))
    (note,) = rewritten(given, tmp_path / "out.jpg")
    assert "a gain map, a depth map, a film or a sound" in note and note.endswith("left out.")
    words = xmp_of(tmp_path / "out.jpg")
    assert not [mark for mark in gone if mark in words] and 'dc:title="Gerät"'.encode() in words
    if "SpecialTypeID" in attributes:
        assert b'GCamera:SpecialTypeID="x"' in words
    assert rewritten(tmp_path / "out.jpg", tmp_path / "again.jpg") == []  # and it is XML still


def test_xmp_names_the_format_of_the_new_file_and_no_second_part(tmp_path: Path) -> None:
    names = f'{TIFF} xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:n="http://ns.adobe.com/xmp/note/"'
    words = packet(f'{names} dc:format="image/jpeg" n:HasExtendedXMP="ABC" tiff:Compression="6"')
    (note,) = rewritten(saved(tmp_path / "in.jpg", xmp=words), tmp_path / "out.png")
    assert note.startswith("Extended XMP")
    found = xmp_of(tmp_path / "out.png")
    assert b'dc:format="image/png"' in found and b"ABC" not in found and b"Compression" not in found


@pytest.mark.parametrize("bad", [b"<x>", b"<x>\xff</x>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', b"\0"])
def test_a_packet_that_is_no_xml_is_left_out_with_a_word(tmp_path: Path, bad: bytes) -> None:
    given = saved(tmp_path / "in.png")
    (note,) = write_picture(tmp_path / "a.png", read_picture(given).pixels, metadata=Metadata(xmp=bad))
    assert "not valid XML" in note and read_picture(tmp_path / "a.png").metadata.xmp is None


BIG = b"II+\0\x08\0\0\0" + struct.pack("<QQHHQQQ", 16, 1, 305, 2, 2, ord("x"), 0)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "jxl"])
def test_a_bigtiff_is_no_exif_block(tmp_path: Path, kind: str) -> None:
    given = tmp_path / f"in.{kind}"
    if kind == "jxl":
        data = bytes(imagecodecs.jpegxl_encode(levels(), lossless=True, usecontainer=True))
        body = bytes(4) + BIG
        given.write_bytes(data + struct.pack(">I", 8 + len(body)) + b"Exif" + body)
    else:
        saved(given, exif=(b"" if kind == "webp" else b"Exif\0\0") + BIG)
    picture = read_picture(given)
    (note,) = (note for note in picture.notes if "EXIF" in note)
    assert "BigTIFF" in note and note.startswith(given.name) and picture.metadata.exif is None
    assert write_picture(tmp_path / "out.png", picture.pixels, metadata=replace(picture.metadata, software="x")) == []


@pytest.mark.parametrize("bad", [b"no block", b"II*\0", BIG, b"II*\0\xff\xff\xff\xff"])
def test_a_block_that_cannot_be_used_is_left_out_on_writing(tmp_path: Path, bad: bytes) -> None:
    pixels = read_picture(saved(tmp_path / "in.png")).pixels
    for target in OTHERS:
        (note,) = write_picture(tmp_path / f"a.{target}", pixels, metadata=Metadata(exif=bad, orientation=6))
        assert note.startswith("The EXIF block cannot be used") and note.endswith("it is left out.")
        assert read_picture(tmp_path / f"a.{target}").metadata.orientation == (1 if target == "jxl" else 6)


IPTC = b"".join(
    b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(text)) + text
    for number, text in ((120, b"A caption"), (25, b"one"), (25, b"two"), (80, b"By Line"))
)


def resource(number: int, content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + b"\0" * (len(content) % 2)


def jpeg_with_iptc(path: Path, iptc: bytes = IPTC) -> Path:
    data = saved(path, quality=95).read_bytes()
    body = b"Photoshop 3.0\0" + resource(1036, b"an old thumbnail") + resource(1028, iptc) + resource(1034, b"\1")
    path.write_bytes(data[:2] + b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + data[2:])
    return path


def iptc_of(path: Path) -> dict[tuple[int, int], object]:
    with Image.open(path) as opened:
        return IptcImagePlugin.getiptcinfo(opened) or {}


@pytest.mark.parametrize("way", [["jpg"], ["tif"], ["tif", "jpg"], ["png", "jpg"], ["png", "tif"]], ids=" to ".join)
def test_caption_keywords_and_by_line_are_kept(tmp_path: Path, way: list[str]) -> None:
    path = jpeg_with_iptc(tmp_path / "in.jpg")
    for number, kind in enumerate(way):
        before, path = path, tmp_path / f"{number}.{kind}"
        assert rewritten(before, path, software="a note") == []
    found = iptc_of(path)
    assert found[2, 120] == b"A caption" and found[2, 25] == [b"one", b"two"] and found[2, 80] == b"By Line"
    assert b"an old thumbnail" not in path.read_bytes()
    if path.suffix == ".jpg":
        with Image.open(path) as opened:
            assert opened.info["photoshop"][1034] == b"\1"


def test_a_long_caption_goes_on_in_the_next_segment(tmp_path: Path) -> None:
    text = bytes(np.random.default_rng(0).integers(32, 127, 32_000, dtype=np.uint8))
    long = b"".join(b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(text)) + text for number in (120, 116, 105))
    pixels = read_picture(saved(tmp_path / "in.png")).pixels
    write_picture(tmp_path / "a.jpg", pixels, metadata=Metadata(photoshop=resource(1028, long)))
    assert read_picture(tmp_path / "a.jpg").metadata.photoshop == resource(1028, long)


@pytest.mark.parametrize("target", ["webp", "jxl", "ppm"])
def test_a_format_without_a_place_for_iptc_says_so(tmp_path: Path, target: str) -> None:
    (note,) = rewritten(jpeg_with_iptc(tmp_path / "in.jpg"), tmp_path / f"out.{target}")
    assert "IPTC" in note and "left out" in note


@pytest.mark.parametrize("target", OTHERS)
@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_300_pixels_per_inch_stay(tmp_path: Path, kind: str, target: str) -> None:
    path = tmp_path / f"out.{target}"
    assert rewritten(saved(tmp_path / f"in.{kind}", dpi=(300, 300)), path) == []
    if target in ("webp", "jxl"):
        exif = Image.Exif()
        exif.load(read_picture(path).metadata.exif)
        assert float(exif[282]) == float(exif[283]) == pytest.approx(300, abs=0.01) and exif[296] == 2
    else:
        with Image.open(path) as opened:
            assert tuple(map(float, opened.info["dpi"])) == pytest.approx((300, 300), abs=0.01)
