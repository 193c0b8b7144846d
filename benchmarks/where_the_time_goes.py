"""Where the time of one forward pass goes: by stage of the network and kind of operator, beside the machine's limits.

    python benchmarks/where_the_time_goes.py --network mccnet-fast --size 1120x1680

Every operator PyTorch runs is timed, and its multiply-adds and the bytes of what it takes and gives are counted. The
limits are those of the same run: the best matrix products, the best copy in memory. "of the limit" is the time that
either would have taken at the least, as a share of the time taken; above 100 % the bytes did not leave the cache. A
stage is the part of the network whose weights were used last. `--plain` takes the network as it is trained instead of
as it is prepared for pictures. Python's own time is what is left between the operators.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dualpix.networks import NETWORKS, create
from dualpix.networks.streaming import prepared

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
KINDS = {
    "1x1 and linear": ("mm", "addmm", "addmm_", "linear"),
    "attention products": ("bmm", "baddbmm"),
    "softmax": ("_softmax", "softmax", "_log_softmax"),
    "normalisation": (
        "native_layer_norm",
        "native_group_norm",
        "native_batch_norm",
        "var_mean",
        "mean",
        "linalg_vector_norm",
    ),
    "up-sampling": ("upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d", "grid_sampler_2d"),
    "pooling": ("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"),
    "concatenation, padding": ("cat", "stack", "constant_pad_nd", "roll", "reflection_pad2d"),
    "copies, layout, clearing": (
        *("copy_", "clone", "_to_copy", "pixel_shuffle", "pixel_unshuffle", "fill_", "zero_", "new_zeros", "zeros"),
        *("zeros_like", "full", "im2col", "_reshape_copy", "index", "gather"),
    ),
}


class Cost:
    def __init__(self) -> None:
        self.seconds, self.macs, self.bytes = 0.0, 0, 0

    def add(self, seconds: float, macs: int, moved: int) -> None:
        self.seconds, self.macs, self.bytes = self.seconds + seconds, self.macs + macs, self.bytes + moved


class Watch(TorchDispatchMode):
    """Times every operator, and adds it to its kind and stage."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.kinds: dict[str, Cost] = defaultdict(Cost)
        self.stages: dict[str, Cost] = defaultdict(Cost)
        names = {value.untyped_storage().data_ptr(): name for name, value in network.named_parameters()}
        self.stage_of = {place: name.removeprefix("network.").split(".")[0] for place, name in names.items()}
        self.stage = "before"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        start = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        seconds = time.perf_counter() - start
        taken = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        given = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        places = {tensor.untyped_storage().data_ptr() for tensor in taken}
        for place in places & self.stage_of.keys():
            self.stage = self.stage_of[place]
        name = func._schema.name.removeprefix("aten::")
        is_view = func.is_view or name.startswith(("empty", "new_empty", "_unsafe_view", "detach"))
        moved = 0 if is_view else sum(tensor.numel() * tensor.element_size() for tensor in (*taken, *given))
        cost = (seconds, macs_of(name, taken, given), moved)
        self.kinds["views of tensors" if is_view else kind_of(name, taken)].add(*cost)
        self.stages[self.stage].add(*cost)
        return result


def kind_of(name: str, taken: list[Tensor]) -> str:
    if "convolution" in name:
        kernel = tuple(taken[1].shape[2:])
        return "1x1 and linear" if kernel == (1, 1) else f"{kernel[0]}x{kernel[1]} convolution"
    return next((kind for kind, names in KINDS.items() if name in names), "element-wise")


def macs_of(name: str, taken: list[Tensor], given: list[Tensor]) -> int:
    if "convolution" in name:
        pixels, weight = given[0].numel() // given[0].shape[1], taken[1]
        return pixels * weight.numel()
    products = {"mm": 0, "bmm": 0, "addmm": 1, "addmm_": 1, "baddbmm": 1}  # which argument comes first in the product
    return given[0].numel() * taken[products[name]].shape[-1] if name in products else 0


