"""Camera raw files that hold two frames: Canon Dual Pixel RAW (CR2, CR3), and DNG with two samples per pixel.

They are read and developed by LibRaw through rawpy, both halves with the same settings.
"""

import struct
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualpix.errors import PictureError, how_to_install, reason_of
from dualpix.io import exif as blocks
from dualpix.io.curve import encode_srgb
from dualpix.io.metadata import Metadata
from dualpix.io.opening import start_of
from dualpix.pairs.sources.canon_exif import read_cr3_exif
from dualpix.pairs.sources.canon_frames import read_canon_frames
from dualpix.pairs.sources.dng_levels import Levels, read_levels
from dualpix.pairs.sources.dng_strips import check_strips
from dualpix.pairs.sources.halves import Halves, Mosaic, split_halves
from dualpix.pairs.sources.record import Source, Views, as_view

DNG_VERSION, PHOTOMETRIC, MOSAIC = 50706, 262, 32803
FILTERS = frozenset({33421, 33422})  # the colour filter array, which a developed picture does not have
SUFFIXES = (".cr2", ".cr3", ".dng")
LEAST_VOLUME = 1e-3  # of a colour matrix; those of cameras have 1 and more
WHITEST = 65535  # the samples have 16 bits
LEVELS = 60000.0  # white is scaled to this before developing, so that rounding to integers loses nothing
ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}  # from LibRaw's `flip` to EXIF's orientation


class Frame(NamedTuple):
    """One frame of a raw file.

    Attributes:
        mosaic: Sensor values as stored, H x W.
        black: Black level of each photosite, H x W.
        white: Level above black at which the frame clips.
    """

    mosaic: NDArray[np.uint16]
    black: Mosaic
    white: float


def is_raw(path: Path, start: bytes) -> bool:
    """Whether a file is a camera raw file of a kind that may hold two frames, by its first bytes and its tags."""
    if start[4:11] == b"ftypcrx" or (start[:2] in (b"II", b"MM") and start[8:10] == b"CR"):
        return True
    if not start.startswith((b"II*\0", b"MM\0*")):
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            block = blocks.open_block(file)
            first = blocks.read_directory(block, block.first)
            colour = blocks.integer(first[PHOTOMETRIC], block.order) if PHOTOMETRIC in first else 0
    except (OSError, ValueError):
        return False
    return DNG_VERSION in first or colour == MOSAIC


def read_raw(path: Path, limit_megapixels: float, *, recover_highlights: bool = False) -> Views:
    """Read both halves of the sensor, developed alike: camera white balance, sRGB colours and curve.

    Args:
        path: A CR2, CR3 or DNG file.
        limit_megapixels: The largest sensor that is decoded, in millions of pixels.
        recover_highlights: Take the white level of the stored half, up to one stop above that of the sum.

    Returns:
        Both views at 16 bits, with the EXIF of the file as far as it can be read.

    Raises:
        PictureError: rawpy is not installed; the file is damaged, a burst or a movie, was taken without Dual Pixel RAW,
            holds one frame only, the same frame twice or more than two, or declares more than `limit_megapixels`.
    """
    noted = read_canon_frames(path)
    noted.refuse_no_pair(path)
    rawpy = _rawpy()
    levels = _levels(path)
    if len(levels) > 2 or (not levels and _has_more(rawpy, path, limit_megapixels)):
        raise PictureError(
            f"{path} holds more than two frames, as a burst does, not the two views of one photograph; give one taken "
            "with Dual Pixel RAW switched on."
        )
    try:
        main, other = (_frame(rawpy, path, number, limit_megapixels, levels) for number in (0, 1))
    except rawpy.LibRawRequestForNonexistentImageError:
        raise PictureError(
            f"{path} holds one frame only: {noted.why_one}; without it there are no two views."
        ) from None
    height, width = (min(a, b) for a, b in zip(main.mosaic.shape, other.mosaic.shape, strict=True))
    if np.array_equal(main.mosaic[:height, :width], other.mosaic[:height, :width]):
        raise PictureError(
            f"{path} gives the same frame twice, so there are no two views in it; if it is a Dual Pixel RAW, "
            "another version of rawpy may read it, or export both views by the camera maker's software."
        )
    with closing(_opened(rawpy, path, 0, limit_megapixels)) as raw:
        light, part = ((frame.mosaic - frame.black)[:height, :width] for frame in (main, other))
        halves = split_halves(
            light, part, (main.white, other.white), raw.raw_colors[:height, :width], recover_highlights
        )
        orientation = ORIENTATIONS.get(raw.sizes.flip, 1)  # developing resets it
        is_balanced = _are_gains(raw.camera_whitebalance)
        first, second = (_developed(rawpy, raw, half, halves.white) for half in (halves.first, halves.second))
    notes = _notes(path, halves, main, other)
    if not is_balanced:
        notes.append("LibRaw finds no white balance in it: that of daylight is used, or none.")
    if recover_highlights:
        notes.append(_headroom(halves))
    return Views(
        name=path.stem,
        left=as_view(first),
        right=as_view(second),
        depth=16,
        notes=notes,
        grey=False,
        metadata=Metadata(exif=_exif(path), orientation=orientation),
        quarter_turns=0,
    )


