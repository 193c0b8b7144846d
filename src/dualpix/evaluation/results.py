"""What an evaluation found, as tables: one line for each picture (CSV), and one for each method (CSV and Markdown)."""

import csv
import io
import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from dualpix.evaluation.metrics import PROTOCOLS, mean_decibels
from dualpix.machine.files import legible, write_whole
from dualpix.networks.counting import Counts
from dualpix.pairs.sample import in_few_words

COLUMNS = {
    "psnr": ("PSNR dB", ".2f"),
    "psnr-fitted": ("PSNR fitted dB", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "ssim-wang": ("SSIM (Wang)", ".4f"),
    "mae": ("MAE", ".4f"),
    "lpips": ("LPIPS", ".4f"),
}
"""Title and number format of our own metrics; one of another package is shown under its name."""


def column(metric: str) -> tuple[str, str]:
    """Title and number format of a metric."""
    return COLUMNS.get(metric, (metric, ".4f"))


DECIBELS = ("psnr", "psnr-fitted")

PICTURES = ("left", "right", "center")
WORDS = ("method", "takes", "protocol", "weights")
"""Titles of the columns that hold no numbers."""

NUMBERS = ("none", "one", "two", "three")

RESAMPLES = 4000


@dataclass(frozen=True)
class Scores:
    """By sample name: each picture's metrics under `protocol`, or why it has none, and `notes` on the files."""

    protocol: str
    pictures: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def mean(self) -> dict[str, float]:
        """Return each metric's mean over the pictures that were scored; empty if none was.

        A metric in dB is infinite for a picture equal to the truth; its mean is that of the others (see `equal`).
        """
        names = next(iter(self.pictures.values()), {})
        values = {name: [picture[name] for picture in self.pictures.values()] for name in names}
        return {
            name: (mean_decibels if name in DECIBELS else statistics.fmean)(found) for name, found in values.items()
        }

    def equal(self) -> dict[str, int]:
        """How many pictures a mean in dB leaves out, by its metric, because they equal the truth; only if any do."""
        counts = {name: sum(picture.get(name) == math.inf for picture in self.pictures.values()) for name in DECIBELS}
        return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True)
class Row:
    """One method of a table.

    Args:
        method: Its label.
        scores: Of its pictures.
        seconds: By sample name.
        failures: By sample name, from predicting and scoring together.
        counts: Its size and operations, known for networks only.
        source: What it is, in words.
        views: What it takes from a sample.
        weights: Where they come from.
        peak_bytes: The most memory its process had.
        unavailable_reason: Why it did not run at all, in two or three words, which stand in place of its scores.
        advice: What to do about that.
    """

    method: str
    scores: Scores
    seconds: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    counts: Counts | None = None
    source: str = ""
    views: tuple[str, ...] = ()
    weights: str = ""
    peak_bytes: int | None = None
    unavailable_reason: str = ""
    advice: str = ""

    @property
    def lacks(self) -> str:
        """The former name of `unavailable_reason`."""
        warnings.warn("Row.lacks is called unavailable_reason now.", DeprecationWarning, stacklevel=2)
        return self.unavailable_reason


