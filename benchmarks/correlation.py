"""What the correlation of mccnet brings: where it looks, and the gain by blur radius with it at work and cut.

    python benchmarks/correlation.py --data ../shared/data -o OUT

Attention beside true disparity on the judge's simulated scenes, and beside the classic matcher on real pairs; the gain
over the mean of the views by blur radius, with what the correlation gathers as trained and replaced; and the whole row
against the window on photographs. Writes correlation.md and correlation.png into OUT. See `results/correlation.md`.
"""

import argparse
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import torch
from matplotlib import pyplot
from torch import Tensor, nn

from disparity_accuracy import TAMPERED, Gather, classic, told
from dualpix.evaluation.metrics import measure
from dualpix.inference.colours import signed_colours
from dualpix.inference.disparity import Disparity, disparity, scale_px
from dualpix.networks.layers.correlation import correlate_rows
from dualpix.networks.mccnet import model as mccnet
from dualpix.pairs.sample import Sample
from dualpix.weights import checkpoint
from judging import scenes
from judging.items import Item, prepared, previews, uncoded

STORE = Path(__file__).parents[1] / "runs" / "judge"
RADII_PX = (0, 1, 3, 7, 10, 30)
SIZE = (256, 320)
STRIP_ROWS = 128
PARTS = ("picture", "errors", "gains", "rows")
CUTS = {
    "as trained": "as trained",
    "centre only: what lies straight across": "every pixel looks straight across, at its own column",
    "its own view, straight across": "it gathers from its own view, at its own column",
    "zeros": "it gathers zeros",
}
"""Ways of cutting the correlation, at both scales at once, by keys of `TAMPERED`."""


