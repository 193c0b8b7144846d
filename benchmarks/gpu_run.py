"""The next runs of `benchmarks/gpu_queue.toml` on a GPU, for some minutes; `benchmarks/gpu_run.sh` starts it.

    python benchmarks/gpu_run.py OUT --minutes 9 --photos photos.pack
    python benchmarks/gpu_run.py OUT --mark

Prints the device, checks that it computes what the CPU does, measures which batches are quick, and takes run after run
of the queue until the time is over. OUT holds what is to be carried away, at any moment: report.zip (facts, logs,
curves, pictures), weights in bf16, and the parts of the newest run's state; never more than 8 files or 16 MB each.
"""

import argparse
import json
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from dualpix.errors import DualpixError, device_failed, machine_fault, reason_of
from dualpix.inference.engines.pytorch import Runner
from dualpix.networks import DEFOCUS_ESTIMATORS, create
from dualpix.simulation.photos import Photos, share_photos
from dualpix.training import train
from dualpix.training.failing import DeviceFailedError
from dualpix.training.recipes import RECIPES, Recipe
from dualpix.training.sources import VALIDATION_SEED, scenes_of
from dualpix.weights import checkpoint
from gpu import keeping, measuring
from gpu.queue import Run, mark, read_queue

HOME = Path(__file__).resolve().parents[1]
QUEUE = HOME / "benchmarks" / "gpu_queue.toml"
AGREEING_S, SPEED_S, SPARE_S = 20.0, 40.0, 6.0
LEAST_SHARE = 0.5
"""Of its minutes, what a run after the first must be able to have for it to be begun."""

COMPILED_MINUTES = 3.0
"""Shorter runs would spend their time on the compiler."""

SIZES = [(64, 192), (128, 192), (64, 256), (32, 256)]


