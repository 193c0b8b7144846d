"""Seconds that the classic methods take for one picture: the map of the blur, the deconvolution by it, and both.

    python benchmarks/classic_speed.py --mode fast
    python benchmarks/classic_speed.py picture.png --map ebdb

Without a picture it is the bundled one, repeated to 1120 x 1680, its left half blurred by a Gaussian of 1.5 pixels. JNB
depends on the picture: sharp texture takes it longest. CPU time is shown beside the time on the clock, because on a
busy machine the clock measures the neighbours.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from dualpix.classical import MAPS
from dualpix.classical.deconvolution import deblur_by_map, gaussian
from dualpix.io import read_picture

HEIGHT, WIDTH = 1120, 1680
BLUR_PX = 1.5
BUNDLED = Path(__file__).parents[1] / "src" / "dualpix" / "demo_pair" / "sharp.png"


def half_blurred() -> Tensor:
    picture = read_picture(BUNDLED).pixels
    times = [-(-side // own) for side, own in zip((HEIGHT, WIDTH), picture.shape[1:], strict=True)]
    picture = picture.repeat(1, *times)[:, :HEIGHT, :WIDTH].contiguous()
    picture[..., : WIDTH // 2] = blurred(picture[..., : WIDTH // 2])
    return picture


def blurred(picture: Tensor) -> Tensor:
    kernel = gaussian(BLUR_PX)
    reach = kernel.shape[0] // 2
    padded = torch.nn.functional.pad(picture[:, None], (reach,) * 4, mode="reflect")
    return torch.nn.functional.conv2d(padded, kernel[None, None])[:, 0]


def timed(work: Callable[[], Tensor]) -> tuple[Tensor, float, float]:
    """What it gives, the seconds on the clock, the seconds of CPU time."""
    start, start_cpu = time.perf_counter(), time.process_time()
    given = work()
    return given, time.perf_counter() - start, time.process_time() - start_cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, nargs="?")
    parser.add_argument("--map", choices=MAPS, nargs="*", default=list(MAPS), help="which methods (all)")
    parser.add_argument("--mode", choices=("fast", "faithful"), default="fast")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    picture = read_picture(asked.picture).pixels if asked.picture else half_blurred()
    height, width = picture.shape[1:]
    print(f"{height} x {width}, mode {asked.mode}, {asked.threads} threads; seconds on the clock (of CPU time)\n")
    print("| method | map | deconvolution | both |\n|---|---|---|---|")
    for name in asked.map:
        sigma_px, *mapping = timed(lambda name=name: MAPS[name](picture, asked.mode))
        _, *solving = timed(lambda sigma_px=sigma_px: deblur_by_map(picture, sigma_px, mode=asked.mode))
        both = [one + other for one, other in zip(mapping, solving, strict=True)]
        cells = (f"{clock:.1f} ({cpu:.1f})" for clock, cpu in (mapping, solving, both))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
