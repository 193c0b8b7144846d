"""A data set: a folder with `pairs.txt`, each line LEFT RIGHT SHARP."""

from pathlib import Path

import dualpix


class NumberedPairs:
    """The pairs in the order of the list."""

    looks = "a folder with pairs.txt, whose lines are LEFT RIGHT SHARP"

    def __init__(self, root, split=""):
        self.root, self.found = Path(root), "pairs listed in pairs.txt"
        self.lines = [line.split() for line in (self.root / "pairs.txt").read_text().splitlines()]

    @staticmethod
    def splits(root):
        return [""] if (Path(root) / "pairs.txt").is_file() else []

    def __len__(self):
        return len(self.lines)

    def __getitem__(self, index):
        left, right, sharp = (dualpix.read_picture(self.root / name).pixels for name in self.lines[index])
        return {
            "left": left,
            "right": right,
            "sharp": sharp,
            "center": (left + right) / 2,
            "name": self.lines[index][0],
        }