def _has_more(rawpy: ModuleType, path: Path, limit_megapixels: float) -> bool:
    """Whether there is a third frame: LibRaw finds out without decoding anything. The header of a CR3 has told that."""
    if start_of(path)[4:8] == b"ftyp":
        return False
    try:
        _opened(rawpy, path, 2, limit_megapixels).close()
    except rawpy.LibRawRequestForNonexistentImageError:
        return False
    return True


def _rawpy() -> ModuleType:
    try:
        import rawpy
    except ImportError:
        how = how_to_install("raw")
        raise PictureError(f"Camera raw files are read by rawpy, which is not installed; get it by: {how}.") from None
    return rawpy


def _opened(rawpy: ModuleType, path: Path, number: int, limit_megapixels: float) -> Any:
    """A raw file with frame `number` unpacked.

    LibRaw chooses the frame of a CR2 or CR3 while it opens the file. `rawpy.imread` asks for it only afterwards, and so
    always gives frame 0; hence these separate steps. Raises LibRaw's own error if there is no frame of that number.
    """
    raw = rawpy.RawPy()
    try:
        raw.set_unpack_params(shot_select=number)
        raw.open_file(str(path))
        if raw.sizes.raw_width * raw.sizes.raw_height > limit_megapixels * 1e6:
            size = f"{raw.sizes.raw_width} x {raw.sizes.raw_height} pixels"
            raise PictureError(f"{path} declares {size}, more than the limit of {limit_megapixels:g} megapixels.")
        raw.unpack()
        is_flat = raw.raw_type == rawpy.RawType.Flat and raw.raw_image is not None and raw.raw_colors is not None
        if not is_flat or not _is_plain(raw):
            raise PictureError(f"{path} does not hold a Bayer mosaic; export both views as 16-bit TIFF.")
        if not _tells_colours_apart(raw.color_matrix[:, :3]):
            raise PictureError(f"{path} is damaged: its colour matrix is singular; copy it again.")
    except rawpy.LibRawRequestForNonexistentImageError:
        raw.close()
        raise
    except rawpy.LibRawError as error:
        raw.close()
        what = error.args[0] if error.args else error
        reason = what.decode(errors="replace") if isinstance(what, bytes) else reason_of(error)
        raise PictureError(f"{path} is damaged, cut short or of an unknown kind ({reason}); copy it again.") from error
    except BaseException:
        raw.close()
        raise
    return raw


def _is_plain(raw: Any) -> bool:
    """Whether it is a Bayer mosaic: all 2 x 2 photosites alike, green on one diagonal, red and blue on the other."""
    colours, names = raw.raw_colors, raw.color_desc
    if raw.num_colors != 3 or min(colours.shape) < 2 or colours.max() >= len(names):
        return False
    first, second, third, fourth = (names[colour : colour + 1] for colour in colours[:2, :2].flat)
    diagonals = {first + fourth, second + third}
    alike = all((colours[row::2, column::2] == colours[row, column]).all() for row in (0, 1) for column in (0, 1))
    return alike and b"GG" in diagonals and bool(diagonals & {b"RB", b"BR"})


def _tells_colours_apart(matrix: NDArray[Any]) -> bool:
    """Whether a colour matrix can be inverted; one of zeros means that there is none, and is fine."""
    return bool(np.isfinite(matrix).all() and (not matrix.any() or abs(np.linalg.det(matrix)) > LEAST_VOLUME))


def _levels(path: Path) -> list[Levels]:
    try:
        check_strips(path)
        return read_levels(path)
    except (OSError, ValueError) as error:
        raise PictureError(f"{path} is damaged ({reason_of(error)}); copy it again.") from error


