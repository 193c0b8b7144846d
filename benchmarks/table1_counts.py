"""Counts every network of the paper's Table 1 again, shows how the paper came to its numbers, and writes the page.

    python benchmarks/table1_counts.py --write docs/table1.md

Without --write the page is printed. Works on shapes alone, in seconds. `tests/networks/test_counting_page.py` holds the
page to what this prints.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dualpix.machine.files import write_whole
from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS, create
from dualpix.networks.counting import Counts, Extras, count, count_extras

SIZE = (1120, 1680)


@dataclass(frozen=True)
class Network:
    """A network with its arguments; `outputs` also counts what is made for training alone."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    outputs: bool = False

    def make(self) -> nn.Module:
        with torch.device("meta"):
            return create(self.name, **self.arguments)

    def __str__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"`{self.name}`" + (f", `{settings}`" if settings else "") + (", all outputs" if self.outputs else "")


Reading = Callable[[Counts, Extras], int]


def multiply_adds(counts: Counts, extras: Extras) -> int:
    return counts.conv_macs


def with_biases(counts: Counts, extras: Extras) -> int:
    return counts.conv_macs + extras.bias_adds


def tensorflow_profile(counts: Counts, extras: Extras) -> int:
    return 2 * counts.conv_macs + extras.bias_adds + extras.pool_comparisons


def twice_with_biases_and_activations(counts: Counts, extras: Extras) -> int:
    return 2 * (counts.conv_macs + extras.bias_adds + extras.leaky_outputs)


def twice_without_transposed(counts: Counts, extras: Extras) -> int:
    return 2 * (counts.conv_macs - extras.transposed_macs)


READINGS: dict[Reading, str] = {
    multiply_adds: "multiply-adds of convolutions",
    with_biases: "multiply-adds, and one for each bias",
    tensorflow_profile: "2 x multiply-adds, one for each bias, the window for each pooling",
    twice_with_biases_and_activations: "2 x (multiply-adds, biases, outputs of activation layers)",
    twice_without_transposed: "2 x multiply-adds, without transposed convolutions",
}


@dataclass(frozen=True)
class Printed:
    """A row of Table 1: what it says, and the network, size and way of counting that give it."""

    method: str
    takes: str
    parameters: str
    operations: str
    network: Network
    reading: Reading = multiply_adds
    size: tuple[int, int] = SIZE


PORT = Network("rdpd", {"up_kernel": 3, "bottom_convolutions": 2, "radius_map": False})
TABLE_1 = (
    Printed("DMENet", "one picture", "26.94", "", Network("dmenet", outputs=True)),
    Printed("DPDNet, DPDNet+", "both views", "34.52", "1883.74", Network("dpdnet", {"up_kernel": 3}), with_biases),
    Printed("IFAN", "one picture", "10.48", "725.8", Network("ifan"), twice_with_biases_and_activations, (720, 1280)),
    Printed("KPAC", "one picture", "1.58", "730.91", Network("kpac"), twice_without_transposed),
    Printed("MDP", "one picture", "46.8", "7751.27", Network("mdp", outputs=True), tensorflow_profile),
    Printed("RDPD+", "both views", "27.51", "612.05", PORT),
    Printed("MCCNet", "both views", "5.52", "978.79", Network("mccnet")),
)

ONE_FOOTING = (
    Network("mccnet"),
    Network("mccnet-fast"),
    Network("dpdnet"),
    Network("dpdnet-single"),
    Network("rdpd"),
    Network("mdp", outputs=True),
    Network("mdp"),
    Network("ifan"),
    Network("ifan", {"dual": True}),
    Network("kpac"),
    Network("kpac", {"levels": 3}),
    Network("kpac", {"levels": 3, "dual": True}),
    Network("dmenet", outputs=True),
    Network("dmenet"),
    Network("restormer"),
)

