"""Networks made ready to run on rows of a picture, in one of several engines; the only place that pads pictures."""

import os
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from dualpix.errors import MachineError, option
from dualpix.inference import planning
from dualpix.inference.engines import choosing, onnx, openvino, pytorch
from dualpix.inference.rates import SWITCH
from dualpix.machine import modes
from dualpix.networks import Network
from dualpix.networks.spec import NetworkSpec
from dualpix.plugins import Origin, Table, guarded_class, no_class_with
from dualpix.weights.exported import exported_of


class AnyRunner(Protocol):
    """A network in an engine, ready to run on rows of a picture.

    Attributes:
        engine: A key of `ENGINES`.
        precisions: Those that the engine has.
        cpu_only: Whether it knows no device but the CPU.
        spec: That of the network in the form in which it is run.
        workspace_factor: The memory that tensors need, as a factor on their bytes.
        gain: By which the precision was chosen, see `inference.planning.Plan`.
        engine_gain: By which the engine was chosen, see `inference.planning.Plan`.
        weight_bytes: Of the weights in memory.
        precision: In which it runs.
        device: On which it runs.
    """

    engine: str
    precisions: ClassVar[tuple[str, ...]]
    cpu_only: ClassVar[bool]
    engine_gain: float | None
    spec: NetworkSpec
    workspace_factor: float
    gain: float | None
    weight_bytes: int
    precision: str
    device: torch.device

    def __init__(self, network: Network, precision: str, device: str | torch.device) -> None: ...

    def __call__(self, views: Sequence[Tensor]) -> Tensor:
        """Return the output for `views`, C x H x W each, as float32 on the CPU, not clipped."""
        ...

    def dry_run(self, rows: int, width: int) -> None:
        """Make all tensors that so many rows need, when they are needed, so that their bytes can be counted."""
        ...


NEEDED = ("engine", "spec", "workspace_factor", "gain", "weight_bytes", "precision", "device")
"""What a runner tells of itself once it is made."""


def _guarded(kind: type[AnyRunner], origin: Origin) -> type[AnyRunner]:
    """An engine of another package: what it raises is told, and what it makes is checked."""

    def make(self: Any, network: Network, precision: str, device: str | torch.device) -> None:
        with origin.at_work():
            kind.__init__(self, network, precision, device)
            if missing := [name for name in NEEDED if not hasattr(self, name)]:
                raise AttributeError(f"it has no {', '.join(missing)}")

    def run(self: Any, views: Sequence[Tensor]) -> Tensor:
        with origin.at_work():
            return _picture(kind.__call__(self, views), views[0])

    def dry_run(self: Any, rows: int, width: int) -> None:
        with origin.at_work():
            kind.dry_run(self, rows, width)

    return guarded_class(kind, {"__init__": make, "__call__": run, "dry_run": dry_run})


def _picture(made: Any, view: Tensor) -> Tensor:
    """What an engine of another package made of views of this size."""
    if not isinstance(made, Tensor):
        raise TypeError(f"it gives {type(made).__name__} and not a tensor")
    if made.ndim != 3 or made.shape[-2:] != view.shape[-2:] or made.dtype != torch.float32 or made.device.type != "cpu":
        what = f"{str(made.dtype).removeprefix('torch.')} {tuple(made.shape)} on {made.device}"
        raise ValueError(f"it gives {what} of views {tuple(view.shape)}, and not float32 of their size on the CPU")
    if not bool(torch.isfinite(made).all()):
        raise ValueError("it gives NaN or infinity")
    return made


ENGINES: Table[type[AnyRunner]] = Table(
    "engines",
    {
        "torch": pytorch.Runner,
        "openvino": openvino.OpenvinoRunner,
        "onnx": onnx.OnnxRunner,
    },
    no_class_with("precisions", "cpu_only", "dry_run"),
    _guarded,
    MachineError,
)


_KEPT: WeakKeyDictionary[nn.Module, tuple[object, AnyRunner]] = WeakKeyDictionary()
"""The runner made last for each network: making one can take seconds, and memory measured for it stays with it."""


def check(engine: str, precision: str, device: str | torch.device) -> None:
    """Raise `MachineError` for a combination in which no network can be run."""
    if engine != "auto" and engine not in ENGINES:
        raise MachineError(f"There is no engine {engine!r}; choose from: auto, {', '.join(ENGINES)}.")
    engines = ENGINES.own if engine == "auto" else (engine,)  # which chooses among these
    known = list(dict.fromkeys(name for one in engines for name in ENGINES[one].precisions))
    if precision not in ("auto", *known):
        what = "" if engine == "auto" else f" with the engine {engine}"
        raise MachineError(f"There is no precision {precision!r}{what}; choose from: auto, {', '.join(known)}.")
    if engine != "auto" and ENGINES[engine].cpu_only and str(device) not in ("auto", "cpu"):
        raise MachineError(f"The engine {engine} runs on the cpu here, not on {str(device)!r}; leave the device out.")
    planning.choose_device(device)


def start(network: Network, engine: str, precision: str, device: str | torch.device, pixels: int = 0) -> AnyRunner:
    """Make `network` ready to run; a network from a file of another engine runs in that engine.

    Args:
        network: It is copied or converted, and stays as it is.
        engine: A key of `ENGINES`, or "auto": the one that `choosing.choose` measured to be faster.
        precision: One that the engine has, or "auto".
        device: As PyTorch writes it, or "auto".
        pixels: Of the pictures to come, by which "auto" decides whether another engine is worth its start.

    Raises:
        MachineError: The engine is not installed, or cannot do what is asked.
    """
    check(engine, precision, device)
    exported = exported_of(network)
    if exported is not None and engine not in ("auto", exported.engine):
        raise MachineError(
            f"{exported.path} is for the engine {exported.engine}, and {engine} cannot run it; leave"
            f" {option('engine', None)} out."
        )
    gain = None
    if exported is not None:
        chosen = exported.engine
    elif engine == "auto":
        chosen, precision, gain = choosing.choose(network, precision, device, pixels)
    else:
        chosen = engine
    modes.check_fork(chosen)
    check(chosen, precision, device)
    module = cast(nn.Module, network)
    state = chosen, precision, str(device), torch.get_num_threads(), os.environ.get(SWITCH), *_contents(module)
    kept = _KEPT.get(module)
    if kept is None or kept[0] != state:
        kept = _KEPT[module] = state, ENGINES[chosen](network, precision, device)
    kept[1].engine_gain = gain
    return kept[1]


PARTS = {"_parameters", "_buffers", "_modules", "training"}


def _contents(module: nn.Module) -> Iterator[object]:
    """All that a result depends on: the tensors, and the other attributes of the layers.

    The version counters of tensors alone are not enough, since changes through `.data` do not increase them.
    """
    for layer in module.modules():
        for name, value in vars(layer).items():
            if name not in PARTS:
                yield name, value if isinstance(value, int | float | str | tuple | NetworkSpec | None) else id(value)
    for tensor in (*module.parameters(), *module.buffers()):
        yield id(tensor), tensor._version
        if not tensor.is_meta:
            flat = tensor.detach().to("cpu").contiguous().view(-1)
            yield zlib.crc32(memoryview(flat.view(torch.uint8).numpy()))  # type: ignore[arg-type]
