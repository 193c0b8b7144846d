"""Make dual-pixel pairs with ground truth: many random scenes from photographs, or one photograph with its depth map.

Both write the layout that `datasets.folder` reads: the folders `left`, `right`, `center` and `sharp`, and beside them
`blur` with the signed blur radius of every pixel as NumPy files. What was simulated, and how, is recorded in JSON.
"""

import io
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix import __version__
from dualpix.errors import DataError, option
from dualpix.io import read_picture, refuse_overwriting_inputs, write_picture
from dualpix.io.formats.npy import read_npy
from dualpix.io.reading import MIN_SIDE_PX
from dualpix.machine.files import parse_json, write_whole
from dualpix.machine.modes import settled
from dualpix.pairs.sample import Sample
from dualpix.simulation.camera import CAMERAS, Camera
from dualpix.simulation.depth import blur_from_depth, layers_from_blur
from dualpix.simulation.kernels import Lens, reach_px
from dualpix.simulation.photos import read_photos
from dualpix.simulation.samples import DRAWING, Simulated, check_request, expose
from dualpix.simulation.scenes import Layout
from dualpix.simulation.sensor import Sensor
from dualpix.tables import pick

PICTURES = ("left", "right", "center", "sharp")
CARD = "simulation.json"
TYPICAL_LENS = Lens(rho=0.4, split=0.3, softness_px=0.4, softness_rel=0.05)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Simulation:
    """What `simulate` wrote.

    Attributes:
        folder: Where the pairs are.
        names: Their names in order.
        made: How many of them were made now; the others were there already.
        notes: A sentence about photographs that were left out.
    """

    folder: Path
    names: list[str]
    made: int
    notes: tuple[str, ...] = ()


