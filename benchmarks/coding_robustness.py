"""What lossy coding of the views costs a network: PSNR and SSIM on the same simulated scenes, coded in several ways.

With `--sharp-too` the sharp shot is coded alike before it is compared with, as in the DPDD preview.

    python benchmarks/coding_robustness.py --photos photos/kodak --weights mccnet-fast runs/fast/best.safetensors

H.264 (the coding of the clips that the DPDD preview was cut from) needs `pip install av`, and is left out without it.
"""

import argparse
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dualpix import checkpoint
from dualpix.data.photos import read_photos
from dualpix.data.simulated import Simulated
from dualpix.metrics import psnr, ssim
from dualpix.optics.sensor import compress, compress_as_video

try:
    import av
except ImportError:
    av = None


def h264(picture: Tensor, rate_factor: int) -> Tensor:
    """A picture 3 H W in [0, 1] as a key frame of H.264, 4:2:0, would bring it back."""
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(rate_factor), "preset": "medium", "threads": "1"}
        for packet in [*stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")), *stream.encode()]:
            container.mux(packet)
    file.seek(0)
    with av.open(file) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return torch.from_numpy(frame.astype(np.float32) / 255).permute(2, 0, 1)


def codings() -> dict[str, Callable[[Tensor], Tensor]]:
    table: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda picture: picture}
    table |= {f"JPEG {q}": partial(compress, quality=q, subsampling="420") for q in (85, 65)}
    table |= {f"VP8 {q}": partial(compress_as_video, quality=q) for q in (80, 65)}
    return table | ({f"H.264 {r}": partial(h264, rate_factor=r) for r in (12, 16, 20)} if av else {})


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
