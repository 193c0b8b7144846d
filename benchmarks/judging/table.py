"""The figures of one or more sets of weights as one Markdown table, a column for each."""

from collections.abc import Iterator, Mapping

from judging import windows
from judging.figures import PLACES, SHARES, Figures, score

Row = tuple[str, str, list[str]]


def table(judged: Mapping[str, Figures]) -> str:
    """`judged`: figures by the weights' name, all of the same groups."""
    lines = [f"| figure | input | {' | '.join(judged)} |", "|---|---:|" + "---:|" * len(judged)]
    lines += [f"| {what} | {before} | {' | '.join(cells)} |" for what, before, cells in _rows(list(judged.values()))]
    return "\n".join(lines)


def _rows(every: list[Figures]) -> Iterator[Row]:
    first = every[0]
    for group in first:
        yield from _plain(group, [figures[group] for figures in every])
    if score(first) is not None:
        yield "**score**", "0", [f"**{score(figures):.3f}**" for figures in every]


def _plain(group: str, every: list[dict]) -> Iterator[Row]:
    first = every[0]
    if group == "edges":
        for source in first:
            for name, where in (("edge_gain_db", "beside the edges"), ("inside_gain_db", "inside")):
                yield f"edges, {source}: gain {where}, dB", "", [f"{figures[source][name]:+.2f}" for figures in every]
        return
    if group == "worms":
        for source in first:
            for name in first[source]:
                yield f"worms, {source}: {name}", "", [f"{figures[source][name]:.3f}" for figures in every]
        return
    yield from _gains(group, every, group in SHARES)
    if group == "previews":
        yield "previews: raw dB", f"{first['input_raw_db']:.2f}", [f"{f['output_raw_db']:.2f}" for f in every]
    if group == "native":
        after = [f"{f['focused_output_db']:.2f}" for f in every]
        yield "native: dB in focus", f"{first['focused_input_db']:.2f}", after
    for variant in first.get("variants", {}):
        yield from _gains(f"{group}, {variant}", [figures["variants"][variant] for figures in every], False)
    for radius in windows.CLASSES if "by_radius" in first else ():
        for place in PLACES:
            cells = [_marked(figures["by_radius"][radius][place]["gain_db"]) for figures in every]
            share = first["by_radius"][radius][place]["share"]
            yield f"phone, {radius}, {place} ({share:.0%} of the windows): gain dB", "", cells


def _gains(what: str, every: list[dict], whole: bool) -> Iterator[Row]:
    first = every[0]
    fitted = " fitted" if what == "previews" else ""
    cells = [f"{f['output_db']:.2f} ({f['gain_db']:+.2f}) / {f['output_ssim']:.4f}" for f in every]
    yield f"{what}:{fitted} dB (gain) / SSIM", f"{first['input_db']:.2f} / {first['input_ssim']:.4f}", cells
    if whole:
        yield f"{what}: q", "0", [f"{figures['q']:.3f}" for figures in every]


def _marked(gain_db: float) -> str:
    """An exclamation mark where the result is worse than what went in."""
    return f"{gain_db:+.2f}{' !' if gain_db < 0 else ''}"
