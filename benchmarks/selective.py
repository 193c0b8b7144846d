"""How near is a picture of which only part was made sharp to one that was taken so?

    python benchmarks/selective.py --photos photos/kodak -o OUT

Scenes of two or three surfaces are rendered by the package's own optics, once as a lens sees them, and once with the
blur of those surfaces alone that are to keep it: that is the truth. `dualpix.deblur(..., keep_blur=...)` is compared
with what one would do by hand: the disparity cut at the threshold, and both pictures mixed by that. PSNR in dB on
display-encoded values, of all pixels and of those within 16 px of a border between what is kept and what is made sharp.
Writes selective.md into OUT, and each scene as a picture: as taken, sharp everywhere, the part, its matte, the truth.
"""

import argparse
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dualpix.inference import selective
from dualpix.inference.compositing import BY
from dualpix.inference.deblur import deblur_pair, open_network
from dualpix.inference.kept import parse_kept
from dualpix.inference.options import DeblurOptions
from dualpix.inference.scales import enlarge
from dualpix.io import read_picture, write_picture
from dualpix.pairs.sample import mean_view
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, composite, render
from dualpix.simulation.sensor import Sensor, Tone

TONE = Tone(0.5)
SENSOR = Sensor(TONE, 0.0, 3e-5, 1e-4)
RHO = 0.4
MARGIN = 40
BAND_PX = 16


class Kind(NamedTuple):
    """A kind of scene: signed blur radii of the background and the things before it, and what keeps its blur."""

    name: str
    blur_px: tuple[float, ...]
    keep: str


KINDS = (
    Kind("subject in focus, background kept", (12.0, 0.3), "behind"),
    Kind("subject in front of the focus, background kept", (8.0, -7.0), "behind"),
    Kind("thing in front kept, background made sharp", (5.0, -8.0), "in-front"),
    Kind("the middle made sharp, the rest kept", (12.0, 4.0, -6.0), "outside 0..3"),
    Kind("the far kept, the near made sharp", (12.0, 3.0), "behind 2.5"),
    Kind("the near kept, the far made sharp", (10.0, 2.0), "..2.5"),
)


class Scene(NamedTuple):
    """Views as a lens sees them, the truth, and its share made sharp, 1 H W."""

    left: Tensor
    right: Tensor
    truth: Tensor
    matte: Tensor


def draw(photos: list[Path], kind: Kind, size: int, seed: int) -> Scene:
    """A scene of that kind; noise as of a low sensitivity, the same in the views and the truth."""
    rng = np.random.default_rng(seed)
    whole = size + 2 * MARGIN

    def photo() -> Tensor:
        pixels = read_picture(photos[int(rng.integers(len(photos)))]).pixels
        top, left = (int(rng.integers(max(1, side - whole + 1))) for side in pixels.shape[1:])
        cut = pixels[:, top : top + whole, left : left + whole]
        down, across = (whole - side for side in cut.shape[1:])
        return TONE.decode(F.pad(cut[None], (0, across, 0, down), mode="reflect")[0])

    layers, kept = [], parse_kept(kind.keep)
    for number, blur_px in enumerate(kind.blur_px):
        alpha = shape(rng, whole) if number else torch.ones(whole, whole)
        layers.append(Layer(photo(), alpha, torch.full((whole, whole), blur_px)))
    lens = Lens(rho=RHO, split=0.3, softness_px=0.2, softness_rel=0.05)
    keeps = [float(kept.share(torch.tensor(RHO * blur_px))) > 0.5 for blur_px in kind.blur_px]
    partial = [
        layer if keep else replace(layer, blur_px=0 * layer.blur_px) for layer, keep in zip(layers, keeps, strict=True)
    ]
    white = [torch.full_like(layer.colour, float(not keep)) for layer, keep in zip(layers, keeps, strict=True)]
    shown = [replace(layer, colour=colour) for layer, colour in zip(layers, white, strict=True)]
    matte = composite(shown, MARGIN)[0][:1]

    def views(layers: list[Layer]) -> Tensor:
        light = SENSOR.expose(render(layers, lens, MARGIN), torch.Generator().manual_seed(seed)).clamp(0, 1)
        return TONE.encode(light)

    (left, right), truth = views(layers), mean_view(*views(partial))
    return Scene(left, right, truth, matte)


def shape(rng: np.random.Generator, whole: int) -> Tensor:
    """The cover of a thing with a wavy outline, a third to two thirds of the picture wide."""
    y, x = torch.meshgrid(*[torch.arange(whole, dtype=torch.float32)] * 2, indexing="ij")
    row, column = (whole * float(rng.uniform(0.35, 0.65)) for _ in range(2))
    angle, away = torch.atan2(y - row, x - column), torch.hypot(y - row, x - column)
    radius = (whole - 2 * MARGIN) * float(rng.uniform(0.2, 0.33)) * torch.ones_like(angle)
    for wave in range(2, 9):
        radius = radius * (1 + 0.35 / wave * float(rng.normal()) * torch.sin(wave * angle + float(rng.uniform(0, 6.3))))
    return (radius - away + 0.5).clamp(0, 1)


class Work(NamedTuple):
    """What all methods have: the result, sharp everywhere, the photograph, the disparity and what is asked."""

    sharp: Tensor
    taken: Tensor
    planes: selective.Planes
    scene: Scene
    kind: Kind


