"""What the page does with pictures: files in a job's folder in, files in that folder out. Nothing here knows HTTP."""

import math
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dualpix import __version__
from dualpix.errors import DualpixError, PictureError, spelled
from dualpix.inference import selective
from dualpix.inference.all_in_focus import SWEEP_MS
from dualpix.inference.blending import ALL, blend, with_choices
from dualpix.inference.options import DeblurOptions
from dualpix.inference.pipeline import Inherited, deblur_views, output_profile, save_result
from dualpix.io import Metadata, write_picture
from dualpix.io.animation import write_animation
from dualpix.io.camera_settings import camera_settings
from dualpix.io.formats import ENDINGS
from dualpix.pairs import Views, inspection_of, open_views, restore_orientation
from dualpix.pairs.inspect import Inspected, disparity_picture, scale_px
from dualpix.pairs.sample import mean_view
from dualpix.pairs.sources import BOTH_VIEWS
from dualpix.web.maps import OpticsGiven, WantedMap, make_map, show_distances
from dualpix.web.planes import SharpPart, keep_blur, keep_planes
from dualpix.web.refocusing import SCENE, Focus, Refocusable, find_scene, refocused, sweep
from dualpix.weights.checkpoint import Checkpoint

THUMB_PX = 720
LEFT, RIGHT, DISPARITY = "shown-left.jpg", "shown-right.jpg", "disparity.png"  # no name that `upload_name` gives
BEFORE, AFTER, RESULT = "before.jpg", "after.jpg", "result.npy"
SOFTWARE = f"dualpix {__version__}"
Progress = Callable[[int, int], None]
GoOn = Callable[[], None]

AN_OPTION = "\ue000"
"""Stands in a sentence for an option that the page does not offer."""

FIELDS = {
    "focus-distance": "the distance in focus",
    "f-number": "the f-number",
    "focal-length": "the focal length",
    "pixel-pitch": "the pixel pitch",
    "sensor-width": "the sensor width",
    "rho": "rho",
    "rho-fall": "its loss at the sides",
    "mask": "as mask",
}
"""What the page calls options that it offers."""

ADVICE = (
    (r"(?<= and give )(?:--rho|rho=)", "it here"),
    (rf" \((?:{AN_OPTION}|dualpix [\w -]+)\)", ""),
    (r" \((?:--no-guard|guard=False) [^)]*\)", ""),
    (r"; give the other view as well, or say how both lie in it: [^.;]*", "; give the other view as well"),
    (r" and at what dualpix inspect says", ""),
    (rf", as {AN_OPTION} asks; give less, or leave it out", "; use smaller views"),
    (r"; choose another place or name", ""),
    (rf"(?<=\.) [A-Z][^.]*{AN_OPTION}[^.]*\.", ""),
    (rf",? or [^;,.]*{AN_OPTION}[^;.]*", ""),
    (rf";[^;.]*{AN_OPTION}[^;.]*", ""),
)
"""Advice in sentences that a page cannot offer, and what to say instead; last, whatever names an option."""

UNSEEN = "so that rows stay sensor rows"
"""Ends notes that do not matter here, since the page shows and writes pictures upright."""


@dataclass(frozen=True)
class Upload:
    """What was uploaded.

    Args:
        folder: Of the job.
        left: The left view, or the file that holds both, under a name of ours.
        right: The right view.
        layout: As in `DeblurOptions`.
        swap: As in `DeblurOptions`.
        turn: As in `DeblurOptions`.
        megapixels: The most that a view may have.
        names: What the user calls the files, by our names.
    """

    folder: Path
    left: Path
    right: Path | None
    layout: str | None = None
    swap: bool = False
    turn: str = "auto"
    megapixels: float = 100.0
    names: dict[str, str] = field(default_factory=dict)

    def open(self) -> Views:
        """Read the views. Raises PictureError or PairError."""
        paths, size = (self.left, self.right), self.megapixels
        return open_views(*paths, layout=self.layout, swap=self.swap, turn=self.turn, limit_megapixels=size)


@dataclass(frozen=True)
class Checked:
    """What the check of an upload found.

    Args:
        found: What `dualpix inspect --json` prints, with `scale_px`, the disparity at which colours are saturated.
        inherited: What the result takes over from the views.
    """

    found: dict[str, Any]
    inherited: Inherited

    @property
    def notes(self) -> list[str]:
        """Sentences for the user."""
        return list(self.found["notes"])


