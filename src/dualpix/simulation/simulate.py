"""Make dual-pixel pairs with their truth: many random scenes out of photographs, or one photograph with its depth map.

Both write the layout that `datasets.folder` reads: the folders `left`, `right`, `center` and `sharp`, beside them
`blur` with the signed blur radius of every pixel as NumPy files. What was simulated, and how, is told in JSON.
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
from dualpix.simulation.samples import DRAWING, Simulated, expose
from dualpix.simulation.scenes import Layout
from dualpix.simulation.sensor import Sensor
from dualpix.tables import pick

PICTURES = ("left", "right", "center", "sharp")
CARD = "simulation.json"
TYPICAL_LENS = Lens(rho=0.4, split=0.3, softness_px=0.4, softness_rel=0.05)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Simulation:
    """Where the pairs are, their names in order, how many of them were made now (the rest were there already), and a
    sentence on photographs that were left out."""

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
    """Simulate `count` pairs, `size` pixels square, out of the pictures in the folders `photos`, into `folder`.

    The same settings give the same pairs. If `folder` holds some of them already, only the rest is made; pairs of
    other settings are refused, or with `overwrite` replaced. `depth` is 8 or 16 bits; for `sharp_aperture`,
    `compressed`, `codecs` and `layout` see `simulation.samples.Simulated`. `simulation.json` holds the settings and
    every pair's lens, whose `rho` times the blur is the disparity. Raises `DataError`, `PictureError` for files that
    cannot be read or written, and `MachineError` where a codec's package is missing.
    """
    if count < 1 or size < MIN_SIDE_PX or seed < 0:
        wanted = f"1 pair or more of {MIN_SIDE_PX} px or more, and a seed from 0"
        raise DataError(f"{count} pairs of {size} px with the seed {seed} cannot be made; give {wanted}.")
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
    """Take the scene of a sharp photograph and its depth map with a dual-pixel camera; write the pair to `folder`.

    `depth` is as `read_depth` takes it; `camera` a name in `simulation.camera.CAMERAS`, whose pixels become those of
    the photograph, focused at `focus_m` if given. The pair is called as the photograph, and `camera/<name>.json` holds
    the optics. Raises as `simulate_from_depth` does, and `DataError` if the pair exists already and not `overwrite`.
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
    """What `camera` makes of the scene of a sharp picture, 3 H W in [0, 1], and its depth, H W in metres.

    Returns `left`, `right`, `center`, `sharp` (3 H W, not quantised), `blur_px` (1 H W, signed) and `name`. The
    camera's pixels are those of the picture; `seed` is for the noise of `sensor`, which has none by default. What the
    picture does not show is made up: see `simulation.depth`; beyond its borders it goes on as in a mirror. Raises
    `DataError` for a depth map of another size, without any depth, or beyond the blur that can be simulated.
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
    """Depth along the optical axis, H W in metres: a NumPy file (.npy) of metres, or a 16-bit grey PNG of millimetres.

    Zero and NaN mean unknown, infinity is allowed in NumPy files. Raises `DataError` for anything else.
    """
    path = Path(path)
    if path.suffix.lower() == ".png":
        picture = read_picture(path)
        if picture.depth != 16 or not picture.grey:
            raise DataError(f"{path} is no depth map: a PNG must be grey with 16 bits, in millimetres.")
        return (picture.pixels[0].double() * 65535 / 1000).float()
    if path.suffix.lower() != ".npy":
        raise DataError(f"{path} is no depth map; give a .npy file in metres, or a 16-bit grey PNG in millimetres.")
    try:
        depth_m = read_npy(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged or no NumPy array"
        raise DataError(f"{path} cannot be read: {reason}.") from None
    if getattr(depth_m, "ndim", 0) != 2 or depth_m.dtype.kind not in "fiu":
        raise DataError(f"{path} is no depth map: it must hold height x width numbers, in metres.")
    return torch.from_numpy(depth_m.astype(np.float32))


def _refocus(camera: Camera, focus_m: float) -> Camera:
    if not focus_m * 1000 > camera.focal_mm:
        raise DataError(f"A lens of {camera.focal_mm:g} mm cannot focus at {focus_m:g} m; choose a larger distance.")
    return replace(camera, focus_m=focus_m)


def _mirror(picture: Tensor, margin: int) -> Tensor:
    """Continue a picture, C H W, by `margin` pixels, in several steps where it is smaller than that."""
    while margin:
        step = min(margin, min(picture.shape[1:]) - 1)
        picture, margin = F.pad(picture, (step,) * 4, mode="reflect"), margin - step
    return picture


def _open_folder(folder: Path, simulated: Simulated, overwrite: bool) -> None:
    """Make `folder`, or find out that it may be gone on with, and write what will be in it."""
    settings = _settings(simulated)
    earlier = _read_card(folder)
    if overwrite:
        names = [name for name in earlier.get("pairs", {}) if Path(name).name == name]
        for path in (path for name in names for path in _paths(folder, name)):
            with suppress(ValueError):  # a name that no file can have
                path.unlink(missing_ok=True)
        earlier = {}
    before = earlier.get("settings", settings)
    wrong = [key for key in before | settings if settings.get(key) != before.get(key)]
    if wrong:
        told = ", ".join(wrong)
        raise DataError(
            f"{folder} holds pairs that were simulated otherwise (other {told}); choose another folder, or give"
            f" {option('overwrite')}."
        )
    lenses = {simulated.name(index): asdict(simulated.lens(index)) for index in range(simulated.count)}
    pairs = earlier.get("pairs", {}) | lenses
    _write_json(folder / CARD, {"made_by": f"dualpix {__version__}", "settings": settings, "pairs": pairs})


def _settings(simulated: Simulated) -> dict[str, Any]:
    """All that the pairs depend on, the photographs by a checksum."""
    photos = reduce(lambda crc, photo: crc32(photo.numpy().tobytes(), crc), simulated.photos, 0)
    named = {
        key: getattr(simulated, key) for key in ("size", "seed", "depth", "sharp_aperture", "compressed", "codecs")
    }
    records = {"layout": asdict(simulated.layout), "light": asdict(simulated.light), "drawing": DRAWING}
    plain: dict[str, Any] = json.loads(json.dumps({**named, **records, "photos": photos}))
    return plain


def _read_card(folder: Path) -> dict[str, Any]:
    """What an earlier run wrote about `folder`, or nothing. Raises `DataError` if it holds anything else."""
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
    """Write one pair. Each file appears whole or not at all, so a pair is finished when it has all of them."""
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
