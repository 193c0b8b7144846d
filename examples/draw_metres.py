"""Draw the picture of docs/metres.md: a simulated scene whose distances are known, and those found in its two views.

python examples/draw_metres.py docs/images
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import dualpix
from dualpix.io import read_picture
from dualpix.simulation.kernels import Lens
from dualpix.simulation.simulate import simulate_from_depth

OPTICS = dualpix.Optics(focus_m=1.2, f_number=2.8, focal_mm=50, pitch_um=36000 / 1000, rho=0.35, rho_fall=0)
PHOTO = Path(dualpix.__file__).parent / "demo_pair" / "sharp.png"


def main(folder: Path) -> None:
    matplotlib.rcParams.update({"font.size": 9, "axes.titlesize": 9})
    photo = read_picture(PHOTO).pixels[:, :320, :480]
    depth_m = stairs(*photo.shape[1:])
    made = simulate_from_depth(photo, depth_m, OPTICS.camera, Lens(rho=0.35, split=0.3))
    found = dualpix.disparity(made["left"], made["right"], turn="none", metres=OPTICS)
    figure = Figure(figsize=(11, 2.5), layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=(3, 3.3, 3.3, 2.6))
    show(axes[0], "left view", made["left"].permute(1, 2, 0).numpy())
    for axis, title, plane in ((axes[1], "true distance, m", depth_m), (axes[2], "found, m", found.depth_m[0])):
        shown = show(axis, title, plane.numpy(), vmin=0.8, vmax=2.6, cmap="viridis")
        figure.colorbar(shown, ax=axis, shrink=0.8)
    curve(axes[3])
    figure.savefig(folder / "metres.png", dpi=80)
    print(folder / "metres.png")


def stairs(height: int, width: int) -> Tensor:
    """Five walls one behind the other, from 0.9 to 2.4 m, equally far apart in 1 / z, on a slant below."""
    column = (torch.arange(width) * 5 // width).expand(height, width)
    dioptres = 1 / 0.9 - column / 4 * (1 / 0.9 - 1 / 2.4)
    floor = (torch.arange(height)[:, None] / height).expand(height, width)
    return 1 / torch.where(floor > 0.6, torch.maximum(dioptres, 0.4 + 0.7 * (floor - 0.4) / 0.6), dioptres)


def show(axis: Axes, title: str, plane: np.ndarray, **how: object) -> object:
    axis.set(title=title, xticks=[], yticks=[])
    return axis.imshow(plane, **how)


def curve(axis: Axes) -> None:
    """Disparity over distance, with what a tenth of a pixel makes of it."""
    depth_m = torch.linspace(0.7, 5, 200)
    disparity_px = OPTICS.disparity_px(depth_m[:, None])[:, 0].numpy()
    axis.plot(depth_m, disparity_px, color="#1e6fd2")
    axis.axhline(0, color="#333333", lw=0.6)
    for distance_m in (1.0, 2.0, 3.5):
        near_m, far_m = OPTICS.within(distance_m)
        axis.axvspan(near_m, far_m, color="#d2691e", alpha=0.3, lw=0)
    axis.set(title="disparity, px; bands: 0.1 px", xlabel="distance, m", xlim=(0.7, 5))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
