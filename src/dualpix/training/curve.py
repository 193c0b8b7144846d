"""The learning curve of a run: loss and the first of the validation scores against steps, from its log."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dualpix.training.log import as_if_never_interrupted

Points = list[tuple[int, float]]
"""Step and value, in the order of steps."""

TITLES = {"psnr": "PSNR, dB", "blur_mae_px": "error of the blur, px"}

SMOOTHING = 40
"""The smoothed loss is the mean over this share of all reports: a fortieth, half of it on either side."""


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log as if it had never been interrupted: what was learnt again after a restart counts once.

    A line that a killed process left unfinished is passed over, and so is any that says nothing a log can say.
    """
    return [line for _, line in as_if_never_interrupted(path.read_bytes()) if line is not None]


def points(lines: Iterable[dict[str, Any]]) -> tuple[Points, Points]:
    """The reported losses, and the validation PSNR in dB or, of a network that maps the blur, its error in pixels."""
    lines = [line for line in lines if "step" in line]
    losses = [(line["step"], line["loss"]) for line in lines if line.get("loss") is not None]
    return losses, [(line["step"], _score(line)[1]) for line in lines if "validation" in line]


def main_score(lines: Iterable[dict[str, Any]]) -> str:
    """The name of the score by which validations are compared; "" if nothing has been validated."""
    return next((_score(line)[0] for line in lines if "validation" in line), "")


def _score(line: dict[str, Any]) -> tuple[str, float]:
    """The name and the value by which validations are compared."""
    scores = line["validation"]
    name = "psnr" if "psnr" in scores else next(iter(scores))
    return name, scores[name]


def smooth(values: Sequence[float], reach: int) -> list[float]:
    """The mean of each value and up to `reach` neighbours on either side, as many on the one as on the other."""
    smoothed = []
    for at in range(len(values)):
        near = min(reach, at, len(values) - 1 - at)
        window = values[at - near : at + near + 1]
        smoothed.append(sum(window) / len(window))
    return smoothed


def draw(lines: Sequence[dict[str, Any]]) -> bytes | None:
    """The curve as a PNG file; None if there is nothing to draw yet, or no matplotlib."""
    losses, scores = points(lines)
    if not losses:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(8, 4.5), dpi=100, layout="constrained")
    left = figure.subplots()
    left.set(xlabel="steps", ylabel="loss", yscale="log")
    steps, values = zip(*losses, strict=True)
    left.plot(steps, values, color="tab:blue", alpha=0.25, linewidth=0.8)
    left.plot(steps, smooth(values, len(values) // SMOOTHING // 2), color="tab:blue")
    left.yaxis.label.set_color("tab:blue")
    left.grid(alpha=0.3)
    if scores:
        steps, values = zip(*scores, strict=True)
        right = left.twinx()
        name = main_score(lines)
        right.set_ylabel(f"validation {TITLES.get(name, 'score')}", color="tab:red")
        right.plot(steps, values, color="tab:red", marker=".")
        right.set_title(f"best {(max if name == 'psnr' else min)(values):.2f}", fontsize="medium")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
