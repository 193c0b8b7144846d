"""One picture at a time: what is known of it before any weights are judged, and what weights make of it.

Every item belongs to a group and is measured by itself, so that several processes may share the work; `figures.py`
puts
the records together.
"""

import importlib.util
import math
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dualpix.datasets import Dpdd
from dualpix.evaluation.metrics import measure, psnr, ssim
from dualpix.inference.deblur import deblur_pair
from dualpix.pairs.sample import Sample
from dualpix.simulation import kernels, render
from dualpix.weights import checkpoint
from judging import scenes, windows
from judging.kept import Arrays, kept

Record = dict[str, Any]
EDGE_PX = 40
FOCUSED_PX = 0.5
FIT_STRIDE = 7
LUMA = (0.299, 0.587, 0.114)
NEEDS = {"edges": ("previews", "simulated"), "worms": ("phone", "simulated")}
"""Groups that are other measures of the same pictures."""
GROUPS = ("phone", "flat", "previews", "simulated", "kernels", "native", *NEEDS)


@dataclass(frozen=True)
class Item:
    """`group` of `GROUPS` without those of `NEEDS`; `number`: which of its pairs; `variant`: of a simulated scene."""

    group: str
    number: int
    variant: str = ""


def items_of(groups: tuple[str, ...], data: Path) -> list[Item]:
    """What must be measured for these groups, the slowest first, so that no process is left with one at the end."""
    wanted = {need for group in groups for need in NEEDS.get(group, (group,))}
    simulated = scenes.SIMULATED if "simulated" in groups else ("uncoded",)
    pairs = list(uncoded(data).pairs())
    flats = [name.startswith("flat") for name, *_ in pairs]
    every = [Item("phone", number) for number, flat in enumerate(flats) if not flat]
    every += [Item("previews", number) for number in range(len(previews(data)))]
    every += [Item("flat", number) for number, flat in enumerate(flats) if flat]
    # Variant by variant, so that two processes do not make the same scene at the same time.
    every += [Item("simulated", number, v) for v in simulated for number in range(len(scenes.SCENES))]
    every += [Item("kernels", number, v) for v in scenes.KERNELS for number in range(len(scenes.SCENES))]
    every += [Item("native", number, "native") for number in range(len(scenes.NATIVE))]
    return [item for item in every if item.group in wanted]