def table(
    rows: Sequence[Row],
    folder: str | Path,
    heading: str,
    notes: Sequence[str] = (),
    oddities: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """Write `pictures.csv`, `methods.csv` and `summary.md` into `folder` and return the text of the last.

    `heading` says what was evaluated, `notes` how; `oddities`, from (method, picture) to sentences, what looks odd. The
    first row is the input, which the gain of the others refers to. File names that are no text are made `legible`.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    summary = legible(_summary(rows, heading, notes, oddities or {}))
    write_whole(place / "pictures.csv", legible(_pictures(rows)).encode())
    write_whole(place / "methods.csv", legible(_methods(rows)).encode())
    write_whole(place / "summary.md", summary.encode())
    return summary


def _pictures(rows: Sequence[Row]) -> str:
    metrics = _metrics(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "picture", "protocol", *metrics, "seconds", "problem"])
    for row in rows:
        for name in dict.fromkeys([*row.scores.pictures, *row.seconds, *row.failures]):
            scores = row.scores.pictures.get(name, {})
            numbers = [f"{scores[metric]:.6f}" if metric in scores else "" for metric in metrics]
            seconds = f"{row.seconds[name]:.3f}" if name in row.seconds else ""
            writer.writerow([row.method, name, row.scores.protocol, *numbers, seconds, row.failures.get(name, "")])
    return text.getvalue()


def _methods(rows: Sequence[Row]) -> str:
    """The table with all digits, for other programs."""
    metrics = _metrics(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    costs = ["parameters", "conv_macs", "attention_macs", "seconds", "peak_bytes"]
    writer.writerow(["method", "takes", *costs, *metrics, "pictures", "protocol", "weights", "problem"])
    for row in rows:
        mean, counts = row.scores.mean(), row.counts
        numbers = [counts.parameters, counts.conv_macs, counts.attention_macs] if counts else [""] * 3
        seconds = f"{statistics.median(row.seconds.values()):.3f}" if row.seconds else ""
        scores = [f"{mean[metric]:.6f}" if metric in mean else "" for metric in metrics]
        peak = "" if row.peak_bytes is None else row.peak_bytes
        scored = [*scores, len(row.scores.pictures), row.scores.protocol, row.weights, row.unavailable_reason]
        writer.writerow([row.method, " ".join(row.views), *numbers, seconds, peak, *scored])
    return text.getvalue()


def _odd(oddities: Mapping[tuple[str, str], str]) -> list[str]:
    """Lines on what looked odd, method by method, alike sentences as one."""
    lines = []
    for label in dict.fromkeys(label for label, _ in oddities):
        of_label = {name: [f"{name}: {odd}"] for (own, name), odd in oddities.items() if own == label}
        lines += [f"- {label}, {line}" for line in in_few_words(of_label)]
    return lines


def _summary(rows: Sequence[Row], heading: str, notes: Sequence[str], oddities: Mapping[tuple[str, str], str]) -> str:
    metrics, protocol = _metrics(rows), rows[0].scores.protocol
    titles = [column(name)[0] for name in metrics]
    measured = any(row.peak_bytes is not None for row in rows)
    costs = ["takes", "parameters", "GMAC", "seconds", *["peak GB"] * measured]
    head = ["method", *titles, "gain dB", "better", "pictures", *costs, "protocol", "weights"]
    total = max(len({**row.scores.pictures, **row.failures}) for row in rows)
    lines = [
        [row.method, *_scored(row, rows[0], metrics, total), *_cost(row, measured), protocol, row.weights]
        for row in rows
    ]
    sources = [f"- {row.method}: {row.source}" for row in rows if row.source]
    idle = [f"- {row.method}: {row.unavailable_reason}; {row.advice}." for row in rows if row.unavailable_reason]
    equal = [
        f"- {row.method}, {column(name)[0]}: {count} of {len(row.scores.pictures)} pictures equal the sharp one"
        f"{' after the fit' if name == 'psnr-fitted' else ''}; the mean is that of the others."
        for row in rows
        for name, count in row.scores.equal().items()
    ]
    failures = [f"- {row.method}, {name}: {why}" for row in rows for name, why in row.failures.items()]
    odd = _odd(oddities)
    parts = [
        [f"# {heading}"],
        [
            f"- Protocol `{protocol}`: {PROTOCOLS[protocol].words}; means over pictures.",
            *[f"- {note}" for note in notes],
        ],
        [_line(head), _line(["---" if title in WORDS else "---:" for title in head]), *map(_line, lines)],
        [
            "gain: mean difference of PSNR to the first row (95 % bootstrap interval over pictures). better: pictures"
            " with a higher fitted PSNR than in the first row. GMAC: 10^9 multiply-accumulates, convolutions +"
            " attention. seconds: median over pictures. peak: of the process, Python and PyTorch included."
        ],
        ["## Left out of means", "", *equal] if equal else [],
        ["## Methods", "", *sources] if sources else [],
        ["## What did not run", "", *idle] if idle else [],
        ["## What failed", "", *failures] if failures else [],
        ["## What looks odd", "", *odd] if odd else [],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _scored(row: Row, reference: Row, metrics: Sequence[str], total: int) -> list[str]:
    """The cells from the metrics to the number of pictures."""
    if row.unavailable_reason:
        return [row.unavailable_reason, *[""] * (len(metrics) + 2)]
    mean = row.scores.mean()
    numbers = [format(mean[name], column(name)[1]) if name in mean else "" for name in metrics]
    compared = ["", ""]
    if row is not reference:
        compared = [_gain(row.scores, reference.scores), _better(row.scores, reference.scores)]
    return [*numbers, *compared, f"{len(row.scores.pictures)} of {total}"]


def _cost(row: Row, measured: bool) -> list[str]:
    """The cells from what it takes to its memory; no cell for that if none was `measured`."""
    counts = row.counts
    peak = "" if row.peak_bytes is None else f"{row.peak_bytes / 1e9:.2f}"
    return [
        takes(row.views),
        f"{counts.parameters / 1e6:.2f} M" if counts else "",
        f"{counts.conv_macs / 1e9:.1f} + {counts.attention_macs / 1e9:.1f}" if counts else "",
        f"{statistics.median(row.seconds.values()):.2f}" if row.seconds else "",
        *[peak] * measured,
    ]


def takes(views: Sequence[str]) -> str:
    """How many views a method takes, and which: "two: left, right". What is no view, such as the true blur, is last."""
    pictures = [view for view in views if view in PICTURES]
    rest = [view for view in views if view not in PICTURES]
    return " + ".join([f"{NUMBERS[len(pictures)]}: {', '.join(pictures)}", *rest]) if views else ""


def _gain(scores: Scores, reference: Scores) -> str:
    gains = [ours["psnr"] - theirs["psnr"] for ours, theirs in _both(scores, reference)]
    # Without pictures that equal the truth, as in the means, unless all do.
    gains = [gain for gain in gains if math.isfinite(gain)] or [gain for gain in gains if not math.isnan(gain)]
    if not gains:
        return ""
    mean = f"{statistics.fmean(gains):+.2f}"
    if len(gains) < 2 or not all(map(math.isfinite, gains)):
        return mean
    low, high = _interval(torch.tensor(gains, dtype=torch.float64))
    return f"{mean} ({low:+.2f} to {high:+.2f})"


def _better(scores: Scores, reference: Scores) -> str:
    pairs = _both(scores, reference)
    better = sum(ours["psnr-fitted"] > theirs["psnr-fitted"] for ours, theirs in pairs)
    return f"{better} of {len(pairs)}" if pairs else ""


def _both(scores: Scores, reference: Scores) -> list[tuple[dict[str, float], dict[str, float]]]:
    """The scores of the pictures that both have, side by side: a failed picture must not move a comparison."""
    shared = [name for name in scores.pictures if name in reference.pictures]
    return [(scores.pictures[name], reference.pictures[name]) for name in shared]


def _interval(values: Tensor) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean, the same on every run."""
    draws = torch.randint(len(values), (RESAMPLES, len(values)), generator=torch.Generator().manual_seed(0))
    low, high = torch.quantile(values[draws].mean(dim=1), torch.tensor([0.025, 0.975], dtype=values.dtype))
    return float(low), float(high)


def _metrics(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.scores.mean()))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
