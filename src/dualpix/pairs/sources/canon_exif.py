"""The EXIF block of a CR3, stored in four parts that are small TIFF streams (github.com/lclevy/canon_cr3).

CMT1 is the main directory, CMT2 the Exif directory, CMT3 the maker's notes, and CMT4 the GPS directory.
"""

import struct
from collections.abc import Mapping
from io import BytesIO
from typing import BinaryIO

from dualpix.io import exif as blocks
from dualpix.pairs.sources.canon_frames import canon_boxes

MAIN, EXPOSURE, NOTES, GPS = b"CMT1", b"CMT2", b"CMT3", b"CMT4"
UNDEFINED = 7  # the type of a maker's notes


def read_cr3_exif(file: BinaryIO) -> bytes | None:
    """The parts as one block, without what describes how pixels are stored; None if there is no main directory.

    Raises:
        ValueError, struct.error: The file is damaged.
    """
    return joined(canon_boxes(file))


def joined(parts: Mapping[bytes, bytes]) -> bytes | None:
    """One EXIF block of the parts by their names; the notes come first, since their offsets count from its start."""
    found = {name: _directory(stream) for name, stream in parts.items() if name in (MAIN, EXPOSURE, GPS)}
    if MAIN not in found:
        return None
    order = found[MAIN][1]
    directories = {name: entries for name, (entries, its) in found.items() if its == order}
    notes = parts.get(NOTES, b"")
    block, placed = bytearray(8), {}
    if (at := _first_of(notes, order)) is not None:
        block = bytearray(notes)
        placed = {blocks.MAKER_NOTE: at}
        directories.setdefault(EXPOSURE, {})[blocks.MAKER_NOTE] = blocks.Entry(UNDEFINED, notes[at:])
    main = {tag: entry for tag, entry in directories[MAIN].items() if tag not in blocks.STORAGE}
    for name, tag in ((EXPOSURE, blocks.EXIF_DIRECTORY), (GPS, blocks.GPS_DIRECTORY)):
        if directories.get(name):
            block += b"\0" * (len(block) % 2)
            main[tag] = blocks.Entry(blocks.LONG, struct.pack(order + "I", len(block)))
            block += blocks.pack(directories[name], order, len(block), placed if name == EXPOSURE else None)
    block += b"\0" * (len(block) % 2)
    block[:8] = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", len(block))
    return bytes(block + blocks.pack(main, order, len(block)))


def _directory(stream: bytes) -> tuple[blocks.Directory, str]:
    block = blocks.open_block(BytesIO(stream))
    pointers = blocks.SUBDIRECTORIES
    entries = blocks.read_directory(block, block.first)
    return {tag: entry for tag, entry in entries.items() if tag not in pointers}, block.order


def _first_of(notes: bytes, order: str) -> int | None:
    """Where the notes' directory stands in their stream; None without one, or in another byte order."""
    if not notes:
        return None
    block = blocks.open_block(BytesIO(notes))
    return block.first if block.order == order else None
