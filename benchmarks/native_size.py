"""Deblurring at the size that cameras make, on simulated pairs whose detail is sharp at pixel level.

    python benchmarks/native_size.py --photos photos/brighton --megapixels 24 30 --seeds 1
    python benchmarks/native_size.py --photos photos/brighton --megapixels 3.5 --seeds 1 2 --scale auto 1

PHOTOS should be sharp at every pixel. A background that slants from the widest blur to six tenths of it, and four
things in front of it, one in focus, one nearer than the focus, are rendered by the package's own optics, with noise as
of ISO 100 or 6400. PSNR in dB on display-encoded values: of all, of what is in focus, of what is blurred by radius in
pixels; `kept` is the PSNR in focus against the mean of the views, that is, how little it was changed.

The truth is what a pinhole would see, or, as `--truth 4/22` says, a shot at that share of the opening, as a camera at
f/22 takes it beside one at f/4: that is the sharp shot of DPDD, and what the weights are taught.
"""

import argparse
import math
import time
import warnings
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import dualpix
from dualpix.inference.scales import choose_for
from dualpix.pairs import inspect_views
from dualpix.pairs.sample import mean_view
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, composite, render
from dualpix.simulation.sensor import Sensor, Tone

RHO = 0.42  # pixels of disparity for one of blur radius
TONE = Tone(0.5)
NOISE = {100: (3e-5, 1e-4), 6400: (1.9e-3, 4.5e-3)}  # shot and read noise, as `Sensor` takes them
BEHIND = ((0.3, 0.3, 0.75, 0.25, 0.2), (0.1, 0.65, 0.2, 0.28, 0.17), (0.0, 0.55, 0.55, 0.36, 0.22))
IN_FRONT = (-0.35, 0.95, 0.85, 0.2, 0.2)
"""Things: blur as a share of the widest; middle and half sides as shares of the picture's."""

MOST_WHITE = 0.05
BINS_PX = ((8, 20), (20, 40), (40, 70), (70, 101))


def scene(photos: list[Path], size: tuple[int, int], far_px: float, seed: int) -> tuple[list[Layer], int]:
    """The layers, back to front, and the margin around them."""
    rng = np.random.default_rng(seed)
    margin = int(1.25 * far_px) + 12
    height, width = size[0] + 2 * margin, size[1] + 2 * margin

    def photo() -> Tensor:
        pixels = dualpix.read_picture(photos[int(rng.integers(len(photos)))]).pixels
        while pixels.shape[1] < height:
            pixels = torch.cat([pixels, pixels.flip(1)], 1)
        while pixels.shape[2] < width:
            pixels = torch.cat([pixels, pixels.flip(2)], 2)
        top, left = (int(rng.integers(most + 1)) for most in (pixels.shape[1] - height, pixels.shape[2] - width))
        return TONE.decode(pixels[:, top : top + height, left : left + width].clone())

    slant = far_px * (1 - 0.4 * torch.linspace(0, 1, height)[:, None].expand(height, width))
    layers = [Layer(photo(), torch.ones(height, width), slant.contiguous())]
    for share, *place in (*BEHIND, IN_FRONT):
        alpha = blob(height, width, *place, rng)
        layers.append(Layer(photo(), alpha, torch.full((height, width), share * far_px)))
    return layers, margin


def truth(layers: list[Layer], lens: Lens, margin: int, opening: Fraction) -> Tensor:
    """What a shot through `opening`, a share of the whole one, shows, 3 H W, display-encoded; 0 is a pinhole."""
    if not opening:
        return TONE.encode(composite(layers, margin)[0][None])[0]
    small = [replace(layer, blur_px=layer.blur_px * float(opening)) for layer in layers]
    return TONE.encode(render(small, lens, margin).mean(0, keepdim=True))[0].clamp(0, 1)


def without_white(photo: Path) -> bool:
    """Whether it is no sheet with much white around the photograph, where blur cannot be seen."""
    return float((dualpix.read_picture(photo).pixels.amin(0) > 0.98).float().mean()) < MOST_WHITE