def best(work: Callable[[], object], rounds: int = 7) -> float:
    work()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measured_limits() -> dict[str, float]:
    """Multiply-adds a second of the best matrix products, and bytes a second of the best copy (read and written)."""
    size = 2048
    limits = {}
    for name, dtype in DTYPES.items():
        one, other = torch.rand(size, size).to(dtype), torch.rand(size, size).to(dtype)
        limits[name] = size**3 / best(lambda one=one, other=other: one @ other)  # type: ignore[misc]
    small = torch.randint(-8, 8, (size, size), dtype=torch.int8)
    limits["int8"] = size**3 / best(lambda: torch._int_mm(small, small))
    source, target = torch.rand(2, 2**25)
    limits["copy"] = 2 * source.nbytes / best(lambda: target.copy_(source))
    return limits


def show(title: str, costs: dict[str, Cost], total: float, limits: dict[str, float], precision: str) -> None:
    print(f"\n| {title} | s | share | GMAC | GMAC/s | GB | GB/s | of the limit |\n|---|---|---|---|---|---|---|---|")
    for name, cost in sorted(costs.items(), key=lambda item: -item[1].seconds):
        if cost.seconds < 0.002 * total:
            continue
        least = max(cost.macs / limits[precision], cost.bytes / limits["copy"])
        print(
            f"| {name} | {cost.seconds:.2f} | {cost.seconds / total:.0%} | {cost.macs / 1e9:.1f}"
            f" | {cost.macs / cost.seconds / 1e9:.0f} | {cost.bytes / 1e9:.1f} | {cost.bytes / cost.seconds / 1e9:.0f}"
            f" | {least / cost.seconds:.0%} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="mccnet-fast", choices=NETWORKS)
    parser.add_argument("--precision", default="fp32", choices=DTYPES)
    parser.add_argument("--size", default="1120x1680", help="HEIGHTxWIDTH in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="the shortest is shown")
    parser.add_argument("--plain", action="store_true", help="as it is trained, not as it is prepared for pictures")
    options = parser.parse_args()
    torch.manual_seed(0)
    dtype = DTYPES[options.precision]
    network: nn.Module = create(options.network).eval()
    multiple: int = network.spec.size_multiple  # type: ignore[assignment]
    height, width = (-(-int(side) // multiple) * multiple for side in options.size.split("x"))
    network.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ready = network if options.plain else prepared(network)
    views = [torch.rand(1, 3, height, width).to(dtype, memory_format=torch.channels_last) for _ in ready.spec.views]  # type: ignore
    limits = measured_limits()
    with torch.no_grad():
        total = best(lambda: ready(*views), options.rounds - 1)
        watches = []
        for _ in range(options.rounds):
            watches.append(Watch(ready))
            with watches[-1]:
                ready(*views)
    watch = min(watches, key=lambda one: sum(cost.seconds for cost in one.kinds.values()))
    within = sum(cost.seconds for cost in watch.kinds.values())
    print(
        f"{options.network}, {options.precision}, {height} x {width}, {torch.get_num_threads()} threads: {total:.2f} s,"
    )
    print(f"{within:.2f} s of them in operators when each is timed.")
    rates = ", ".join(f"{name} {limits[name] / 1e9:.0f} GMAC/s" for name in (*DTYPES, "int8"))
    print(f"Limits: {rates}, copy {limits['copy'] / 1e9:.0f} GB/s.")
    show("kind", watch.kinds, within, limits, options.precision)
    show("stage", watch.stages, within, limits, options.precision)
    macs, moved = (sum(getattr(cost, what) for cost in watch.kinds.values()) for what in ("macs", "bytes"))
    print(
        f"\nIn all {macs / 1e9:.0f} GMAC, {moved / 1e9:.1f} GB; at the limits {macs / limits[options.precision]:.2f} s."
    )


if __name__ == "__main__":
    main()