@lru_cache(maxsize=1)
def uncoded(data: Path) -> ModuleType:
    """The module `measure_uncoded.py` of the data folder: the house's registration and its list of pairs."""
    specification = importlib.util.spec_from_file_location("measure_uncoded", data / "measure_uncoded.py")
    if specification is None or specification.loader is None:
        raise FileNotFoundError(data / "measure_uncoded.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


@lru_cache(maxsize=1)
def previews(data: Path) -> Dpdd:
    return Dpdd(data / "dpdd-preview", "test")


@lru_cache(maxsize=2)
def opened(weights: str) -> checkpoint.Checkpoint:
    return checkpoint.load(weights)


def judged(item: Item, weights: str, data: Path, store: Path) -> Record:
    """The record of one item: PSNR and SSIM of "input" (the mean of the views) and "output", what its group needs
    besides, and the processor's "seconds" it took, of them "preparing" what further weights will find in `store`."""
    began = time.process_time()
    known = prepared(item, data, store)
    ready = time.process_time()
    record: Record = MEASURES[item.group](item, known, opened(weights), data)
    done = time.process_time()
    return record | {"seconds": done - began, "preparing": ready - began}


def prepared(item: Item, data: Path, store: Path) -> Arrays:
    """What does not depend on the weights."""
    if item.group in ("phone", "flat"):
        name, views, sharp = list(uncoded(data).pairs())[item.number]
        files = [*views, *sharp, data / "measure_uncoded.py"]
        return kept(store, name, files, lambda: _registered_input(item, data))
    if item.group == "previews":
        files = [previews(data).scenes[item.number][view] for view in ("left", "right", "sharp")]
        return kept(store, f"preview {item.number}", files, lambda: _preview_input(item, data))
    return _scene(item, data, store)


def _scene(item: Item, data: Path, store: Path) -> Arrays:
    """ "left", "right", "sharp" (3 H W, bytes), "blur_px" and the "input" scores."""
    make = {"simulated": scenes.simulated, "kernels": scenes.strange, "native": scenes.native}[item.group]
    photos = (scenes.NATIVE[item.number][0],) if item.group == "native" else scenes.scene_photos(item.number)
    files = scenes.photo_files(data, photos)
    if item.group == "simulated":
        # These go through the package's optics: a change there makes other scenes, and must not go unnoticed.
        files += [Path(module.__file__) for module in (kernels, render) if module.__file__]

    def with_scores() -> Arrays:
        made = make(data, item.number)
        sharp = _floats(made["sharp"])
        for variant in set(made) - {"sharp", "blur_px"}:
            made[f"input {variant}"] = np.array(_scores(_floats(made[variant]).mean(0), sharp))
        return made

    whole = kept(store, f"{item.group} {item.number}", files, with_scores)
    left, right = whole[item.variant]
    shared = {name: whole[name] for name in ("sharp", "blur_px")}
    return {"left": left, "right": right, "input": whole[f"input {item.variant}"], **shared}


def _floats(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).float() / 255


def _scores(picture: Tensor, sharp: Tensor) -> tuple[float, float]:
    """PSNR and SSIM as files of 8 bits would have them."""
    rounded = (picture.clamp(0, 1) * 255).round() / 255
    return psnr(rounded, sharp), ssim(rounded, sharp)


def _deblurred(sample: Sample, network: checkpoint.Checkpoint) -> Tensor:
    # Whole and in float32 whatever the machine, so that figures can be repeated.
    rows = sample["left"].shape[1]
    # At full size alone, as all that was judged before: it is weights that are compared.
    return deblur_pair(sample, network, device="cpu", precision="fp32", band_rows=rows, scale="1", guard=False).picture


def registered(picture: np.ndarray, truth: np.ndarray, tools: ModuleType) -> tuple[np.ndarray, float, float]:
    """The picture as `measure_uncoded.score` compares it (moved, fitted, without the rim, H W C), its PSNR and SSIM."""
    taken: list[np.ndarray] = []
    original = tools.structural_similarity

    def take(output: np.ndarray, wanted: np.ndarray, **rest: Any) -> float:
        taken.append(output)
        return float(original(output, wanted, **rest))

    # Its score returns no picture; the last thing it calls is handed one.
    tools.structural_similarity = take
    try:
        decibels, similarity = tools.score(picture, truth)
    finally:
        tools.structural_similarity = original
    return taken[0], float(decibels), float(similarity)


def _pair(item: Item, data: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Views and truth of an uncoded pair."""
    tools = uncoded(data)
    _, views, sharp = list(tools.pairs())[item.number]
    return [tools.read(path) for path in views], np.mean([tools.read(path) for path in sharp], 0)


def _registered_input(item: Item, data: Path) -> Arrays:
    tools = uncoded(data)
    views, truth = _pair(item, data)
    moved, *scores = registered(np.mean(views, 0), truth, tools)
    made: Arrays = {"input": np.array(scores)}
    if item.group == "phone":
        inside = truth[tools.RIM : -tools.RIM, tools.RIM : -tools.RIM]
        made["radius_px"] = windows.fitted_radius(moved[..., 0], inside, tools.decode, tools.encode)
        made["errors"] = windows.errors(moved[..., 0], inside)
    return made


def _measure_uncoded(item: Item, known: Arrays, network: checkpoint.Checkpoint, data: Path) -> Record:
    tools = uncoded(data)
    views, truth = _pair(item, data)
    colours = [np.repeat(view[..., None], 3, 2) if view.ndim == 2 else view for view in views]
    left, right = (torch.from_numpy(view).float().permute(2, 0, 1).contiguous() for view in colours)
    output = _deblurred({"left": left, "right": right, "name": "pair"}, network).permute(1, 2, 0).double().numpy()
    moved, *scores = registered(tools.grey(output) if truth.ndim == 2 else output, truth, tools)
    record: Record = {"input": known["input"].tolist(), "output": scores}
    if item.group == "phone":
        inside = truth[tools.RIM : -tools.RIM, tools.RIM : -tools.RIM]
        found = windows.excess(moved[..., 0], inside, known["radius_px"])
        record |= _window_record(known["radius_px"], *found)
        record |= {"x": windows.places(inside.shape).tolist(), "errors before": known["errors"].tolist()}
        record["errors after"] = windows.errors(moved[..., 0], inside).tolist()
    return record


def _window_record(radius_px: np.ndarray, excess: np.ndarray, power: np.ndarray) -> Record:
    return {"radius_px": radius_px.tolist(), "excess": excess.tolist(), "power": power.tolist()}


def _preview_input(item: Item, data: Path) -> Arrays:
    sample = previews(data)[item.number]
    mean = (sample["left"] + sample["right"]) / 2
    return {"input": _preview_scores(mean, sample["sharp"]), "edges": _edges(mean, sample["sharp"], fit=True)}


def _preview_scores(picture: Tensor, sharp: Tensor) -> np.ndarray:
    """Fitted PSNR, SSIM, raw PSNR."""
    found = measure(picture, sharp, "dpdd-8bit")
    return np.array([found["psnr-fitted"], found["ssim"], found["psnr"]])


def _measure_preview(item: Item, known: Arrays, network: checkpoint.Checkpoint, data: Path) -> Record:
    sample = previews(data)[item.number]
    output = _deblurred(sample, network)
    record: Record = {"input": known["input"].tolist(), "output": _preview_scores(output, sample["sharp"]).tolist()}
    after = _edges(output, sample["sharp"], fit=True)
    return record | {"edges before": known["edges"].tolist(), "edges after": after.tolist()}


def _edges(picture: Tensor, sharp: Tensor, fit: bool) -> np.ndarray:
    """Mean square error beside the left and right edges, and inside; after a fit of colours, as `psnr-fitted`."""
    if fit:
        colours = torch.cat([picture.flatten(1), torch.ones(1, picture[0].numel())]).T.double()
        wanted = sharp.flatten(1).T.double()
        change = torch.linalg.lstsq(colours[::FIT_STRIDE], wanted[::FIT_STRIDE], driver="gelsd").solution
        picture = (colours @ change).T.reshape(sharp.shape).clamp(0, 1)
    squared = (picture - sharp).square()
    beside = torch.cat([squared[..., :EDGE_PX], squared[..., -EDGE_PX:]], -1)
    return np.array([float(beside.mean()), float(squared[..., EDGE_PX:-EDGE_PX].mean())])


def _measure_scene(item: Item, known: Arrays, network: checkpoint.Checkpoint, data: Path) -> Record:
    left, right, sharp = (_floats(known[name]) for name in ("left", "right", "sharp"))
    output = _deblurred({"left": left, "right": right, "name": "pair"}, network)
    record: Record = {"variant": item.variant, "input": known["input"].tolist(), "output": _scores(output, sharp)}
    mean = (left + right) / 2
    if item.group == "native":
        focused = torch.from_numpy(np.abs(known["blur_px"]) < FOCUSED_PX)
        if bool(focused.any()):
            record["focused"] = [_decibels(picture[:, focused], sharp[:, focused]) for picture in (mean, output)]
    if item.variant == "uncoded":
        record["edges before"], record["edges after"] = (_edges(x, sharp, fit=False).tolist() for x in (mean, output))
        radius_px = windows.known_radius(known["blur_px"])
        made, true = (np.tensordot(LUMA, x.double().numpy(), 1) for x in (output, sharp))
        record |= _window_record(radius_px, *windows.excess(made, true, radius_px))
    return record


def _decibels(picture: Tensor, sharp: Tensor) -> float:
    return -10 * math.log10(float((picture - sharp).square().mean()))


MEASURES = {
    "phone": _measure_uncoded,
    "flat": _measure_uncoded,
    "previews": _measure_preview,
    "simulated": _measure_scene,
    "kernels": _measure_scene,
    "native": _measure_scene,
}
