"""Calibrate: measure a camera from real pairs, with or without their sharp pictures."""

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
from dualpix.pairs import lay_along_rows, read_pair
from dualpix.pairs.sample import Sample, bare_name, in_few_words, list_views
from dualpix.pairs.turning import AUTO, WORDS
from dualpix.simulation.sensor import Tone

FIRST_TONE = Tone(0.3)  # assumed until the tone curve is measured; close enough for blur and rho
MIN_SIDE_PX = 160
MOST_PIXELS = 1_200_000
SWAPPED_SHARE = 0.85
MOVED_PX = 0.6
ONLY_WITH_SHARP = "rho by place and by blur, blur radii, rim, softness and split of the kernels, and tone"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Calibration:
    """The measured parameters of a camera.

    Attributes:
        pairs: By name of the pair, then by name of the quantity, which ends in its unit.
        together: Over all pairs: medians, but means of shares.
        missing: What could not be measured, and why, one sentence each.
        notes: What looks odd about files, and which pairs were turned, one sentence each.
    """

    pairs: dict[str, Numbers]
    together: Numbers
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def csv(self) -> str:
        """All numbers as CSV: pair ("all" for all together), quantity, value, low, high, count."""
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
    turn: str = AUTO,
    progress: Progress | None = None,
) -> Calibration:
    """Measure a camera from one pair or from several.

    Args:
        left: The left view, or a folder of left views.
        right: The right view, or a folder of right views; the files of a pair have the same name in each folder.
        sharp: The picture of the same scene with everything in focus, or a folder of these. Without it some parameters
            cannot be measured, and `missing` says so.
        force: Measure pairs that look swapped too, instead of refusing them.
        turn: How pairs are turned so that disparity runs along rows, as in `DeblurOptions`; "auto" finds out for each.
        progress: Called after each pair with the number of pairs done and their total.

    Raises:
        PairError: Two pictures are no pair, are too small, have too little texture, or look swapped.
        PictureError: A picture cannot be read.
        DataError: Files and folders are mixed, or the folders' files do not match.
        RecipeError: There is no such `turn`.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from dualpix.io import write_picture
        >>> from dualpix.simulation.simulate import CAMERAS, simulate_from_depth
        >>> sharp = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 1)
        >>> sharp = sharp.repeat_interleave(8, 2)  # 160 x 160 squares of 8 x 8 pixels
        >>> made = simulate_from_depth(sharp, torch.full((160, 160), 1.5), CAMERAS["5d-mark-iv-50mm-f4"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     views = [f"{folder}/{name}.png" for name in ("left", "right")]
        ...     left_out = [write_picture(path, made[path[len(folder) + 1 : -4]]) for path in views]
        ...     found = calibrate(*views)
        >>> round(found.together["disparity px"].value)  # rho 0.4 times a blur radius of 5.1 px
        2
    """
    scenes = _find(Path(left), Path(right), None if sharp is None else Path(sharp))
    pairs: dict[str, Numbers] = {}
    missing: dict[str, None] = {}
    notes: list[str] = []
    odd: dict[str, list[str]] = {}
    for done, (name, paths) in enumerate(scenes.items(), start=1):
        sample = _read(name, paths)
        odd[name] = sample["notes"]
        sample = lay_along_rows(sample, turn)
        notes += _turned(name, sample) if turn == AUTO else []
        views = sample["left"], sample["right"], sample.get("sharp")
        pairs[name], reasons = measure(*views, sample["depth"], name=name, force=force)
        missing |= dict.fromkeys(reasons)
        if progress:
            progress(done, len(scenes))
    return Calibration(pairs, _together(list(pairs.values())), list(missing), [*in_few_words(odd), *notes])


def _read(name: str, paths: Sequence[Path]) -> Sample:
    pair = read_pair(paths[0], paths[1])
    sharp = read_picture(paths[2]) if len(paths) > 2 else None
    pixels = None if sharp is None else sharp.pixels
    _require_sizes(name, pair["left"], pair["right"], pixels)  # as the files have them: they may be turned
    notes = [*pair["notes"], *(sharp.notes if sharp else ())]
    return {**pair, "notes": notes, **({} if pixels is None else {"sharp": pixels})}


def _turned(name: str, sample: Sample) -> list[str]:
    """What to say of a pair that "auto" turned."""
    if not sample["quarter_turns"]:
        return []
    unclear = (
        "; which way is unclear, since as much lies in front of the focus as behind: if the signs of blur are wrong,"
        " have it turned the other way"
        if "upright" in sample["inspection"].odd
        else ""
    )
    return [f"{name} stands upright: it was turned {WORDS[sample['quarter_turns']]}{unclear}."]


def measure(
    left: Tensor, right: Tensor, sharp: Tensor | None = None, depth: int = 16, *, name: str = "", force: bool = False
) -> tuple[Numbers, list[str]]:
    """Measure one pair; of large pictures only the middle rows are used.

    Args:
        left: Left view, 3 x H x W in [0, 1], display-encoded.
        right: Right view, of the same shape.
        sharp: The sharp picture, of the same shape.
        depth: Bits per channel of the files.
        name: What error messages call the pair.
        force: Measure the pair even if its views look swapped.

    Returns:
        The numbers by name, and a sentence for each thing that could not be measured.

    Raises:
        PairError: As for `calibrate`.
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
    """The files of every pair, by name."""
    places = [place for place in (left, right, sharp) if place is not None]
    folders = [place for place in places if place.is_dir()]
    if not folders:
        return {bare_name(left): tuple(places)}
    if len(folders) < len(places):
        raise DataError("Files and folders are mixed; give files of one pair, or a folder each for all pairs.")
    files = [{bare_name(path): path for path in list_views(place)} for place in places]
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
    """Rows from the middle of the picture: a camera's parameters vary along rows, and hardly across them."""
    _, height, width = picture.shape
    rows = min(height, max(MIN_SIDE_PX, MOST_PIXELS // width))
    top = (height - rows) // 2
    return picture[:, top : top + rows]


def _of_sharp(
    label: str, views: tuple[Tensor, Tensor], sharp: Tensor, disparity: Tensor, missing: list[str]
) -> tuple[Numbers, Tone]:
    """All that needs the sharp picture, and the tone curve."""
    left, right = (FIRST_TONE.decode(view) for view in views)
    clear = align(left, right, FIRST_TONE.decode(sharp))
    found = fit_field(left, right, clear)
    good = found.good
    if int(good.sum()) < min(MIN_WINDOWS, max(1, good.numel() // 4)):
        raise PairError(
            f"{label}: the sharp picture does not fit the views; give the same scene in focus, within 2 px of them."
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
        missing.append("Too few places of uniform blur (4 to 20 px) to fit tone, rim, softness and split.")
    return numbers | of_rho(found, disparity, shape.rho_ratio if shape else 1.0, missing), tone


def _together(pairs: Sequence[Mapping[str, Number]]) -> Numbers:
    """Over pairs: means of shares, medians of all else, with the spread over the pairs."""
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
