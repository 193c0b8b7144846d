"""Calibrate: what is this camera like? Its numbers from real pairs, with and without their sharp pictures."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dualpix.calibration.fit import align, fit_field
from dualpix.calibration.numbers import (
    MIN_WINDOWS,
    Number,
    Numbers,
    number,
    of_blind,
    of_blur,
    of_coding,
    of_disparity,
    of_noise,
    of_rho,
    of_shading,
)
from dualpix.calibration.shape import find_patches, fit_shape, fit_tone
from dualpix.calibration.views import match_rows
from dualpix.errors import DataError, PairError, option
from dualpix.io import read_picture
from dualpix.machine.modes import settled
from dualpix.pairs import read_pair
from dualpix.pairs.sample import bare_name, list_pictures
from dualpix.simulation.sensor import Tone

FIRST_TONE = Tone(0.3)  # until it is measured; near enough for blur and rho
MIN_SIDE_PX = 160
MOST_PIXELS = 1_200_000
SWAPPED_SHARE = 0.85
MOVED_PX = 0.6
ONLY_WITH_SHARP = "rho by place and by blur, blur radii, rim, softness and split of the kernels, and tone"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Calibration:
    """`pairs`: numbers by name of the pair, then by name of the quantity, whose last word is its unit; `together`: over
    all pairs; `missing`: sentences on what could not be told, and why."""

    pairs: dict[str, Numbers]
    together: Numbers
    missing: list[str] = field(default_factory=list)

    def csv(self) -> str:
        """All numbers: pair ("all" for all together), quantity, value, low, high, count."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["pair", "quantity", "value", "low", "high", "count"])
        for pair, numbers in {**self.pairs, "all": self.together}.items():
            for quantity, found in numbers.items():
                ends = ("" if end is None else f"{end:.5g}" for end in (found.low, found.high))
                writer.writerow([pair, quantity, f"{found.value:.5g}", *ends, found.count])
        return text.getvalue()


