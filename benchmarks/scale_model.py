"""What a million and a thousand million pairs take, by formula from measured constants, and by a simulation of workers,
one shared link and failures that the formula is checked against.

python benchmarks/scale_model.py -o results/scale-model.png
python benchmarks/scale_model.py --core-hour 0.04 --put 5e-6 --get 4e-7 --gigabyte 0.00
"""

import argparse
import heapq
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Measured: results/scaling.md (CPU seconds of one thread, mccnet-fast, float32) and results/scale-costs.md (requests).
DEBLUR_S_A_MEGAPIXEL = 3.8
FILES_S_A_MEGAPIXEL = 0.29
"""Reading and writing 16-bit TIFF: (2.59 + 5.99) s for 30 megapixels, by the clock of a busy machine."""
START_S = 6.0
"""From a command to its first pair: imports, weights, planning; on a busy machine."""
GETS, HEADS, PUTS, LISTS = 2, 9.5, 2.02, 1.4
"""Requests a pair, where pairs take longer than the two seconds after which a journal is put."""
LISTED = 1000
"""Objects in an answer to a listing."""
JOB_BYTES = 2100
"""Memory of the process that plans, for each pair."""
BYTES_A_PIXEL = 6
"""Of 16-bit colour that is not compressed: the most that a view or a result has."""

LINKS = {"10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9}
SIZES = (2, 30)


@dataclass(frozen=True)
class Work:
    """One kind of pair."""

    megapixels: float

    @property
    def core_s(self) -> float:
        return (DEBLUR_S_A_MEGAPIXEL + FILES_S_A_MEGAPIXEL) * self.megapixels

    @property
    def bytes_moved(self) -> float:
        return 3 * BYTES_A_PIXEL * self.megapixels * 1e6


def availability(work: Work, mtbf_s: float, restart_s: float) -> float:
    """The share of a worker's time that is not lost: each failure costs a restart, and what it was computing."""
    lost_s = restart_s + work.core_s / 2
    return 1 / (1 + lost_s / mtbf_s)


def rate(work: Work, workers: int, link: float, mtbf_s: float = math.inf, restart_s: float = 0) -> float:
    """Pairs a second by formula: what computes or what moves, whichever is less."""
    return min(workers * availability(work, mtbf_s, restart_s) / work.core_s, link / work.bytes_moved)


def simulate(work: Work, workers: int, link: float, mtbf_s: float, restart_s: float, each: int, seed: int = 0) -> float:
    """Pairs a second of workers that read one pair ahead, over one link that moves one thing after the other.

    Times of computing vary by a tenth; failures come at random, cost a restart and the pair at work, which is read
    and computed again.
    """
    draw = np.random.default_rng(seed)
    into, out = work.bytes_moved * 2 / 3, work.bytes_moved / 3
    total, done, link_free, end = each * workers, 0, 0.0, 0.0
    # Each worker: when it asks for its next pair, when it ends its last, and what of it is still to be written.
    queue = [(draw.uniform(0, 1), number, 0.0, 0.0) for number in range(workers)]
    heapq.heapify(queue)
    while done < total:
        now, number, busy_until, to_write = heapq.heappop(queue)
        link_free = max(link_free, now) + (into + to_write) / link
        start = max(link_free, busy_until)
        takes = work.core_s * draw.lognormal(-0.005, 0.1)
        fails_after = draw.exponential(mtbf_s) if math.isfinite(mtbf_s) else math.inf
        if fails_after < takes:
            again = start + fails_after + restart_s
            heapq.heappush(queue, (again, number, again, 0.0))
            continue
        done, end = done + 1, max(end, start + takes)
        heapq.heappush(queue, (start, number, start + takes, out))
    # The last pairs end one after the other; a long run has no such tail.
    return total / end


def table(count: float, prices: argparse.Namespace) -> None:
    for megapixels in SIZES:
        work = Work(megapixels)
        hours = count * work.core_s / 3600
        terabytes = count * work.bytes_moved / 1e12
        asked = count * (GETS + HEADS)
        line = (
            f"{count:.0e} x {megapixels} MP: {hours:.3g} core hours, {terabytes:.3g} TB moved, {count * PUTS:.3g} PUT,"
        )
        line += f" {asked:.3g} GET and HEAD, {count * (LISTS + 3 / LISTED):.3g} LIST;"
        line += f" lists of jobs {count * JOB_BYTES / 1e9:.3g} GB"
        known = (prices.core_hour, prices.put, prices.get, prices.gigabyte)
        if None not in known:
            cost = hours * known[0] + count * (PUTS + LISTS + 3 / LISTED) * known[1] + asked * known[2]
            line += f"; costs {cost + terabytes * 1000 * known[3]:.4g}"
        print(line)


def compare() -> float:
    """Print simulation beside formula; the largest difference."""
    worst = 0.0
    for megapixels in SIZES:
        work = Work(megapixels)
        for mtbf_h in (math.inf, 24, 1):
            for workers in (64, 512, 4096):
                here = (work, workers, LINKS["10 Gbit/s"], mtbf_h * 3600, 120.0)
                found, told = simulate(*here, each=40), rate(*here)
                worst = max(worst, abs(found / told - 1))
                print(
                    f"{megapixels} MP, {workers} cores, {mtbf_h} h: {found:.2f} a second, formula {told:.2f}",
                    flush=True,
                )
    return worst


def draw(path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    workers = np.unique(np.logspace(1, 5, 60).astype(int))
    for colour, megapixels in zip(("tab:blue", "tab:orange"), SIZES, strict=True):
        work = Work(megapixels)
        for style, (name, link) in zip(("-", "--"), LINKS.items(), strict=True):
            told = [rate(work, count, link) for count in workers]
            left.loglog(workers, told, style, color=colour, label=f"{megapixels} MP, {name}")
            points = [8, 64, 512, 4096]
            found = [simulate(work, count, link, math.inf, 0, each=30) for count in points]
            left.loglog(points, found, "o", color=colour, mfc="none" if style == "--" else colour)
        hours = np.logspace(-1, 3, 40)
        right.semilogx(
            hours, [availability(work, h * 3600, 120) for h in hours], color=colour, label=f"{megapixels} MP"
        )
        spots = (0.25, 1, 8, 64)
        lots = [simulate(work, 64, 1e12, h * 3600, 120, each=150) * work.core_s / 64 for h in spots]
        right.semilogx(spots, lots, "o", color=colour)
    left.set(xlabel="cores", ylabel="pairs a second", title="Lines: formula; points: simulation")
    right.set(xlabel="hours between failures of a worker", ylabel="share of the rate without failures", ylim=(0, 1.02))
    right.set_title("Restart 120 s; the pair at work is lost")
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="a plot")
    for price, what in (
        ("core-hour", "core hour"),
        ("put", "PUT or LIST"),
        ("get", "GET or HEAD"),
        ("gigabyte", "GB moved"),
    ):
        parser.add_argument(f"--{price}", type=float, help=f"price of a {what}; with all four, costs are printed")
    asked = parser.parse_args()
    for megapixels in SIZES:
        work = Work(megapixels)
        per_core = work.bytes_moved / work.core_s
        print(f"{megapixels} MP: {1 / work.core_s:.4f} pairs a second and core, {per_core / 1e6:.1f} MB/s and core")
    for count in (1e6, 1e9):
        table(count, asked)
    print(f"largest difference from the formula: {100 * compare():.1f} %")
    if asked.output is not None:
        draw(asked.output)


if __name__ == "__main__":
    main()
