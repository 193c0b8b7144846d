"""How much deblurring loses on enlarged pairs: real views enlarged, deblurred, reduced back, and compared there.

    python benchmarks/enlarged.py DATA --times 2 3 4 --scale auto 1
    python benchmarks/enlarged.py DATA --times 4 --scenes 1P0A1002 1P0A2170

DATA has left, right and sharp pictures. A preview stands for the photograph that it was reduced from: blur and
disparity of the enlarged views are as wide as in that, though its finest detail and noise are not there. Views are
enlarged by a bicubic filter, results reduced by the same with antialiasing. PSNR in dB on display-encoded values;
`worst tile` is the least gain over the mean of the views in any square of 512 px of the preview's size (the last ones
end at its edges): over that of the enlarged views reduced as the result is, since that way alone costs up to 0.3 dB,
and, behind it, over that of the preview's.
"""

import argparse
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import dualpix
from dualpix.datasets import open_dataset
from dualpix.inference.scales import choose_for
from dualpix.pairs import inspect_views
from dualpix.pairs.sample import mean_view

TILE_PX = 512


def resized(picture: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(picture[None], (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)


def psnr(error: Tensor) -> float:
    """Of squared errors."""
    return -10 * float(torch.log10(error.mean()))


def worst_tile(picture: Tensor, blurred: Tensor, sharp: Tensor) -> float:
    """The least gain over the blurred picture of any tile, in dB."""
    after, before = ((one - sharp).square().mean(0) for one in (picture, blurred))
    places = [
        (slice(top, top + TILE_PX), slice(left, left + TILE_PX))
        for top in starts(len(after))
        for left in starts(len(after[0]))
    ]
    return min(psnr(after[place]) - psnr(before[place]) for place in places)


def starts(side: int) -> list[int]:
    return [*range(0, side - TILE_PX, TILE_PX), max(0, side - TILE_PX)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--scale", nargs="+", default=["auto"], help="values of the option of that name")
    parser.add_argument("--scenes", nargs="+", default=[], help="their names; without it all")
    parser.add_argument("--weights", default="mccnet-fast")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    weights = dualpix.load(given.weights)
    data = open_dataset(given.data)
    print("| scene | times | disparity, px | scale | run at | input | preview | dB | difference | worst tile | |")
    print("|---|---:|---:|---|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for number in range(len(data)):
        sample = data[number]
        if given.scenes and sample["name"] not in given.scenes:
            continue
        views, sharp = (sample["left"], sample["right"]), sample["sharp"]
        height, width = sharp.shape[1:]
        blurred = mean_view(*views)
        before = psnr((blurred - sharp).square())
        made = dualpix.deblur(*views, weights, precision="fp32")
        preview = psnr((made - sharp).square())
        tile = f"{worst_tile(made, blurred, sharp):+.2f}"
        print(f"| {sample['name']} | 1 | | auto | | {before:.2f} | {preview:.2f} | | | {tile} | |", flush=True)
        for times in given.times:
            large = [resized(view, times * height, times * width) for view in views]
            matches, reduced = inspect_views(*large).matches, resized(mean_view(*large), height, width)
            for scale in given.scale:
                made = resized(dualpix.deblur(*large, weights, precision="fp32", scale=scale), height, width)
                steps, _ = choose_for(weights.network, matches, (times * height, times * width), scale)
                run_at = ", ".join(f"1/{step}" if step > 1 else "1" for step in steps)
                found = psnr((made - sharp).square())
                cells = [sample["name"], times, f"{matches.widest_px:.1f}", scale, run_at, f"{before:.2f}"]
                cells += [f"{preview:.2f}", f"{found:.2f}", f"{found - preview:+.2f}"]
                cells += [f"{worst_tile(made, one, sharp):+.2f}" for one in (reduced, blurred)]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
