"""How true are pictures with another plane in focus, where the truth is known?

    python benchmarks/refocus.py --photos photos/kodak -o OUT

Simulated scenes of whole objects, whose hidden parts are there, are rendered as the pair that a camera sees and, by the
same renderer, at another focus and aperture: the truth. Refocusing has the pair alone, or else the true sharp picture
and disparity. Beside it: blurring each pixel's neighbourhood by its own radius, which knows no occlusion, and the
photograph as it was. Writes refocus.md and refocus.jpg into OUT.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dualpix.evaluation.metrics import psnr, ssim
from dualpix.inference.deblur import deblur_pair
from dualpix.inference.focus import Refocus
from dualpix.inference.options import DeblurOptions
from dualpix.io.writing import to_levels
from dualpix.simulation.kernels import Lens
from dualpix.simulation.light import Light, draw_lens
from dualpix.simulation.painting import Canvas
from dualpix.simulation.photos import read_photos
from dualpix.simulation.refocus import refocus_light
from dualpix.simulation.render import Layer, margin_px, render
from dualpix.simulation.samples import expose
from dualpix.simulation.scenes import Layout, draw_scene
from dualpix.simulation.sensor import Sensor, Tone, quantise
from dualpix.simulation.spreading import Axis, spread, trimmed

SIZE, MARGIN = 384, 72
OBJECTS = Layout(single=0, landscapes=0, native=0, balanced=0.5, near_px=10, far_px=(4, 16), far_tail_px=18)
BORDER_PX = 12
LEAST_JUMP_PX = 2.0
STEPS_PX = torch.arange(-40, 41).tolist()


@dataclass(frozen=True)
class Scene:
    """Layers wider than the picture by MARGIN, the lens of the pair, and what a camera makes of both."""

    layers: list[Layer]
    lens: Lens
    pair: dict[str, Tensor]


def draw(photos: list[Tensor], seed: int) -> Scene:
    rng = np.random.default_rng([seed, 0])
    lens = draw_lens(rng, Light(one_sided=0))
    layers = draw_scene(rng, photos, SIZE + 2 * MARGIN, OBJECTS, lens.rho).paint(Tone(), Canvas(photos))
    pair = expose(layers, lens, MARGIN, Sensor())
    return Scene(layers, lens, {name: x if name == "blur_px" else quantise(x, 16) for name, x in pair.items()})


def cases(scene: Scene) -> dict[str, tuple[float, float]]:
    """Blur radius that comes into focus, and aperture: two planes at the camera's own, and the own plane wide open."""
    planes = sorted(float(x.blur_px[x.alpha > 0.5].median()) for x in scene.layers)
    return {"farthest in focus": (planes[-1], 1.0), "nearest in focus": (planes[0], 1.0), "twice as wide": (0.0, 2.0)}


def truth(scene: Scene, focus: float, aperture: float) -> Tensor:
    moved = [replace(x, blur_px=aperture * (x.blur_px - focus)) for x in scene.layers]
    ideal = Lens(rho=0.1)
    assert margin_px(ideal, moved) <= MARGIN, "a scene with wider blur than its margin"
    clipped = [replace(x, colour=x.colour.clamp(0, 1)) for x in moved]
    return Tone().encode(render(clipped, ideal, MARGIN, whole=True)[0])


def gathered(picture: Tensor, blur_px: Tensor) -> Tensor:
    """The whole picture blurred by each radius, and of each pixel that of its own radius: no occlusion."""
    light, result = Tone().decode(picture), torch.zeros_like(picture)
    pad = 48
    padded = F.pad(light[None], (pad,) * 4, "reflect")[0]
    height, width = blur_px.shape
    for step in STEPS_PX:
        share = (1 - (blur_px - step).abs()).clamp_min(0)
        if float(share.max()) > 0:
            kernel = trimmed(Lens(rho=0.1), float(step), whole=True)
            blurred = light if step == 0 else spread(padded, None, [kernel], Axis(pad, height), Axis(pad, width))[0]
            result += share * blurred
    return Tone().encode(result)


