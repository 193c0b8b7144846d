"""The demonstration: deblur the pair inside the package, whose truth is known, and show what it brings."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor

from dualpix.errors import PictureError
from dualpix.evaluation.metrics import measure
from dualpix.inference.bands import Progress
from dualpix.inference.deblur import WeightsLike, deblur_pair
from dualpix.inference.options import DeblurOptions, Keywords, options_of
from dualpix.inference.planning import Plan
from dualpix.io import check_output, write_picture
from dualpix.io.writing import make_folder
from dualpix.pairs.sample import mean_view, read_sample

PROTOCOL = "dpdd-16bit"
GAP_PX = 8


@dataclass(frozen=True)
class Demonstration:
    """What `demonstrate` did.

    Args:
        before: Scores of the mean of the views, by the names in `evaluation.metrics.METRICS`.
        after: Scores of the result.
        about: Where the pair comes from.
        plan: How the network was run.
        seconds: For deblurring alone.
        result: The file of the result.
        side_by_side: The file with blurred picture, result and truth.
    """

    before: dict[str, float]
    after: dict[str, float]
    about: str
    plan: Plan
    seconds: float
    result: Path
    side_by_side: Path


def demonstrate(
    folder: str | Path = "demo",
    weights: WeightsLike = None,
    options: DeblurOptions | None = None,
    *,
    progress: Progress | None = None,
    **keywords: Unpack[Keywords],
) -> Demonstration:
    """Deblur the bundled pair, and score it.

    Args:
        folder: Where `result.png` (16 bit) and `side-by-side.png` (blurred, result, truth) go, over those of an earlier
            demonstration.
        weights: Those of `deblur`.
        options: Those of `deblur`.
        progress: Called as `progress(done, total)` after each band.
        **keywords: Fields of `options`.

    Raises:
        PictureError: The files cannot be written.
        DualpixError: What `deblur` raises.
    """
    chosen = options_of(options, keywords)
    place = make_folder(Path(folder))
    result, side_by_side = place / "result.png", place / "side-by-side.png"
    for path in (result, side_by_side):
        check_output(path, overwrite=True)
    pair = bundled_pair()
    sample = read_sample("the bundled pair", pair)
    start = time.perf_counter()
    done = deblur_pair(sample, weights, chosen, progress=progress)
    seconds = time.perf_counter() - start
    blurred, sharp = mean_view(sample["left"], sample["right"]), sample["sharp"]
    write_picture(result, done.picture, overwrite=True)
    write_picture(side_by_side, beside([blurred, done.picture, sharp]), depth=8, overwrite=True)
    before, after = (measure(picture, sharp, PROTOCOL) for picture in (blurred, done.picture))
    return Demonstration(before, after, _about(pair), done.plan, seconds, result, side_by_side)


def bundled_pair() -> dict[str, Path]:
    """The files `left`, `right` and `sharp` of the pair inside the package."""
    folder = Path(str(resources.files("dualpix") / "demo_pair"))
    files = {name: folder / f"{name}.png" for name in ("left", "right", "sharp")}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise PictureError(f"The bundled pair is incomplete ({', '.join(missing)} missing); install the package again.")
    return files


def beside(pictures: list[Tensor]) -> Tensor:
    """Pictures 3 x H x W side by side, with a white gap."""
    gap = torch.ones(3, pictures[0].shape[1], GAP_PX)
    return torch.cat([part for picture in pictures for part in (gap, picture)][1:], dim=2)


def _about(pair: Mapping[str, Path]) -> str:
    """The first paragraph of the page beside the pair, without headings: its photograph and licence."""
    page = pair["left"].with_name("README.md")
    if not page.is_file():
        return ""
    paragraphs = (" ".join(part.split()) for part in page.read_text(encoding="utf-8").split("\n\n"))
    return next((text for text in paragraphs if text and not text.startswith("#")), "")
