"""What the header of a Canon raw file says of its frames: a pair, a burst, a movie; nothing is decoded for it.

A CR3 is an ISO base media file: its `moov` holds a box of Canon's own, with the maker's notes (CMT3), and a track for
each kind of picture, whose sample table counts the pictures. A CR2 is a TIFF, with the maker's notes in its EXIF. The
boxes are described by github.com/lclevy/canon_cr3, the notes by ExifTool.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from dualpix.errors import PictureError
from dualpix.io import exif as blocks
from dualpix.io.formats.isobmff_index import MOST_BOXES, boxes

CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
MOVIE = b"CanonCRM"
LARGEST_MOOV = 2**25
TRACK = (b"mdia", b"minf", b"stbl")
ENTRY_BYTES = 90  # of a picture's entry in a table of descriptions, before the boxes inside it
CAMERA_SETTINGS, HDR_PQ = 0x0001, 52
LIGHTING, DUAL_PIXEL_RAW = 0x4018, 11
MAKE = 271
LAYOUTS = {blocks.SHORT: "H", blocks.LONG: "I", 8: "h", 9: "i"}


@dataclass(frozen=True)
class CanonFrames:
    """What the header of a raw file says.

    Attributes:
        pictures: How many photographs, taken one after the other, are in the file.
        dual_pixel: Whether Dual Pixel RAW was switched on; None where that is not said.
        hdr_pq: Whether it was taken with HDR PQ.
        movie: Whether it is a movie (Cinema RAW Light).
    """

    pictures: int = 1
    dual_pixel: bool | None = None
    hdr_pq: bool = False
    movie: bool = False

    def refuse_no_pair(self, path: Path) -> None:
        """Raise PictureError for what is no single photograph, and for one that the camera noted to hold one view."""
        wanted = "give a single photograph, taken with Dual Pixel RAW switched on"
        if self.movie:
            what = "a raw movie (Cinema RAW Light)"
            raise PictureError(f"{path} is {what}, not the two views of one photograph; {wanted}.")
        if self.pictures > 1:
            what = f"a raw burst, a roll of {self.pictures} photographs taken one after the other"
            raise PictureError(f"{path} is {what}, not the two views of one photograph; {wanted}.")
        if self.dual_pixel is False:
            hdr = " and HDR PQ on" if self.hdr_pq else ""
            raise PictureError(
                f"{path} was taken with Dual Pixel RAW switched off{hdr}, as the camera noted, so the two views are not"
                " in it; switch it on before you take the picture, or, if it was on, export both by Canon's software."
            )

    @property
    def why_one(self) -> str:
        """Why a file may hold one frame only."""
        if self.dual_pixel:
            return "it was taken with Dual Pixel RAW, so the second one was dropped when it was converted or edited"
        taken = "it was taken with HDR PQ" if self.hdr_pq else "it was not taken with Dual Pixel RAW switched on"
        return f"{taken}, or the second frame was dropped when it was converted"


def read_canon_frames(path: Path) -> CanonFrames:
    """What the header says; nothing in particular for a file of another kind, and for one that is damaged."""
    try:
        with path.open("rb") as file:
            start = file.read(11)
            return _of_boxes(file) if start[4:] == b"ftypcrx" else _of_notes(*_notes_of_tiff(file))
    except (OSError, ValueError, struct.error, IndexError):
        return CanonFrames()


def _of_boxes(file: BinaryIO) -> CanonFrames:
    moov, pictures, preview_is_hdr = _moov(file), 1, False
    own = _own_boxes(moov)
    for kind, body in _inside(moov):
        if kind == b"trak":
            count, is_hdr = _track(body)
            pictures, preview_is_hdr = max(pictures, count), preview_is_hdr or is_hdr
    notes = _of_notes(*_notes_alone(own.get(b"CMT3", b"")))
    return CanonFrames(
        pictures=pictures,
        dual_pixel=notes.dual_pixel,
        hdr_pq=notes.hdr_pq or preview_is_hdr,
        movie=own.get(b"CNCV", b"").startswith(MOVIE),
    )


def canon_boxes(file: BinaryIO) -> dict[bytes, bytes]:
    """The boxes of Canon's own in a CR3, by their names. Raises ValueError or struct.error if it is damaged."""
    return _own_boxes(_moov(file))


def _own_boxes(moov: bytes) -> dict[bytes, bytes]:
    bodies = [body for kind, body in _inside(moov) if kind == b"uuid" and body.startswith(CANON)]
    return dict(_inside(bodies[-1][len(CANON) :])) if bodies else {}


def _moov(file: BinaryIO) -> bytes:
    at = 0
    for _ in range(MOST_BOXES):
        file.seek(at)
        head = file.read(16).ljust(16, b"\0")
        size, begin = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, begin = int.from_bytes(head[8:16], "big"), 16
        if size < begin:
            break
        if head[4:8] == b"moov":
            file.seek(at + begin)
            return file.read(min(size - begin, LARGEST_MOOV))
        at += size
    raise ValueError("no index")


def _inside(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((kind, data[begin:end]) for kind, begin, end in boxes(data))


def _track(body: bytes) -> tuple[int, bool]:
    """How many pictures a track holds, at least 1, and whether they are coded as HEVC, as previews of HDR PQ are."""
    for kind in TRACK:
        body = next((inner for name, inner in _inside(body) if name == kind), b"")
    table = dict(_inside(body))
    described, sizes = table.get(b"stsd", b""), table.get(b"stsz", b"")
    if described[12:16] != b"CRAW":
        return 1, False
    (length,) = struct.unpack_from(">I", described, 8)
    coded = {kind for kind, _ in _inside(described[8 + ENTRY_BYTES : 8 + length])}
    (count,) = struct.unpack_from(">I", sizes, 8)
    return count, b"HEVC" in coded


def _notes_alone(stream: bytes) -> tuple[blocks.Directory, str]:
    """The maker's notes where they are a TIFF stream of their own."""
    if not stream:
        return {}, "<"
    block = blocks.open_block(BytesIO(stream))
    return blocks.read_directory(block, block.first), block.order


def _notes_of_tiff(file: BinaryIO) -> tuple[blocks.Directory, str]:
    """The maker's notes of Canon, whose offsets count from the start of the whole file."""
    block = blocks.open_block(file)
    first = blocks.read_directory(block, block.first)
    maker = first.get(MAKE)
    if maker is None or not maker.value.startswith(b"Canon") or blocks.EXIF_DIRECTORY not in first:
        return {}, block.order
    exposure = blocks.read_directory(block, blocks.integer(first[blocks.EXIF_DIRECTORY], block.order))
    notes = exposure.get(blocks.MAKER_NOTE)
    return ({}, block.order) if notes is None else (blocks.read_directory(block, notes.at), block.order)


def _of_notes(notes: blocks.Directory, order: str) -> CanonFrames:
    flag = _number(notes.get(LIGHTING), order, DUAL_PIXEL_RAW)
    is_hdr = _number(notes.get(CAMERA_SETTINGS), order, HDR_PQ) == 1
    return CanonFrames(dual_pixel=None if flag is None else flag != 0, hdr_pq=is_hdr)


def _number(entry: blocks.Entry | None, order: str, place: int) -> int | None:
    """The number at that place of an array, counted from its first one, which is its length in bytes."""
    layout = LAYOUTS.get(entry.kind) if entry is not None else None
    if entry is None or layout is None:
        return None
    numbers = [number for (number,) in struct.iter_unpack(order + layout, entry.value)]
    return numbers[place] if place < len(numbers) else None
