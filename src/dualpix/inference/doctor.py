"""What dualpix finds on this machine: the facts that each automatic choice depends on, and how fast each engine is."""

import os
import platform
import statistics
from importlib import metadata, util

import torch

from dualpix import __version__
from dualpix.inference import engines, planning, rates
from dualpix.inference.deblur import open_network
from dualpix.inference.engines import choosing
from dualpix.inference.engines.cache import bundled_views
from dualpix.machine import limits, threads
from dualpix.machine.files import cache_folder
from dualpix.machine.modes import ENGINES, settled
from dualpix.weights import checkpoint
from dualpix.weights.exported import exported_of

SIDE_PX = 320
"""Width and height of the part of the bundled pair on which engines are compared."""

ROUNDS = 3


@settled()
def examine(weights: str | None = None) -> dict[str, str]:
    """Return facts about this machine, one line each, by name.

    Measures the speed of bf16 if that was not done here before, which takes less than a second.

    Args:
        weights: For which the default engine is named, as `deblur` takes them.
    """
    device = planning.choose_device("auto")
    gain = planning.bf16_gain("auto", device, adds_input=True)
    precision = planning.choose_precision("auto", device, adds_input=True, gain=gain)
    return {
        "dualpix": f"{__version__}, Python {platform.python_version()}, PyTorch {torch.__version__}",
        "machine": f"{platform.system()} {platform.machine()}, {rates.processor().rpartition(' ')[0]}",
        "instructions": _instructions(),
        "cores": f"{limits.cores()} by affinity and quotas",
        "threads": _threads(),
        "memory": _memory(device),
        "device": str(device),
        "precision": f"{precision}{_why(device, gain)}",
        "engines": ", ".join(_engines()),
        "default engine": _default_engine(weights, device),
        "weights": ", ".join(checkpoint.WEIGHTS),
        "cache": _cache(),
    }


@settled()
def compare(weights: str | None = None) -> dict[str, float]:
    """Return the seconds that each installed engine takes for the same small picture.

    Engines run in turns, and the median of `ROUNDS` is returned, after one run that does not count. A network that was
    not converted for an engine before is converted first, which takes seconds, for ONNX a minute. Also measures what
    `engine="auto"` depends on, if that was not done before.

    Args:
        weights: As `deblur` takes them.

    Returns:
        Seconds by engine and precision, such as "openvino bf16".
    """
    network = open_network(weights)
    choosing.choose(network, "auto", "cpu", choosing.LEAST_PIXELS)  # measures, unless that was done before
    views = [view[:, :SIDE_PX, :SIDE_PX] for view in bundled_views(network.spec.views)]
    ready = {name: engines.start(network, name, "auto", "cpu") for name in engines.ENGINES if _version(name)}
    for runner in ready.values():
        runner(views)
    spent: dict[str, list[float]] = {f"{name} {runner.precision}": [] for name, runner in ready.items()}
    for _ in range(ROUNDS):
        for label, runner in zip(spent, ready.values(), strict=True):
            spent[label].append(rates.seconds_of(lambda run=runner: run(views)))  # type: ignore[misc]
    return {label: statistics.median(seconds) for label, seconds in spent.items()}


def _threads() -> str:
    name = threads.chosen()
    why = f"as {name} says" if name else "as many as cores are free for each picture"
    return f"{torch.get_num_threads()}, {why}"


def _memory(device: torch.device) -> str:
    limited = limits.free_bytes()
    limit = "no limit" if limited is None else f"{limited / 1e9:.1f} GB left by limits (control group, ulimit)"
    return f"{planning.free_bytes(device) / 1e9:.1f} GB free, {limit}"


def _why(device: torch.device, gain: float | None) -> str:
    if gain is not None:
        return f", as bf16 was measured {gain:.2f} times as fast as fp32, and is taken from {planning.LEAST_GAIN} on"
    if device.type != "cpu":
        return ""
    if rates.switched_off():
        return f", as {rates.SWITCH} is set"
    limits_set = [name for name in rates.LIMITS if os.environ.get(name)]
    return f", as this processor has no bf16{', or ' + limits_set[0] + ' keeps PyTorch from it' if limits_set else ''}"


def _instructions() -> str:
    tiles = "" if planning.has_tiles() else ", no matrix tiles"
    emulated = [name for name in ("bf16", "fp16") if rates.emulates(name)]
    slow = f", no {' and no '.join(emulated)} (PyTorch emulates {'them' if emulated[1:] else 'it'})" if emulated else ""
    vnni = ", no VNNI (for int8)" if rates.lacks_vnni() else ""
    return f"{torch.backends.cpu.get_cpu_capability()}{slow}{vnni}{tiles}"


def _default_engine(weights: str | None, device: torch.device) -> str:
    if not choosing.could_be_other(device):
        return "torch; another one where it is asked for, or by a file that was exported for it"
    network = open_network(weights)
    gain = None if exported_of(network) else choosing.recalled(network, "auto")
    size = f"of {choosing.LEAST_PIXELS / 1e6:.0f} megapixels or more"
    if gain is None:
        return f"torch; openvino is measured with the first picture {size}, or by `dualpix doctor --measure`"
    taken = f"openvino was measured {gain:.2f} times as fast, and is taken from {choosing.LEAST_GAIN} on"
    return f"{'torch' if gain < choosing.LEAST_GAIN else f'openvino for pictures {size}, else torch'}, as {taken}"


def _engines() -> list[str]:
    return [f"{name} {_version(name) or '(not installed)'}" for name in engines.ENGINES]


def _version(engine: str) -> str | None:
    """The version of an engine's package, found without importing it; None if it is not installed."""
    package = ENGINES.get(engine, engine)
    return metadata.version(package) if util.find_spec(package) else None


def _cache() -> str:
    try:
        folder = cache_folder()
        files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    except (RuntimeError, OSError) as error:
        return f"none ({error})"
    return f"{folder}, {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB; may be deleted"
