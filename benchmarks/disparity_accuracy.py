"""How right is the disparity that the cross-correlation finds, and does the network need the correlation at all?

    python benchmarks/disparity_accuracy.py --photos photos/kodak -o OUT

On simulated scenes, whose truth is known: the network's attention, the classic matcher and the block matching of the
pair check side by side; then the network's PSNR with its correlation tampered with. Writes disparity.md and
disparity.png into OUT.
"""

import argparse
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch
from warnings import simplefilter

import torch
from matplotlib import pyplot
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.classical.joint import match_disparity
from dualpix.errors import DataError
from dualpix.evaluation.metrics import psnr
from dualpix.inference.colours import signed_colours
from dualpix.inference.deblur import deblur
from dualpix.inference.disparity import Disparity, disparity, scale_px
from dualpix.inference.finder import REACH_PX
from dualpix.networks.layers.correlation import correlate_rows
from dualpix.networks.mccnet import model as mccnet
from dualpix.networks.mccnet_fast import model as mccnet_fast
from dualpix.pairs.matching import match_blocks
from dualpix.pairs.sample import Sample
from dualpix.simulation.photos import read_photos
from dualpix.simulation.samples import Simulated
from dualpix.weights import checkpoint

SIZE = 256
SURE = 0.5
BLUR_PX = (0, 2, 5, 10, 40)
TEXTURE = (0, 0.003, 0.01, 1)  # mean difference of luminance between neighbours along the row
Map = tuple[Tensor, Tensor]  # disparity and confidence, H W each


def draw_scenes(photos: list[Path], count: int, seed: int) -> list[Sample]:
    """Each with a lens of its own, and its true `disparity_px`, 1 H W."""
    sources = read_photos(photos)
    scenes = []
    for number in range(count):
        simulated = Simulated(sources, SIZE, 1, seed + number, sharp_aperture=4 / 22)
        sample = simulated[0]
        scenes.append({**sample, "disparity_px": simulated.lens(0).rho * sample["blur_px"]})
    return scenes


def looks(network: nn.Module, sample: Sample) -> Tensor:
    """Attention 2 K H/2 W/2: of the left view in the right one, and of the right one in the left."""
    found: Tensor = network.log_attention(sample["left"][None], sample["right"][None], REACH_PX).exp()
    return found


def one_look(network: nn.Module, sample: Sample) -> Map:
    """The mean offset of each pixel's own attention, from either view, and the attention's largest weight."""
    found = looks(network, sample)
    offsets = 2 * (torch.arange(found.shape[1]) - found.shape[1] // 2)[:, None, None]
    forth, back = (found * offsets).sum(1)
    half = torch.stack([(forth - back) / 2, found.amax(1).mean(0)])
    full = F.interpolate(half[None], scale_factor=2, mode="bilinear")[0]
    return full[0], full[1]


def together(network: nn.Module, sample: Sample) -> Map:
    found = disparity(sample["left"], sample["right"], network)
    return found.disparity_px[0], found.confidence[0]


def classic(_: nn.Module, sample: Sample) -> Map:
    try:
        return match_disparity(sample["left"], sample["right"])
    except DataError:  # nothing to match anywhere
        return torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)


def blocks(_: nn.Module, sample: Sample) -> Map:
    """The nearest trusted block's; as confident as it is near."""
    found = match_blocks(sample["left"], sample["right"])
    if not len(found.across):
        return torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    away = torch.hypot(y[..., None] - found.rows, x[..., None] - found.columns)  # H W N
    nearest, which = away.min(-1)
    return found.across[which], (nearest < 24).float()


def nothing(_: nn.Module, sample: Sample) -> Map:
    return torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)


METHODS: dict[str, Callable[[nn.Module, Sample], Map]] = {
    "attention, put together (`dualpix.disparity`)": together,
    "attention, each pixel's own mean": one_look,
    "classic matcher (`classical.joint`)": classic,
    "block matching of the pair check": blocks,
    "always 0": nothing,
}


def texture_of(sample: Sample) -> Tensor:
    change = (sample["left"] + sample["right"]).mean(0).diff(dim=-1).abs() / 2
    return F.avg_pool2d(F.pad(change, (1, 0))[None], 21, 1, 10, count_include_pad=False)[0]


