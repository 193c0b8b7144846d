"""How fast this machine is: measured once, and kept in the user's cache.

Here, how much faster the processor computes in bf16 than in fp32; `engines.choosing` compares engines. A processor's
list of instructions does not say: with AVX-512 BF16 and without matrix tiles, one processor was measured to take twice
as long in bf16, another two thirds of the time.
"""

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dualpix.machine.files import cache_folder, parse_json, write_whole

Timed = Callable[[Callable[[], object]], float]

PROBE = 1
"""Increase it when what is measured changes."""

LAYERS = ((48, 40), (96, 24))  # channels as networks have them, but few rows and columns, so that it is quick
ROUNDS = 5
ENOUGH_S = 0.4  # of measuring; on a slow or a busy machine that can be fewer rounds
HOPELESS = 0.5  # a gain below which one round is enough: emulated bf16 can take ten times as long
MOST_BYTES = 10_000
"""The largest size of a record; anything larger is not one."""

MOST = 1e9
"""The largest number in a record."""

SWITCH = "DUALPIX_NO_BF16"
"""An environment variable: set to anything, `auto` is PyTorch in fp32, and nothing is measured."""

LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
"""Environment variables that keep PyTorch from using all that the processor has."""

measured_here: dict[str, dict[str, float]] = {}
"""What this process has measured, or read from the cache."""