@settled()
def simulate(
    photos: Sequence[str | Path],
    folder: str | Path,
    count: int = 8,
    size: int = 256,
    seed: int = 0,
    *,
    sharp_aperture: float = 0.0,
    depth: int = 16,
    compressed: float = 0.0,
    codecs: Sequence[str] = ("jpeg", "vp8"),
    layout: Layout | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Simulation:
    """Simulate pairs of random scenes made from photographs; the same settings give the same pairs.

    If `folder` holds some of the pairs already, only the others are made. `simulation.json` records the settings and
    every pair's lens, whose `rho` times the blur is the disparity.

    Args:
        photos: Folders of pictures.
        folder: Where the pairs go.
        count: How many pairs.
        size: Side of the square pictures in pixels, 16 or more.
        seed: Of all randomness, 0 or more.
        sharp_aperture: Aperture of the sharp picture as a share of that of the views; 0 for a pinhole.
        depth: Bits per channel, 8 or 16.
        compressed: Share of pairs, in [0, 1], whose views have been through lossy coding.
        codecs: Which coding, one or more of "jpeg", "vp8" and "h264".
        layout: Distribution of scenes.
        overwrite: Replace pairs of other settings in `folder` instead of refusing.
        progress: Called after each pair with the number of pairs done and `count`.

    Raises:
        DataError: A setting is out of range, `folder` holds something else, or there are no photographs.
        PictureError: A picture cannot be read or written.
        MachineError: The package of a codec is missing.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from dualpix import simulate, write_picture
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     left_out = write_picture(f"{folder}/photo.png", torch.rand(3, 64, 64))
        ...     simulate([folder], f"{folder}/pairs", count=2, size=32).names
        ['0-000000', '0-000001']
    """
    check_request(count, size, seed)
    notes: list[str] = []
    sources, place = read_photos(photos, tell=notes.append), Path(folder)
    simulated = Simulated(
        sources, size, count, seed, sharp_aperture, depth, compressed, layout or Layout(), tuple(codecs)
    )
    _open_folder(place, simulated, overwrite)
    names = [simulated.name(index) for index in range(count)]
    missing = [index for index, name in enumerate(names) if not all(path.exists() for path in _paths(place, name))]
    for done, index in enumerate(missing):
        _write(place, simulated[index], depth)
        if progress:
            progress(count - len(missing) + done + 1, count)
    return Simulation(place, names, len(missing), tuple(notes))


@settled()
def simulate_photo(
    photo: str | Path,
    depth: str | Path,
    folder: str | Path,
    *,
    camera: str | Camera = "5d-mark-iv-50mm-f4",
    focus_m: float | None = None,
    lens: Lens = TYPICAL_LENS,
    sharp_aperture: float = 0.0,
    overwrite: bool = False,
) -> Simulation:
    """Simulate how a dual-pixel camera sees the scene of a sharp photograph with a depth map.

    The pair has the photograph's name; `camera/<name>.json` records the optics.

    Args:
        photo: A sharp picture.
        depth: Its depth map, as for `read_depth`.
        folder: Where the pair goes.
        camera: A camera, or a name in `simulation.camera.CAMERAS`; its pixels become those of the photograph.
        focus_m: Distance of the focal plane in metres, instead of the camera's.
        lens: The shape of the point-spread functions.
        sharp_aperture: As in `simulate`.
        overwrite: Whether an existing pair may be replaced.

    Raises:
        DataError: As for `simulate_from_depth` and `read_depth`; or the pair exists, or the lens cannot focus there.
        PictureError: The photograph cannot be read, or a picture not be written.
    """
    picture = read_picture(photo)
    chosen = pick(CAMERAS, camera, "camera") if isinstance(camera, str) else camera
    chosen = chosen if focus_m is None else _refocus(chosen, focus_m)
    place, name = Path(folder), Path(photo).stem
    card = place / "camera" / f"{name}.json"
    for path in (*_paths(place, name), card):
        refuse_overwriting_inputs(path, [photo, depth])
        if path.exists() and not overwrite:
            raise DataError(f"{path} exists already; choose another folder, or give {option('overwrite')}.")
    sample = simulate_from_depth(picture.pixels, read_depth(depth), chosen, lens, sharp_aperture=sharp_aperture)
    _write(place, {**sample, "name": name}, depth=16)
    card.parent.mkdir(exist_ok=True)
    _write_json(card, {"made_by": f"dualpix {__version__}", "camera": asdict(chosen), "lens": asdict(lens)})
    return Simulation(place, [name], 1)


@settled()
def simulate_from_depth(
    picture: Tensor,
    depth_m: Tensor,
    camera: Camera,
    lens: Lens = TYPICAL_LENS,
    sensor: Sensor | None = None,
    *,
    sharp_aperture: float = 0.0,
    seed: int = 0,
) -> Sample:
    """Compute how a dual-pixel camera sees the scene of a sharp picture with a depth map.

    What the picture does not show is made up (see `simulation.depth`); beyond its borders it is mirrored.

    Args:
        picture: 3 x H x W in [0, 1], display-encoded.
        depth_m: Depth along the optical axis in metres, H x W.
        camera: The camera; its pixels are those of the picture.
        lens: The shape of the point-spread functions.
        sensor: Tone curve, shading and noise; only sRGB by default.
        sharp_aperture: As in `simulate`.
        seed: Of the noise.

    Returns:
        `left`, `right`, `center`, `sharp`, 3 x H x W, not quantised; `blur_px`, 1 x H x W, signed; and `name`.

    Raises:
        DataError: The depth map has another size, knows no depth at all, or needs more blur than can be simulated.

    Example:
        >>> import torch
        >>> picture, depth_m = torch.rand(3, 32, 48), torch.full((32, 48), 2.0)
        >>> sample = simulate_from_depth(picture, depth_m, CAMERAS["5d-mark-iv-50mm-f4"])
        >>> sample["left"].shape, round(float(sample["blur_px"].mean()), 1)
        (torch.Size([3, 32, 48]), 7.7)
    """
    if picture.shape[1:] != depth_m.shape or min(depth_m.shape) < MIN_SIDE_PX:
        sizes = [" x ".join(map(str, reversed(shape))) for shape in (depth_m.shape, picture.shape[1:])]
        wanted = f"both must have the same size, {MIN_SIDE_PX} px or more"
        raise DataError(f"The depth map is {sizes[0]} and the picture {sizes[1]}; {wanted}.")
    sensor = sensor or Sensor()
    blur_px = blur_from_depth(depth_m.float(), camera)
    margin = reach_px(lens, float(blur_px.abs().max()))
    layers = layers_from_blur(_mirror(sensor.tone.decode(picture), margin), _mirror(blur_px[None], margin)[0])
    return {**expose(layers, lens, margin, sensor, sharp_aperture, seed), "name": "simulated"}


def read_depth(path: str | Path) -> Tensor:
    """Read a depth map along the optical axis: float32, H x W in metres.

    Args:
        path: A NumPy file (.npy), H x W in metres, or a 16-bit grey PNG in millimetres. 0 and NaN mean unknown; NumPy
            files may hold infinity.

    Raises:
        DataError: The file is something else, or damaged.
    """
    path = Path(path)
    if path.suffix.lower() == ".png":
        picture = read_picture(path)
        if picture.depth != 16 or not picture.grey:
            raise DataError(f"{path} is not a depth map: a PNG must be grey with 16 bits, in millimetres.")
        return (picture.pixels[0].double() * 65535 / 1000).float()
    if path.suffix.lower() != ".npy":
        raise DataError(f"{path} is not a depth map; give a .npy file in metres, or a 16-bit grey PNG in millimetres.")
    try:
        depth_m = read_npy(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged or not a NumPy array"
        raise DataError(f"{path} cannot be read: {reason}.") from None
    if getattr(depth_m, "ndim", 0) != 2 or depth_m.dtype.kind not in "fiu":
        raise DataError(f"{path} is not a depth map: it must hold height x width numbers, in metres.")
    return torch.from_numpy(depth_m.astype(np.float32))


def _refocus(camera: Camera, focus_m: float) -> Camera:
    if not focus_m * 1000 > camera.focal_mm:
        raise DataError(f"A lens of {camera.focal_mm:g} mm cannot focus at {focus_m:g} m; choose a larger distance.")
    return replace(camera, focus_m=focus_m)


def _mirror(picture: Tensor, margin: int) -> Tensor:
    """Extend a picture C x H x W by `margin` pixels at each side, in several steps where it is smaller than that."""
    while margin:
        step = min(margin, min(picture.shape[1:]) - 1)
        picture, margin = F.pad(picture, (step,) * 4, mode="reflect"), margin - step
    return picture


def _open_folder(folder: Path, simulated: Simulated, overwrite: bool) -> None:
    """Make `folder`, or check that pairs may be added to it, and record what it is going to hold."""
    settings = _settings(simulated)
    earlier = _read_card(folder)
    if overwrite:
        names = [name for name in earlier.get("pairs", {}) if Path(name).name == name]
        for path in (path for name in names for path in _paths(folder, name)):
            with suppress(ValueError):  # names that are impossible for files
                path.unlink(missing_ok=True)
        earlier = {}
    before = earlier.get("settings", settings)
    wrong = [key for key in before | settings if settings.get(key) != before.get(key)]
    if wrong:
        raise DataError(
            f"{folder} holds pairs that were simulated with other settings ({', '.join(wrong)}); choose another folder,"
            f" or give {option('overwrite')}."
        )
    lenses = {simulated.name(index): asdict(simulated.lens(index)) for index in range(simulated.count)}
    pairs = earlier.get("pairs", {}) | lenses
    _write_json(folder / CARD, {"made_by": f"dualpix {__version__}", "settings": settings, "pairs": pairs})


def _settings(simulated: Simulated) -> dict[str, Any]:
    """All that the pairs depend on; the photographs as a checksum."""
    photos = reduce(lambda crc, photo: crc32(photo.numpy().tobytes(), crc), simulated.photos, 0)
    named = {
        key: getattr(simulated, key) for key in ("size", "seed", "depth", "sharp_aperture", "compressed", "codecs")
    }
    records = {"layout": asdict(simulated.layout), "light": asdict(simulated.light), "drawing": DRAWING}
    plain: dict[str, Any] = json.loads(json.dumps({**named, **records, "photos": photos}))
    return plain


def _read_card(folder: Path) -> dict[str, Any]:
    """The record of an earlier run in `folder`; empty if there is none.

    Raises `DataError` if the folder holds anything else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        card = parse_json((folder / CARD).read_text(encoding="utf-8"))
        if isinstance(card, dict) and isinstance(card.get("settings"), dict) and isinstance(card.get("pairs"), dict):
            return card
        raise ValueError
    except FileNotFoundError:
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise DataError(f"{folder} holds files that were not simulated; choose a new or empty folder.") from None
        return {}
    except ValueError:
        raise DataError(f"{folder / CARD} is damaged; delete the folder, or choose another.") from None
    except OSError as error:
        raise DataError(f"{folder} cannot be used: {error.strerror or error}; choose another place.") from error


def _paths(folder: Path, name: str) -> Iterable[Path]:
    return *(folder / key / f"{name}.png" for key in PICTURES), folder / "blur" / f"{name}.npy"


def _write(folder: Path, sample: Sample, depth: int) -> None:
    """Write one pair. Each file appears whole or not at all, so a pair that has all of its files is complete."""
    for path in _paths(folder, sample["name"]):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".npy":
                content = io.BytesIO()
                np.save(content, sample["blur_px"][0].numpy())
                write_whole(path, content.getbuffer())
            else:
                write_picture(path, sample[path.parent.name], depth, overwrite=True)
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}; choose another place.") from error


def _write_json(path: Path, card: dict[str, Any]) -> None:
    write_whole(path, json.dumps(card, indent=1).encode())