def as_taken(work: Work) -> Tensor:
    return work.taken


def sharp_everywhere(work: Work) -> Tensor:
    return work.sharp


def naive(work: Work) -> Tensor:
    """The disparity brought to full size, cut at the threshold; both pictures mixed by that."""
    height, width = work.sharp.shape[1:]
    disparity_px = enlarge(work.planes.disparity_px, BY, 0, height, width, "bilinear")
    return torch.lerp(work.sharp, work.taken, (parse_kept(work.kind.keep).share(disparity_px) > 0.5).float())


def soft(work: Work) -> Tensor:
    return torch.lerp(work.taken, work.sharp, selective.select(work.sharp, work.planes, work.kind.keep))


def ours(work: Work) -> Tensor:
    matte = selective.select(work.sharp, work.planes, work.kind.keep)
    return selective.join(work.sharp.clone(), work.scene.left, work.scene.right, matte, work.planes)


def knowing_mixed(work: Work) -> Tensor:
    return torch.lerp(work.taken, work.sharp, work.scene.matte)


def knowing(work: Work) -> Tensor:
    return selective.join(work.sharp.clone(), work.scene.left, work.scene.right, work.scene.matte, work.planes)


METHODS: dict[str, Callable[[Work], Tensor]] = {
    "as taken": as_taken,
    "sharp everywhere": sharp_everywhere,
    "disparity cut, mixed": naive,
    "soft matte, mixed": soft,
    "`keep_blur`": ours,
    "true matte, mixed": knowing_mixed,
    "`mask` (the true matte)": knowing,
}


def psnr(picture: Tensor, truth: Tensor, where: Tensor | None = None) -> float:
    error = (picture - truth).square().mean(0)
    return -10 * float((error.mean() if where is None else error[where].mean()).log10())


def band(matte: Tensor) -> Tensor:
    side = (matte > 0.5).float()
    wide = F.max_pool2d(side, 2 * BAND_PX + 1, 1, BAND_PX) + F.max_pool2d(1 - side, 2 * BAND_PX + 1, 1, BAND_PX)
    return wide[0] > 1


def score(work: Work) -> tuple[dict[str, tuple[float, float]], dict[str, Tensor]]:
    """PSNR of each method, of all pixels and near borders, and its picture."""
    border, truth = band(work.scene.matte), work.scene.truth
    made = {name: method(work) for name, method in METHODS.items()}
    return {name: (psnr(one, truth), psnr(one, truth, border)) for name, one in made.items()}, made


def sheet(work: Work, made: dict[str, Tensor]) -> Tensor:
    """One row: as taken, sharp everywhere, the part chosen, its matte, the truth."""
    matte = selective.select(work.sharp, work.planes, work.kind.keep).expand(3, -1, -1)
    shown = [made[name] for name in ("as taken", "sharp everywhere", "`keep_blur`")]
    return torch.cat([*shown, matte, work.scene.truth], 2)


def table(scores: list[tuple[str, dict[str, tuple[float, float]]]]) -> str:
    """The means of each kind of scene and of all, in Markdown."""
    lines = [f"| scenes | {' | '.join(METHODS)} |", "|---" + "|---:" * len(METHODS) + "|"]
    for name in (*[f"{kind.name} (`{kind.keep}`)" for kind in KINDS], "**all**"):
        found = [one for kind, one in scores if name in (kind, "**all**")]
        means = [np.mean([one[method] for one in found], axis=0) for method in METHODS]
        lines.append(f"| {name} | {' | '.join(f'{whole:.2f} / {near:.2f}' for whole, near in means)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", default="mccnet-fast")
    parser.add_argument("--scenes", type=int, default=18)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--seed", type=int, default=2400)
    parser.add_argument("--shown", type=int, nargs="*", default=[], help="scenes that go into selective.jpg")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    photos = sorted(path for one in given.photos for path in ([one] if one.is_file() else one.rglob("*.png")))
    given.output.mkdir(parents=True, exist_ok=True)
    network, options = open_network(given.weights), DeblurOptions(turn="none", precision="fp32")
    scores, shown = [], {}
    for number in range(given.scenes):
        kind = KINDS[number % len(KINDS)]
        scene = draw(photos, kind, given.size, given.seed + number)
        sample = {"left": scene.left, "right": scene.right, "name": str(number), "quarter_turns": 0}
        done = deblur_pair(sample, network, options)
        planes = selective.find_planes(network, scene.left, scene.right, options, done.plan.scales[0])
        work = Work(done.picture, mean_view(scene.left, scene.right), planes, scene, kind)
        found, made = score(work)
        scores.append((f"{kind.name} (`{kind.keep}`)", found))
        print(number, kind.name, {name: tuple(round(value, 2) for value in both) for name, both in found.items()})
        row = sheet(work, made)
        write_picture(given.output / f"{number:02d}.png", row, 8, True)
        if number in given.shown:
            shown[number] = row
    (given.output / "selective.md").write_text(table(scores))
    if shown:
        rows = torch.cat([shown[number] for number in given.shown], 1)
        small = F.avg_pool2d(rows[None], 2)[0]
        Image.fromarray((255 * small).round().byte().permute(1, 2, 0).numpy()).save(
            given.output / "selective.jpg", quality=85
        )


if __name__ == "__main__":
    main()
