"""Cut the middle out of every picture of a data set, so that slow methods can be compared on it in minutes.

    python benchmarks/centre_crops.py DATA --side 512 -o DATA-512

The folders of DATA are kept. Scores of crops are not those of whole pictures: compare them among themselves only.
"""

import argparse
from pathlib import Path

from dualpix.io import read_picture, write_picture

SUFFIXES = (".png", ".tif", ".tiff", ".jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    for path in sorted(path for path in given.data.rglob("*") if path.suffix.lower() in SUFFIXES):
        picture = read_picture(path)
        height, width = picture.pixels.shape[-2:]
        top, left = max(0, height - given.side) // 2, max(0, width - given.side) // 2
        middle = picture.pixels[:, top : top + given.side, left : left + given.side]
        goal = (given.output / path.relative_to(given.data)).with_suffix(".png")
        goal.parent.mkdir(parents=True, exist_ok=True)
        write_picture(goal, middle, picture.depth)


if __name__ == "__main__":
    main()