def blob(
    height: int, width: int, row: float, column: float, tall: float, wide: float, rng: np.random.Generator
) -> Tensor:
    """A thing with a wavy edge, H x W: 1 inside."""
    y, x = np.ogrid[:height, :width]
    y, x = (y / height - row) / tall, (x / width - column) / wide
    angle, radius = np.arctan2(y, x), np.hypot(y, x)
    waves = range(2, 14)
    edge = 1 + sum(rng.normal(0, 0.12 / k**0.7) * np.cos(k * angle + rng.uniform(0, 2 * math.pi)) for k in waves)
    return torch.from_numpy(np.clip((edge - radius) * min(tall * height, wide * width) + 0.5, 0, 1).astype(np.float32))


def psnr(error: Tensor) -> str:
    """Of squared errors."""
    return f"{-10 * math.log10(max(float(error.mean()), 1e-10)):.2f}" if error.numel() else ""


def scores(picture: Tensor, mean: Tensor, sharp: Tensor, blur_px: Tensor) -> list[str]:
    error, focus = (picture - sharp).square().mean(0), blur_px == 0
    parts = [error, error[focus], (picture - mean).square().mean(0)[focus]]
    parts += [error[(blur_px >= low) & (blur_px < high)] for low, high in BINS_PX]
    return [psnr(part) for part in parts]


def show(head: str, picture: Tensor, mean: Tensor, truths: dict[str, Tensor], blur_px: Tensor) -> None:
    for name, sharp in truths.items():
        print(f"{head} | {name} | {' | '.join(scores(picture, mean, sharp, blur_px))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[24, 30])
    parser.add_argument("--far-px", type=float, default=96, help="the widest blur, as a radius; 98 at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--iso", type=int, nargs="+", choices=NOISE, default=[*NOISE])
    parser.add_argument("--scale", nargs="+", default=["auto"], help="values of the option of that name")
    parser.add_argument("--truth", type=Fraction, nargs="+", default=[Fraction(0), Fraction(4, 22)], help="openings")
    parser.add_argument("--weights", default="mccnet-fast")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    weights, photos = (
        dualpix.load(given.weights),
        sorted(path for path in given.photos.iterdir() if path.is_file() and without_white(path)),
    )
    bins = " | ".join(f"{low} to {high - (high > 100)}" for low, high in BINS_PX)
    print(f"| megapixels | seed | ISO | what | run at | s | truth | all | in focus | kept | {bins} |")
    print(f"|---:|---:|---:|---|---|{'---:|' * (5 + len(BINS_PX))}", flush=True)
    for megapixels in given.megapixels:
        height = 16 * round(math.sqrt(megapixels * 1e6 / 1.5) / 16)
        for seed in given.seeds:
            layers, margin = scene(photos, (height, 16 * round(1.5 * height / 16)), given.far_px, seed)
            lens = Lens(rho=RHO, split=0.3, softness_px=0.4, softness_rel=0.05)
            light, blur_px = render(layers, lens, margin), composite(layers, margin)[1].abs()
            truths = {str(opening or "pinhole"): truth(layers, lens, margin, opening) for opening in given.truth}
            del layers
            for iso in given.iso:
                sensor = Sensor(tone=TONE, shot=NOISE[iso][0], read=NOISE[iso][1], grain_px=0.6)
                shot = sensor.expose(light, torch.Generator().manual_seed(seed)).clamp(0, 1)
                left, right = TONE.encode(shot).round(decimals=4)
                mean, matches = mean_view(left, right), inspect_views(left, right).matches
                head = f"| {megapixels:g} | {seed} | {iso} |"
                show(f"{head} views | |", mean, mean, truths, blur_px)
                for scale in given.scale:
                    start = time.perf_counter()
                    made = dualpix.deblur(left, right, weights, precision="fp32", scale=scale)
                    seconds = f"{time.perf_counter() - start:.0f}"
                    steps, _ = choose_for(weights.network, matches, (left.shape[1], left.shape[2]), scale)
                    run_at = ", ".join(f"1/{step}" if step > 1 else "1" for step in steps)
                    show(f"{head} {scale} | {run_at} | {seconds}", made, mean, truths, blur_px)


if __name__ == "__main__":
    main()
