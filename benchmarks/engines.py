"""Time and memory of one picture in every engine, beside a plain implementation of the paper's network.

    python benchmarks/engines.py [--row NAME ...] [--rounds N] [--size HEIGHT WIDTH]

Prints a Markdown table. Times are the least of several rounds that alternate between the rows, so that what else the
machine does meets all of them; memory is the peak of a process of its own for each row (VmHWM), with Python and the
libraries in it. `plain` is mccnet as one writes it at first: eager PyTorch, fp32, NCHW, the scores of all rows held.
The weights are the shipped ones where there are any, or else drawn, the same in every row; the pictures are noise.
"""

import argparse
import gc
import multiprocessing
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualpix import networks
from dualpix.inference import engines
from dualpix.machine.freed_memory import OF_PICTURES, keep_freed_memory
from dualpix.networks.mccnet import model as mccnet
from dualpix.weights import checkpoint


class Materialised(nn.Module):
    """CrossCorrelation with S in memory, B H W W, and its transpose for the other direction."""

    def __init__(self, original: mccnet.CrossCorrelation) -> None:
        super().__init__()
        self.block, self.project, self.project_value = original.block, original.project, original.project_value

    def forward(self, maps: Tensor, width: int | None = None) -> Tensor:
        left, right = self.project(maps + self.block(maps)).permute(0, 2, 3, 1).chunk(2)  # B H W C
        left_value, right_value = self.project_value(maps).permute(0, 2, 3, 1).chunk(2)
        scores = left @ right.transpose(-1, -2) * maps.shape[1] ** -0.5  # B H W W
        gathered = [scores.softmax(-1) @ right_value, scores.transpose(-1, -2).softmax(-1) @ left_value]
        return maps + torch.cat(gathered).permute(0, 3, 1, 2)


def network_of(name: str) -> nn.Module:
    if name in checkpoint.WEIGHTS:
        return checkpoint.load(name).network
    torch.manual_seed(0)
    network = networks.create(name).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * parameter.std(correction=0).clamp_min(0.01) * torch.randn_like(parameter)
    return network


def plain(name: str) -> Callable[[list[Tensor]], Tensor]:
    network = network_of(name)
    for part in ("cc1", "cc2"):
        setattr(network, part, Materialised(getattr(network, part)))

    def run(views: list[Tensor]) -> Tensor:
        with torch.no_grad():
            return network(*(view[None] for view in views))[0]

    return run


def runner(name: str, engine: str, precision: str) -> Callable[[list[Tensor]], Tensor]:
    return engines.start(network_of(name), engine, precision, "cpu")  # type: ignore[arg-type]


WAYS = (("torch", "fp32"), ("torch", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"))
ROWS: dict[str, Callable[[], Callable[[list[Tensor]], Tensor]]] = {"plain": lambda: plain("mccnet")}
for _name in ("mccnet", "mccnet-fast"):
    for _engine, _precision in (*WAYS, ("onnx", "fp32")):
        ROWS[f"{_name} {_engine} {_precision}"] = lambda n=_name, e=_engine, p=_precision: runner(n, e, p)


def pair(height: int, width: int) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.rand(3, height, width) for _ in "LR"]


def peak_bytes(row: str, size: tuple[int, int], said: Any) -> None:
    """In a process of its own: run the row once."""
    ROWS[row]()(pair(*size))
    found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    said.put(1024 * int(found[1]) if found else 0)


def memory_of(row: str, size: tuple[int, int]) -> int:
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    process = context.Process(target=peak_bytes, args=(row, size, said))
    process.start()
    found: int = said.get(timeout=600)
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=list(ROWS), help="repeatable; without it, all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(1120, 1680), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--no-memory", action="store_true")
    given = parser.parse_args()
    keep_freed_memory(OF_PICTURES)  # as the command does
    rows, size = given.row or list(ROWS), tuple(given.size)
    views = pair(*size)
    seconds, started, outputs = dict.fromkeys(rows, float("inf")), {}, {}
    ready = {row: ROWS[row]() for row in rows}
    for number in range(given.rounds + 1):
        for row in rows:
            start = time.perf_counter()
            output = ready[row](views)
            took = time.perf_counter() - start
            if number == 0:  # The first also compiles.
                started[row] = took
                outputs[row] = output.clone()
            seconds[row] = min(seconds[row], took)
            print(f"round {number}, {row}: {took:.2f} s", file=sys.stderr, flush=True)
            gc.collect()
    first = rows[0]
    print(f"{size[0]} x {size[1]}, {torch.get_num_threads()} threads\n")
    print(f"| row | seconds | first | times {first} | greatest difference | peak memory |")
    print("|---|---:|---:|---:|---:|---:|")
    for row in rows:
        exact = f"{row.split()[0]} torch fp32"
        difference = f"{float((outputs[row] - outputs[exact]).abs().max()):.1g}" if exact in outputs else ""
        memory = "" if given.no_memory else f"{memory_of(row, size) / 1e9:.2f} GB"
        speed = seconds[first] / seconds[row]
        print(
            f"| {row} | {seconds[row]:.2f} | {started[row]:.2f} | {speed:.2f} | {difference} | {memory} |", flush=True
        )


if __name__ == "__main__":
    main()
