"""The parts of a CR3's EXIF joined to one block, as Pillow and ExifTool read it. Made by hand, box by box."""

import json
import shutil
import struct
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from camera_exif import F_NUMBER, FOCAL_LENGTH, PLANE_ACROSS, PLANE_UNIT, WIDTH, focus_range, ratio, short
from dualpix.io import exif as blocks
from dualpix.io.camera_settings import camera_settings
from dualpix.pairs.sources.canon_exif import joined, read_cr3_exif

CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
MODEL, COMPRESSION, LATITUDE = 272, 259, 2
SIZE = (3648, 5472)
EXIFTOOL = shutil.which("exiftool")
EXPOSURE = {
    F_NUMBER: ratio(18, 10),
    FOCAL_LENGTH: ratio(50, 1),
    WIDTH: short(5472),
    PLANE_ACROSS: ratio(5472000, 1413),
    PLANE_UNIT: short(2),
}


def sized(array: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    """Canon's arrays begin with their length in bytes, which ExifTool asks for."""
    kind, count, numbers = array
    return kind, count, struct.pack("<H", 2 * count) + numbers[2:]


def stream(entries: dict[int, tuple[int, int, bytes]], order: str = "<") -> bytes:
    """A TIFF stream of one directory; entries are type, count and value, of which pack needs the first and last."""
    directory = {tag: blocks.Entry(kind, value) for tag, (kind, _, value) in entries.items()}
    return struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8) + blocks.pack(directory, order, 8)


PARTS = {
    b"CMT1": stream({271: (2, 6, b"Canon\0"), MODEL: (2, 13, b"Canon EOS R6\0"), COMPRESSION: (3, 1, b"\6\0")}),
    b"CMT2": stream(EXPOSURE),
    b"CMT3": stream({6: (2, 13, b"Canon EOS R6\0"), 0x93: sized(focus_range(250, 200, 20))}),
    b"CMT4": stream({1: (2, 2, b"N\0"), LATITUDE: (5, 3, struct.pack("<6I", 48, 1, 7, 1, 30, 1))}),
}


def cr3(parts: dict[bytes, bytes]) -> bytes:
    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(body), kind) + body

    own = box(b"uuid", CANON + b"".join(box(kind, body) for kind, body in parts.items()))
    return box(b"ftyp", b"crx " + bytes(4) + b"crx isom") + box(b"moov", own) + box(b"mdat", bytes(64))


def test_lens_sensor_and_focus_come_out_of_the_four_parts() -> None:
    told = camera_settings(read_cr3_exif(BytesIO(cr3(PARTS))), SIZE)
    assert (told.f_number, told.focal_mm) == (1.8, 50)
    assert told.focus_m == pytest.approx(1 / 0.45)
    assert told.sensor_mm == pytest.approx(35.9, abs=0.01)


def test_pillow_reads_the_block_in_a_picture(tmp_path: Path) -> None:
    """Without the tags that say how the raw file stores its pixels."""
    block = joined(PARTS)
    assert block is not None
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + block)
    with Image.open(tmp_path / "a.jpg") as picture:
        found = picture.getexif()
        assert found[MODEL] == "Canon EOS R6" and COMPRESSION not in found
        assert found.get_ifd(blocks.EXIF_DIRECTORY)[FOCAL_LENGTH] == 50
        assert found.get_ifd(blocks.GPS_DIRECTORY)[LATITUDE] == (48, 7, 30)


@pytest.mark.skipif(EXIFTOOL is None, reason="needs ExifTool")
def test_exiftool_reads_the_makers_notes_in_the_block(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(joined(PARTS) or b"")
    wanted = ["-FocusDistanceUpper", "-FocusDistanceLower", "-FNumber"]
    line = [str(EXIFTOOL), "-json", "-n", *wanted, "a.tif"]
    (told,) = json.loads(subprocess.run(line, cwd=tmp_path, capture_output=True, check=True, timeout=60).stdout)
    assert (told["FocusDistanceUpper"], told["FocusDistanceLower"], told["FNumber"]) == (2.5, 2, 1.8)


def test_what_is_missing_or_in_another_byte_order_is_left_out() -> None:
    assert joined({b"CMT2": PARTS[b"CMT2"]}) is None
    assert camera_settings(joined({b"CMT1": PARTS[b"CMT1"]}), SIZE).f_number is None
    other = {**PARTS, b"CMT3": stream({0x93: focus_range(250, 200, 20, ">")}, ">")}
    told = camera_settings(joined(other), SIZE)
    assert told.focus_m is None and told.f_number == 1.8


def test_a_file_cut_short_anywhere_gives_a_block_or_is_called_damaged() -> None:
    whole = cr3(PARTS)
    for length in range(0, len(whole), 3):
        try:
            read_cr3_exif(BytesIO(whole[:length]))
        except (ValueError, struct.error):
            continue
