"""By how much results differ from their views in colour and brightness, and what the guard does about it.

    python benchmarks/colour_shift.py DATA

DATA holds `dpdd-preview`, `pixel4` and `canon-r6`, as `results/guard.md` describes them. Three tables:

1. real pairs: the shift of each channel, result less mean of the views, after a low-pass of 48 pixels, in levels of
   255, and the colour in it (the largest difference of a channel to the mean of the three); how much of what the guard
   allows the largest difference takes; whether the guarded result is the same, bit for bit; and the guard's CPU time as
   a share of the run's;
2. damaged networks on crops of three of these pairs;
3. made views that are no photographs.

Of the last two: the share of the picture in which the guard mixed the views in, and the largest shift of colour (a
channel against the mean of the three) without and with it.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from dualpix.inference.comparison import BLOCK_PX, Comparison, compare
from dualpix.inference.deblur import as_sample, deblur_pair
from dualpix.inference.guard import excess, watch
from dualpix.pairs.brightness import match_brightness
from dualpix.pairs.sample import Sample
from dualpix.weights import checkpoint

SIDE = 448
PREVIEW = "dpdd-preview/test_l/source"
CROPS = (
    (f"{PREVIEW}/1P0A2170_L.png", 200, 500),
    (f"{PREVIEW}/1P0A1589_L.png", 200, 500),
    ("canon-r6/box/001/l.png", 0, 100),
)


def real_pairs(data: Path) -> Iterator[tuple[str, Path, Path]]:
    for left in sorted((data / "dpdd-preview/test_l/source").glob("*_L.png")):
        yield left.stem[:-2], left, right_of(left)
    for left in sorted((data / "pixel4").glob("*_L.png")):
        yield f"phone {left.stem[:-2]}", left, right_of(left)
    for left in sorted((data / "canon-r6").rglob("l.png")):
        yield " ".join(left.parent.relative_to(data / "canon-r6").parts), left, right_of(left)


def right_of(left: Path) -> Path:
    if left.name == "l.png":
        return left.with_name("r.png")
    return Path(str(left.with_name(left.name.replace("_L", "_R"))).replace("test_l", "test_r"))


def run(
    sample: Sample, network: nn.Module | checkpoint.Checkpoint, scale: str = "auto"
) -> tuple[Tensor, list[Tensor], int]:
    """The unguarded result, the views it is compared with, and the largest reduction."""
    done = deblur_pair(sample, network, precision="fp32", scale=scale, guard=False)
    return done.picture, list(match_brightness(sample["left"], sample["right"])[:2]), done.plan.scales[0]


def shifts(found: Comparison) -> Tensor:
    """Of each channel after a low-pass of three blocks, in levels, 3 h w."""
    return 255 * functional.avg_pool2d(found.shift[None], 3, 1, 1, count_include_pad=False)[0]


def colour(found: Comparison) -> float:
    shift = shifts(found)
    return float((shift - shift.mean(0)).abs().max())


def show_real(data: Path, opened: checkpoint.Checkpoint) -> None:
    print(
        "| pair | red, green, blue: mean | median | worst | colour: median, worst | of allowed | same bits | CPU time |"
    )
    print("|---|---|---|---|---|---:|---|---:|")
    for name, left, right in real_pairs(data):
        sample = as_sample(left, right)
        began = time.process_time()
        picture, views, reduction = run(sample, opened)
        ran_s = time.process_time() - began
        guarded, began = picture.clone(), time.process_time()
        seen = watch(guarded, views, name, reduction)
        guard_s = time.process_time() - began
        shift = shifts(compare(picture, views)).flatten(1)
        colours = (shift - shift.mean(0)).abs().amax(0)
        numbers = (shift.mean(1), shift.abs().median(1).values, shift.abs().amax(1))
        cells = [", ".join(f"{value:.2f}" for value in row.tolist()) for row in numbers]
        cells.append(f"{float(colours.median()):.2f}, {float(colours.max()):.2f}")
        taken = float(excess(compare(picture, views, BLOCK_PX * reduction)).max())
        same = "yes" if torch.equal(guarded, picture) and not seen.mixed_in else "no"
        print(f"| {name} | {' | '.join(cells)} | {taken:.2f} | {same} | {100 * guard_s / ran_s:.1f} % |", flush=True)


def damaged(network: nn.Module) -> dict[str, nn.Module]:
    return {
        **{f"weights shaken by {share:.0%}": shaken(network, share) for share in (0.1, 0.2, 0.3, 0.5)},
        **{f"weights of {bits} bits": coarse(network, bits) for bits in (5, 4, 3)},
        "red and blue exchanged": Altered(network, lambda picture: picture.flip(1)),
        "red a tenth too dark": Altered(network, lambda picture: picture * torch.tensor([0.9, 1, 1])[:, None, None]),
        "15 levels too dark": Altered(network, lambda picture: picture - 0.06),
        "coloured mosaic of 10 levels": Altered(network, lambda picture: picture + 0.04 * mosaic(picture)),
    }


class Altered(nn.Module):
    """A network whose output is spoilt."""

    def __init__(self, network: nn.Module, spoil: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.spec, self.spoil = network, network.spec, spoil
        self.spec = type(self.spec)(self.spec.views, self.spec.size_multiple, self.spec.receptive_radius_px)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.spoil(self.network(left, right))


def shaken(network: nn.Module, share: float) -> nn.Module:
    made, generator = copy.deepcopy(network), torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        spread = share * parameter.data.std(correction=0).nan_to_num()
        parameter.data += spread * torch.randn(parameter.shape, generator=generator)
    return made


def coarse(network: nn.Module, bits: int) -> nn.Module:
    """Its weights in steps of that many bits, as a careless conversion leaves them."""
    made = copy.deepcopy(network)
    for parameter in made.parameters():
        if parameter.ndim > 1:
            step = parameter.data.abs().max() / (2 ** (bits - 1) - 1)
            parameter.data = (parameter.data / step).round() * step
    return made


def mosaic(picture: Tensor) -> Tensor:
    down, across = (torch.arange(side) // 3 for side in picture.shape[-2:])
    sign = 1.0 - 2 * ((down[:, None] + across) % 2)
    return torch.stack([sign, -sign, 0 * sign])


def made_views() -> dict[str, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    down, across = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    ramp = across / SIDE

    def grey(plane: Tensor) -> Tensor:
        return plane.float().expand(3, -1, -1).contiguous()

    def twice(picture: Tensor) -> tuple[Tensor, Tensor]:
        other = picture.clone()
        other[:, 0, 0] = (other[:, 0, 0] - 0.004).abs()  # views that are the same are refused
        return picture, other

    def moved(picture: Tensor, by: int) -> tuple[Tensor, Tensor]:
        return picture, picture.roll(by, 2)

    def noise(level: float, deviation: float) -> tuple[Tensor, Tensor]:
        views = level + deviation * torch.randn(2, 3, SIDE, SIDE, generator=generator)
        return views[0].clamp(0, 1), views[1].clamp(0, 1)

    def checks(side: int) -> Tensor:
        return grey((down // side + across // side) % 2)

    ordered = torch.tensor([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]).add(0.5).div(16)
    dither = grey(ramp > ordered.repeat(SIDE // 4, SIDE // 4))
    columns = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]])
    bars = columns.float().T[:, across * 8 // SIDE].contiguous()
    return {
        "flat grey": twice(grey(torch.full((SIDE, SIDE), 0.5))),
        "black": twice(torch.zeros(3, SIDE, SIDE)),
        "white": twice(torch.ones(3, SIDE, SIDE)),
        "a gradient": twice(grey(ramp)),
        "dark noise as at ISO 6400": noise(0.06, 0.03),
        "noise alone": noise(0.5, 0.2),
        "colour bars at full saturation": twice(bars),
        "the same, 6 px apart": moved(bars, 6),
        "random dither, black and white": twice(grey(torch.rand(SIDE, SIDE, generator=generator) < ramp)),
        "ordered dither": twice(dither),
        "the same, 1 px apart": moved(dither, 1),
        "checks of 1 px": twice(checks(1)),
        "the same, 1 px apart ": moved(checks(1), 1),
        "checks of 8 px, 3 px apart": moved(checks(8), 3),
        "checks of 32 px": twice(checks(32)),
        "a black view and a white one": (torch.zeros(3, SIDE, SIDE), torch.ones(3, SIDE, SIDE)),
    }


def show_guarded(title: str, picture: Tensor, views: list[Tensor], reduction: int) -> None:
    before = colour(compare(picture, views))
    seen = watch(picture, views, title, reduction)
    after = colour(compare(picture, views))
    print(f"| {title} | {100 * seen.mixed_in:.0f} % | {before:.1f} | {after:.1f} |", flush=True)


def show_damaged(data: Path, opened: checkpoint.Checkpoint) -> None:
    print("| damaged network, crop | mixed in | colour, levels | guarded |\n|---|---:|---:|---:|")
    for title, network in damaged(opened.network).items():
        for place, top, start in CROPS:
            sample = as_sample(data / place, right_of(data / place))
            for side in ("left", "right"):
                sample[side] = sample[side][:, top : top + SIDE, start : start + SIDE].contiguous()
            show_guarded(f"{title}, {Path(place).parts[-1]}", *run(sample, network, "1"))


def show_made(data: Path, opened: checkpoint.Checkpoint) -> None:
    print("| made views | mixed in | colour, levels | guarded |\n|---|---:|---:|---:|")
    for title, (left, right) in made_views().items():
        show_guarded(title, *run({"left": left, "right": right, "name": title}, opened, "1"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default=checkpoint.DEFAULT_WEIGHTS)
    parser.add_argument("--tables", nargs="+", choices=("damaged", "made", "real"), default=["damaged", "made", "real"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    opened = checkpoint.load(arguments.weights)
    for name in arguments.tables:
        {"damaged": show_damaged, "made": show_made, "real": show_real}[name](arguments.data, opened)
        print()


if __name__ == "__main__":
    main()
