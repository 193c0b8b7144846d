"""EXIF blocks as cameras write them, made by hand: what is told of lens, focus and sensor, with Canon's maker note."""

import struct

F_NUMBER, FOCAL_LENGTH, SUBJECT_DISTANCE, FILM_LENGTH = 33437, 37386, 37382, 41989
WIDTH, HEIGHT, PLANE_ACROSS, PLANE_UNIT = 40962, 40963, 41486, 41488
EXPOSURE_AT, NOTE_AT, ARRAY_AT = 200, 600, 800
Entries = dict[int, tuple[int, int, bytes]]


def ratio(above: int, below: int, order: str = "<") -> tuple[int, int, bytes]:
    return 5, 1, struct.pack(order + "II", above, below)


def short(value: int, order: str = "<") -> tuple[int, int, bytes]:
    return 3, 1, struct.pack(order + "H", value)


def exif(exposure: Entries, note: Entries | None = None, order: str = "<", make: bytes = b"Canon") -> bytes:
    """A block with these entries (type, count, bytes) for the exposure, and in the maker note, which is a directory
    whose places count from the start of the block, as Canon's are."""

    def directory(at: int, entries: Entries) -> bytes:
        fields, behind = struct.pack(order + "H", len(entries)), b""
        for tag, (kind, count, value) in sorted(entries.items()):
            place = struct.pack(order + "I", at + 2 + 12 * len(entries) + 4 + len(behind))
            fields += struct.pack(order + "HHI", tag, kind, count) + (
                place if len(value) > 4 else value.ljust(4, b"\0")
            )
            behind += value if len(value) > 4 else b""
        return fields + bytes(4) + behind

    long = struct.pack(order + "I", EXPOSURE_AT)
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    block += directory(8, {271: (2, len(make) + 1, make + b"\0"), 34665: (4, 1, long)})
    if note is None:
        return block.ljust(EXPOSURE_AT, b"\0") + directory(EXPOSURE_AT, exposure)
    own = directory(NOTE_AT, note)
    inner = directory(EXPOSURE_AT, exposure | {37500: (7, len(own), own)})
    placed = inner[: 2 + 12 * (len(exposure) + 1)]
    at = placed.index(struct.pack(order + "HHI", 37500, 7, len(own)))
    inner = inner[: at + 8] + struct.pack(order + "I", NOTE_AT) + inner[at + 12 :]
    block = block.ljust(EXPOSURE_AT, b"\0") + inner.removesuffix(own)
    assert len(block) <= NOTE_AT
    return block.ljust(NOTE_AT, b"\0") + own


def focus_range(far: int, near: int, place: int, order: str = "<") -> tuple[int, int, bytes]:
    """An array of Canon's maker note, 16 bits each, with the ends of the focus, in centimetres, at that place."""
    numbers = [0] * place + [far, near] + [0] * 4
    return 3, len(numbers), struct.pack(f"{order}{len(numbers)}H", *numbers)