def seconds_of(step: Callable[[], object]) -> float:
    """Return the seconds that a call of `step` takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def bf16_gain(learning: bool = False, timed: Timed = seconds_of) -> float | None:
    """Return how many times as fast as fp32 bf16 is on this processor, with the current number of threads.

    It takes a fraction of a second the first time, and then comes from the cache, for as long as processor, PyTorch and
    number of threads stay the same.

    Args:
        learning: Measure forward and backward, instead of forward alone.
        timed: Returns the seconds of a step.

    Returns:
        None, without measuring, on processors that have no instructions for bf16.
    """
    if switched_off() or not has_bf16():
        return None
    known = remembered("bf16", {"learning": learning}, ("gain",), lambda: {"gain": round(measure(learning, timed), 3)})
    return known["gain"]


def remembered(
    kind: str, about: dict[str, Any], names: Sequence[str], measured: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """Return numbers that were measured here once: from this process, from the cache, or by measuring now.

    Args:
        kind: Begins the name of the file in the cache.
        about: What the numbers hold for, besides processor, PyTorch and number of threads.
        names: Of the numbers, each above 0.
        measured: Measures them.
    """
    circumstances = _circumstances(about)
    text = json.dumps([kind, circumstances], sort_keys=True)
    if text not in measured_here:
        place = _place(kind, text)
        kept = place and _read(place, circumstances, names)
        measured_here[text] = kept or measured()
        if place and not kept:
            with suppress(OSError):  # Without a place for it, it is measured again next time.
                place.parent.mkdir(parents=True, exist_ok=True)
                write_whole(place, json.dumps({**circumstances, **measured_here[text]}).encode())
    return measured_here[text]


def recalled(kind: str, about: dict[str, Any], names: Sequence[str]) -> dict[str, float] | None:
    """Return what `remembered` would return without measuring; None if it would measure."""
    circumstances = _circumstances(about)
    text = json.dumps([kind, circumstances], sort_keys=True)
    place = _place(kind, text)
    return measured_here.get(text) or (_read(place, circumstances, names) if place else None)


def switched_off() -> bool:
    """Whether the user has switched measuring off."""
    return bool(os.environ.get(SWITCH))


def has_bf16() -> bool:
    """Whether this processor, of the x86 family, multiplies in bf16, and PyTorch's convolutions can use that."""
    asked = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(ask is not None and ask() for ask in asked) and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def emulates(precision: str) -> bool:
    """Whether PyTorch has to emulate a precision on this processor, and is slower in it than in fp32.

    Always False on processors that are not of the x86 family, about which this cannot be found out.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return {"bf16": not has_bf16(), "fp16": not torch.ops.mkldnn._is_mkldnn_fp16_supported()}.get(precision, False)


def lacks_vnni() -> bool:
    """Whether this processor, of the x86 family, is known to multiply integers of 8 bits without VNNI (or AMX)."""
    flags = processor_facts().get("flags", "")
    return bool(flags) and "vnni" not in flags


def measure(learning: bool, timed: Timed = seconds_of) -> float:
    """Return the seconds of a few layers in fp32 divided by those in bf16, each the least of several, run in turns."""
    with torch.random.fork_rng(devices=[]):
        steps = {dtype: _steps(dtype, learning) for dtype in (torch.float32, torch.bfloat16)}
    for step in steps.values():
        step()  # Not counted: the first time, kernels are chosen and weights reordered.
    least, spent = dict.fromkeys(steps, math.inf), list[float]()
    for _ in range(ROUNDS):
        for dtype, step in steps.items():
            spent.append(timed(step))
            least[dtype] = min(least[dtype], spent[-1])
        if least[torch.float32] < HOPELESS * least[torch.bfloat16] or sum(spent) > ENOUGH_S:
            break
    return least[torch.float32] / least[torch.bfloat16]


def _steps(dtype: torch.dtype, learning: bool) -> Callable[[], None]:
    """Convolution 3 x 3 to twice the channels, gate, matrix product, residual connection: what networks do here."""
    layers = []
    for channels, side in LAYERS:
        maps = torch.randn(2, channels, side, side).to(dtype, memory_format=torch.channels_last)
        mix = torch.randn(2 * channels, channels, 3, 3).mul_(0.05).to(dtype, memory_format=torch.channels_last)
        out = torch.randn(channels, channels).mul_(0.05).to(dtype)
        layers.append([tensor.requires_grad_(learning) for tensor in (maps, mix, out)])

    def step() -> None:
        with torch.set_grad_enabled(learning):
            for maps, mix, out in layers:
                result = _layer(maps, mix, out)
                if learning:
                    torch.autograd.grad(result.sum(), (maps, mix, out))

    return step


def _layer(maps: Tensor, mix: Tensor, out: Tensor) -> Tensor:
    value, gate = F.conv2d(maps, mix, padding=1).chunk(2, 1)
    return maps + F.linear((value * gate).permute(0, 2, 3, 1), out).permute(0, 3, 1, 2)


def _circumstances(about: dict[str, Any]) -> dict[str, Any]:
    return {
        "probe": PROBE,
        **about,
        "processor": processor(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        **{name: os.environ.get(name, "") for name in LIMITS},
    }


def processor() -> str:
    """Return the model of the processor, and a hash of the list of its features."""
    facts = processor_facts()
    if not facts:
        return f"{platform.machine()} {platform.processor()}"
    model = " ".join(facts.get(name, "") for name in ("model name", "cpu family", "model", "stepping"))
    return f"{model} {hashlib.sha256(facts.get('flags', '').encode()).hexdigest()[:16]}"


def processor_facts() -> dict[str, str]:
    """What Linux says of the first processor; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _place(kind: str, text: str) -> Path | None:
    try:
        folder = cache_folder()
    except RuntimeError:  # a user without a home
        return None
    return folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def _read(place: Path, circumstances: dict[str, Any], names: Sequence[str]) -> dict[str, float] | None:
    """What is kept there; None if nothing is, or nothing that holds here."""
    try:
        if place.stat().st_size > MOST_BYTES:
            return None
        kept = parse_json(place.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.keys() != {*circumstances, *names}:
        return None
    numbers = {name: kept.pop(name) for name in names}
    if kept != circumstances or not all(type(one) in (int, float) and 0 < one < MOST for one in numbers.values()):
        return None
    return {name: float(one) for name, one in numbers.items()}
