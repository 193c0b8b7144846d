"""How a camera was set when it took a picture, as EXIF and Canon's maker note tell it: lens, focus, sensor."""

import math
import struct
from dataclasses import dataclass
from io import BytesIO

from dualpix.io.exif import (
    EXIF_DIRECTORY,
    MAKER_NOTE,
    RATIONAL,
    SHORT,
    SIZES,
    Directory,
    Entry,
    ExifBlock,
    integer,
    open_block,
    read_directory,
)

F_NUMBER, APERTURE, SUBJECT_DISTANCE, FOCAL_LENGTH = 0x829D, 0x9202, 0x9206, 0x920A
WIDTH, HEIGHT = 0xA002, 0xA003
PLANE_ACROSS, PLANE_DOWN, PLANE_UNIT, FOCAL_LENGTH_35MM = 0xA20E, 0xA20F, 0xA210, 0xA405
UNITS_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
MAKE, SIGNED_SHORT = 271, 8
FILM_DIAGONAL_MM = math.hypot(36, 24)
INFINITE = 0xFFFFFFFF  # as the numerator of a distance, and 0 is unknown (EXIF 2.32, SubjectDistance)
NUMBERS = {1: "B", SHORT: "H", 4: "I", RATIONAL: "II", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
"""How `struct` reads a value of each type by number, two for ratios; not all programs write what EXIF asks for."""
ALIKE = 1.25  # two tellings of the sensor's size that differ by more contradict each other

# Canon's maker note, by its directories' numbers and places as ExifTool and Exiv2 name them: centimetres in 16 bits,
# farther and nearer end of what the lens tells of its focus.
SHOT_INFO, FILE_INFO = 0x0004, 0x0093
CANON_FOCUS = ((FILE_INFO, 20), (SHOT_INFO, 19))


@dataclass(frozen=True)
class CameraSettings:
    """What a file says of lens and sensor; None for what it does not say.

    Attributes:
        focal_mm: Focal length in millimetres.
        f_number: Focal length over the diameter of the aperture.
        focus_m: Distance of the plane in focus in metres, or infinity.
        sensor_mm: Longer side in millimetres of the part of the sensor that the whole picture shows.
    """

    focal_mm: float | None = None
    f_number: float | None = None
    focus_m: float | None = None
    sensor_mm: float | None = None


def camera_settings(exif: bytes | None, size_px: tuple[int, int]) -> CameraSettings:
    """Read the settings in an EXIF block.

    Args:
        exif: The block, from its byte order mark on; a damaged or missing one says nothing.
        size_px: Height and width of the picture, whose shape counts as that of the sensor.

    Returns:
        The settings. Of the range that a Canon gives for the plane in focus it is the middle, in dioptres.
    """
    if exif is None:
        return CameraSettings()
    try:
        block = open_block(BytesIO(exif))
        first = read_directory(block, block.first)
        exposure = read_directory(block, integer(first[EXIF_DIRECTORY], block.order))
    except (KeyError, ValueError):
        return CameraSettings()
    focal_mm = _positive(exposure.get(FOCAL_LENGTH), block.order)
    return CameraSettings(
        focal_mm=focal_mm,
        f_number=_f_number(exposure, block.order),
        focus_m=_focus_m(block, first, exposure),
        sensor_mm=_sensor_mm(exposure, block.order, focal_mm, size_px),
    )


def _f_number(exposure: Directory, order: str) -> float | None:
    told = _positive(exposure.get(F_NUMBER), order)
    stops = _positive(exposure.get(APERTURE), order)
    return told if told or not stops else 2 ** (stops / 2)


def _focus_m(block: ExifBlock, first: Directory, exposure: Directory) -> float | None:
    """The maker note first: what Canon writes as the subject's distance is rounded."""
    return _canon_focus_m(block, first, exposure) or _subject_m(exposure.get(SUBJECT_DISTANCE), block.order)


def _subject_m(entry: Entry | None, order: str) -> float | None:
    if entry is not None and entry.kind == RATIONAL and struct.unpack_from(order + "I", entry.value)[0] == INFINITE:
        return math.inf
    return _positive(entry, order)


def _canon_focus_m(block: ExifBlock, first: Directory, exposure: Directory) -> float | None:
    note = exposure.get(MAKER_NOTE)
    if note is None or MAKE not in first or not first[MAKE].value.lower().startswith(b"canon"):
        return None
    try:
        own = read_directory(block, note.at)
    except ValueError:
        return None
    return canon_focus_m(own, block.order)


def canon_focus_m(note: Directory, order: str) -> float | None:
    """The distance of the plane in focus in Canon's maker note, in metres.

    Args:
        note: The directory of the note.
        order: Its byte order, "<" or ">".

    Returns:
        The middle of the range there, in dioptres; None without one.
    """
    for tag, place in CANON_FOCUS:
        entry = note.get(tag)
        if entry is None or entry.kind not in (SHORT, SIGNED_SHORT) or len(entry.value) < 2 * place + 4:
            continue
        far, near = struct.unpack_from(order + "HH", entry.value, 2 * place)
        if far and near:
            dioptres = [0.0 if end == 0xFFFF else 100 / end for end in (far, near)]
            return 2 / sum(dioptres) if any(dioptres) else math.inf
    return None


def _sensor_mm(exposure: Directory, order: str, focal_mm: float | None, size_px: tuple[int, int]) -> float | None:
    """The longer side, by pixels per unit of the sensor or by the focal length on 35-mm film.

    Some programs reduce a picture and write its new size over the old one, which makes the sensor small: where both
    ways differ much, the second one is believed.
    """
    by_film = _by_film_mm(_positive(exposure.get(FOCAL_LENGTH_35MM), order), focal_mm, size_px)
    by_plane = _by_plane_mm(exposure, order)
    if by_film is None or by_plane is None:
        return by_plane or by_film
    return by_plane if 1 / ALIKE < by_plane / by_film < ALIKE else by_film


def _by_film_mm(film_mm: float | None, focal_mm: float | None, size_px: tuple[int, int]) -> float | None:
    if film_mm is None or focal_mm is None:
        return None
    return FILM_DIAGONAL_MM * focal_mm / film_mm * max(size_px) / math.hypot(*size_px)


def _by_plane_mm(exposure: Directory, order: str) -> float | None:
    unit_mm = UNITS_MM.get(int(_positive(exposure.get(PLANE_UNIT), order) or 2))
    sides = [
        pixels / per_unit * unit_mm
        for size, plane in ((WIDTH, PLANE_ACROSS), (HEIGHT, PLANE_DOWN))
        if unit_mm
        and (pixels := _positive(exposure.get(size), order))
        and (per_unit := _positive(exposure.get(plane), order))
    ]
    return max(sides, default=None)


def _positive(entry: Entry | None, order: str) -> float | None:
    """The first value of an entry; None where there is none above zero."""
    if entry is None or len(entry.value) < SIZES[entry.kind]:
        return None
    layout = NUMBERS.get(entry.kind)
    if layout is None:
        return None
    above, *below = struct.unpack_from(order + layout, entry.value)
    value = above / (below[0] or math.inf) if below else above
    return float(value) if 0 < value < math.inf else None