@settled()
def calibrate(
    left: str | Path,
    right: str | Path,
    sharp: str | Path | None = None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Calibration:
    """Measure a camera on one pair (three files) or on several (three folders, whose files go together by name).

    Without `sharp`, the picture of the same scene with everything in focus, some numbers cannot be told, and `missing`
    says so. Pairs that look swapped are refused unless `force`. Raises `PairError`, `PictureError` or `DataError` for
    what cannot be read or measured.
    """
    scenes = _find(Path(left), Path(right), None if sharp is None else Path(sharp))
    pairs: dict[str, Numbers] = {}
    missing: dict[str, None] = {}
    for done, (name, paths) in enumerate(scenes.items(), start=1):
        views = read_pair(paths[0], paths[1])
        truth = read_picture(paths[2]).pixels if len(paths) > 2 else None
        pairs[name], reasons = measure(views["left"], views["right"], truth, views["depth"], name=name, force=force)
        missing |= dict.fromkeys(reasons)
        if progress:
            progress(done, len(scenes))
    return Calibration(pairs, _together(list(pairs.values())), list(missing))


def measure(
    left: Tensor, right: Tensor, sharp: Tensor | None = None, depth: int = 16, *, name: str = "", force: bool = False
) -> tuple[Numbers, list[str]]:
    """The numbers of one pair, 3 H W each in [0, 1], from files with `depth` bits; and what could not be told.

    Of large pictures only the middle rows are looked at. Raises `PairError` as `calibrate` does.
    """
    label = name or "the pair"
    _require_sizes(label, left, right, sharp)
    left, right = _middle_rows(left), _middle_rows(right)
    green = left[1], right[1]
    light = FIRST_TONE.decode(green[0]), FIRST_TONE.decode(green[1])
    disparity = match_rows(*green)
    _require_texture(label, disparity)
    if not force:
        _refuse_swapped(label, disparity)
    numbers = of_disparity(disparity) | of_shading(*light)
    missing: list[str] = []
    tone = FIRST_TONE
    if sharp is None:
        missing.append(f"Without SHARP these are missing: {ONLY_WITH_SHARP}.")
        numbers |= of_blind(*light, missing)
    else:
        clear, tone = _of_sharp(label, green, _middle_rows(sharp)[1], disparity, missing)
        numbers |= clear
    numbers |= of_noise(*green, tone, depth, missing)
    return numbers | of_coding(left, right, disparity, missing), missing


def _find(left: Path, right: Path, sharp: Path | None) -> dict[str, tuple[Path, ...]]:
    """By name: the files of every pair."""
    places = [place for place in (left, right, sharp) if place is not None]
    folders = [place for place in places if place.is_dir()]
    if not folders:
        return {bare_name(left): tuple(places)}
    if len(folders) < len(places):
        raise DataError("Files and folders are mixed; give files of one pair, or a folder each for all pairs.")
    files = [{bare_name(path): path for path in list_pictures(place)} for place in places]
    shared = [name for name in files[0] if all(name in found for found in files)]
    lonely = sorted(set().union(*files) - set(shared))
    if not shared or lonely:
        what = f"{lonely[0]!r} is not in all of" if lonely else "There is no picture in"
        raise DataError(f"{what} {', '.join(map(str, places))}; the files of a pair must have the same name in each.")
    return {name: tuple(found[name] for found in files) for name in shared}


def _require_sizes(label: str, left: Tensor, right: Tensor, sharp: Tensor | None) -> None:
    height, width = left.shape[1:]
    for word, other in (("right view", right), ("sharp picture", sharp)):
        if other is not None and other.shape != left.shape:
            sizes = f"{other.shape[2]} x {other.shape[1]}, the left view {width} x {height}"
            raise PairError(f"{label}: the {word} is {sizes}; all pictures of a pair must have the same size.")
    if min(height, width) < MIN_SIDE_PX:
        raise PairError(f"{label} is {width} x {height}; calibration needs {MIN_SIDE_PX} px or more on both sides.")


def _require_texture(label: str, disparity: Tensor) -> None:
    found = int(disparity.isfinite().sum())
    if found < min(MIN_WINDOWS, max(1, disparity.numel() // 4)):
        raise PairError(
            f"{label} has too little texture that both views show; give two views of one photograph, full of detail."
        )


def _refuse_swapped(label: str, disparity: Tensor) -> None:
    behind, in_front = int((disparity > MOVED_PX).sum()), int((disparity < -MOVED_PX).sum())
    if in_front >= MIN_WINDOWS and in_front >= SWAPPED_SHARE * (behind + in_front):
        raise PairError(
            f"{label}: rho comes out negative, so the views look swapped; exchange LEFT and RIGHT, or give"
            f" {option('force')} if nearly everything is nearer than the focus."
        )


def _middle_rows(picture: Tensor) -> Tensor:
    """Rows are enough: the camera's numbers change along them and hardly across."""
    _, height, width = picture.shape
    rows = min(height, max(MIN_SIDE_PX, MOST_PIXELS // width))
    top = (height - rows) // 2
    return picture[:, top : top + rows]


def _of_sharp(
    label: str, views: tuple[Tensor, Tensor], sharp: Tensor, disparity: Tensor, missing: list[str]
) -> tuple[Numbers, Tone]:
    """All that only the sharp picture can tell, and the tone curve."""
    left, right = (FIRST_TONE.decode(view) for view in views)
    clear = align(left, right, FIRST_TONE.decode(sharp))
    found = fit_field(left, right, clear)
    good = found.good
    if int(good.sum()) < min(MIN_WINDOWS, max(1, good.numel() // 4)):
        raise PairError(
            f"{label}: the sharp picture hardly explains the views; give the same scene in focus, within 2 px of them."
        )
    patches = find_patches(*views, FIRST_TONE.encode(clear), found)
    contrast = fit_tone(patches)
    tone = Tone(min(max(contrast.value, 0.0), 1.0)) if contrast else FIRST_TONE
    shape = fit_shape(patches, tone)
    numbers = of_blur(found)
    if contrast and shape:
        chosen = {"tone contrast": contrast, **{f"kernel {k}": v for k, v in shape.choices.items()}}
        numbers |= {name: Number(c.value, c.low, c.high, len(patches)) for name, c in chosen.items()}
    else:
        missing.append("Too few places of one clear blur (4 to 20 px) for tone, rim, softness and split.")
    return numbers | of_rho(found, disparity, shape.rho_ratio if shape else 1.0, missing), tone


def _together(pairs: Sequence[Mapping[str, Number]]) -> Numbers:
    """Over pairs: shares as means, the rest as medians, with the spread over pairs."""
    if len(pairs) == 1:
        return dict(pairs[0])
    together = {}
    for name in dict.fromkeys(name for numbers in pairs for name in numbers):
        found = [numbers[name] for numbers in pairs if name in numbers]
        values = torch.tensor([each.value for each in found], dtype=torch.float64)
        over = number(values)
        value = float(values.mean()) if name.startswith("share") else over.value
        together[name] = Number(value, over.low, over.high, sum(each.count for each in found))
    return together
