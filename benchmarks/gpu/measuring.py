"""Short measurements before anything is learnt: do device and CPU agree, and which batches and crops are quick."""

import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch

from dualpix.errors import MachineError, ran_out_of_memory
from dualpix.inference.engines.pytorch import Runner
from dualpix.networks import create
from dualpix.simulation.batch import BatchSimulator
from dualpix.simulation.photos import Photos
from dualpix.training.device_feed import DeviceFeed
from dualpix.training.learner import Learner
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe
from dualpix.training.sources import scenes_of

WHITE = 1e-4
"""The most by which pictures of the simulator may differ before coding."""

LOSS = 1e-2
"""The most by which the losses of three steps may differ, as a share."""


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def agreement(recipe: Recipe, photos: Photos, device: torch.device) -> dict[str, Any]:
    """Scenes and three steps in fp32, on the CPU and on the device."""
    plain = replace(recipe, compressed=0.0, precision="fp32", batch=2, minutes=0.0, start="")
    simulated = scenes_of(plain, photos, 10**9, plain.seed)
    pictures = []
    for place in (torch.device("cpu"), device):
        batches = BatchSimulator(simulated, place)
        pictures.append({name: made.cpu() for name, made in batches.render(batches.draw(range(4))).items()})
    scenes = max(float((pictures[0][name] - pictures[1][name]).abs().max()) for name in pictures[0])
    losses: list[list[float]] = []
    for place in (torch.device("cpu"), device):
        learner = Learner(plain, device=place)
        with closing(DeviceFeed(simulated, plain, learner.names)) as feed:
            batch = feed.batch(0)
        losses.append([float(learner.learn(batch, Processes())[0]) for _ in range(3)])
    apart = max(abs(one - two) / abs(one) for one, two in zip(*losses, strict=True))
    # A level of 8 bits apart where rounding decides; only more of it is another picture.
    return {
        "scenes": scenes,
        "losses": losses,
        "apart": apart,
        "agree": scenes < WHITE + 1 / 255 and apart < LOSS,
    }


def speeds(
    recipe: Recipe, photos: Photos, device: torch.device, sizes: list[tuple[int, int]], seconds: float
) -> tuple[tuple[int, int], list[dict[str, Any]]]:
    """Crops a second of whole steps, simulator included; and the batch and crop with the most pixels a second.

    A batch that does not fit into the memory is halved until one does.
    """
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    for number, (batch, crop) in enumerate(sizes):
        allowed = (seconds - (time.perf_counter() - began)) / (len(sizes) - number)
        if allowed <= 0 and rows:
            break
        while batch >= 1 and (row := _speed(recipe, photos, device, batch, crop, allowed)) is None:
            batch //= 2
        if batch >= 1 and row is not None:
            rows.append(row)
    if not rows:
        least = min(crop for _, crop in sizes)
        raise MachineError(f"Not even one crop of {least} px fits into the memory of {device}; free some there.")
    best = max(rows, key=lambda row: row["crops_per_s"] * row["crop"] ** 2)
    return (best["batch"], best["crop"]), rows


def _speed(
    recipe: Recipe, photos: Photos, device: torch.device, batch: int, crop: int, seconds: float
) -> dict[str, Any] | None:
    """None for a batch that does not fit at once, and would be computed in parts."""
    room = {"pool": max(64, batch), "scene": max(recipe.scene, crop)}
    one = replace(recipe, batch=batch, crop=crop, start="", fresh=batch / 4, **room)
    try:
        learner = Learner(one, device=device)
        with closing(DeviceFeed(scenes_of(one, photos, 10**9, 0), one, learner.names, device=device)) as feed:
            for step in range(2):
                learner.learn(feed.batch(step), Processes())
            synchronise(device)
            if learner.parts > 1:
                return None
            began, steps = time.perf_counter(), 0
            while not steps or (steps < 200 and time.perf_counter() - began < 0.6 * seconds):
                learner.learn(feed.batch(2 + steps), Processes())
                steps += 1
                if steps % 4 == 0:
                    synchronise(device)
            synchronise(device)
            spent = time.perf_counter() - began
    except MachineError:  # not even one crop
        return None
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        return None
    return {"batch": batch, "crop": crop, "crops_per_s": round(batch * steps / spent, 1), "steps": steps}


def inference(
    device: torch.device, megapixels: tuple[float, ...], precisions: tuple[str, ...], seconds: float
) -> list[dict[str, Any]]:
    """Seconds, memory and difference to fp32 of pictures of these sizes, 3 x 2, whole and twice each; then the CPU's.

    What does not fit, or for which there is no time, has no figure.
    """
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    for size in megapixels:
        height = max(64, round((size * 1e6 / 1.5) ** 0.5) // 16 * 16)
        views = [torch.rand(3, height, height * 3 // 2, generator=torch.Generator().manual_seed(n)) for n in range(2)]
        exact: torch.Tensor | None = None
        beside = [(torch.device("cpu"), "fp32")] if device.type != "cpu" and size <= 2 else []
        for place, precision in [*((device, one) for one in precisions), *beside]:
            if time.perf_counter() - began > seconds:
                return rows
            row, made = _inference(place, precision, views)
            exact = made if precision == "fp32" and exact is None else exact
            if made is not None and exact is not None:
                row["difference"] = float((made - exact).abs().max())
            rows.append({"megapixels": size, **row})
    return rows


def _inference(
    place: torch.device, precision: str, views: list[torch.Tensor]
) -> tuple[dict[str, Any], torch.Tensor | None]:
    row: dict[str, Any] = {"device": place.type, "precision": precision}
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the same network in every precision
            network = create("mccnet-fast")
            torch.nn.init.normal_(network.head.weight, std=0.02)  # or all it adds is nothing
        runner = Runner(network, precision, place)
        if place.type == "cuda":
            torch.cuda.reset_peak_memory_stats(place)
        for _ in range(2):
            began = time.perf_counter()
            made = runner(views)
            row["seconds"] = round(time.perf_counter() - began, 4)
        if place.type == "cuda":
            row["gigabytes"] = round(torch.cuda.max_memory_allocated(place) / 1e9, 2)
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        return row | {"seconds": None}, None
    return row, made
