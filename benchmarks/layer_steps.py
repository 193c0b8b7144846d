"""How far each layer could step: what a network's loss does along every layer's own step, longer and longer.

    python benchmarks/layer_steps.py mccnet --photos photos/cid22

For each layer the root mean square of its weights, of its output, the loss's slope along the step of Muon (or for the
few matrices that Muon leaves to AdamW, along the signs), for a rate of 1, and by how much the loss changes (in
thousandths) for rates of 0.001, 0.004 and 0.016, all on one batch of simulated crops. A layer whose loss rises at the
rate it is trained with shakes the picture at every step; one without slope has stopped learning.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from dualpix.training.feed import Feed
from dualpix.training.losses import mix
from dualpix.training.optimisers import Muon, orthogonal
from dualpix.training.recipes import find_recipe
from dualpix.training.sources import open_sources
from dualpix.weights import checkpoint

RATES = (1e-3, 4e-3, 1.6e-2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="a name or a file")
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--scenes", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--crops", type=int, default=12)
    given = parser.parse_args()
    network = checkpoint.load(given.weights).network.requires_grad_(True)
    batch = draw(given.photos, given.scenes, given.crops, tuple(network.spec.views))
    outputs: dict[str, float] = {}
    for name, layer in network.named_modules():
        layer.register_forward_hook(partial(note, outputs, name))

    def loss() -> Tensor:
        return mix(network(*(batch[view] for view in network.spec.views)), batch["sharp"])

    first = loss()
    first.backward()
    found = dict(outputs)
    print(f"Loss {first.item():.5f}\n")
    print("| layer | shape | weights | output | slope |" + "".join(f" {rate:g} |" for rate in RATES))
    print("|---|---|" + "---:|" * (3 + len(RATES)))
    stepped = {id(matrix) for matrix in Muon(list(network.parameters())).matrices}
    for name, weights in network.named_parameters():
        if weights.ndim > 1:
            slope, changes = walk(weights, id(weights) in stepped, loss, first.item())
            size, made = weights.detach().square().mean().sqrt(), found.get(name.removesuffix(".weight"), float("nan"))
            shape = " x ".join(map(str, weights.shape))
            print(f"| {name} | {shape} | {size:.4f} | {made:.3g} | {slope:.3f} |" + "".join(changes), flush=True)


def draw(photos: list[Path], scenes: Path, crops: int, views: tuple[str, ...]) -> dict[str, Tensor]:
    recipe = find_recipe("cpu", {"batch": str(crops), "pool": str(2 * crops)})
    names = (*views, "sharp")
    source, _ = open_sources(recipe, scenes, photos, None, (), names)
    feed = Feed(source, recipe, names)
    try:
        return feed.batch(0)
    finally:
        feed.close()


def note(outputs: dict[str, float], name: str, layer: nn.Module, given: object, made: object) -> None:
    if isinstance(made, Tensor):
        outputs[name] = made.detach().square().mean().sqrt().item()


@torch.no_grad()
def walk(weights: Tensor, muon: bool, loss: Callable[[], Tensor], start: float) -> tuple[float, list[str]]:
    gradient = weights.grad
    assert gradient is not None
    step = orthogonal(gradient) if muon else gradient.sign()
    before, changes = weights.clone(), []
    for rate in RATES:
        weights.sub_(rate * step)
        changes.append(f" {1e3 * (loss().item() - start):+.2f} |")
        weights.copy_(before)
    return float((gradient * step).sum()), changes


if __name__ == "__main__":
    main()
