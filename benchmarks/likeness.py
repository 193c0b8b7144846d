"""How like are simulated pairs to real ones? Disparity, blur, edges and spectra of both, measured in the same way.

    python benchmarks/likeness.py DATA --photos photos/cid22 -o OUT

DATA holds real pairs with their sharp pictures, as for `dualpix evaluate`. Writes likeness.csv, likeness.md and
likeness.png into OUT.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from matplotlib import pyplot
from torch import Tensor

from dualpix.calibration.fit import align, fit_field
from dualpix.calibration.looks import EDGE_STEPS, FREQUENCIES, edge_profiles, moved, spectra
from dualpix.calibration.views import match_rows
from dualpix.datasets import open_dataset
from dualpix.pairs.sample import Sample
from dualpix.simulation.photos import read_photos
from dualpix.simulation.samples import Simulated
from dualpix.simulation.sensor import Tone

TONE = Tone(0.3)
RANGES = {"in focus": (-1.0, 1.0), "blur 4 to 8 px": (4.0, 8.0), "blur 8 to 20 px": (8.0, 20.0)}
EDGES = {"blur 3 to 8 px": (3.0, 8.0), "blur 8 to 20 px": (8.0, 20.0)}
TAKEN = 400  # windows or edges of one pair, so that none outweighs the others


@dataclass
class Looks:
    """What was seen in many pairs: numbers, and curves by name."""

    disparity_px: list[Tensor] = field(default_factory=list)
    blur_px: list[Tensor] = field(default_factory=list)
    rho: list[Tensor] = field(default_factory=list)
    curves: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, name: str, curves: Tensor) -> None:
        if len(curves):
            self.curves.setdefault(name, []).append(curves[:: max(1, len(curves) // TAKEN)])

    def curve(self, name: str) -> Tensor | None:
        """The median over all pairs, and the quarter below and above it."""
        if name not in self.curves:
            return None
        return torch.cat(self.curves[name]).quantile(torch.tensor([0.5, 0.25, 0.75]), 0)


def look(samples: Iterable[Sample], aligned: bool) -> Looks:
    looks = Looks()
    for sample in samples:
        views, sharp = [sample[name][1] for name in ("left", "right")], sample["sharp"][1]
        left, right, clear = map(TONE.decode, (*views, sharp))
        if not aligned:
            clear = align(left, right, clear)
        found = fit_field(left, right, clear)
        disparity = match_rows(*views)
        looks.disparity_px.append(disparity[disparity.isfinite()])
        looks.blur_px.append(found.blur_px[found.good])
        looks.rho.append(found.rho[found.split])
        for words, (low, high) in RANGES.items():
            chosen = found.good & (found.blur_px.abs() >= max(low, 0)) & (found.blur_px.abs() < high)
            view, truth = spectra(views[0], chosen), spectra(sharp, chosen)
            looks.add(f"spectrum, {words}", view)
            looks.add(f"spectrum over the sharp one's, {words}", view - truth)
            looks.add(f"sharp spectrum, {words}", truth)
        for words, (low, high) in EDGES.items():
            for name, view in (("left", left), ("right", right)):
                looks.add(f"edge in the {name} view, {words}", edge_profiles(view, clear, found, low, high))
    return looks


def together(parts: list[Tensor]) -> Tensor:
    """All numbers of all pairs, each pair with as many."""
    ordered = (part.double().sort().values for part in parts if len(part))
    spread = [part[torch.linspace(0, len(part) - 1, TAKEN).long()] for part in ordered]
    return torch.cat([*spread, torch.zeros(0, dtype=torch.float64)])


def distances(real: Looks, made: Looks) -> list[tuple[str, str, float, str, str]]:
    """Rows: quantity, what the distance is, the distance, and a short word on either side."""
    rows = []
    for name in ("disparity_px", "blur_px", "rho"):
        a, b = (together(getattr(looks, name)) for looks in (real, made))
        if not len(a) or not len(b):
            continue
        words = [", ".join(f"{v:.2f}" for v in x.quantile(SHARES)) for x in (a, b)]
        rows.append((name.replace("_", " "), "earth mover's distance", moved(a, b), *words))
    for name in real.curves:
        a, b = real.curve(name), made.curve(name)
        if a is None or b is None:
            continue
        kind = "rms dB" if "spectrum" in name else "rms of the profile"
        picks = (2, 8, 16, 23) if "spectrum" in name else (14, 18, 20, 22, 26)
        words = [", ".join(f"{x[0, i]:.{1 if 'spectrum' in name else 2}f}" for i in picks) for x in (a, b)]
        rows.append((name, kind, float((a[0] - b[0]).square().mean().sqrt()), *words))
    return rows


SHARES = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)


def draw(real: Looks, made: Looks, path: Path) -> None:
    pyplot.rcParams["axes.titlesize"] = 9
    figure, axes = pyplot.subplots(2, 4, figsize=(16, 7.5), layout="constrained")
    for axis, (name, reach) in zip(axes[0], (("disparity_px", (-4, 10)), ("blur_px", (-8, 24))), strict=False):
        for looks, colour, words in ((real, "C0", "real"), (made, "C1", "simulated")):
            values = together(getattr(looks, name))
            axis.hist(values, 42, range=reach, density=True, color=colour, alpha=0.55, label=words)
        axis.set(title=name.replace("_px", ", share per px of windows"), xlabel="px")
        axis.legend()
    curves = [f"edge in the {{}} view, {words}" for words in EDGES]
    for axis, name in zip(axes[0, 2:], curves, strict=True):
        for side, style in (("left", "-"), ("right", "--")):
            plot(axis, EDGE_STEPS, real, made, name.format(side), style)
        axis.set(title=name.format("left (-), right (- -)").replace("the ", ""), xlabel="blur radii from the edge")
    middles = (FREQUENCIES[1:] + FREQUENCIES[:-1]) / 2
    for axis, words in zip(axes[1], RANGES, strict=False):
        plot(axis, middles, real, made, f"spectrum, {words}", "-")
        plot(axis, middles, real, made, f"sharp spectrum, {words}", ":")
        axis.set(title=f"power, {words}; dots: sharp", xlabel="cycles per pixel", ylabel="dB")
    plot(axes[1, 3], middles, real, made, "spectrum over the sharp one's, in focus", "-")
    axes[1, 3].set(title="view over sharp, in focus", xlabel="cycles per pixel", ylabel="dB")
    figure.savefig(path, dpi=70)


def plot(axis: pyplot.Axes, x: Tensor, real: Looks, made: Looks, name: str, style: str) -> None:
    for looks, colour in ((real, "C0"), (made, "C1")):
        curve = looks.curve(name)
        if curve is not None:
            axis.plot(x, curve[0], style, color=colour)
            if style != ":":
                axis.fill_between(x, curve[1], curve[2], color=colour, alpha=0.12, linewidth=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("likeness"))
    parser.add_argument("--pairs", type=int, default=16, help="simulated pairs")
    parser.add_argument("--size", type=int, default=384, help="of a simulated pair")
    parser.add_argument("--rows", type=int, default=0, help="take only so many middle rows of a real pair")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    settings.output.mkdir(parents=True, exist_ok=True)
    data = open_dataset(settings.data)
    real = look((cut(data[i], settings.rows) for i in range(len(data))), aligned=False)
    simulated = Simulated(read_photos(settings.photos), settings.size, settings.pairs, seed=7, depth=8, compressed=0.5)
    # A new lens for every pair, as a training run sees in the long run.
    indices = range(settings.pairs)
    made = look((one(simulated, i) for i in indices), aligned=True)
    rows = distances(real, made)
    lines = [",".join(['"quantity"', "distance", "value", "real", "simulated"])]
    lines += [f'"{name}",{kind},{value:.3f},"{a}","{b}"' for name, kind, value, a, b in rows]
    (settings.output / "likeness.csv").write_text("\n".join(lines) + "\n")
    table = ["| quantity | distance | | real | simulated |", "|---|---|---:|---|---|"]
    table += [f"| {name} | {kind} | {value:.3f} | {a} | {b} |" for name, kind, value, a, b in rows]
    (settings.output / "likeness.md").write_text("\n".join(table) + "\n")
    draw(real, made, settings.output / "likeness.png")
    print("\n".join(table))


def one(simulated: Simulated, index: int) -> Sample:
    """A sample whose lens is its own: lenses change only every so many samples."""
    other = Simulated(simulated.photos, simulated.size, 1, simulated.seed + index, 0.0, simulated.depth, 0.5)
    return other[0]


def cut(sample: Sample, rows: int) -> Sample:
    if not rows:
        return sample
    top = (sample["left"].shape[1] - rows) // 2
    return {name: x[:, top : top + rows] if isinstance(x, Tensor) else x for name, x in sample.items()}


if __name__ == "__main__":
    main()
