"""Whether upright pairs give the pictures of lying ones, and whether pairs are told from what is none, on real pairs.

    python benchmarks/upright.py DATA
    python benchmarks/upright.py DATA --parts noise verdicts        # without deblurring

DATA holds dpdd-preview, canon-r6 and pixel4, or some of them. Each pair is turned by 90 and by 270 degrees, as programs
that export do, written, read again with nothing said of how it lies, and deblurred; the levels of its 8-bit PNG are
compared with those of the lying pair's, turned. Then what is no pair, made of each: `CASES` says how, and which
verdicts are right. All in fp32, with the default weights.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import torch
from torch import Tensor

from dualpix.inference.options import DeblurOptions
from dualpix.inference.pipeline import deblur_views, output_profile, save_result
from dualpix.io import read_picture, write_picture
from dualpix.pairs import inspect_views, lay_along_rows, open_views
from dualpix.pairs.brightness import match_brightness
from dualpix.pairs.verdict import EITHER, GOOD, IN_FOCUS, UNKNOWN, VERDICTS, Inspection
from dualpix.weights import checkpoint

Views = tuple[Tensor, Tensor]
PARTS = ("pictures", "noise", "verdicts")
PAIR = {GOOD, EITHER, IN_FOCUS}
"""What stops nothing."""
OPTIONS = DeblurOptions(precision="fp32", force=True, depth=8)


def find(data: Path) -> Iterator[tuple[str, Path, Path]]:
    """The name and the files of each pair: views by the order of their names, for those of DPDD's frames differ."""
    lefts, rights = (sorted((data / "dpdd-preview" / f"test_{side}" / "source").glob("*.png")) for side in "lr")
    yield from ((f"DPDD {left.stem}", left, right) for left, right in zip(lefts, rights, strict=True))
    for left in sorted((data / "canon-r6").rglob("l.png")):
        yield f"R6 {left.parent.relative_to(data / 'canon-r6')}", left, left.with_name("r.png")
    for left in sorted((data / "pixel4").glob("*_L.png")):
        yield f"Pixel 4 {left.stem.removesuffix('_L')}", left, left.with_name(left.name.replace("_L", "_R"))


def coded(view: Tensor, quality: int) -> Tensor:
    levels = (255 * view).round().byte().permute(1, 2, 0).contiguous().numpy()
    decoded = imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(levels, level=quality))
    return torch.from_numpy(decoded / np.float32(255)).permute(2, 0, 1)


def moved(view: Tensor, across: int, down: int = 0) -> Tensor:
    return view.roll((down, across), (1, 2))


def noise(views: Views, sigma: float) -> Views:
    dice = torch.Generator().manual_seed(0)
    left, right = ((view + sigma / 255 * torch.randn(view.shape, generator=dice)).clamp(0, 1) for view in views)
    return left, right


def static(views: Views) -> Views:
    dice = torch.Generator().manual_seed(0)
    left, right = (torch.rand(view.shape, generator=dice) for view in views)
    return left, right


def smooth(views: Views) -> Views:
    ramp = torch.linspace(0.3, 0.7, views[0].shape[2]).expand_as(views[0])
    return noise((ramp, ramp), 1)


CASES: dict[str, tuple[Callable[[Views], Views], set[str]]] = {
    "the pair itself": (lambda views: views, PAIR),
    "with noise of 10 levels": (lambda views: noise(views, 10), PAIR | {UNKNOWN}),
    "both views at JPEG 80": (lambda views: (coded(views[0], 80), coded(views[1], 80)), PAIR),
    "right view 1 / 1.24 as bright": (lambda views: (views[0], views[1] / 1.24), PAIR),
    "right view 1 / 3 as bright": (lambda views: (views[0], views[1] / 3), {VERDICTS["brightness"]}),
    "views exchanged": (lambda views: (views[1], views[0]), {VERDICTS["swapped"], EITHER, IN_FOCUS}),
    "left view, saved at JPEG 95 and 80": (lambda v: (coded(v[0], 95), coded(v[0], 80)), {VERDICTS["still"], UNKNOWN}),
    "left view, itself and at JPEG 60": (lambda v: (v[0], coded(v[0], 60)), {VERDICTS["still"], UNKNOWN}),
    "left view with noise of 4 levels twice": (
        lambda views: noise((views[0], views[0]), 4),
        {VERDICTS["still"], IN_FOCUS, UNKNOWN},
    ),
    "right view moved down by 8 px": (lambda v: (v[0], moved(v[1], 0, 8)), {VERDICTS["misaligned"]}),
    "views of two photographs": (lambda views: (views[0], views[1].flip(1)), {VERDICTS["strange"], UNKNOWN}),
    "nothing but noise": (static, {UNKNOWN}),
    "a smooth ramp": (smooth, {UNKNOWN}),
}
"""From a name to how it is made of a pair, and the verdicts that are right of it."""
SHARP_CASES: dict[str, tuple[Callable[[Tensor], Views], set[str]]] = {
    "sharp picture moved by 4 px": (lambda sharp: (sharp, moved(sharp, 4)), {VERDICTS["stereo"], UNKNOWN}),
    "sharp picture moved by 10 px": (lambda sharp: (sharp, moved(sharp, 10)), {VERDICTS["stereo"], UNKNOWN}),
    "sharp picture moved by -10 px": (lambda sharp: (sharp, moved(sharp, -10)), {VERDICTS["stereo"], UNKNOWN}),
    "sharp picture moved down by 8 px": (lambda sharp: (sharp, moved(sharp, 0, 8)), {VERDICTS["misaligned"]}),
}
"""Of the sharp pictures that belong to the pairs."""


