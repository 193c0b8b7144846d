"""What lossy coding of the views costs a network: PSNR and SSIM on the same simulated scenes, coded in several ways.

With `--sharp-too` the sharp shot is coded alike before it is compared with, as in the DPDD preview.

    python benchmarks/coding_robustness.py --photos photos/kodak --weights mccnet-fast runs/fast/best.safetensors

H.264 (the coding of the clips that the DPDD preview was cut from) needs `pip install 'dualpix[video]'`, and is left
out without it.
"""

import argparse
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dualpix.evaluation.metrics import psnr, ssim
from dualpix.simulation.coding import as_h264, as_jpeg, as_vp8
from dualpix.simulation.photos import read_photos
from dualpix.simulation.samples import Simulated
from dualpix.weights import checkpoint


def codings() -> dict[str, Callable[[Tensor], Tensor]]:
    table: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda picture: picture}
    table |= {f"JPEG {q}": partial(as_jpeg, quality=q, subsampling="420") for q in (85, 65)}
    table |= {f"VP8 {q}": partial(as_vp8, quality=q) for q in (80, 65)}
    return table | ({f"H.264 {r}": partial(as_h264, rate_factor=r) for r in (12, 16, 20)} if find_spec("av") else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", nargs="+", default=["mccnet-fast"], help="names or files of weights")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--sharp-too", action="store_true", help="code the sharp shot as well")
    asked = parser.parse_args()
    simulated = Simulated(read_photos(asked.photos), 256, asked.scenes, seed=5, sharp_aperture=4 / 22)
    networks = {name: checkpoint.load(name).network for name in asked.weights}
    print("| coding | error of the views, levels |" + "".join(f" {n} dB | SSIM |" for n in ["input", *networks]))
    print("|---|---:|" + "---:|---:|" * (1 + len(networks)))
    samples = [simulated[number] for number in range(len(simulated))]
    for coding, code in codings().items():
        rows = [_measure(sample, code, list(networks.values()), asked.sharp_too) for sample in samples]
        error, *scores = np.mean(rows, axis=0)
        cells = [
            f"{decibels:.2f} | {similarity:.3f}" for decibels, similarity in zip(scores[::2], scores[1::2], strict=True)
        ]
        print(f"| {coding} | {error:.2f} | " + " | ".join(cells) + " |", flush=True)


def _measure(sample: dict, code: Callable[[Tensor], Tensor], networks: list, sharp_too: bool) -> list[float]:
    left, right = code(sample["left"]), code(sample["right"])
    sharp = code(sample["sharp"]) if sharp_too else sample["sharp"]
    error = 255 * float((left - sample["left"]).square().mean().sqrt())
    with torch.inference_mode():
        outputs = [(left + right) / 2, *(network(left[None], right[None])[0].clamp(0, 1) for network in networks)]
    return [error, *(score(output, sharp) for output in outputs for score in (psnr, ssim))]


if __name__ == "__main__":
    main()