def told(errors: Tensor) -> str:
    if not len(errors):
        return "– | – | –"
    return f"{errors.mean():.2f} | {errors.median():.2f} | {(errors < 0.5).float().mean():.0%}"


def accuracy(scenes: list[Sample], maps: dict[str, list[Map]]) -> Iterable[str]:
    truth = torch.stack([scene["disparity_px"][0] for scene in scenes])
    errors = {name: (torch.stack([d for d, _ in found]) - truth).abs() for name, found in maps.items()}
    yield "| method | mean px | median px | within 0.5 px | sure of | mean px | median px | within 0.5 px |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for name, error in errors.items():
        sure = torch.stack([confidence for _, confidence in maps[name]]) > SURE
        yield f"| {name} | {told(error.flatten())} | {sure.float().mean():.0%} | {told(error[sure])} |"
    blur = torch.stack([scene["blur_px"][0] for scene in scenes]).abs()
    texture = torch.stack([texture_of(scene) for scene in scenes])
    for what, values, edges in (("blur radius, px", blur, BLUR_PX), ("texture", texture, TEXTURE)):
        parts = [(values >= low) & (values < high) for low, high in pairwise(edges)]
        names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
        yield f"\nMedian error in px (share within 0.5 px) by {what}:\n"
        heads = [f"{name} ({part.float().mean():.0%})" for name, part in zip(names, parts, strict=True)]
        yield f"| method | {' | '.join(heads)} |"
        yield "|---|" + "---:|" * len(parts)
        for name, error in errors.items():
            cells = [f"{error[p].median():.2f} ({(error[p] < 0.5).float().mean():.0%})" for p in parts]
            yield f"| {name} | {' | '.join(cells)} |"


