"""What `--only-blurred` leaves out, saves and costs, beside the plain run of the same commit.

    python benchmarks/only_blurred.py DATA [--times N] [--scale NAME] [--engine NAME] [--precision NAME] [-o FOLDER]
    python benchmarks/only_blurred.py --half PHOTO --megapixels 9 24

DATA: a folder of pairs with sharp pictures, such as DPDD's, or of pairs alone. Both ways run in turns; seconds are
those of the processor (all threads), since clocks say little on a busy machine. `--times` enlarges pairs by a bicubic
filter, so that blur and size are those of a larger photograph. `--half` makes a pair of a sharp photograph instead: its
right half lies behind the focus, blurred by 12 pixels of radius. dB is PSNR over all pixels: of the views' mean, of the
plain result and of this one against the truth (not for enlarged pairs), of this one against the plain one, and of that
where the network ran (share 1). `seam`: mean difference between neighbouring pixels across the border of what was left
out, as a factor on that of the plain result at the same places.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

import dualpix
from dualpix.datasets import open_dataset
from dualpix.inference.deblur import Deblurred, deblur_pair
from dualpix.inference.sharp_zone import BLOCK_PX, find_zone
from dualpix.pairs.matching import noise_of
from dualpix.pairs.sample import Sample, mean_view
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, composite, render

FAR_PX = 12.0


class Run(NamedTuple):
    done: Deblurred
    cpu_s: float


def psnr(a: Tensor, b: Tensor, where: Tensor | None = None) -> float:
    square = (a - b).square().mean(0)
    error = float((square if where is None else square[where]).double().mean())
    return float("inf") if error == 0 else -10 * torch.log10(torch.tensor(error)).item()


def timed(sample: Sample, **options: object) -> Run:
    start = time.process_time()
    done = deblur_pair(sample, **options)  # type: ignore[arg-type]
    return Run(done, time.process_time() - start)


def half(photo: Path, megapixels: float) -> Sample:
    """A pair whose left half is in focus, of a photograph repeated in mirrors, without noise."""
    pixels = dualpix.read_picture(photo).pixels
    height = 16 * round((megapixels * 1e6 / 1.5) ** 0.5 / 16)
    width, margin = height * 3 // 2, 2 * int(FAR_PX)
    while pixels.shape[1] < height + 2 * margin:
        pixels = torch.cat([pixels, pixels.flip(1)], 1)
    while pixels.shape[2] < width + 2 * margin:
        pixels = torch.cat([pixels, pixels.flip(2)], 2)
    pixels = pixels[:, : height + 2 * margin, : width + 2 * margin].clone()
    light = pixels**2.2
    cover = torch.zeros(pixels.shape[1:])
    cover[:, : cover.shape[1] // 2] = 1
    behind = Layer(light, torch.ones_like(cover), torch.full_like(cover, FAR_PX))
    layers = [behind, Layer(light, cover, torch.zeros_like(cover))]
    left, right = (view.clamp(0, 1) ** (1 / 2.2) for view in render(layers, Lens(), margin))
    sharp = composite(layers, margin)[0].clamp(0, 1) ** (1 / 2.2)
    return {"left": left, "right": right, "sharp": sharp, "name": f"half of {photo.stem}, {megapixels:g} MP"}


def enlarged(sample: Sample, times: float) -> Sample:
    if times == 1:
        return sample
    size = {"scale_factor": times, "mode": "bicubic", "align_corners": False}
    views = {name: F.interpolate(sample[name][None], **size)[0].clamp(0, 1) for name in ("left", "right")}  # type: ignore[literal-required,arg-type]
    return {**views, "name": sample["name"]}


def seam(made: Tensor, plain: Tensor, kept: Tensor) -> float:
    """Steps across the border of `kept`, H W, of `made` over those of `plain`."""
    steps = []
    for picture in (made, plain):
        across = picture.diff(dim=2).abs().mean(0)[kept[:, 1:] != kept[:, :-1]]
        down = picture.diff(dim=1).abs().mean(0)[kept[1:] != kept[:-1]]
        steps.append(float(torch.cat([across, down]).double().mean()))
    return steps[0] / steps[1]


def row(sample: Sample, given: argparse.Namespace) -> str:
    options = {"engine": given.engine, "precision": given.precision, "scale": given.scale}
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for _ in range(given.rounds):
        for only in (False, True):
            runs[only].append(timed(sample, only_blurred=only, **options))
    plain, made = (runs[only][0].done for only in (False, True))
    cpu = [min(run.cpu_s for run in runs[only]) for only in (False, True)]
    left, right = sample["left"], sample["right"]
    height, width = left.shape[1:]
    blocks = find_zone(left, right, noise_of(left)).share[None]
    share = F.interpolate(blocks, scale_factor=float(BLOCK_PX), mode="bilinear")[0, 0, :height, :width]
    report = made.report
    assert report is not None and report.skipped is not None and report.computed is not None
    truth = sample.get("sharp")
    if truth is None:
        against = ["", "", ""]
    else:
        against = [f"{psnr(picture, truth):.2f}" for picture in (mean_view(left, right), plain.picture, made.picture)]
    ran = share == 1
    cells = [
        sample["name"],
        f"{height * width / 1e6:.1f}",
        f"{100 * report.skipped:.1f}",
        f"{100 * report.computed:.0f}",
        *(f"{seconds:.1f}" for seconds in cpu),
        f"{cpu[0] / cpu[1]:.2f}",
        *against,
        f"{psnr(made.picture, plain.picture):.1f}",
        f"{psnr(made.picture, plain.picture, ran):.1f}" if bool(ran.any()) else "",
        f"{seam(made.picture, plain.picture, share == 0):.2f}" if 0 < report.skipped < 1 else "",
    ]
    if given.output:
        for name, picture in (("plain", plain.picture), ("only", made.picture), ("share", share.expand(3, -1, -1))):
            dualpix.write_picture(given.output / f"{sample['name']}-{name}.png", picture, overwrite=True)
    return "| " + " | ".join(cells) + " |"


def samples(given: argparse.Namespace) -> Iterator[Sample]:
    if given.half:
        for megapixels in given.megapixels:
            yield half(given.half, megapixels)
        return
    for sample in open_dataset(given.data):
        if not given.only or sample["name"] in given.only:
            yield enlarged(sample, given.times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the pairs, these")
    parser.add_argument("--half", type=Path, metavar="PHOTO")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[9])
    parser.add_argument("--times", type=float, default=1)
    parser.add_argument("--scale", default="auto")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    if (given.data is None) == (given.half is None):
        parser.error("give DATA or --half")
    if given.output:
        given.output.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    names = ["pair", "MP", "left out, %", "computed, %", "plain, CPU s", "CPU s", "times", "views, dB", "plain"]
    names += ["result", "to plain", "where run", "seam"]
    print("| " + " | ".join(names) + " |\n|---|" + "---:|" * (len(names) - 1), flush=True)
    for sample in samples(given):
        print(row(sample, given), flush=True)


if __name__ == "__main__":
    main()