def _frame(rawpy: ModuleType, path: Path, number: int, limit_megapixels: float, levels: Sequence[Levels]) -> Frame:
    with closing(_opened(rawpy, path, number, limit_megapixels)) as raw:
        mosaic, white = raw.raw_image.copy(), float(raw.white_level)
        if number < len(levels):
            sizes, own = raw.sizes, levels[number]
            try:
                black = own.spread(mosaic.shape, (sizes.top_margin, sizes.left_margin, sizes.height, sizes.width))
            except ValueError as error:
                raise PictureError(f"{path} is damaged ({reason_of(error)}); copy it again.") from error
            white = white if own.white is None else own.white
        else:
            black = np.asarray(raw.black_level_per_channel, np.float32)[raw.raw_colors]
    if not black.max() < white <= WHITEST:
        raise PictureError(
            f"{path} is damaged: its white level, {white:g}, must lie above its black level, {black.max():g}, and not "
            f"above {WHITEST}; copy it again."
        )
    return Frame(mosaic, black, white - float(black.max()))


def _developed(rawpy: ModuleType, raw: Any, half: Mosaic, white: float) -> NDArray[np.float32]:
    """Develop a half in place of the frame: H x W x 3 in [0, 1], display-encoded."""
    height, width = half.shape
    mosaic = np.clip(half * np.float32(LEVELS / white), 0, 65535)
    raw.raw_image[:] = 0
    raw.raw_image[:height, :width] = np.rint(mosaic).astype(np.uint16)
    picture = raw.postprocess(
        demosaic_algorithm=rawpy.DemosaicAlgorithm.AHD,
        user_wb=_white_balance(raw),
        user_black=0,
        user_cblack=[0, 0, 0, 0],
        user_sat=int(LEVELS),
        adjust_maximum_thr=0.0,  # otherwise LibRaw estimates the white level of each half separately
        no_auto_bright=True,
        output_color=rawpy.ColorSpace.sRGB,
        output_bps=16,
        gamma=(1, 1),
        user_flip=0,
    )
    visible = picture[: height - raw.sizes.top_margin, : width - raw.sizes.left_margin]
    return encode_srgb(visible.astype(np.float32) / np.float32(65535))


def _white_balance(raw: Any) -> list[float]:
    """The camera's own gains if they are known.

    They are set, since LibRaw would otherwise estimate them for each half.
    """
    choices = (raw.camera_whitebalance, raw.daylight_whitebalance)
    chosen = next((gains for gains in choices if _are_gains(gains)), [1.0] * 4)
    return [float(gain) for gain in chosen]


def _are_gains(gains: Sequence[float]) -> bool:
    return bool(min(gains[:3]) > 0 and np.isfinite(gains).all())


def _exif(path: Path) -> bytes | None:
    """What the file states about the photograph, as an EXIF block; None where it is damaged."""
    try:
        with path.open("rb") as file:
            if start_of(path)[4:8] == b"ftyp":
                gathered = read_cr3_exif(file) or b""
            else:
                gathered = blocks.gather(blocks.open_block(file), blocks.STORAGE | FILTERS)
            block = blocks.open_block(BytesIO(gathered))
            blocks.read_directory(block, block.first)
    except (OSError, ValueError, struct.error):
        return None
    return gathered


def _notes(path: Path, halves: Halves, main: Frame, other: Frame) -> list[str]:
    how = "by difference" if halves.by_difference else "as they are, since both frames hold about as much light"
    notes = [
        f"The halves in {path.name} were taken {how}. This method was tested on synthetic files only and awaits "
        "confirmation on a camera's own file: check the views (dualpix extract) and what dualpix inspect reports.",
        "The raw data was developed by LibRaw with the sRGB curve, not by the camera maker's software, on whose "
        "pictures the weights were tested.",
        "Which half is the left one is not written in the file; if the result looks worse, exchange them.",
    ]
    if halves.clipped > 0:
        share = f"{100 * halves.clipped:.2g} %"
        notes.append(f"{share} of the photosites are clipped in the sum of the halves; there one half is estimated.")
    if abs(halves.gain - 1) > 0.01:
        notes.append(f"One half was {max(halves.gain, 1 / halves.gain):.2f} times as bright as the other: matched.")
    if abs(main.white - other.white) > 1:
        whites = f"{main.white:g} and {other.white:g} above black"
        notes.append(f"The two frames have different white levels, {whites}; both views are clipped at the same level.")
    if main.mosaic.shape != other.mosaic.shape:
        notes.append("The two frames differ in size; only the part that both have was used.")
    return notes


def _headroom(halves: Halves) -> str:
    if halves.headroom == 1:
        return "No highlights can be recovered: the white level of the stored half is not above that of the sum."
    stops = np.log2(halves.headroom)
    return (
        f"The white level is that of the stored half, {stops:.2g} EV above that of the sum: the views are darker by as "
        "much, and where the sum is clipped both show what one half recorded."
    )


RAW = Source(
    name="raw",
    read=read_raw,
    recognises=is_raw,
    endings=SUFFIXES,
    is_picture=False,
    about="Canon Dual Pixel RAW, two-sample DNG",
    recover=partial(read_raw, recover_highlights=True),
)