def upload_name(side: str, suffix: str) -> str:
    """Return the name that an upload gets here. Of the user's own name, only a known extension is used."""
    known = suffix if suffix in ENDINGS | BOTH_VIEWS else ""
    return f"view_{side}.pgm" if known == ".pgm" else side + known


def check(upload: Upload, checkpoint: Checkpoint, go_on: GoOn = lambda: None) -> Checked:
    """Read and compare the views; write LEFT and RIGHT (reduced), DISPARITY, and BEFORE (the mean view, full size).

    `go_on` is called between steps and may raise to stop. Raises PictureError or PairError.
    """
    views = upload.open()
    go_on()
    found = inspection_of(views)
    for name, view in ((LEFT, views["left"]), (RIGHT, views["right"])):
        go_on()
        _write_preview(upload.folder / name, restore_orientation(_reduced(view), views), views)
    go_on()
    painted = restore_orientation(disparity_picture(views["left"], found), views)
    _write_preview(upload.folder / DISPARITY, painted, views, coloured=True)
    go_on()
    _write_preview(upload.folder / BEFORE, restore_orientation(mean_view(views["left"], views["right"]), views), views)
    inherited = output_profile(views, checkpoint, DeblurOptions(software=SOFTWARE))
    found_json = Inspected(views, found).as_json() | {"scale_px": round(scale_px(found), 2), "camera": _camera(views)}
    return Checked(_reworded_check(found_json, upload), inherited)


def deblur(
    upload: Upload, checkpoint: Checkpoint, options: DeblurOptions, progress: Progress, go_on: GoOn = lambda: None
) -> tuple[str, tuple[str, ...], str, Refocusable | None]:
    """Write RESULT (float32 3 x H x W, exact) AFTER (to look at) and the disparity.

    Returns how it was run, notes for the user, what was changed, and by what it can be focused anew.

    `progress` is called between bands, `go_on` between other steps, and both may raise to stop. Raises PictureError,
    PairError or MachineError, and OSError.
    """
    views = upload.open()
    go_on()
    done = deblur_views(views, checkpoint, options, progress)
    go_on()
    _write_array(upload.folder / RESULT, done.picture)
    _write_preview(upload.folder / AFTER, done.picture, views)
    go_on()
    keep_planes(upload.folder, views, checkpoint, options, done.plan.scales[0])
    go_on()
    scene = find_scene(done.picture, views, checkpoint, options, done.plan.scales[0])
    if scene is not None:
        _write_array(upload.folder / SCENE, scene[1])
    notes = tuple(reworded(warning, upload.folder, upload.names) for warning in done.warnings)
    report = "" if done.report is None else spelled(done.report.sentence, lambda *_: AN_OPTION)
    return str(done.plan), notes, reworded(report, upload.folder, upload.names), scene and scene[0]


def render(
    upload: Upload, checked: Checked, suffix: str, depth: int, strength: float, part: SharpPart | None = None
) -> Path:
    """Write the result as a picture file, and return its path.

    Only `part` is sharp, if that is given, and the result is mixed with the mean view if `strength` is below 1.
    """
    picture = _result_of(upload)
    if strength != ALL or part is not None:
        views = upload.open()
        if part is not None:
            picture = keep_blur(upload.folder, picture, views, part)
        left, right = (restore_orientation(views[side], views) for side in ("left", "right"))
        picture = blend(picture, left, right, strength)
    metadata = with_choices(checked.inherited.metadata, strength, part.keep if part else None)
    path = _new_path(upload, suffix)
    save_result(path, picture, replace(checked.inherited, metadata=metadata, depth=depth))
    return path


def render_map(
    upload: Upload, checked: Checked, wanted: WantedMap, checkpoint: Checkpoint, options: DeblurOptions
) -> Path:
    """Write a map beside the result, and return its path. Raises as `make_map` does."""
    path, views = _new_path(upload, wanted.suffix), upload.open()
    metadata = with_choices(checked.inherited.metadata, ALL, wanted.part.keep if wanted.part else None)
    make_map(upload.folder, path, _result_of(upload), views, metadata, wanted, checkpoint, options)
    return path


def render_distances(
    upload: Upload, checked: Checked, given: OpticsGiven, checkpoint: Checkpoint, options: DeblurOptions
) -> tuple[Path, dict[str, Any]]:
    """Write distances as a picture for the page, and return its path and what there is to tell of them."""
    path, views = _new_path(upload, ".png"), upload.open()
    said, notes = show_distances(upload.folder, path, views, given, checkpoint, options)
    return path, {"told": said, "notes": [reworded(note, upload.folder, upload.names) for note in notes]}


