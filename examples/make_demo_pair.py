"""Make the pair that `dualpix demo` deblurs: a row of houses, in focus at the near end, as a dual-pixel camera sees it.

    python examples/make_demo_pair.py kodim08.png src/dualpix/demo_pair

The blur is that of a slanted wall: it grows evenly from the right edge, in focus, to the left edge.
"""

import sys
from pathlib import Path

import torch

from dualpix.io import read_picture, write_picture
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer
from dualpix.simulation.samples import expose
from dualpix.simulation.sensor import Sensor, Tone

MARGIN, WIDTH, HEIGHT = 16, 640, 480
FAR_PX = 8.0


def main(photo: Path, folder: Path) -> None:
    picture = read_picture(photo).pixels
    height, width = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
    top, left = (picture.shape[1] - height) // 2, picture.shape[2] - width
    tone = Tone(contrast=0.3)
    colour = tone.decode(picture[:, top : top + height, left : left + width])
    blur_px = torch.linspace(FAR_PX, 0, width).expand(height, width).contiguous()
    wall = Layer(colour, torch.ones(height, width), blur_px)
    lens = Lens(rho=0.38, split=0.3, softness_px=0.4, softness_rel=0.06)
    sample = expose([wall], lens, MARGIN, Sensor(tone, shot=2e-5, read=2e-4), sharp_aperture=4 / 22, seed=8)
    for name in ("left", "right", "sharp"):
        write_picture(folder / f"{name}.png", sample[name], depth=16, overwrite=True)
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
