"""Draw the pictures of docs/simulator.md out of the simulator itself: lens, point-spread functions, a scene's layers.

python examples/draw_simulator.py docs/images
"""

import io
import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

import dualpix
from dualpix.io import read_picture
from dualpix.simulation.camera import CAMERAS
from dualpix.simulation.kernels import Lens, kernels
from dualpix.simulation.render import Layer
from dualpix.simulation.samples import expose
from dualpix.simulation.sensor import Sensor, Tone

RIGHT, LEFT, INK = "#d2691e", "#1e6fd2", "#333333"
LENS = Lens(rho=0.38, split=0.3, softness_px=0.4, softness_rel=0.06)
CAMERA = "5d-mark-iv-50mm-f4"
WIDTH, HEIGHT, MARGIN = 300, 220, 24
PHOTO = Path(dualpix.__file__).parent / "demo_pair" / "sharp.png"


def main(folder: Path) -> None:
    matplotlib.rcParams.update({"font.size": 10, "svg.hashsalt": "dualpix", "axes.spines.top": False})
    matplotlib.rcParams.update({"axes.spines.right": False, "axes.edgecolor": INK, "text.color": INK})
    for name, figure in (("thin-lens.svg", lens()), ("kernels.png", spread()), ("scene.png", scene())):
        save(figure, folder / name)
        print(folder / name)


