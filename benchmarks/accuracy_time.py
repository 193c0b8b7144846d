"""Draw quality against seconds for the methods of tables that `dualpix evaluate` wrote.

    dualpix evaluate DATA --methods all -m LABEL=WEIGHTS ... -o E
    python benchmarks/accuracy_time.py E/methods.csv -o accuracy-time.png
    python benchmarks/accuracy_time.py E/methods.csv int8=E8/methods.csv --metric ssim -o accuracy-time.png

WORD=TABLE puts WORD behind the names of a table's methods: for the same weights in another engine. The line is that of
the methods than which none is both quicker and better; dashed is the first table's blurred input. Methods far below it
are triangles at the lower edge. Methods that have no seconds or no score are left out and named.
"""

import argparse
import csv
import sys
from pathlib import Path
from typing import NamedTuple

from matplotlib import pyplot

INPUT = "input"
SHOWN_BELOW = 0.75
"""How far below the input, as a share of the best method's gain, the drawing reaches."""


class Point(NamedTuple):
    label: str
    seconds: float
    score: float


def read(given: str, metric: str) -> tuple[list[Point], float]:
    """The methods of a table that ran, and the score of its input."""
    word, _, name = given.rpartition("=")
    points, level = [], float("nan")
    for row in csv.DictReader(Path(name).read_text().splitlines()):
        label = f"{row['method']} {word}".strip()
        if row["method"] == INPUT:
            level = float(row[metric])
        elif row["seconds"] and row[metric]:
            points.append(Point(label, float(row["seconds"]), float(row[metric])))
        else:
            print(f"left out: {label} ({row['problem'] or 'no seconds'})", file=sys.stderr)
    return points, level


def front(points: list[Point]) -> list[Point]:
    """Those than which none is both quicker and better, from the quickest on."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.seconds, -point.score)):
        if not best or point.score > best[-1].score:
            best.append(point)
    return best


def draw(points: list[Point], level: float, metric: str, goal: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    ahead = front(points)
    axes.plot([point.seconds for point in ahead], [point.score for point in ahead], color="tab:blue", linewidth=1)
    floor = level - SHOWN_BELOW * max(ahead[-1].score - level, 0.05)
    for number, point in enumerate(sorted(points, key=lambda point: point.seconds)):
        is_far_below = point.score < floor
        label = f"{point.label} ({point.score:.1f})" if is_far_below else point.label
        place = point.seconds, max(point.score, floor)
        axes.scatter(*place, color="tab:blue", marker="v" if is_far_below else "o", zorder=3)
        axes.annotate(label, place, xytext=(4, (5, -11)[number % 2]), textcoords="offset points", fontsize=8)
    axes.margins(0.08)
    axes.axhline(level, linestyle="--", color="grey", linewidth=1)
    axes.annotate(INPUT, (min(point.seconds for point in points), level), fontsize=8, color="grey")
    axes.set(xscale="log", xlabel="seconds a picture", ylabel=metric)
    axes.grid(alpha=0.3)
    figure.savefig(goal, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", metavar="[WORD=]TABLE")
    parser.add_argument("--metric", default="psnr-fitted", help="a column of the tables (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    found = [read(table, given.metric) for table in given.tables]
    points = [point for part, _ in found for point in part]
    if not points:
        parser.error("no method of these tables has both seconds and a score")
    draw(points, found[0][1], given.metric, given.output)
    print("| method | seconds | " + given.metric + " |\n|---|---:|---:|")
    for point in sorted(points, key=lambda point: point.seconds):
        mark = "**" if point in front(points) else ""
        print(f"| {mark}{point.label}{mark} | {point.seconds:.2f} | {point.score:.3f} |")


if __name__ == "__main__":
    main()