def fits(upload: Upload, checked: Checked, mask: Path, name: str) -> Path:
    """Return `mask`, which its user calls `name`, if it fits this pair. Raises PictureError."""
    try:
        selective.mask_of(mask, dict(upload.open()))
    except PictureError as error:
        raise PictureError(reworded(error, mask.parent, {mask.name: name})) from None
    return mask


def render_refocused(
    upload: Upload, checked: Checked, focus: Focus, suffix: str, depth: int, longest_px: int | None = None
) -> Path:
    """Write the result with another focus and aperture as a picture file, and return its path.

    `longest_px`: pixels a side that it has at most, to look at.
    """
    picture = refocused(upload.folder, _result_of(upload), focus, longest_px)
    path = _new_path(upload, suffix)
    save_result(path, picture, replace(checked.inherited, depth=depth))
    return path


def render_sweep(upload: Upload, checked: Checked, focus: Focus) -> Path:
    """Write the focus moving through the result as a moving picture, and return its path."""
    path = _new_path(upload, ".webp")
    frames = sweep(upload.folder, _result_of(upload), focus)
    write_animation(path, frames, SWEEP_MS, metadata=checked.inherited.metadata)
    return path


def _result_of(upload: Upload) -> Tensor:
    return torch.from_numpy(np.load(upload.folder / RESULT))


def _new_path(upload: Upload, suffix: str) -> Path:
    return upload.folder / f"download-{secrets.token_hex(8)}{suffix}"


def _write_array(path: Path, array: Tensor) -> None:
    with path.open("wb", buffering=0) as file:
        np.lib.format.write_array(_Plain(file), array.numpy(), allow_pickle=False)


def reworded(error: Exception | str, folder: Path, names: dict[str, str] | None = None) -> str:
    """Return a sentence reworded for users of the page, who know neither our names of files nor the command line.

    Args:
        error: An error or a sentence.
        folder: The job's folder, which is left out.
        names: What the user calls the files, by our names.
    """
    known = {f"{folder}/{ours}": theirs for ours, theirs in (names or {}).items()}
    known |= {ours: theirs for ours, theirs in (names or {}).items() if "." in ours}  # "left" alone is a word, too
    sentence = str(error)
    if isinstance(error, DualpixError):
        sentence = error.spelled(lambda name, *_: FIELDS.get(name, AN_OPTION))
    if known:
        any_of = "|".join(map(re.escape, known))
        sentence = re.sub(rf"(?<![\w.-])(?:{any_of})(?![\w-])", lambda found: known[found[0]], sentence)
    sentence = sentence.replace(f"{folder}/", "")
    for words, instead in ADVICE:
        sentence = re.sub(words, instead, sentence)
    return sentence


def _reworded_check(found: dict[str, Any], upload: Upload) -> dict[str, Any]:
    """What the check found, with its sentences `reworded`."""

    def plain(sentence: str) -> str:
        return reworded(sentence, upload.folder, upload.names)

    notes = [plain(note) for note in found["notes"] if UNSEEN not in note]
    odd = {kind: plain(sentence) for kind, sentence in found["odd"].items()}
    return found | {"name": Path(upload.names.get(upload.left.name, found["name"])).stem, "notes": notes, "odd": odd}


class _Plain:
    """A file that NumPy writes to through `write`; with files it knows, a full disk gives no error number."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def write(self, content: bytes) -> int:
        rest = memoryview(content)
        while len(rest):
            rest = rest[self._file.write(rest) :]
        return len(content)


def _camera(views: Views) -> dict[str, float | str | None]:
    """What the EXIF block says of lens and sensor, None where it does not; a focus at infinity is "inf", for JSON."""
    height, width = views["left"].shape[1:]
    settings = camera_settings(views["metadata"].exif, (height, width))
    return asdict(settings) | ({"focus_m": "inf"} if settings.focus_m == math.inf else {})


def _reduced(view: Tensor) -> Tensor:
    return functional.avg_pool2d(view, max(1, -(-max(view.shape[1:]) // THUMB_PX)))


def _write_preview(path: Path, picture: Tensor, views: Views, coloured: bool = False) -> None:
    """At 8 bits, with the colour profile and orientation of the views, so that browsers show what the file is.

    `picture` lies as the views do in their files.
    """
    metadata = Metadata(icc=None if coloured else views["metadata"].icc, orientation=views["metadata"].orientation)
    write_picture(path, picture, 8, True, metadata, views["grey"] and not coloured)
