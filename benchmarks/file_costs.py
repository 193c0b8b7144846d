"""What files cost: PSNR on real pairs after views were kept in 8 bits, coded as JPEG, or reduced before deblurring.

    python benchmarks/file_costs.py --data ../shared/data

DATA is the folder of `benchmarks/judge.py`: pairs of a phone that were never coded (16 bits; registered before they are
scored) and previews of DPDD (8 bits, coded as H.264 once; PSNR after a fit of colours). JPEG has halved colours
(4:2:0), as most programs write. Half the size: by a bicubic filter with antialiasing, scored against the truth reduced
alike, once with the result reduced and once with views reduced before deblurring; the latter also enlarged back and
scored at full size. Figures: mean over pairs of the result's PSNR in dB, and in brackets its gain over the mean of the
untouched views.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.evaluation.metrics import measure
from dualpix.inference.deblur import deblur_pair
from dualpix.simulation.coding import as_jpeg
from dualpix.weights import checkpoint
from judging.items import previews, uncoded

Score = Callable[[Tensor, Tensor], float]
Pair = tuple[str, Tensor, Tensor, Tensor, Score]
AS_IS = "as they are"
KEPT: dict[str, Callable[[Tensor], Tensor]] = {
    "8 bits": lambda view: (view * 255).round() / 255,
    "JPEG 95": partial(as_jpeg, quality=95, subsampling="420"),
    "JPEG 85": partial(as_jpeg, quality=85, subsampling="420"),
}
HALF = ("deblurred, then half the size", "half the size, then deblurred")
BACK = "the latter, enlarged back"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--weights", default="mccnet-fast", help="name or file of weights")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    asked = parser.parse_args()
    weights = checkpoint.load(asked.weights)
    found: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(dict)
    for group in asked.groups:
        for pair in GROUPS[group](asked.data):
            for kept, figures in measured(pair, weights):
                found[kept].setdefault(group, []).append(figures)
                print(f"{group} {pair[0]}, {kept}: {figures[1]:.2f} dB, of {figures[0]:.2f}", flush=True)
    print(f"\n| views | {' | '.join(asked.groups)} |\n|---|{'---:|' * len(asked.groups)}")
    for kept, by_group in found.items():
        print(f"| {kept} | {' | '.join(cell(by_group.get(group, [])) for group in asked.groups)} |")


def cell(figures: list[tuple[float, float]]) -> str:
    """The mean PSNR of results, and its gain over that of the views."""
    if not figures:
        return ""
    before, after = np.mean(figures, 0)
    return f"{after:.2f} ({after - before:+.2f})"


def measured(pair: Pair, weights: checkpoint.Checkpoint) -> Iterator[tuple[str, tuple[float, float]]]:
    """What was done to the views, with the PSNR of their untouched mean and of the result."""
    _, left, right, sharp, score = pair
    before = score((left + right) / 2, sharp)
    whole = deblurred(left, right, weights)
    yield AS_IS, (before, score(whole, sharp))
    for kept, keep in KEPT.items():
        views = keep(left), keep(right)
        if not torch.equal(views[0], left):  # files of 8 bits lose nothing in 8 bits
            yield kept, (before, score(deblurred(*views, weights), sharp))
    small = deblurred(halved(left), halved(right), weights)
    small_before = score(halved((left + right) / 2), halved(sharp))
    for kept, output in zip(HALF, (halved(whole), small), strict=True):
        yield kept, (small_before, score(output, halved(sharp)))
    yield BACK, (before, score(resized(small, sharp.shape[1], sharp.shape[2]), sharp))


def deblurred(left: Tensor, right: Tensor, weights: checkpoint.Checkpoint) -> Tensor:
    """At full size alone, in float32 whatever the machine, so that figures can be repeated."""
    sample = {"left": left, "right": right, "name": "pair"}
    return deblur_pair(sample, weights, device="cpu", precision="fp32", scale="1", turn="none").picture


def resized(picture: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(picture[None], (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)


def halved(picture: Tensor) -> Tensor:
    return resized(picture, picture.shape[1] // 2, picture.shape[2] // 2)


def phone(data: Path) -> Iterator[Pair]:
    tools = uncoded(data)

    def score(picture: Tensor, truth: Tensor) -> float:
        return float(tools.score(*(one.double().mean(0).numpy() for one in (picture, truth)))[0])

    for name, views, sharp in tools.pairs():
        if not name.startswith("flat"):
            pictures = (torch.from_numpy(tools.read(path)).float().expand(3, -1, -1) for path in (*views, *sharp))
            left, right, truth = (picture.contiguous() for picture in pictures)
            yield name, left, right, truth, score


def coded_previews(data: Path) -> Iterator[Pair]:
    def score(picture: Tensor, truth: Tensor) -> float:
        return measure(picture, truth, "dpdd-8bit")["psnr-fitted"]

    scenes = previews(data)
    for sample in (scenes[number] for number in range(len(scenes))):
        yield sample["name"], sample["left"], sample["right"], sample["sharp"], score


GROUPS: dict[str, Callable[[Path], Iterator[Pair]]] = {"phone": phone, "previews": coded_previews}

if __name__ == "__main__":
    main()