Gather = Callable[..., Tensor]
TAMPERED: dict[str, Gather | None] = {
    "as trained": None,
    "every pixel looks straight across, at its own column": lambda q, k, v, *rest: v,
    "it looks everywhere in its window alike": lambda q, k, v, *rest: correlate_rows(0 * q, k, v, *rest),
    "it gathers from its own view, at its own column": lambda q, k, v, *rest: v.roll(len(v) // 2, 0),
    "it gathers zeros": lambda q, k, v, *rest: torch.zeros_like(v),
}


def needed(network: nn.Module, scenes: list[Sample]) -> Iterable[str]:
    """PSNR with what the correlation gathers replaced, at both scales, without training anew."""
    yield "| correlation | PSNR, dB | change |"
    yield "|---|---:|---:|"
    whole = 0.0
    for name, gather in TAMPERED.items():
        with torch.no_grad():
            score = mean_psnr(network, scenes, gather)
        whole = whole if gather else score
        yield f"| {name} | {score:.2f} | {score - whole:+.2f} |"
    means = [(scene["left"] + scene["right"]) / 2 for scene in scenes]
    # Two equal views would be refused.
    still = [{**s, "left": m, "right": m + 1e-6 * (m < 0.5)} for s, m in zip(scenes, means, strict=True)]
    score = mean_psnr(network, still, None)
    yield f"| as trained, but both views are their mean: no disparity at all | {score:.2f} | {score - whole:+.2f} |"
    score = sum(psnr(m, s["sharp"]) for s, m in zip(scenes, means, strict=True)) / len(scenes)
    yield f"| (the mean of the views, not deblurred) | {score:.2f} | {score - whole:+.2f} |"


def mean_psnr(network: nn.Module, scenes: list[Sample], gather: Gather | None) -> float:
    chosen = gather or correlate_rows
    with patch.object(mccnet, "correlate_rows", chosen), patch.object(mccnet_fast, "correlate_rows", chosen):
        return sum(psnr(deblur(s["left"], s["right"], network), s["sharp"]) for s in scenes) / len(scenes)


def draw(network: nn.Module, scenes: list[Sample], maps: dict[str, list[Map]], shown: list[int], path: Path) -> None:
    """Scenes as rows of maps; below, what marked pixels of the first one look at."""
    pyplot.rcParams.update({"font.size": 8, "axes.titlesize": 8})
    figure, axes = pyplot.subplots(len(shown) + 1, 5, figsize=(11, 2.25 * (len(shown) + 1)), layout="constrained")
    names = list(maps)
    for row, number in enumerate(shown):
        scene, truth = scenes[number], scenes[number]["disparity_px"][0]
        ours, sure = maps[names[0]][number]
        most = scale_px(Disparity(truth[None], torch.ones_like(truth[None])))
        pictures = {
            "mean of the views": (scene["left"] + scene["right"]) / 2,
            f"true disparity, white 0, red +{most:.1f} px": signed_colours(truth, most),
            "found by attention": signed_colours(ours, most),
            "found by the classic matcher": signed_colours(maps[names[2]][number][0], most),
            "attention's confidence": sure.expand(3, -1, -1),
        }
        for axis, (title, picture) in zip(axes[row], pictures.items(), strict=True):
            axis.imshow(picture.permute(1, 2, 0).numpy())
            axis.set(title=title, xticks=[], yticks=[])
    attention, scene = looks(network, scenes[shown[0]]), scenes[shown[0]]
    offsets = 2 * (torch.arange(attention.shape[1]) - attention.shape[1] // 2)
    for axis, (mark, (y, x)) in zip(axes[-1], zip("ABCDE", marked(scene), strict=True), strict=True):
        axes[0, 0].text(x, y, mark, color="yellow", ha="center", va="center", weight="bold")
        truth = float(scene["disparity_px"][0, y, x])
        axis.axvline(truth, color="k", label="truth")
        axis.axvline(float(maps[names[0]][shown[0]][0][y, x]), color="C2", ls="--", label="put together")
        # The left view sees the point half the disparity further left, the right view as much further right.
        columns = [min(max(round((x + side * truth / 2) / 2), 0), SIZE // 2 - 1) for side in (-1, 1)]
        axis.plot(offsets, attention[0, :, y // 2, columns[0]], "C0.-", label="left's look")
        axis.plot(offsets, attention[1, :, y // 2, columns[1]].flip(0), "C1.-", label="right's look, turned")
        axis.set(title=f"attention of pixel {mark}", xlabel="px", ylim=(0, 1))
    axes[-1, 0].legend(fontsize=6)
    figure.savefig(path, dpi=70)


def marked(scene: Sample) -> list[tuple[int, int]]:
    """A pixel with much texture, out of focus if any is, in each of four strips; the least textured of a fifth. All
    away from edges of depth, where blurred things cover others in part and no single disparity is the true one."""
    truth = scene["disparity_px"]
    uneven = F.max_pool2d(truth, 25, 1, 12) + F.max_pool2d(-truth, 25, 1, 12) > 1
    texture = texture_of(scene) * (0.2 + truth[0].abs()) + 1e-6
    places = []
    for number, top in enumerate(range(24, 224, 40)):
        strip = texture[top : top + 40, 24:232].where(~uneven[0, top : top + 40, 24:232], 9.0 if number == 4 else 0.0)
        index = int(strip.argmin() if number == 4 else strip.argmax())
        places.append((top + index // strip.shape[1], 24 + index % strip.shape[1]))
    return places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--weights", default="mccnet-fast", help="name or file of weights")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=900)
    parser.add_argument("--shown", type=int, nargs="+", default=[0, 1, 2], help="scenes to draw")
    parser.add_argument("-o", "--output", type=Path, default=Path("disparity"))
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    network = checkpoint.load(asked.weights).network
    scenes = draw_scenes(asked.photos, asked.scenes, asked.seed)
    with torch.no_grad():
        maps = {name: [method(network, scene) for scene in scenes] for name, method in METHODS.items()}
        draw(network, scenes, maps, asked.shown, asked.output / "disparity.png")
    lines = list(accuracy(scenes, maps))
    print("\n".join(lines), flush=True)
    simplefilter("ignore")  # pairs without disparity look odd, as they should here
    lines += ["", *needed(network, scenes)]
    print("\n".join(lines[-len(TAMPERED) - 4 :]))
    (asked.output / "disparity.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
