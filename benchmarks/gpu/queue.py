"""The runs that wait for a GPU: read from `benchmarks/gpu_queue.toml`, and marked there when they have finished."""

import json
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dualpix.training.recipes import RECIPES, Recipe, from_dict


@dataclass(frozen=True)
class Run:
    """One run of the queue; kind: "train" or "inference"."""

    name: str
    kind: str = "train"
    recipe: str = "gpu"
    minutes: float = 1.0
    start: str = ""
    otherwise: str = ""
    size: str = ""
    done: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    megapixels: tuple[float, ...] = ()
    precisions: tuple[str, ...] = ()

    def made(self, size: tuple[int, int] | None, start: str, minutes: float) -> Recipe:
        """Its recipe; size: batch and crop, where they were chosen by measuring."""
        settings: dict[str, Any] = {"minutes": minutes, "start": start, "final_steps": 0, **self.fields}
        if size and self.size == "chosen":
            batch, crop = size
            scene = max(256, crop + 64)
            settings = {"batch": batch, "crop": crop, "scene": scene, "pool": 2048, "fresh": batch / 4} | settings
        return from_dict(settings, replace(RECIPES[self.recipe], final_steps=0))


def read_queue(path: Path) -> list[Run]:
    """All runs, variants as runs of their own. Raises ValueError for what is none."""
    runs = []
    for one in tomllib.loads(path.read_text()).get("run", []):
        variants = one.pop("variant", [{}])
        for variant in variants:
            merged = one | variant | {"fields": one.get("fields", {}) | variant.get("fields", {})}
            if variant:
                merged["name"] = f"{one['name']}.{variant['name']}"
            for several in ("megapixels", "precisions"):
                merged[several] = tuple(merged.get(several, ()))
            try:
                runs.append(Run(**merged))
            except TypeError as error:
                raise ValueError(f"{path}: the run {one.get('name')!r} is not accepted: {error}") from error
    return runs


def mark(path: Path, finished: dict[str, str]) -> list[str]:
    """Write `done = DAY` behind the names of runs; returns those marked now."""
    lines, marked, outer = path.read_text().splitlines(), [], ""
    made = []
    for number, line in enumerate(lines):
        made.append(line)
        if line.startswith("[[run"):
            variant = line.startswith("[[run.variant")
        if not line.startswith("name = "):
            continue
        own = json.loads(line.removeprefix("name = "))
        name = f"{outer}.{own}" if variant else own
        outer = outer if variant else own
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if name in finished and not following.startswith("done = "):
            made.append(f'done = "{finished[name]}"')
            marked.append(name)
    path.write_text("\n".join(made) + "\n")
    return marked
