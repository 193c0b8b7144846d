"""The worst places of a method's pictures, cut out beside the input and the sharp picture.

    python benchmarks/failure_atlas.py DATA OUTPUTS --atlas results/failures.jpg
    dualpix simulate ... -o SIM && dualpix evaluate SIM -o E && python benchmarks/failure_atlas.py SIM E/mccnet-fast ...

OUTPUTS is a folder with one picture for each scene. A place is bad by what is left of the blur's error there (after a
colour fit of the whole picture), among places where much of it should have gone: the error of the output over that of
the input, times the input's error. At most two places come from one scene. What is wrong with each is for eyes to say.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.datasets import open_dataset
from dualpix.datasets.outputs import PicturesIn
from dualpix.evaluation import blurred
from dualpix.io import write_picture

SIDE_PX = 112
ENLARGED = 2
PER_SCENE = 2


def fitted(output: Tensor, sharp: Tensor) -> Tensor:
    """Least squares, 3 x 4, to the sharp picture."""
    samples = torch.cat([output.flatten(1), torch.ones(1, output[0].numel())]).T.double()
    wanted = sharp.flatten(1).T.double()
    fit = torch.linalg.solve(samples.T @ samples, samples.T @ wanted)
    return (samples @ fit).T.reshape(sharp.shape).float().clamp(0, 1)


def errors(picture: Tensor, sharp: Tensor) -> Tensor:
    """Root mean square error of each square of a grid of half a side."""
    squared = (picture - sharp).square().mean(0)[None, None]
    return F.avg_pool2d(squared, SIDE_PX, SIDE_PX // 2)[0, 0].sqrt()


def worst(score: Tensor, count: int) -> list[tuple[float, int, int]]:
    """The `count` largest, no two of which overlap: (score, top, left)."""
    score, found = score.clone(), []
    for _ in range(count):
        row, column = divmod(int(score.argmax()), score.shape[1])
        found.append((float(score[row, column]), row * SIDE_PX // 2, column * SIDE_PX // 2))
        score[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = -1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--atlas", type=Path, required=True, help="where the picture goes")
    parser.add_argument("--places", type=int, default=6)
    asked = parser.parse_args()
    dataset, outputs = open_dataset(asked.data), PicturesIn(asked.outputs)
    places = []
    for number in range(len(dataset)):
        sample = dataset[number]
        sharp = sample["sharp"]
        before, after = fitted(blurred(sample), sharp), fitted(outputs(sample), sharp)
        for score, top, left in worst(errors(after, sharp) ** 2 / errors(before, sharp).clamp_min(1e-4), PER_SCENE):
            cuts = [picture[:, top : top + SIDE_PX, left : left + SIDE_PX] for picture in (before, after, sharp)]
            noise = [255 * float((cut - cuts[2]).square().mean().sqrt()) for cut in cuts[:2]]
            places.append((score, f"{sample['name']}, {left}, {top}", noise, torch.cat(cuts, -1)))
    places.sort(key=lambda place: -place[0])
    print("| no. | scene, left, top | error before | after, levels |\n|---:|---|---:|---:|")
    for number, (_, where, noise, _) in enumerate(places[: asked.places], 1):
        print(f"| {number} | {where} | {noise[0]:.1f} | {noise[1]:.1f} |")
    strips = [place[3] for place in places[: asked.places]]
    atlas = F.interpolate(torch.cat(strips, 1)[None], scale_factor=ENLARGED, mode="nearest")[0]
    write_picture(asked.atlas, atlas, depth=8, overwrite=True)


if __name__ == "__main__":
    main()
