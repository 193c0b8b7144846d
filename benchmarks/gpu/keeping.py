"""What must survive a lent machine: at most `MOST_FILES` files below `MOST_BYTES`, replaced whole, at any moment."""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualpix.machine.files import write_whole
from dualpix.training.state import pack, unpack
from dualpix.weights import checkpoint

MOST_FILES, MOST_BYTES, MOST_TOGETHER = 8, 15_500_000, 62_000_000
REPORTED = ("recipe.json", "log.jsonl", "curve.png", "sheet.jpg")


def keep(out: Path, runs: Iterable[Path], facts: Mapping[str, Any]) -> None:
    """Write report.zip, then weights of the newest runs in bf16, then the state of the newest in parts.

    out: Only what lies in it comes back. runs: Run folders, the newest last. facts: What else was measured.
    """
    folders = [run for run in runs if run.exists()]
    files: dict[str, bytes] = {"report.zip": _report(folders, facts)}
    for run in reversed(folders):
        weights = next((run / name for name in ("best.safetensors", "last.safetensors") if (run / name).exists()), None)
        if weights is not None:
            _add(files, {f"{run.name}.safetensors": _in_bf16(weights, out)})
    if folders and (folders[-1] / "last.pt").exists():
        _add(files, _parts(folders[-1]))
    for name, content in files.items():
        write_whole(out / name, content)
    for old in out.iterdir():
        if old.is_file() and old.name not in files:
            old.unlink()


def joined(parts: Iterable[Path], state: Path) -> None:
    """Put the parts of a state together, as the `last.pt` of a run that is to go on."""
    write_whole(state, b"".join(part.read_bytes() for part in sorted(parts)))


def _add(files: dict[str, bytes], more: Mapping[str, bytes]) -> None:
    """All of `more`, or nothing where there is no room."""
    sizes = [len(content) for content in (*files.values(), *more.values())]
    if len(sizes) <= MOST_FILES and sum(sizes) <= MOST_TOGETHER and max(sizes) <= MOST_BYTES:
        files.update(more)


def _report(folders: Iterable[Path], facts: Mapping[str, Any]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("facts.json", json.dumps(facts, indent=1))
        for run in folders:
            for name in REPORTED:
                if (run / name).exists():
                    archive.write(run / name, f"{run.name}/{name}")
    return content.getvalue()


def _in_bf16(weights: Path, out: Path) -> bytes:
    found = checkpoint.load(weights)
    low = out / ".low.safetensors"
    parts = (found.network, found.name, found.arguments, found.recipe, found.scores)
    checkpoint.save(low, *parts, extra=found.extra, dtype="bf16")
    try:
        return low.read_bytes()
    finally:
        low.unlink()


def _parts(run: Path) -> dict[str, bytes]:
    """The state without what bf16 holds well enough: running means of weights and gradients."""
    state = unpack(run / "last.pt")
    learner = state["learner"]
    learner["means"] = [_low(mean) for mean in learner["means"]]
    if "means" in learner["optimiser"]:
        learner["optimiser"]["means"] = [_low(mean) for mean in learner["optimiser"]["means"]]
    content = bytes(pack(state))
    pieces = range(0, len(content), MOST_BYTES)
    return {f"{run.name}.state.{n}": content[at : at + MOST_BYTES] for n, at in enumerate(pieces)}


def _low(values: Tensor) -> Tensor:
    return values.to(torch.bfloat16)
