"""What 16 and 8 bits cost: each judge's pictures in several engines and precisions, beside PyTorch in float32.

    python benchmarks/precisions.py --data ../shared/data --log runs/precisions.jsonl

The same window of each pair is deblurred in every precision and scored as `judge.py` scores it: phone and flat
registered, previews after the fit of colours in 8 bits, simulated scenes plainly. A line of the log is one window in
one precision; what is there is not measured again, so a run may be ended and begun again, with more groups or weights.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dualpix.evaluation.metrics import measure, psnr, ssim
from dualpix.inference.deblur import deblur_pair
from dualpix.weights import checkpoint
from judging import scenes
from judging.items import Item, items_of, prepared, previews, uncoded

STORE = Path(__file__).parents[1] / "runs" / "judge"
WAYS = {
    "fp32": ("torch", "fp32"),
    "bf16": ("torch", "bf16"),
    "fp16": ("torch", "fp16"),
    "int8": ("openvino", "int8"),
}
GROUPS = ("phone", "flat", "previews", "simulated", "kernels", "native")
MOST_DB_LOST = 0.03
Score = tuple[float, float]


class Window:
    """The middle of one pair: its views, and what a picture made of them is worth."""

    def __init__(self, item: Item, data: Path, size: tuple[int, int]) -> None:
        self.name = " ".join(map(str, (item.group, item.number, item.variant))).strip()
        self.group = item.group
        self._tools = uncoded(data)
        self.left, self.right, self._sharp = (_middle(picture, size) for picture in _pictures(item, data))

    def score(self, picture: Tensor) -> Score:
        """PSNR in dB and SSIM, as the judge of this group has them."""
        if self.group in ("phone", "flat"):
            made, truth = (x.permute(1, 2, 0).double().numpy() for x in (picture, self._sharp))
            if self.group == "phone":
                made, truth = self._tools.grey(made), self._tools.grey(truth)
            return tuple(map(float, self._tools.score(made, truth)))
        if self.group == "previews":
            found = measure(picture, self._sharp, "dpdd-8bit")
            return found["psnr-fitted"], found["ssim"]
        rounded = (picture.clamp(0, 1) * 255).round() / 255
        return psnr(rounded, self._sharp), ssim(rounded, self._sharp)


def _middle(picture: Tensor, size: tuple[int, int]) -> Tensor:
    top, left = (max((have - want) // 2, 0) for have, want in zip(picture.shape[1:], size, strict=True))
    return picture[:, top : top + size[0], left : left + size[1]].contiguous()


def _pictures(item: Item, data: Path) -> list[Tensor]:
    """Left, right and sharp, 3 H W."""
    if item.group == "previews":
        sample = previews(data)[item.number]
        return [sample[view] for view in ("left", "right", "sharp")]
    if item.group not in ("phone", "flat"):
        made = prepared(item, data, STORE)
        return [torch.from_numpy(made[view]).float() / 255 for view in ("left", "right", "sharp")]
    tools = uncoded(data)
    _, views, sharp = list(tools.pairs())[item.number]
    read = [tools.read(path) for path in views] + [np.mean([tools.read(path) for path in sharp], 0)]
    colours = [np.repeat(x[..., None], 3, 2) if x.ndim == 2 else x for x in read]
    return [torch.from_numpy(x).float().permute(2, 0, 1).contiguous() for x in colours]


def chosen(items: Iterable[Item], every: int) -> Iterator[Item]:
    """One of `every` pairs of each group; of a simulated scene one variant, another for each scene in turn."""
    for item in items:
        variants = {"simulated": scenes.SIMULATED, "kernels": scenes.KERNELS}.get(item.group, (item.variant,))
        if item.number % every == 0 and item.variant == variants[item.number // every % len(variants)]:
            yield item


def measured(
    window: Window, weights: str, names: Iterable[str], known: set[tuple[str, ...]]
) -> Iterator[dict[str, Any]]:
    """The lines of the log that are not known yet. Alone in a process: several runs may share a log."""
    network = checkpoint.load(weights)
    missing = [name for name in names if (weights, window.name, name) not in known]
    for name in missing:
        engine, precision = WAYS[name]
        pair = {"left": window.left, "right": window.right, "name": window.name}
        rows = window.left.shape[1]
        picture = deblur_pair(
            pair, network, device="cpu", engine=engine, precision=precision, band_rows=rows, scale="1", guard=False
        ).picture
        decibels, similarity = window.score(picture)
        line = {"weights": weights, "window": window.name, "group": window.group, "precision": name}
        yield line | {"psnr": decibels, "ssim": similarity}


def table(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Change from fp32: mean, and the worst window, by weights, precision and group."""
    scores = {(x["weights"], x["precision"], x["window"]): (x["psnr"], x["ssim"]) for x in lines}
    changes: dict[tuple[str, str, str], list[Score]] = defaultdict(list)
    for (weights, precision, window), found in scores.items():
        usual = scores.get((weights, "fp32", window))
        if precision != "fp32" and usual:
            group = window.split()[0]
            changes[weights, precision, group].append((found[0] - usual[0], found[1] - usual[1]))
    yield "| weights | precision | judge | windows | dB, mean | dB, worst window | SSIM, mean | |"
    yield "|---|---|---|---:|---:|---:|---:|---|"
    for (weights, precision, group), rows in sorted(changes.items(), key=lambda row: _place(*row[0])):
        decibels, similarity = np.array(rows).T
        verdict = "" if decibels.mean() > -MOST_DB_LOST else "beyond 0.03"
        yield (
            f"| {weights} | {precision} | {group} | {len(rows)} | {decibels.mean():+.4f} | {decibels.min():+.4f} |"
            f" {similarity.mean():+.5f} | {verdict} |"
        )


def _place(weights: str, precision: str, group: str) -> tuple[str, int, int]:
    return weights, list(WAYS).index(precision), GROUPS.index(group)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", default=["mccnet-fast", "mccnet"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--log", type=Path, default=Path("runs/precisions.jsonl"))
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP")
    parser.add_argument("--precisions", nargs="+", choices=WAYS, default=list(WAYS), metavar="PRECISION")
    parser.add_argument("--every", type=int, default=1, help="measure one of so many pairs of each group")
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("ROWS", "COLUMNS"))
    asked = parser.parse_args()
    asked.log.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in asked.log.read_text().splitlines()] if asked.log.exists() else []
    known = {(line["weights"], line["window"], line["precision"]) for line in lines}
    names = ["fp32", *(name for name in asked.precisions if name != "fp32")]
    for item in chosen(items_of(tuple(asked.only), asked.data), asked.every):
        window = Window(item, asked.data, tuple(asked.size))
        for weights in asked.weights:
            for line in measured(window, weights, names, known):
                lines.append(line)
                with asked.log.open("a") as log:
                    log.write(json.dumps(line) + "\n")
    print("\n".join(table(lines)))


if __name__ == "__main__":
    main()