def sharp_pictures(data: Path) -> list[Path]:
    of_dpdd = sorted((data / "dpdd-preview" / "test_c" / "target").glob("*.png"))
    return of_dpdd + sorted((data / "pixel4").glob("*_sharp.png"))


def pictures(found: list[tuple[str, Path, Path]]) -> None:
    print("| pair | turned by | laid back by | lies as it did | asked about | levels of the picture that differ |")
    print("|---|---:|---:|---|---|---:|")
    opened = checkpoint.load(checkpoint.DEFAULT_WEIGHTS)
    with tempfile.TemporaryDirectory() as folder:
        for name, left, right in found:
            lying = open_views(left, right)
            expected = levels(lying, opened, Path(folder))
            for turns in (1, 3):
                paths = [Path(folder) / f"{side}.png" for side in ("l", "r")]
                for path, file in zip(paths, (left, right), strict=True):
                    view = read_picture(file)
                    turned = torch.rot90(view.pixels, turns, (1, 2))
                    write_picture(path, turned, view.depth, overwrite=True, grey=view.grey)
                views = open_views(*paths)
                same = views["left"].equal(lying["left"]) and views["right"].equal(lying["right"])
                differ = _differ(levels(views, opened, Path(folder)), expected, turns)
                back = 90 * views["quarter_turns"]
                asked = ", ".join(views["inspection"].odd)
                print(
                    f"| {name} | {90 * turns} | {back} | {'yes' if same else 'no'} | {asked} | {differ} |", flush=True
                )


def levels(views: dict, opened: checkpoint.Checkpoint, folder: Path) -> np.ndarray:
    """The levels of the file that is written of the views, H x W x 3."""
    done = deblur_views(views, opened, OPTIONS)
    save_result(folder / "made.png", done.picture, output_profile(views, opened, OPTIONS), overwrite=True)
    return imagecodecs.png_decode((folder / "made.png").read_bytes())


def _differ(made: np.ndarray, lying: np.ndarray, turns: int) -> str:
    turned = np.rot90(lying, turns)
    return str(int((made != turned).sum())) if made.shape == turned.shape else "all"


def verdicts(found: list[tuple[str, Path, Path]], data: Path) -> None:
    pairs = [tuple(read_picture(path).pixels for path in files) for _, *files in found]
    sharp = [read_picture(path).pixels for path in sharp_pictures(data)]
    told: dict[str, tuple[list[Inspection], set[str]]] = {}
    told |= {name: ([inspect_views(*make(pair)) for pair in pairs], right) for name, (make, right) in CASES.items()}
    told |= {name: ([inspect_views(*make(one)) for one in sharp], right) for name, (make, right) in SHARP_CASES.items()}
    print("\n| made of each | right | what is said |\n|---|---:|---|")
    for name, (inspections, right) in told.items():
        words = [found.verdict for found in inspections]
        counts = ", ".join(f"{word}: {words.count(word)}" for word in dict.fromkeys(words))
        print(f"| {name} | {sum(word in right for word in words)} of {len(words)} | {counts} |")
    ratios = [float(left.mean() / match_brightness(left, right / 1.24)[1].mean()) for left, right in pairs]
    print(f"\nViews 1.24 apart in brightness are {min(ratios):.3f} to {max(ratios):.3f} apart when matched.")
    before = [match_brightness(*pair)[2] for pair in pairs]
    print(f"Pairs whose brightness is changed as they are: {sum(map(bool, before))} of {len(pairs)}.")


def turned_noisy(found: list[tuple[str, Path, Path]]) -> None:
    print("\n| noise, levels | turned pairs laid as they lay | asked | left upright | laid upside down |")
    print("|---:|---:|---:|---:|---:|")
    pairs = [tuple(read_picture(path).pixels for path in files) for _, *files in found]
    for sigma in (0, 5, 10, 20):
        counts = dict.fromkeys(("right", "asked", "none", "wrong"), 0)
        for pair in pairs:
            left, right = noise(pair, sigma)
            for turns in (1, 3):
                laid = lay_along_rows(
                    {"left": torch.rot90(left, turns, (1, 2)), "right": torch.rot90(right, turns, (1, 2))}
                )
                back = (laid["quarter_turns"] + turns) % 4
                asked = "upright" in laid["inspection"].odd
                kind = "none" if not laid["quarter_turns"] else "asked" if asked else "wrong" if back else "right"
                counts[kind] += 1
        cells = " | ".join(map(str, counts.values()))
        print(f"| {sigma} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--only", default="", metavar="NAME", help="pairs whose name begins so, such as DPDD")
    asked = parser.parse_args()
    found = [one for one in find(asked.data) if one[0].startswith(asked.only)]
    if "pictures" in asked.parts:
        pictures(found)
    if "noise" in asked.parts:
        turned_noisy(found)
    if "verdicts" in asked.parts:
        verdicts(found, asked.data)


if __name__ == "__main__":
    main()
