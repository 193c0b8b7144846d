"""Where the error on real photographs comes from: misalignment of the sharp shot, and detail of which size.

    python benchmarks/real_errors.py DATA ours=OUTPUTS DPDNet=DATA/dpdnet_output

DATA is a DPDD folder; OUTPUTS a folder with one picture for each scene, as `dualpix evaluate` leaves it. For the input
and each method it prints the PSNR after a 3 x 4 colour fit and the SSIM, the same after an affine alignment to the
sharp shot (what a camera that moved between the two shots takes away from every method), the alignment itself, and by
size of detail (differences of Gaussians) the error and the correlation with the sharp shot.

Then, for each scene, by how much the combined view differs from the mean of the two views. Only coding makes it differ:
if the errors of the three are alike and independent, a view's own is 1.22 times smaller.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from dualpix.datasets import open_dataset
from dualpix.datasets.outputs import PicturesIn
from dualpix.evaluation import INPUT, blurred
from dualpix.evaluation.metrics import ssim
from dualpix.simulation.sensor import Tone

SIGMAS_PX = (0.0, 0.7, 1.4, 2.8, 5.6, 11.0)
LUMA = (0.299, 0.587, 0.114)
TONE = Tone(contrast=0.6)  # of the preview's scenes (results/calibration-dpdd-preview.md)
NAMES = ("shift x", "x/x", "x/y", "shift y", "y/x", "y/y")


def psnr(output: np.ndarray, sharp: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((output - sharp) ** 2)))


def colour_fit(output: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """Least squares, 3 x 4; pictures H W 3."""
    samples = np.concatenate([output.reshape(-1, 3), np.ones((output.size // 3, 1))], axis=1)
    fit, *_ = np.linalg.lstsq(samples[::7], sharp.reshape(-1, 3)[::7], rcond=None)
    return np.clip((samples @ fit).reshape(sharp.shape), 0, 1)


def align(output: np.ndarray, sharp: np.ndarray, rounds: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """The output moved onto the sharp picture by an affine field, found by robust Gauss-Newton steps on grey.

    The field's six numbers are pixels; its x and y run from -1 to 1 over the width.
    """
    grey, wanted = (gaussian_filter(picture.mean(2), 1.0) for picture in (output, sharp))
    height, width = grey.shape
    y, x = np.mgrid[:height, :width].astype(float)
    u, v = (x - width / 2) / (width / 2), (y - height / 2) / (width / 2)
    ones = np.ones_like(u)
    field = np.zeros(6)
    for _ in range(rounds):
        moved = map_coordinates(grey, _places(field, x, y, u, v), order=3, mode="nearest")
        down, right = np.gradient(moved)
        columns = [right * k for k in (ones, u, v)] + [down * k for k in (ones, u, v)]
        slopes = np.stack(columns, -1)[8:-8, 8:-8].reshape(-1, 6)
        rest = (wanted - moved)[8:-8, 8:-8].ravel()
        trust = (1 / (1 + (rest / 0.05) ** 2))[:, None]
        field += np.linalg.solve((slopes * trust).T @ slopes, (slopes * trust).T @ rest)
    places = _places(field, x, y, u, v)
    moved = np.stack([map_coordinates(output[..., k], places, order=3, mode="nearest") for k in range(3)], -1)
    return field, moved


def _places(field: np.ndarray, x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray) -> list[np.ndarray]:
    return [y + field[3] + field[4] * u + field[5] * v, x + field[0] + field[1] * u + field[2] * v]


def bands(picture: np.ndarray) -> list[np.ndarray]:
    levels = [picture if sigma == 0 else gaussian_filter(picture, (sigma, sigma, 0)) for sigma in SIGMAS_PX]
    return [fine - coarse for fine, coarse in itertools.pairwise(levels)]


def by_detail(output: np.ndarray, sharp: np.ndarray) -> list[tuple[float, float]]:
    """(mean squared error x 10^4, correlation) of each band."""
    found = []
    for one, other in zip(bands(output), bands(sharp), strict=True):
        correlation = float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))
        found.append((1e4 * float(((one - other) ** 2).mean()), correlation))
    return found


def structure(output: np.ndarray, sharp: np.ndarray) -> float:
    return ssim(*(torch.from_numpy(picture).permute(2, 0, 1).float() for picture in (output, sharp)))


def disagreement(sample: dict) -> float:
    """Root mean square of the luma of combined view minus mean of the views, in levels of 8 bits, after a fit of its
    brightness and contrast."""
    mean = TONE.encode((TONE.decode(sample["left"]) + TONE.decode(sample["right"])) / 2).double().numpy().ravel()
    center = sample["center"].double().numpy()
    slope, offset = np.polyfit(mean, center.ravel(), 1)
    rest = center - (slope * mean + offset).reshape(center.shape)
    return 255 * float(np.tensordot(LUMA, rest, 1).std())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("methods", nargs="*", metavar="NAME=FOLDER")
    asked = parser.parse_args()
    methods = {INPUT: blurred}
    methods |= {name: PicturesIn(folder) for name, _, folder in (text.partition("=") for text in asked.methods)}
    edges = [f"{a:g}-{b:g} px" for a, b in itertools.pairwise(SIGMAS_PX)]
    print(
        f"| scene | method | fitted dB | aligned dB | SSIM | aligned SSIM | {', '.join(NAMES)} "
        f"| error (correlation): {' / '.join(edges)} |"
    )
    print("|---|---|---:|---:|---:|---:|---|---|")
    coded = []
    totals: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    dataset = open_dataset(asked.data)
    for number in range(len(dataset)):
        sample = dataset[number]
        sharp = sample["sharp"].permute(1, 2, 0).double().numpy()
        for name, method in methods.items():
            output = method(sample).permute(1, 2, 0).double().numpy()
            field, moved = align(output, sharp)
            fitted = colour_fit(output, sharp)
            scores = (
                *(psnr(fitted, sharp), psnr(colour_fit(moved, sharp), sharp)),
                *(structure(output, sharp), structure(moved, sharp)),
            )
            totals[name].append(scores)
            detail = " / ".join(f"{error:.2f} ({corr:.2f})" for error, corr in by_detail(fitted, sharp))
            shown = ", ".join(f"{value:+.2f}" for value in field)
            print(f"| {sample['name']} | {name} | {_cells(scores)} | {shown} | {detail} |", flush=True)
        coded.append((sample["name"], disagreement(sample)))
    for name, rows in totals.items():
        print(f"| mean | {name} | {_cells(np.mean(rows, axis=0))} | | |")
    print("\ncombined view minus mean of the views, levels of luma: " + ", ".join(f"{n} {e:.2f}" for n, e in coded))


def _cells(scores: Sequence[float]) -> str:
    fitted, aligned, similarity, similarity_aligned = scores
    return f"{fitted:.2f} | {aligned:.2f} | {similarity:.4f} | {similarity_aligned:.4f}"


if __name__ == "__main__":
    main()
