"""Judge weights: one table over real and simulated pairs, one score, and whether they may replace the shipped ones.

    python benchmarks/judge.py mccnet-fast runs/new/best.safetensors --data ../shared/data --out verdict.json

The first weights are the yardstick of the others. The groups: `phone` and `flat`, real pairs never coded, registered;
`previews`, real pairs coded; `simulated`, twelve fixed scenes, also coded and noisy; `kernels`, the same through
kernels never trained on; `native`, small blur; `edges`, the frame's left and right edge; `worms`, texture that nobody
saw. See `results/judge.md` for the score and the rule. Needs SciPy and scikit-image; without PyAV one variant is left
out.

What does not depend on the weights is kept in `runs/judge`.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from judging import VERSION
from judging.figures import SHARES, Figures, Record, Verdict, assembled, score, ships
from judging.items import GROUPS, Item, items_of, judged
from judging.table import table

STORE = Path(__file__).parents[1] / "runs" / "judge"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", help="names or files of weights, the yardstick first")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes side by side")
    asked = parser.parse_args()
    groups = tuple(group for group in GROUPS if group in asked.only)
    figures: dict[str, Figures] = {}
    verdicts: dict[str, Verdict] = {}
    for weights in asked.weights:
        began = time.perf_counter()
        records = measured(weights, groups, asked.data, asked.workers)
        figures[weights] = assembled(records, groups)
        if weights != asked.weights[0] and SHARES.keys() | {"worms"} <= set(groups):
            verdicts[weights] = ships(figures[weights], figures[asked.weights[0]])
        if asked.out:  # after each, for the next may take long
            asked.out.write_text(_text(figures, verdicts))
        passed = time.perf_counter() - began
        print(f"{weights}, CPU time: {_seconds(records)}; {passed:.0f} s on the clock", flush=True)
    print(f"\n{table(figures)}")
    for name, verdict in verdicts.items():
        print(f"\n{name} {'ships' if verdict.ships else 'does not ship: ' + '; '.join(verdict.objections)}.")


def _text(figures: dict[str, Figures], verdicts: dict[str, Verdict]) -> str:
    """All figures, scores and objections as JSON."""
    weights = {name: {"score": score(found), **found} for name, found in figures.items()}
    objections = {name: list(verdict.objections) for name, verdict in verdicts.items()}
    return json.dumps({"version": VERSION, "weights": weights, "objections": objections}, indent=1) + "\n"


def measured(weights: str, groups: Sequence[str], data: Path, workers: int) -> dict[str, list[Record]]:
    """Records by group, in the order of the items, however many processes share the work."""
    items = items_of(tuple(groups), data)
    records: dict[str, list[Record]] = defaultdict(list)
    work = partial(judged, weights=weights, data=data, store=STORE)
    for item, record in zip(items, _each(work, items, workers), strict=True):
        records[item.group].append(record)
    return records


def _each(work: partial, items: Sequence[Item], workers: int) -> Iterator[Record]:
    """One thread a process: sums then come out the same on every machine, whatever its number of cores."""
    if workers <= 1:
        torch.set_num_threads(1)
        yield from map(work, items)
        return
    # Fresh processes: PyTorch's threads do not survive a fork.
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(work, items)


def _seconds(records: dict[str, list[Record]]) -> str:
    """Of the processor by group, summed over processes; of them what further weights are spared."""
    parts = []
    for group, rows in records.items():
        whole, spared = (sum(row[name] for row in rows) for name in ("seconds", "preparing"))
        parts.append(f"{group} {whole:.0f} s (preparing {spared:.0f})")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
