"""How far along the row the correlation may look, changed in trained weights: windows, and whole rows.

    python benchmarks/row_window.py DATA --weights mccnet mccnet-fast --windows 4 8 24 72 10000

DATA is in the DPDD layout. Nothing is trained anew: what is measured is the gap between the window a network learned
with and the one it is run with. A window is `max_disparity`, in columns of the half-size features; one that is wider
than the picture is the paper's whole row.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from dualpix import checkpoint, networks
from dualpix.data import Dpdd
from dualpix.deblurring import deblur_pair
from dualpix.metrics import measure

SCORES = ("psnr", "psnr-fitted", "ssim")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", nargs="+", default=["mccnet", "mccnet-fast"], help="names or files of weights")
    parser.add_argument("--windows", type=int, nargs="+", default=[4, 8, 24, 72, 10_000])
    given = parser.parse_args()
    print("| weights | window | PSNR dB | fitted dB | SSIM |")
    print("|---|---:" + "|---:" * len(SCORES) + "|")
    data = Dpdd(given.data, "test")
    for name in given.weights:
        for window in given.windows:
            opened = with_window(checkpoint.load(name), window)
            scores = np.mean([score(data[number], opened) for number in range(len(data))], axis=0)
            cells = " | ".join(f"{value:.4f}" if value < 1 else f"{value:.2f}" for value in scores)
            print(f"| {name} | {window} | {cells} |", flush=True)


def with_window(opened: checkpoint.Checkpoint, window: int) -> checkpoint.Checkpoint:
    """The same weights in a network that looks `window` columns either way."""
    arguments = {**opened.arguments, "max_disparity": window}
    network = networks.create(opened.name, **arguments).eval()
    network.load_state_dict(opened.network.state_dict())
    return replace(opened, network=network, arguments=arguments)


def score(sample: dict, opened: checkpoint.Checkpoint) -> list[float]:
    """PSNR, PSNR after colour fit and SSIM of one scene."""
    views = {name: sample[name] for name in ("left", "right")}
    scores = measure(deblur_pair({**views, "name": "pair"}, opened).picture, sample["sharp"], "dpdd-8bit")
    return [scores[name] for name in SCORES]


if __name__ == "__main__":
    main()
