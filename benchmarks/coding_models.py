"""How like the codecs' their models' losses are: level, spectrum and scatter over pictures, as a table.

    python benchmarks/coding_models.py --photos photos/kodak --pictures 6

Crops of photographs of 256 px, sharp and blurred (a Gaussian of 1.5 px), go through libjpeg, x264 and libwebp, and
through `simulation.block_coding`. Levels are PSNR over all pixels, real and modelled; the spectrum is by how many dB
the model's error is stronger, in bands of cycles a pixel; the scatter is the RMS over pictures of the difference in
PSNR.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from dualpix.simulation.block_coding import coded_together
from dualpix.simulation.coding import Coding
from dualpix.simulation.developer import smooth
from dualpix.simulation.photos import read_photos

SIDE = 256
BANDS = ((0.0, 0.06), (0.06, 0.125), (0.125, 0.25), (0.25, 0.36), (0.36, 0.75))
CODINGS = [
    *(Coding("jpeg", quality, kind) for quality in (75, 85, 97) for kind in ("444", "420")),  # type: ignore[arg-type]
    *(Coding("h264", factor) for factor in (8, 12, 16, 19, 22)),
    *(Coding("vp8", quality) for quality in (60, 70, 80, 90, 97)),
]


def pictures(folders: list[Path], count: int) -> Tensor:
    """Crops out of the middle of photographs, sharp and blurred, in whole levels."""
    photos = [photo for photo in read_photos(folders, SIDE) if min(photo.shape[1:]) >= SIDE][: 2 * count : 2]
    tops = [[(side - SIDE) // 2 for side in photo.shape[1:]] for photo in photos]
    cuts = [photo[:, y : y + SIDE, x : x + SIDE] / 255 for photo, (y, x) in zip(photos, tops, strict=True)]
    sharp = torch.stack(cuts)
    return (torch.cat([sharp, smooth(sharp, 1.5)]) * 255).round() / 255


def lost_db(error: Tensor) -> Tensor:
    """PSNR, of each of B x 3 x H x W."""
    return -10 * torch.log10(error.square().mean((1, 2, 3)))


def spectrum_db(error: Tensor) -> Tensor:
    """Power of the error of grey in each band, in dB."""
    power = torch.fft.fft2(error.mean(1)).abs().square().mean(0)
    axis = torch.fft.fftfreq(SIDE)
    frequency = torch.hypot(axis[:, None], axis[None])
    parts = [power[(frequency >= low) & (frequency < high)].mean() for low, high in BANDS]
    return 10 * torch.log10(torch.stack(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--pictures", type=int, default=6)
    asked = parser.parse_args()
    seen = pictures(asked.photos, asked.pictures)
    print("| coding | real, dB | model, dB | scatter, dB | model against real, dB | spectrum, dB |")
    print("|---|---:|---:|---:|---:|---|")
    for coding in CODINGS:
        real = torch.stack([coding(picture) for picture in seen])
        model = coded_together(seen, [coding] * len(seen))
        lost = [-10 * float(torch.log10((one - two).square().mean())) for one, two in ((real, seen), (model, seen))]
        apart = -10 * float(torch.log10((real - model).square().mean()))
        scatter = float((lost_db(real - seen) - lost_db(model - seen)).square().mean().sqrt())
        bands = " ".join(f"{x:+.1f}" for x in (spectrum_db(model - seen) - spectrum_db(real - seen)).tolist())
        name = f"{coding.codec} {coding.quality}" + (f" {coding.subsampling}" if coding.codec == "jpeg" else "")
        print(f"| {name} | {lost[0]:.2f} | {lost[1]:.2f} | {scatter:.2f} | {apart:.1f} | {bands} |")


if __name__ == "__main__":
    main()