class Session:
    """One start: its device, its time, and what has been found out."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.began, self.whole_s = time.monotonic(), 60 * given.minutes
        self.out, self.work = given.out.resolve(), Path(given.work or tempfile.mkdtemp(prefix="gpu-")).resolve()
        self.device, self.given = torch.device(given.device), given
        self.runs: list[Path] = []
        self.facts: dict[str, Any] = {"minutes": given.minutes, "finished": {}}

    def left_s(self) -> float:
        return self.whole_s - SPARE_S - (time.monotonic() - self.began)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def keep(self) -> None:
        keeping.keep(self.out, self.runs, self.facts)

    def run(self) -> int:
        self.facts["device"] = device_facts(self.device)
        self.say(json.dumps(self.facts["device"]))
        self.keep()
        photos = share_photos([self.given.photos], self.work / "scenes" / "photos", tell=self.say)
        recipe = smaller(RECIPES["gpu"]) if self.given.rehearse else RECIPES["gpu"]
        self.facts["agreement"] = measuring.agreement(recipe, photos, self.device)
        self.say(f"CPU and device: {json.dumps(self.facts['agreement'])}")
        self.keep()
        if not self.facts["agreement"]["agree"]:
            self.say("The device does not compute what the CPU does; nothing is learnt on it.")
            return 3
        sizes = [(2, 32), (4, 32)] if self.given.rehearse else SIZES
        chosen, rows = measuring.speeds(recipe, photos, self.device, sizes, min(SPEED_S, 0.2 * self.left_s()))
        self.facts |= {"speeds": rows, "chosen": chosen}
        self.say(f"Crops a second: {json.dumps(rows)}; chosen {chosen[0]} of {chosen[1]} px")
        self.keep()
        for run in read_queue(self.given.queue):
            if run.done or run.name in self.facts["finished"]:
                continue
            minutes = min(run.minutes, self.left_s() / 60)
            if minutes <= 0 or (self.runs and minutes < LEAST_SHARE * run.minutes):
                self.say(f"{run.name} wants {run.minutes:g} minutes, {max(0.0, minutes):.1f} are left")
                break
            self.take(run, minutes, chosen, photos)
        self.say("over")
        return 0

    def take(self, run: Run, minutes: float, size: tuple[int, int], photos: Photos) -> None:
        """Do one run; trouble with it is written down, and the next one has its turn."""
        self.say(f"{run.name}, {minutes:.1f} minutes")
        try:
            if run.kind == "inference":
                rows = measuring.inference(self.device, run.megapixels, run.precisions, 60 * minutes)
                self.facts["inference"] = rows
                self.say(json.dumps(rows))
            else:
                self.learn(run, minutes, size, photos)
            how = "finished" if minutes >= LEAST_SHARE * run.minutes else "shortened"
            self.facts.setdefault(how, {})[run.name] = datetime.now(UTC).date().isoformat()
        except (DualpixError, RuntimeError, MemoryError, OSError) as error:
            self.facts.setdefault("trouble", {})[run.name] = f"{type(error).__name__}: {error}"
            self.say(f"{run.name} ended: {error}")
            if isinstance(error, DeviceFailedError) or device_failed(error):
                raise DeviceFailedError(f"{reason_of(error)}; what was reached lies in {self.out}.") from error
        finally:
            self.keep()

    def learn(self, run: Run, minutes: float, size: tuple[int, int], photos: Photos) -> None:
        recipe = run.made(size, "", minutes)
        recipe = smaller(recipe) if self.given.rehearse else recipe
        recipe = replace(recipe, start=self.start_of(run, recipe))
        folder = self.work / run.name
        self.runs.append(folder)

        def report(line: dict[str, Any]) -> None:
            if "validation" in line or "note" in line or "loss" in line:
                self.say(f"{run.name}: {json.dumps(line)}")
            if "validation" in line:
                self.keep()

        compiled = self.device.type == "cuda" and minutes >= COMPILED_MINUTES
        weights = train(recipe, folder, photos=[self.given.photos], report=report, compiled=compiled)
        if recipe.network not in DEFOCUS_ESTIMATORS:
            draw_sheet(weights, recipe, photos, folder / "sheet.jpg")

    def start_of(self, run: Run, recipe: Recipe) -> str:
        """The file of the weights to start from, with the arguments of this run; "" for none."""
        name = run.start
        if name.startswith("newest:"):
            wanted = name.removeprefix("newest:")
            places = [self.work / wanted, HOME / "results" / "gpu", HOME / "runs" / wanted]
            found = [path for place in places for path in sorted(place.rglob("*.safetensors"))]
            found = [path for path in found if wanted == "learn" or wanted in (path.stem, path.parent.name)]
            found = [path for path in found if checkpoint.load(path).name == recipe.network]
            name = str(max(found, key=lambda path: path.stat().st_mtime)) if found else run.otherwise
        if not name or self.given.rehearse:
            return ""
        loaded = checkpoint.load(name)
        network = create(recipe.network, **recipe.arguments)
        network.load_state_dict(loaded.network.state_dict())
        file = self.work / f"{run.name}-start.safetensors"
        checkpoint.save(file, network, recipe.network, dict(recipe.arguments), loaded.recipe, loaded.scores)
        return str(file)


def smaller(recipe: Recipe) -> Recipe:
    """What a CPU can rehearse in seconds: another network, a few small crops."""
    tiny = RECIPES["tiny"]
    changes: dict[str, Any] = {"network": tiny.network, "arguments": tiny.arguments, "batch": 2, "crop": 32}
    changes |= {"scene": 48, "pool": 16, "fresh": 0.5, "loss": "charbonnier", "compressed": 0.0, "precision": "fp32"}
    return replace(recipe, **changes)


def device_facts(device: torch.device) -> dict[str, Any]:
    facts: dict[str, Any] = {"device": str(device), "torch": torch.__version__, "python": sys.version.split()[0]}
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        facts |= {"name": found.name, "gigabytes": round(found.total_memory / 1e9, 1)}
        facts |= {"multiprocessors": found.multi_processor_count, "cuda": torch.version.cuda}
    return facts


def draw_sheet(weights: Path, recipe: Recipe, photos: Photos, file: Path) -> None:
    """Left view, result and sharp picture of three held-out scenes, one below the other."""
    from PIL import Image

    loaded, rows = checkpoint.load(weights), []
    runner = Runner(loaded.network, "fp32", "auto")
    held_out = scenes_of(recipe, photos, 3, VALIDATION_SEED)
    for sample in (held_out[number] for number in range(3)):
        made = runner([torch.as_tensor(sample[view]) for view in runner.spec.views]).clamp(0, 1)
        rows.append(torch.cat([torch.as_tensor(sample["left"]), made, torch.as_tensor(sample["sharp"])], 2))
    pixels = (torch.cat(rows, 1) * 255).round().byte().permute(1, 2, 0).contiguous()
    Image.fromarray(pixels.numpy()).save(file, quality=92)


def finished_in(out: Path) -> dict[str, str]:
    with zipfile.ZipFile(out / "report.zip") as archive:
        found: dict[str, str] = json.loads(archive.read("facts.json"))["finished"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--photos", type=Path, default=HOME / "photos.pack", metavar="PACK")
    parser.add_argument("--queue", type=Path, default=QUEUE)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--work", type=Path, help="where runs lie while they learn; by default a new folder")
    parser.add_argument("--rehearse", action="store_true", help="tiny networks and crops, to try it on a CPU")
    parser.add_argument("--mark", action="store_true", help="mark in the queue what OUT has finished")
    given = parser.parse_args()
    if given.mark:
        print("\n".join(mark(given.queue, finished_in(given.out))) or "nothing new has finished")
        return 0
    if given.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU that PyTorch can use here; --device cpu --rehearse tries the command.", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    try:
        return Session(given).run()
    except (DualpixError, ValueError) as error:
        print(f"gpu_run: {error}", file=sys.stderr)
    except (RuntimeError, MemoryError) as error:
        if not (fault := machine_fault(error)):
            raise
        print(f"gpu_run: {fault}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