def middle(picture: Tensor, size: tuple[int, int]) -> Tensor:
    top, left = ((have - want) // 2 for have, want in zip(picture.shape[-2:], size, strict=True))
    return picture[..., top : top + size[0], left : left + size[1]].contiguous()


def simulated(data: Path, numbers: Iterable[int]) -> Iterator[Sample]:
    """Windows of the judge's scenes, with `radius_px` and `disparity_px`, H W."""
    for number in numbers:
        made = prepared(Item("simulated", number, "uncoded"), data, STORE)
        views = {name: middle(torch.from_numpy(made[name]).float() / 255, SIZE) for name in ("left", "right", "sharp")}
        blur_px = middle(torch.from_numpy(made["blur_px"]).float(), SIZE)
        rho = scenes.SCENES[number].lens.rho
        yield {**views, "radius_px": blur_px.abs(), "disparity_px": rho * blur_px, "name": f"scene {number}"}


def real(data: Path) -> Iterator[Sample]:
    """Windows of two previews and one pair of the phone."""
    for number in (2, 4):
        sample = previews(data)[number]
        views = {name: middle(sample[name], SIZE) for name in ("left", "right")}
        yield {**views, "name": f"preview {sample['name']}"}
    tools = uncoded(data)
    name, paths, _ = next(iter(tools.pairs()))
    left, right = (torch.from_numpy(tools.read(path)).float().expand(3, -1, -1) for path in paths)
    yield {"left": middle(left, SIZE), "right": middle(right, SIZE), "name": f"phone {name}"}


def output(network: nn.Module, left: Tensor, right: Tensor, gather: Gather | None = None) -> Tensor:
    chosen = gather or correlate_rows
    with torch.no_grad(), patch.object(mccnet, "correlate_rows", chosen):
        made: Tensor = network(left[None], right[None])[0].clamp(0, 1)
    return made


def gains(network: nn.Module, samples: list[Sample]) -> Iterator[str]:
    """Gain over the mean of the views in dB, all scenes together, by class of blur radius."""
    radius = torch.stack([sample["radius_px"] for sample in samples])
    parts = [(radius >= low) & (radius < high) for low, high in pairwise(RADII_PX)]
    before = squared([(sample["left"] + sample["right"]) / 2 for sample in samples], samples)
    names = [f"{low} to {high} px" for low, high in pairwise(RADII_PX)]
    shares = [f"{name} ({float(part.float().mean()):.0%})" for name, part in zip(names, parts, strict=True)]
    yield f"| correlation | all | {' | '.join(shares)} |"
    yield "|---|---:|" + "---:|" * len(parts)
    for name, key in CUTS.items():
        after = squared([output(network, s["left"], s["right"], TAMPERED[key]) for s in samples], samples)
        whole = torch.ones_like(radius, dtype=torch.bool)
        cells = [float(10 * torch.log10(before[part].mean() / after[part].mean())) for part in (whole, *parts)]
        yield f"| {name} | {' | '.join(f'{cell:+.2f}' for cell in cells)} |"


def squared(pictures: list[Tensor], samples: list[Sample]) -> Tensor:
    return torch.stack([(x - s["sharp"]).square().mean(0) for x, s in zip(pictures, samples, strict=True)])


def errors(networks: dict[str, nn.Module], samples: list[Sample]) -> Iterator[str]:
    """How right the attention's disparity is."""
    yield "| disparity | mean px | median px | within 0.5 px |"
    yield "|---|---:|---:|---:|"
    truth = torch.stack([sample["disparity_px"] for sample in samples])
    for name, network in networks.items():
        found = torch.stack([look(network, sample).disparity_px[0] for sample in samples])
        yield f"| attention of {name} | {told((found - truth).abs().flatten())} |"
    yield f"| always 0 | {told(truth.abs().flatten())} |"


def look(network: nn.Module, sample: Sample) -> Disparity:
    with torch.no_grad():
        return disparity(sample["left"], sample["right"], network)


def rows_and_windows(network: nn.Module, data: Path) -> Iterator[str]:
    """Strips of whole rows of the previews: fitted PSNR with the window that was trained, and with whole rows."""
    window = network.cc1.max_disparity, network.cc2.max_disparity
    yield f"| preview | window of {window[0]}, dB / SSIM | whole row, dB / SSIM | change, dB | mean change of a pixel |"
    yield "|---|---:|---:|---:|---:|"
    found = []
    for number in range(len(previews(data))):
        sample = previews(data)[number]
        columns = sample["left"].shape[-1] // 16 * 16  # which needs no padding
        left, right, sharp = (middle(sample[name], (STRIP_ROWS, columns)) for name in ("left", "right", "sharp"))
        made = [output(network, left, right)]
        network.cc1.max_disparity = network.cc2.max_disparity = None
        made.append(output(network, left, right))
        network.cc1.max_disparity, network.cc2.max_disparity = window
        scores = [measure(picture, sharp, "dpdd-8bit") for picture in made]
        numbers = [(score["psnr-fitted"], score["ssim"]) for score in scores]
        moved = float((made[0] - made[1]).abs().mean())
        found.append((*numbers[0], *numbers[1], moved))
        yield row(str(sample["name"]), *found[-1])
    yield row("mean", *torch.tensor(found).mean(0).tolist())


def row(name: str, near: float, near_ssim: float, far: float, far_ssim: float, moved: float) -> str:
    return f"| {name} | {near:.2f} / {near_ssim:.4f} | {far:.2f} / {far_ssim:.4f} | {far - near:+.3f} | {moved:.5f} |"


def draw(networks: dict[str, nn.Module], samples: list[Sample], path: Path) -> None:
    pyplot.rcParams.update({"font.size": 8, "axes.titlesize": 8})
    size = (len(samples), 3 + len(networks))
    figure, axes = pyplot.subplots(*size, figsize=(2.3 * size[1], 2 * size[0]), layout="constrained")
    for line, sample in zip(axes, samples, strict=True):
        for axis, (title, picture) in zip(line, shown(networks, sample), strict=True):
            axis.imshow(picture.permute(1, 2, 0).numpy())
            axis.set(title=title, xticks=[], yticks=[])
    figure.savefig(path, dpi=70)


def shown(networks: dict[str, nn.Module], sample: Sample) -> Iterator[tuple[str, Tensor]]:
    """A line of the picture: titles, and 3 H W."""
    known = "disparity_px" in sample
    beside = sample["disparity_px"] if known else classic(next(iter(networks.values())), sample)[0]
    most = scale_px(Disparity(beside[None], torch.ones_like(beside[None])))
    yield f"{sample['name']}, mean of the views", (sample["left"] + sample["right"]) / 2
    yield f"{'true disparity' if known else 'classic matcher'}, red +{most:.1f} px", signed_colours(beside, most)
    found = {name: look(network, sample) for name, network in networks.items()}
    for name, one in found.items():
        yield f"attention of {name}", signed_colours(one.disparity_px[0], most)
    yield f"confidence of {next(iter(found))}", found[next(iter(found))].confidence.expand(3, -1, -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--weights", nargs="+", default=["mccnet", "mccnet-fast"], help="the first is mccnet's")
    parser.add_argument("--scenes", type=int, nargs="+", default=list(range(len(scenes.SCENES))))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=f"of {PARTS}")
    parser.add_argument("--shown", type=int, nargs="+", default=[0, 1], help="scenes to draw")
    parser.add_argument("-o", "--output", type=Path, default=Path("correlation"))
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    networks = {name: checkpoint.load(name).network for name in asked.weights}
    first = networks[asked.weights[0]]
    samples = list(simulated(asked.data, asked.scenes))
    if "picture" in asked.parts:
        draw(networks, [*simulated(asked.data, asked.shown), *real(asked.data)], asked.output / "correlation.png")
    tables = {
        "errors": errors(networks, samples),
        "gains": gains(first, samples),
        "rows": rows_and_windows(first, asked.data),
    }
    lines = []
    for part in (name for name in tables if name in asked.parts):
        for line in (*tables[part], ""):
            print(line, flush=True)
            lines.append(line)
        (asked.output / "correlation.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