FIGURE = "figure in GRL's repository"
# Method, views, indoor, outdoor and combined PSNR / SSIM / MAE / LPIPS, and who says so.
REPORTED = (
    ("EBDB", "1", "25.77/0.772/0.040/0.297", "21.25/0.599/0.058/0.373", "23.45/0.683/0.049/0.336", FIGURE),
    ("DMENet", "1", "25.50/0.788/0.038/0.298", "21.43/0.644/0.063/0.397", "23.41/0.714/0.051/0.349", FIGURE),
    ("JNB", "1", "26.73/0.828/0.031/0.273", "21.10/0.608/0.064/0.355", "23.84/0.715/0.048/0.315", FIGURE),
    ("DPDNet", "1", "26.54/0.816/0.031/0.239", "22.25/0.682/0.056/0.313", "24.34/0.747/0.044/0.277", FIGURE),
    ("KPAC", "1", "27.97/0.852/0.026/0.182", "22.62/0.701/0.053/0.269", "25.22/0.774/0.040/0.227", FIGURE),
    ("IFAN", "1", "28.11/0.861/0.026/0.179", "22.76/0.720/0.052/0.254", "25.37/0.789/0.039/0.217", FIGURE),
    ("Restormer", "1", "28.87/0.882/0.025/0.145", "23.24/0.743/0.050/0.209", "25.98/0.811/0.038/0.178", FIGURE),
    ("GRL-B", "1", "29.06/0.886/0.024/0.139", "23.45/0.761/0.049/0.196", "26.18/0.822/0.037/0.168", FIGURE),
    ("LaKDNet-S", "1", "", "", "26.15/0.810", "authors' repository"),
    ("LaKDNet-L", "1", "", "", "26.25/0.813", "authors' repository"),
    ("DPDNet", "2", "27.48/0.849/0.029/0.189", "22.90/0.726/0.052/0.255", "25.13/0.786/0.041/0.223", FIGURE),
    ("RDPD", "2", "28.10/0.843/0.027/0.210", "22.82/0.704/0.053/0.298", "25.39/0.772/0.040/0.255", FIGURE),
    ("DDDNet", "2", "", "", "25.41/0.839", "authors, on pictures of full size"),
    ("Uformer", "2", "28.23/0.860/0.026/0.199", "23.10/0.728/0.051/0.285", "25.65/0.795/0.039/0.243", FIGURE),
    ("**MCCNet**", "2", "", "", "25.85/0.802/0.037", "its paper"),
    ("IFAN", "3", "28.66/0.868/0.025/0.172", "23.46/0.743/0.049/0.240", "25.99/0.804/0.037/0.207", FIGURE),
    ("Restormer", "2", "29.48/0.895/0.023/0.134", "23.97/0.773/0.047/0.175", "26.66/0.833/0.035/0.155", FIGURE),
    ("LaKDNet-S", "3", "", "", "26.72/0.826", "authors' repository"),
    ("LaKDNet-L", "3", "", "", "26.89/0.832", "authors' repository"),
    ("GRL-B", "2", "29.83/0.903/0.022/0.114", "24.39/0.795/0.045/0.150", "27.04/0.847/0.034/0.133", FIGURE),
    ("LDP", "2", "29.88", "24.73", "27.24", "at second hand; indoor and outdoor exchanged there"),
)

INTRODUCTION = """\
# Table 1, counted again

The paper's Table 1 sets systems side by side by parameters and operations (FLOPS). Its operations are not of one kind:
they mix three ways of counting, two sizes of picture, and networks that differ from the released ones. This page says
which, and counts all of them in one way. It is written from the networks of this package:

```sh
python benchmarks/table1_counts.py --write docs/table1.md
```

## How Table 1 came to its numbers

Inferred, as the paper names no counter: for each row, the network, size and way of counting whose result is the number
printed there, or comes nearest to it. Parameters in millions, operations in thousand millions."""

NOTES = """\
- **DPDNet** is counted with 3 x 3 convolutions after up-sampling, where the released code has 2 x 2. **RDPD+** too,
  with a second convolution at the bottom, and without the distance from the centre as input.
- **MDP** is counted as released, in another unit, with the decoders of both views, which only training needs. As
  printed it costs 4 times as much as DPDNet; in one unit 2.5 times, and 1.7 times when only the sharp picture is made.
- **IFAN** is counted at 720 x 1280, half the pixels.
- **KPAC** and **RDPD+** are 0.04 % below. Some biases or activations would fill the gap, several sums equally well.
- **DMENet** is printed without operations. Its parameters include five auxiliary heads that serve training alone. It
  maps defocus; a deconvolution does the deblurring.
- **MCCNet** is this package's reading of the paper, 0.09 % above. Its correlations are apart, below.
- JNB and EBDB have no network.

## On one footing

Multiply-adds of convolutions at 1120 x 1680, in thousand millions, of the networks as released. *Attention* is what
products between pixels, between channels or with predicted filters add, which counters of layers do not see. *Cost* is
both together, DPDNet's being 1."""

