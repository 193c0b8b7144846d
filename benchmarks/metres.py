"""How right is the depth in metres that disparity gives, on real pairs with measured depth?

    python benchmarks/metres.py DATA -o OUT

DATA is canon-r6: a Canon EOS R6 Mark II with a 50 mm lens at f/4, focused at 1 m, pairs of 768 x 512. Depth is measured
in `box` (staged, in steps of 4 cm) and `casual/orbbec` (a depth camera, with holes); `flat` is a plane at 0.6 m with a
sharp picture, for calibration. Disparity by `dualpix.disparity(metres=)`, which refines that of the network, by the
network alone and by the classic matcher; rho in several ways, none of which has seen the pairs that it is measured on.
Writes metres.md and metres.jpg into OUT.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from matplotlib import pyplot
from torch import Tensor

from dualpix.calibration.calibrate import measure
from dualpix.calibration.fit import robust_fit
from dualpix.calibration.rho import FALL, MIDDLE
from dualpix.classical.joint import match_disparity
from dualpix.inference.disparity import disparity
from dualpix.inference.optics import Optics
from dualpix.pairs import read_pair
from dualpix.pairs.sample import mean_view
from dualpix.weights import checkpoint

SENSOR_MM, WIDTH = 35.9, 768
FOCUS_M = 0.947  # 1 m from the sensor, as lenses count; a thin lens of 50 mm then stands 53 mm before the sensor
PLAIN = Optics(focus_m=FOCUS_M, f_number=4.0, focal_mm=50.0, pitch_um=SENSOR_MM * 1000 / WIDTH)
DISTANCES_M = (0.4, 0.7, 0.9, 1.1, 1.5, 2.0, 3.0, 6.0)
SURE = 0.5
EDGE_PX = 8  # around jumps of depth, where blur mixes both sides and the depth camera errs


@dataclass(frozen=True)
class Scene:
    """`depth_m`, `disparity_px`, `confidence`: H W; depth is 0 where it is unknown or jumps nearby."""

    name: str
    kind: str
    picture: Tensor
    depth_m: Tensor
    disparity_px: Tensor
    confidence: Tensor


Finder = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def by_network(weights: str, metres: Optics | None) -> Finder:
    opened = checkpoint.load(weights)

    def find(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        found = disparity(left, right, opened, turn="none", metres=metres)
        return found.disparity_px[0], found.confidence[0]

    return find


def by_matching(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    return match_disparity(left, right)


def read_scenes(data: Path, find: Finder) -> list[Scene]:
    scenes = []
    for kind in ("box", "casual/orbbec"):
        for folder in sorted((data / kind).iterdir()):
            pair = read_pair(folder / "l.png", folder / "r.png")
            found, sure = find(pair["left"], pair["right"])
            depth_m = read_depth(folder / "d.png", (found.shape[0], found.shape[1]))
            picture = mean_view(pair["left"], pair["right"])
            scenes.append(Scene(f"{kind}/{folder.name}", kind, picture, away_from_jumps(depth_m), found, sure))
    return scenes


def read_depth(path: Path, size: tuple[int, int]) -> Tensor:
    """Metres, H W, 0 where unknown: millimetres in 16 bits, or 255 for 10 m, of which the nearest is taken."""
    levels = imagecodecs.imread(path)
    depth_m = levels.astype(np.float32) / 1000 if levels.ndim == 2 else levels[:, :, 0].astype(np.float32) / 25.5
    rows, columns = (
        ((np.arange(wanted) + 0.5) * have / wanted).astype(int)
        for wanted, have in zip(size, depth_m.shape, strict=True)
    )
    return torch.from_numpy(depth_m[np.ix_(rows, columns)])


def away_from_jumps(depth_m: Tensor) -> Tensor:
    """Without what lies near a jump of a tenth of a dioptre, or near a hole."""
    dioptres = torch.where(depth_m > 0, 1 / depth_m, 9.0)[None, None]
    side = 2 * EDGE_PX + 1
    high = torch.nn.functional.max_pool2d(dioptres, side, 1, EDGE_PX)
    low = -torch.nn.functional.max_pool2d(-dioptres, side, 1, EDGE_PX)
    return depth_m * ((high - low)[0, 0] < 0.3)


def calibrated(data: Path) -> Optics:
    """rho and its fall by `dualpix calibrate` on the plane at 0.6 m; the mean of the f/20 pair is the sharp picture."""
    folder = data / "flat" / "001" / "0600"
    pair, sharp = (read_pair(folder / stop / "l.png", folder / stop / "r.png") for stop in ("f4", "f20"))
    clear = mean_view(sharp["left"], sharp["right"])
    numbers, _ = measure(pair["left"], pair["right"], clear, 8, name="flat", force=True)
    return replace(PLAIN, rho=numbers[MIDDLE].value, rho_fall=min(max(numbers[FALL].value, 0.0), 0.9))


def of_plane(data: Path, find: Finder) -> Optics:
    """rho and its fall by the disparity of that plane alone, whose distance is known."""
    folder = data / "flat" / "001" / "0600" / "f4"
    pair = read_pair(folder / "l.png", folder / "r.png")
    found, sure = find(pair["left"], pair["right"])
    return fitted([Scene("flat", "flat", pair["left"], torch.full_like(found, 0.6), found, sure)])


def fitted(scenes: Iterable[Scene]) -> Optics:
    """rho and its fall by robust least squares of the confident disparities over the blur that the thin lens gives."""
    sources, targets = [], []
    for scene in scenes:
        known = (scene.depth_m > 0) & (scene.confidence > SURE)
        x = ((torch.arange(known.shape[1]) + 0.5) * (2 / known.shape[1]) - 1).expand_as(known)[known]
        blur_px = PLAIN.camera.blur_px(scene.depth_m[known])  # type: ignore[arg-type]
        sources.append(torch.stack([torch.as_tensor(blur_px), -torch.as_tensor(blur_px) * x * x], 1))
        targets.append(scene.disparity_px[known])
    rho, lost = robust_fit(torch.cat(sources), torch.cat(targets), 0.1).tolist()
    return replace(PLAIN, rho=rho, rho_fall=min(max(lost / rho, 0.0), 0.9))


def errors_of(scenes: Iterable[Scene], optics: Callable[[Scene], Optics], sure: float) -> tuple[Tensor, Tensor]:
    """True distances, and the relative errors of those found."""
    truths, errors = [], []
    for scene in scenes:
        known = (scene.depth_m > 0) & (scene.confidence > sure)
        depth_m = optics(scene).depth_m(scene.disparity_px)
        truths.append(scene.depth_m[known])
        errors.append((depth_m - scene.depth_m)[known].abs() / scene.depth_m[known])
    return torch.cat(truths), torch.cat(errors)


def table(rows: dict[str, tuple[Tensor, Tensor]]) -> Iterator[str]:
    """By distance: the median relative error, and the share within a tenth."""
    truth, _ = next(iter(rows.values()))
    parts = [(low, high) for low, high in pairwise(DISTANCES_M) if ((truth >= low) & (truth < high)).sum() > 300]
    heads = [f"{low:g} to {high:g} m ({((truth >= low) & (truth < high)).float().mean():.0%})" for low, high in parts]
    yield f"| rho | all | {' | '.join(heads)} |"
    yield "|---|" + "---:|" * (len(parts) + 1)
    for name, (truth, error) in rows.items():
        inside = [(truth >= low) & (truth < high) for low, high in parts]
        cells = [told(error), *(told(error[here]) for here in inside)]
        yield f"| {name} | {' | '.join(cells)} |"


def told(error: Tensor) -> str:
    return f"{error.median():.0%} ({(error < 0.1).float().mean():.0%})"


def floor(optics: Optics) -> str:
    """What a tenth of a pixel comes to at the middle of each range, in the middle of the picture."""
    cells = []
    for low, high in pairwise(DISTANCES_M):
        middle_m = 2 / (1 / low + 1 / high)
        near_m, far_m = optics.within(middle_m)
        cells.append(f"{middle_m:.2g} m: {near_m:.2g} to {far_m:.2g} m")
    return "; ".join(cells)


def measured(data: Path, name: str, find: Finder) -> tuple[list[str], list[Scene], Optics]:
    scenes = read_scenes(data, find)
    others = {kind: fitted(s for s in scenes if s.kind != kind) for kind in {s.kind for s in scenes}}
    usual, calibration, plane = PLAIN, calibrated(data), of_plane(data, find)
    ways: dict[str, Callable[[Scene], Optics]] = {
        f"usual, {said(usual)}": lambda scene: usual,
        f"`dualpix calibrate` on the plane at 0.6 m, {said(calibration)}": lambda scene: calibration,
        f"disparity of that plane over the thin lens's blur, {said(plane)}": lambda scene: plane,
        "the same on the other kind of scenes: "
        + ", ".join(f"{said(optics)} for {kind}" for kind, optics in sorted(others.items())): lambda s: others[s.kind],
    }
    lines = [f"\n## {name}\n"]
    for what, sure in (("Pixels with a confidence above 0.5", SURE), ("All pixels with a measured depth", -1.0)):
        rows = {way: errors_of(scenes, optics, sure) for way, optics in ways.items()}
        truth = next(iter(rows.values()))[0]
        rows["always the distance in focus"] = truth, (PLAIN.focus_m - truth).abs() / truth
        share = len(truth) / sum(scene.depth_m.numel() for scene in scenes)
        lines += [f"{what} ({share:.0%}); median relative error (share within 10 %):\n", *table(rows), ""]
    return lines, scenes, plane


def said(optics: Optics) -> str:
    width = 2 * WIDTH
    rho = optics.rho_along(width)
    return f"{float(rho[width // 2]):.2f} to {float(rho[0]):.2f}"


def draw(scenes: list[Scene], optics: Optics, path: Path) -> None:
    pyplot.rcParams.update({"font.size": 8, "axes.titlesize": 8})
    figure, axes = pyplot.subplots(len(scenes), 4, figsize=(11, 1.95 * len(scenes)), layout="constrained")
    for row, scene in zip(axes, scenes, strict=True):
        found = optics.depth_m(scene.disparity_px)
        error = torch.where(scene.depth_m > 0, (found - scene.depth_m) / scene.depth_m, math.nan)
        most = float(scene.depth_m.quantile(0.98)) * 1.2
        known = scene.depth_m.where(scene.depth_m > 0, math.nan)
        pictures = (
            (f"{scene.name}, mean of the views", scene.picture.permute(1, 2, 0).numpy(), {}),
            ("measured, m", known.numpy(), {"vmin": 0.4, "vmax": most, "cmap": "viridis"}),
            ("found, m; pale: unsure", found.numpy(), {"vmin": 0.4, "vmax": most, "cmap": "viridis"}),
            ("relative error", error.numpy(), {"vmin": -0.3, "vmax": 0.3, "cmap": "RdBu"}),
        )
        for axis, (title, picture, how) in zip(row, pictures, strict=True):
            alpha = (0.25 + 0.75 * scene.confidence).clamp(0, 1).numpy() if title.startswith("found") else None
            shown = axis.imshow(picture, alpha=alpha, interpolation="nearest", **how)
            axis.set(title=title, xticks=[], yticks=[])
            if how:
                figure.colorbar(shown, ax=axis, shrink=0.8)
    figure.savefig(path, dpi=75, pil_kwargs={"quality": 85})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default="mccnet-fast", help="name or file of weights")
    parser.add_argument("-o", "--output", type=Path, default=Path("metres"))
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    name = f"`dualpix.disparity(metres=)`, {asked.weights}, refined"
    lines, scenes, optics = measured(asked.data, name, by_network(asked.weights, PLAIN))
    draw(scenes, optics, asked.output / "metres.jpg")
    others = {f"`dualpix.disparity`, {asked.weights} alone": by_network(asked.weights, None)}
    others["Classic matcher (`classical.joint`)"] = by_matching
    for name, find in others.items():
        lines += measured(asked.data, name, find)[0]
    lines.append(f"A tenth of a pixel, in the middle: {floor(optics)}.")
    print("\n".join(lines))
    (asked.output / "metres.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
