"""What coding noise costs on real pairs: the two views as they are, and with the noise of their sum lessened.

    python benchmarks/combined_view.py DATA --weights mccnet-fast

DATA is in the DPDD layout, lossy, with the combined view coded on its own. The combined view is the mean of the two, so
what it differs by is coding. Both views are given a third of that difference: if the three coding errors are
independent and of one size, their mean then has two thirds of the coding noise (in variance) it had, and their
difference what it had.
"""

import argparse
from pathlib import Path

import numpy as np

from dualpix.datasets import Dpdd
from dualpix.evaluation.metrics import measure
from dualpix.inference.deblur import deblur_pair
from dualpix.weights import checkpoint

SCORES = ("psnr", "psnr-fitted", "ssim")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", nargs="+", default=["mccnet-fast"], help="names or files of weights")
    given = parser.parse_args()
    print("| weights | views as they are: dB | fitted | SSIM | noise lessened: dB | fitted | SSIM |")
    print("|---|" + "---:|" * 2 * len(SCORES))
    for name in given.weights:
        opened = checkpoint.load(name)
        data = Dpdd(given.data, "test")
        rows = [compare(data[number], opened) for number in range(len(data))]
        cells = " | ".join(f"{score:.4f}" if score < 1 else f"{score:.2f}" for score in np.mean(rows, axis=0))
        print(f"| {name} | {cells} |", flush=True)


def compare(sample: dict, opened: checkpoint.Checkpoint) -> list[float]:
    """The scores of the views as they are, and of the corrected ones."""
    views = {name: sample[name] for name in ("left", "right")}
    correction = (sample["center"] - (views["left"] + views["right"]) / 2) / 3
    corrected = {name: (view + correction).clamp(0, 1) for name, view in views.items()}
    made = [deblur_pair({**pair, "name": "pair"}, opened).picture for pair in (views, corrected)]
    scores = [measure(picture, sample["sharp"], "dpdd-8bit") for picture in made]
    return [one[name] for one in scores for name in SCORES]


if __name__ == "__main__":
    main()