REPORTED_INTRODUCTION = """\
By convolutions, MCCNet costs 2.5 times as much as KPAC, where Table 1 shows 1.3 times, and a quarter of MDP, where it
shows an eighth. That it costs 1.3 times as much as IFAN is in the table too: there, the two departures cancel out. In
parameters it comes second after KPAC, not after IFAN as the text has it.

Table 1 mixes inputs as well: JNB, EBDB, DMENet, IFAN, KPAC and MDP are given one picture, DPDNet, RDPD+ and MCCNet both
views.

## Published results

**Reported by others, not reproduced here**: PSNR in dB / SSIM / MAE / LPIPS on the 76 test scenes of DPDD, for the 37
indoor, the 39 outdoor, and all. Mind the views: 1 is the combined picture, 2 are left and right, 3 all of them. Some
work with 8 bits, some with 16. What is blank was not found."""

AFTERWORD = """\
The figure in GRL's repository (`figs/task2.png`) repeats the numbers of others, or re-runs them. Uformer's 25.65
does not follow from its parts, which give 25.60; its own paper is reported to give 26.28. A user who ran the weights of
IFAN for three views on 16-bit files reports 26.02 / 0.806 / 0.0371."""


def page() -> str:
    parts = (INTRODUCTION, printed_table(), NOTES, footing_table(), REPORTED_INTRODUCTION, reported_table(), AFTERWORD)
    return "\n\n".join(parts) + "\n"


def printed_table() -> str:
    rows = [row_of(printed) for printed in TABLE_1 if is_here(printed.network)]
    titles = ("row", "takes", "printed: parameters", "operations", "counted: parameters", "operations", "of", "as")
    return table(titles, rows)


def row_of(printed: Printed) -> Sequence[str]:
    parameters, operations = recount(printed)
    size = "" if printed.size == SIZE else f", at {printed.size[0]} x {printed.size[1]}"
    reading = READINGS[printed.reading] + size if printed.operations else ""
    said = (printed.method, printed.takes, printed.parameters, printed.operations)
    got = (f"{parameters / 1e6:.2f}", f"{operations / 1e9:.2f}" if printed.operations else "")
    return *said, *got, str(printed.network), reading


def recount(printed: Printed) -> tuple[int, int]:
    """Parameters, and operations in the way of counting that gives what is printed."""
    network, outputs = printed.network.make(), printed.network.outputs
    counts = count(network, *printed.size, outputs=outputs)
    return counts.parameters, printed.reading(counts, count_extras(network, *printed.size, outputs=outputs))


def footing_table() -> str:
    counted = [(network, measured(network)) for network in (*ONE_FOOTING, *unlisted()) if is_here(network)]
    counted.sort(key=lambda pair: cost(pair[1]))
    reference = cost(measured(Network("dpdnet")))
    rows = [
        (
            str(network),
            ", ".join(network.make().spec.views),  # type: ignore[arg-type]
            f"{counts.parameters:,}",
            f"{counts.conv_macs / 1e9:.2f}",
            f"{counts.attention_macs / 1e9:.2f}",
            f"{cost(counts) / reference:.2f}",
        )
        for network, counts in counted
    ]
    return table(("network", "takes", "parameters", "convolutions", "attention", "cost"), rows)


def measured(network: Network) -> Counts:
    return count(network.make(), *SIZE, outputs=network.outputs)


def cost(counts: Counts) -> int:
    return counts.conv_macs + counts.attention_macs


def unlisted() -> Iterator[Network]:
    listed = {network.name for network in ONE_FOOTING}
    return (Network(name) for name in NETWORKS | DEFOCUS_ESTIMATORS if name not in listed)


def is_here(network: Network) -> bool:
    return network.name in NETWORKS | DEFOCUS_ESTIMATORS


def reported_table() -> str:
    rows = [[cell.replace("/", " / ") if "." in cell else cell for cell in row] for row in REPORTED]
    return table(("method", "views", "indoor", "outdoor", "combined", "by"), rows)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there, and do not print it")
    asked = parser.parse_args()
    if asked.write is None:
        print(page(), end="")
    else:
        write_whole(asked.write, page().encode())


if __name__ == "__main__":
    main()