def borders(scene: Scene) -> Tensor:
    """Pixels near an edge between two objects of different blur, H W."""
    blur_px = scene.pair["blur_px"]
    span = F.max_pool2d(blur_px, 3, 1, 1) + F.max_pool2d(-blur_px, 3, 1, 1)
    return F.max_pool2d((span > LEAST_JUMP_PX).float(), 2 * BORDER_PX + 1, 1, BORDER_PX)[0] > 0


def measured(picture: Tensor, true: Tensor, near: Tensor) -> list[float]:
    """PSNR and SSIM of all, PSNR along borders."""
    error = float((picture - true)[:, near].double().square().mean())
    return [psnr(picture, true), ssim(picture, true), -10 * float(np.log10(max(error, 1e-12)))]


def pictures(scene: Scene, weights: str | None) -> Iterable[tuple[str, str, Tensor, Tensor]]:
    """Case, method, picture and truth."""
    pair, rho = scene.pair, scene.lens.rho
    found = deblur_pair(
        {"left": pair["left"], "right": pair["right"], "name": "scene"},
        weights,
        DeblurOptions(refocus=Refocus(aperture=1, rho=min(max(rho, 0.05), 0.85))),
    ).scene
    assert found is not None
    own_px = found.disparity_px[0] / rho
    for case, (focus, aperture) in cases(scene).items():
        true = truth(scene, focus, aperture)
        true_px, guess_px = (aperture * (x - focus) for x in (pair["blur_px"][0], own_px))
        made = {
            "refocused, true sharp picture and disparity": seen(pair["sharp"], true_px),
            "each pixel alone, true sharp picture and disparity": gathered(pair["sharp"], true_px),
            "refocused, true sharp picture": seen(pair["sharp"], guess_px),
            "refocused, true disparity": seen(found.picture, true_px),
            "refocused, from the pair": seen(found.picture, guess_px),
            "each pixel alone, from the pair": gathered(found.picture, guess_px),
            "the photograph as it was": pair["center"],
        }
        for method, picture in made.items():
            yield case, method, picture, true


def seen(picture: Tensor, blur_px: Tensor) -> Tensor:
    return Tone().encode(refocus_light(Tone().decode(picture), blur_px))


def table(scores: dict[tuple[str, str], list[list[float]]]) -> Iterable[str]:
    cases_ = list(dict.fromkeys(case for case, _ in scores))
    yield "| method | " + " | ".join(f"{case} | SSIM | borders" for case in cases_) + " |"
    yield "|---|" + "---:|" * (3 * len(cases_))
    for method in dict.fromkeys(method for _, method in scores):
        cells = [np.mean(scores[case, method], axis=0) for case in cases_]
        yield f"| {method} | " + " | ".join(f"{a:.2f} | {b:.3f} | {c:.2f}" for a, b, c in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", help="name or file of weights")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=700)
    parser.add_argument("--shown", type=int, nargs="*", default=[0, 1], help="scenes to draw")
    parser.add_argument("-o", "--output", type=Path, default=Path("refocus"))
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    photos, scores, rows = read_photos(asked.photos), {}, []
    with torch.inference_mode():
        for number in range(asked.scenes):
            scene = draw(photos, asked.seed + number)
            near = borders(scene)
            drawn: dict[str, list[Tensor]] = {}
            for case, method, picture, true in pictures(scene, asked.weights):
                scores.setdefault((case, method), []).append(measured(picture, true, near))
                drawn.setdefault(case, []).append(picture)
                if method == "the photograph as it was":
                    drawn[case].append(true)
            if number in asked.shown:
                rows += [torch.cat(row, 2) for row in drawn.values()]
            print("\n".join(table(scores)), flush=True)
    (asked.output / "refocus.md").write_text("\n".join(table(scores)) + "\n")
    if rows:
        Image.fromarray(to_levels(torch.cat(rows, 1), 8)).save(asked.output / "refocus.jpg", quality=88)


if __name__ == "__main__":
    main()