def save(figure: Figure, path: Path) -> None:
    if path.suffix == ".svg":
        figure.savefig(path, metadata={"Date": None})
        return
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=130)
    # A palette keeps a picture full of photographs small.
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def lens() -> Figure:
    """Three points and their rays, at the left; the blur over the distance, at the right."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=[1.35, 1])
    for row, (title, depth) in enumerate(
        (("behind the focus: c > 0", 8.0), ("in focus: c = 0", 3.0), ("in front: c < 0", 2.0))
    ):
        draw_rays(figure.add_subplot(grid[row, 0]), title, depth)
    draw_blur(figure.add_subplot(grid[:, 1]))
    return figure


def draw_rays(axes: Axes, title: str, depth: float, focus: float = 3.0) -> None:
    """A lens of focal length 1, seen from above, its right half above; all distances in focal lengths."""
    sensor, image = 1 / (1 - 1 / focus), 1 / (1 - 1 / depth)
    end = sensor + 0.25
    for colour, sign in ((RIGHT, 1), (LEFT, -1)):
        for rim in (1.0, 0.5, 0.03):
            axes.plot([-depth, 0, end], [0, sign * rim, sign * rim * (1 - end / image)], color=colour, lw=0.9)
        landed = sign * (1 - sensor / image)
        axes.fill([-depth, 0, sensor, sensor, 0], [0, sign, landed, 0, 0], color=colour, alpha=0.12, lw=0)
        axes.plot([sensor, sensor], [0, landed], color=colour, lw=5, solid_capstyle="butt", zorder=3)
        u = np.linspace(0, sign, 30)
        axes.fill_betweenx(u, -0.09 * (1 - u**2), 0.09 * (1 - u**2), color=colour, alpha=0.55, lw=0, zorder=3)
    axes.axvline(sensor, color=INK, lw=1.5)
    axes.plot(-depth, 0, "o", color=INK, ms=5)
    axes.set(xlim=(-8.3, 2.1), ylim=(-1.2, 1.2))
    axes.set_title(title, loc="left", fontsize=10)
    axes.axis("off")
    axes.text(sensor + 0.1, 0.85, "sensor", fontsize=8)


def draw_blur(axes: Axes) -> None:
    camera = CAMERAS[CAMERA]
    depth_m = np.geomspace(0.6, 20, 400)
    axes.axhline(0, color=INK, lw=0.8)
    axes.axhline(camera.blur_at_infinity_px, color=INK, lw=0.8, ls=":")
    axes.plot(depth_m, camera.blur_px(depth_m), color=INK, lw=2)
    axes.plot(camera.focus_m, 0, "o", color=INK)
    axes.annotate("the focus", (camera.focus_m, 0), (10, -14), textcoords="offset points")
    axes.annotate("never more than this", (0.65, camera.blur_at_infinity_px), (0, 5), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xticks([0.6, 1, 2, 5, 10, 20], ["0.6", "1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.set(xlabel="distance z, metres", ylabel="signed blur radius c, pixels")
    axes.set_title("50 mm at f/4, focused at 1 m", loc="left", fontsize=10)


def spread() -> Figure:
    """What a point of light becomes in each view, for blur from in front to behind; and how far the two lie apart."""
    blurs_px, reach = (-12, -8, -4, 0, 4, 8, 12), 16
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    grid = figure.add_gridspec(3, len(blurs_px) + 3)
    for column, blur_px in enumerate(blurs_px):
        left, right = kernels(LENS, float(blur_px), reach)
        for row, (name, kernel) in enumerate((("left", left), ("right", right), ("both", (left + right) / 2))):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(
                (kernel / kernel.max()).numpy(), cmap="gray_r", extent=(-reach, reach, reach, -reach), vmin=0, vmax=1
            )
            axes.axvline(0, color=INK, lw=0.5, ls=":")
            if row < 2:
                axes.plot(middle(kernel), 0, "|", color=(LEFT, RIGHT)[row], ms=14, mew=2)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if row == 0:
                axes.set_title(f"c = {blur_px}".replace("-", "−"), fontsize=10)
            if column == 0:
                axes.set_ylabel(name)
    draw_line(figure.add_subplot(grid[:, len(blurs_px) :]), blurs_px)
    return figure


def middle(kernel: Tensor) -> float:
    """Where the light of a kernel lies on average, in pixels right of its centre."""
    half = kernel.shape[-1] // 2
    return float((kernel.sum(0) * torch.arange(-half, half + 1)).sum() / kernel.sum())


def draw_line(axes: Axes, blurs_px: tuple[int, ...]) -> None:
    measured = [middle(right) - middle(left) for left, right in (kernels(LENS, float(c)) for c in blurs_px)]
    ends = np.array([blurs_px[0], blurs_px[-1]])
    axes.axhline(0, color=INK, lw=0.5)
    axes.axvline(0, color=INK, lw=0.5)
    axes.plot(ends, LENS.rho * ends, color=INK, lw=1, label=f"{LENS.rho} c")
    axes.plot(blurs_px, measured, "o", color=INK, ms=4, label="of these kernels")
    axes.set(xlabel="c, pixels", xticks=blurs_px[::2])
    axes.set_title("disparity d, pixels", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8)


def scene() -> Figure:
    """Three objects, and what the camera makes of them."""
    tone = Tone(contrast=0.3)
    layers = objects(tone)
    sample = expose(layers, LENS, MARGIN, Sensor(tone), seed=1)
    difference = (sample["right"] - sample["left"]).mean(0)
    figure = Figure(figsize=(9, 3.75), layout="constrained")
    shown = [
        (name, cut(tone, layer))
        for name, layer in zip(
            ("behind, c = 6 to 11 px", "in focus, c = 0", "in front, c = −7 px"), layers, strict=True
        )
    ]
    shown += [
        ("left view", sample["left"]),
        ("right view", sample["right"]),
        ("truth: everything sharp", sample["sharp"]),
    ]
    places = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    grid = figure.add_gridspec(2, 4)
    for (name, picture), (row, column) in zip(shown, places, strict=True):
        draw_picture(figure.add_subplot(grid[row, column]), name, picture.permute(1, 2, 0).numpy())
    signed = {"cmap": "RdBu_r", "vmin": -11, "vmax": 11}
    draw_picture(figure.add_subplot(grid[0, 3]), "truth: c, red behind", sample["blur_px"][0].numpy(), **signed)
    draw_picture(figure.add_subplot(grid[1, 3]), "right − left", difference.numpy(), cmap="gray", vmin=-0.3, vmax=0.3)
    return figure


def draw_picture(axes: Axes, name: str, picture: np.ndarray, **how: object) -> None:
    axes.imshow(picture, **how)
    axes.set_title(name, loc="left", fontsize=9)
    axes.axis("off")


def objects(tone: Tone) -> list[Layer]:
    """A photograph far away, slanted; bars in focus; a disc in front. Wider than the picture by the margin."""
    height, width = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
    photo = read_picture(PHOTO).pixels[:, 100 : 100 + height, 150 : 150 + width]
    far = torch.linspace(6, 11, width).expand(height, width).contiguous()
    flat = torch.ones(height, width)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    bars = (((x - 0.35 * y) % 90 < 12) & (x - 0.35 * y < 130)).float()
    disc = (torch.hypot(x - 0.74 * width, y - 0.64 * height) < 52).float()
    wood = tone.decode(torch.tensor([0.93, 0.86, 0.7])[:, None, None] * (0.85 + 0.15 * ((y % 9) < 5)))
    leaf = tone.decode(torch.tensor([0.25, 0.5, 0.3])[:, None, None] * (0.75 + 0.5 * ((x + y) % 14 < 7)))
    return [Layer(tone.decode(photo), flat, far), Layer(wood, bars, 0 * far), Layer(leaf, disc, 0 * far - 7)]


def cut(tone: Tone, layer: Layer) -> Tensor:
    """A layer on white, as large as the picture."""
    inner = slice(MARGIN, -MARGIN)
    picture = tone.encode(layer.colour) * layer.alpha + 0.94 * (1 - layer.alpha)
    return picture[:, inner, inner]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
