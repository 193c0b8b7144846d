"""Time of one training step of MCCNet: as `dualpix train` does it, beside the plain way, in turns.

    python benchmarks/training_step.py --rounds 5

Plain: float32, NCHW in memory, the correlation's scores S made in full, the maps of several scales concatenated before
they are convolved. Then the package's network and trainer in float32 and in bf16, with the same weights, loss,
optimiser (Adam) and crops. Last mccnet-fast: plainly, that is NCHW and Adam, and with the recipe `cpu`, whose Muon
takes longer for a step and fewer steps, in both precisions too (`--fast`: these two alone). Freed memory is kept in all
of them. Each round runs one step of every way, so that a busy machine is busy for all; the table shows the median, and
the ratio is taken within each round. bf16 is left out on processors without instructions for it unless asked for; the
last line says by what `auto` decides there.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.inference.rates import bf16_gain, has_bf16
from dualpix.machine.freed_memory import OF_TRAINING, keep_freed_memory
from dualpix.networks.layers.blocks import Merge, upsample
from dualpix.networks.mccnet.model import CrossCorrelation, MCCNet
from dualpix.networks.mccnet_fast.model import MCCNetFast
from dualpix.training.learner import Learner
from dualpix.training.losses import LOSSES
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe, find_recipe


class PlainMerge(Merge):
    def forward(self, maps: list[Tensor]) -> Tensor:  # type: ignore[override]
        return F.conv2d(
            torch.cat([self._sized(*one) for one in zip(maps, self.doublings, strict=True)], 1), self.weight, self.bias
        )

    def _sized(self, maps: Tensor, doublings: int) -> Tensor:
        if doublings < 0:
            return F.avg_pool2d(maps, 2**-doublings)
        return upsample(maps, 2**doublings, self.mode) if doublings else maps


class PlainCrossCorrelation(CrossCorrelation):
    def forward(self, maps: Tensor, width: int | None = None) -> Tensor:
        left, right = self.project_value(maps).chunk(2)
        query, key = self.project(maps + self.block(maps)).permute(0, 2, 3, 1).chunk(2)  # B H W C
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5  # S, B H W W
        if self.max_disparity is not None:
            column = torch.arange(scores.shape[-1])
            scores = scores.masked_fill((column[:, None] - column).abs() > self.max_disparity, float("-inf"))
        for_left = scores.softmax(3) @ right.permute(0, 2, 3, 1)
        for_right = scores.transpose(2, 3).softmax(3) @ left.permute(0, 2, 3, 1)
        return maps + torch.cat([for_left, for_right]).permute(0, 3, 1, 2)


def make_plain(network: nn.Module) -> nn.Module:
    """The same network, parameters and all, computed the plain way."""
    for module in network.modules():
        if type(module) in (Merge, CrossCorrelation):
            module.__class__ = PlainMerge if isinstance(module, Merge) else PlainCrossCorrelation
    return network


def plain_step(recipe: Recipe, batch: dict[str, Tensor]) -> Callable[[], object]:
    torch.manual_seed(recipe.seed)
    network = MCCNetFast() if recipe.network == "mccnet-fast" else make_plain(MCCNet(**recipe.arguments))
    optimiser = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    left, right, sharp = (batch[name].contiguous() for name in ("left", "right", "sharp"))

    def step() -> None:
        network.zero_grad()
        LOSSES[recipe.loss](network(left, right), sharp).backward()
        optimiser.step()

    return step


def our_step(recipe: Recipe, batch: dict[str, Tensor], precision: str) -> Callable[[], object]:
    learner = Learner(Recipe(**{**recipe.__dict__, "precision": precision}))
    laid = {name: pictures.contiguous(memory_format=torch.channels_last) for name, pictures in batch.items()}
    return lambda: learner.learn(laid, Processes())


def timed(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crops", type=int, default=8)
    parser.add_argument("--crop", type=int, default=128, help="pixels")
    parser.add_argument("--threads", type=int, default=None, help="default: all")
    parser.add_argument("--window", type=int, default=None, help="max_disparity; default: the whole row, as the paper")
    parser.add_argument("--bf16", action="store_true", help="also where the processor has no instructions for it")
    parser.add_argument("--fast", action="store_true", help="only mccnet-fast with the recipe cpu, in both precisions")
    parser.add_argument("--nearest", action="store_true", help="nearest instead of bilinear up-sampling")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    arguments = {"max_disparity": options.window, "upsampling": "nearest" if options.nearest else "bilinear"}
    recipe = Recipe(network="mccnet", arguments=arguments, batch=options.crops, crop=options.crop, optimiser="adam")
    batch = {name: torch.rand(options.crops, 3, options.crop, options.crop) for name in ("left", "right", "sharp")}
    fast = find_recipe("cpu", {"batch": str(options.crops), "crop": str(options.crop), "scene": str(options.crop)})
    precisions = ("fp32", "bf16") if options.bf16 or has_bf16() else ("fp32",)
    keep_freed_memory(OF_TRAINING)
    steps = {}
    if not options.fast:
        steps["plain fp32"] = plain_step(recipe, batch)
        steps |= {f"dualpix {precision}": our_step(recipe, batch, precision) for precision in precisions}
        steps["mccnet-fast, plain"] = plain_step(fast, batch)
    steps |= {f"mccnet-fast, dualpix {precision}": our_step(fast, batch, precision) for precision in precisions}
    first = next(iter(steps))
    for step in steps.values():
        step()
    rounds = [{name: timed(step) for name, step in steps.items()} for _ in range(options.rounds)]
    print(f"{options.crops} crops of {options.crop} px, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"| way | s / step | pictures / s | times {first} |\n|---|---|---|---|")
    for name in steps:
        seconds = median(one[name] for one in rounds)
        ratio = median(one[first] / one[name] for one in rounds)
        print(f"| {name} | {seconds:.2f} | {options.crops / seconds:.1f} | {ratio:.2f} |")
    print(f"bf16_gain: {bf16_gain(learning=True)} learning, {bf16_gain()} otherwise")


if __name__ == "__main__":
    main()
