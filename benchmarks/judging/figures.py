"""From the records of many pictures to the figures of one set of weights, its score, and whether it ships.

Fixed before any weights were judged by it; see `results/judge.md`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from judging import scenes, windows

Record = Mapping[str, Any]
Figures = dict[str, dict[str, Any]]

SHARES = {"phone": 0.45, "flat": 0.10, "previews": 0.25, "simulated": 0.10, "kernels": 0.10}
SSIM_AS_DB = 33.3  # 0.003 of SSIM counts as much as 0.1 dB
REAL = ("phone", "flat", "previews")
LEAST_RISE = 0.10
MOST_DB_LOST, MOST_SSIM_LOST = 0.05, 0.0015
MOST_WORMS = 1.05
ROUNDING = 1e-9
PLACES = ("centre", "sides")


def quality(gain_db: float, gain_ssim: float) -> float:
    """One figure of a group, in dB: the mean of both gains over the mean of the views."""
    return (gain_db + SSIM_AS_DB * gain_ssim) / 2


def score(figures: Figures) -> float | None:
    """None unless every group that counts was measured."""
    if not SHARES.keys() <= figures.keys():
        return None
    return sum(share * figures[group]["q"] for group, share in SHARES.items())


@dataclass(frozen=True)
class Verdict:
    """`objections`: every clause of the rule that is broken, in words."""

    objections: tuple[str, ...]

    @property
    def ships(self) -> bool:
        return not self.objections


def ships(new: Figures, old: Figures) -> Verdict:
    """Whether weights with the figures `new` may take the place of those with `old`.

    Raises ValueError unless both have all the groups that count, and the worms.
    """
    now, before = score(new), score(old)
    if now is None or before is None or not ("worms" in new and "worms" in old):
        raise ValueError("the verdict needs every group that counts in the score, and the worms")
    objections = []
    if now - before < LEAST_RISE - ROUNDING:
        objections.append(f"the score changes by {now - before:+.3f}, not by {LEAST_RISE:+.2f} or more")
    for group in REAL:
        lost = old[group]["gain_db"] - new[group]["gain_db"]
        if lost > MOST_DB_LOST + ROUNDING:
            objections.append(f"{group} loses {lost:.3f} dB, more than {MOST_DB_LOST}")
        lost = old[group]["gain_ssim"] - new[group]["gain_ssim"]
        if lost > MOST_SSIM_LOST + ROUNDING:
            objections.append(f"{group} loses {lost:.4f} SSIM, more than {MOST_SSIM_LOST}")
    growth = new["worms"]["phone"]["all"] / old["worms"]["phone"]["all"]
    if growth > MOST_WORMS + ROUNDING:
        objections.append(f"worms on the phone grow to {growth:.3f} times, more than {MOST_WORMS}")
    return Verdict(tuple(objections))


def assembled(records: Mapping[str, list[Record]], groups: Iterable[str]) -> Figures:
    """Figures by group, of the records by group; for `edges` and `worms` from those of other groups."""
    return {group: MAKERS[group](records, group) for group in groups}


def _of_pairs(records: Iterable[Record]) -> dict[str, Any]:
    """Means over pairs of PSNR (colour-fitted on previews) and SSIM, of what goes in and what comes out."""
    rows = [(record["input"][:2], record["output"][:2]) for record in records]
    before, after = np.mean(rows, axis=0)
    gain = after - before
    return {
        "input_db": float(before[0]),
        "input_ssim": float(before[1]),
        "output_db": float(after[0]),
        "output_ssim": float(after[1]),
        "gain_db": float(gain[0]),
        "gain_ssim": float(gain[1]),
        "q": quality(*gain),
    }


def _uncoded(records: Mapping[str, list[Record]], group: str) -> dict[str, Any]:
    figures = _of_pairs(records[group])
    if group == "phone":
        figures["by_radius"] = _by_radius(records[group])
    return figures


def _by_radius(records: list[Record]) -> dict[str, dict[str, dict[str, float]]]:
    """By class of blur radius and place: `gain_db` of the registered error, and `share` of the windows whose radius is
    known."""
    radius, x, before, after = (
        np.concatenate([record[name] for record in records])
        for name in ("radius_px", "x", "errors before", "errors after")
    )
    known = np.isfinite(radius)
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name in windows.CLASSES:
        for place in PLACES:
            chosen = windows.in_class(radius, name) & ((np.abs(x) < 0.5) == (place == "centre"))
            gain = 10 * np.log10(before[chosen].sum() / after[chosen].sum()) if chosen.any() else np.nan
            table.setdefault(name, {})[place] = {"gain_db": float(gain), "share": float(chosen.sum() / known.sum())}
    return table


def _previews(records: Mapping[str, list[Record]], group: str) -> dict[str, Any]:
    raw = np.mean([(record["input"][2], record["output"][2]) for record in records[group]], axis=0)
    return _of_pairs(records[group]) | {"input_raw_db": float(raw[0]), "output_raw_db": float(raw[1])}


def _variants(records: Mapping[str, list[Record]], group: str) -> dict[str, Any]:
    """Figures of each variant, and their means; the levels of noise count together as one variant."""
    names = [v for v in (*scenes.SIMULATED, *scenes.KERNELS) if any(r["variant"] == v for r in records[group])]
    variants = {name: _of_pairs(r for r in records[group] if r["variant"] == name) for name in names}
    noisy = [name for name in names if name.startswith("noise")]
    rows = [variants[name] for name in names if name not in noisy]
    rows += [_mean([variants[name] for name in noisy])] if noisy else []
    return _mean(rows) | {"variants": variants}


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _native(records: Mapping[str, list[Record]], group: str) -> dict[str, Any]:
    focused = np.mean([record["focused"] for record in records[group] if "focused" in record], axis=0)
    return _of_pairs(records[group]) | {"focused_input_db": float(focused[0]), "focused_output_db": float(focused[1])}


def _edges(records: Mapping[str, list[Record]], _: str) -> dict[str, Any]:
    """Gain in dB beside the left and right edges and inside, mean over pairs."""
    found = {}
    for source in ("previews", "simulated"):
        rows = [(r["edges before"], r["edges after"]) for r in records[source] if "edges before" in r]
        before, after = np.moveaxis(np.array(rows), 1, 0)
        edge, inside = (10 * np.log10(before / after)).mean(0)
        found[source] = {"edge_gain_db": float(edge), "inside_gain_db": float(inside)}
    return found


def _worms(records: Mapping[str, list[Record]], _: str) -> dict[str, Any]:
    found = {}
    for source in ("phone", "simulated"):
        rows = [record for record in records[source] if "excess" in record]
        joined = [np.concatenate([row[name] for row in rows]) for name in ("excess", "power", "radius_px")]
        found[source] = windows.worms(*joined)
    return found


MAKERS = {
    "phone": _uncoded,
    "flat": _uncoded,
    "previews": _previews,
    "simulated": _variants,
    "kernels": _variants,
    "native": _native,
    "edges": _edges,
    "worms": _worms,
}
