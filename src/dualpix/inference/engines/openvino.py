"""Run a network in OpenVINO, on the CPU: in fp32, bf16, or with 8-bit convolutions."""

import errno
import functools
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from dualpix.errors import MachineError, option, reason_of
from dualpix.inference import planning, rates
from dualpix.inference.engines import cache
from dualpix.inference.engines.conversion import openvino_model, round_to_8_bits
from dualpix.inference.engines.guarding import EngineGuard
from dualpix.machine.files import decimal_points, naming
from dualpix.networks import Network
from dualpix.networks.export import Graph, graph_of
from dualpix.networks.export.rounding import WEIGHT_LEVELS
from dualpix.networks.mccnet_fast import model as mccnet_fast
from dualpix.networks.spec import spec_of
from dualpix.weights.exported import exported_of, package

MOST_SHAPES = 3
"""Compiled forms to keep: the first, middle and last bands of a picture differ in height."""

MOST_ERROR = {"fp32": 1e-4, "bf16": 0.03, "int8": 0.03}
"""Root mean square of the difference from PyTorch above which it is more than rounding."""

LIMITS_OF_ONEDNN = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")

_NO_BF16 = (
    f"OpenVINO cannot compute in bf16 on this processor, which has no bf16; leave {option('precision', None)} out, or"
    f" give {option('precision', 'fp32')} or {option('precision', 'int8')}."
)

SAMPLE_PX = 320
"""Rows and columns of the bundled pair that set the 8-bit scales by default."""


@functools.cache
def _core() -> Any:
    """OpenVINO's core: one for the whole process, kept until it ends.

    Each core gives the thread that first compiles a stack for signals, and restores the former one when it ends. If
    cores end in another order than they began, the thread keeps a stack that no longer exists, and the next signal,
    such as Ctrl-C, ends the process in a segmentation fault (OpenVINO 2026.4.1).
    """
    core = package("openvino", "openvino").Core()
    with _without_limits_of_onednn():
        has_bf16(core)  # The question is where OpenVINO reads the limits, once.
    return core


@contextmanager
def _without_limits_of_onednn() -> Iterator[None]:
    """Inside, ONEDNN_MAX_CPU_ISA is not set, which PyTorch obeys and has read before.

    OpenVINO obeys it in one half of its code and generates the other for the processor that it finds: it crashed at
    AVX2 and had no softmax at SSE41 (OpenVINO 2026.4.1).
    """
    limits = {name: os.environ[name] for name in LIMITS_OF_ONEDNN if name in os.environ}
    if limits:
        torch.nn.functional.conv2d(torch.zeros(1, 16, 8, 8), torch.zeros(16, 16, 3, 3))
    for name in limits:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(limits)


class OpenvinoRunner:
    """A network in OpenVINO, as `inference.engines.check` allows.

    It is compiled for each size, in less than a second, since a form compiled for any size takes half as long again to
    run.
    """

    engine = "openvino"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8")
    cpu_only: ClassVar[bool] = True
    engine_gain: float | None = None
    gain: float | None = None
    workspace_factor = planning.WORKSPACE_FACTOR

    def __init__(self, network: Network, precision: str, device: str | torch.device) -> None:
        self.openvino = package("openvino", "openvino")
        self.device = torch.device("cpu")
        self._core = _core()
        self.precision = precision_of(network, precision, has_bf16(self._core))
        self.spec = spec_of(cast(nn.Module, network))
        self._guard = EngineGuard("OpenVINO", network)
        self._shape = graph_of(cast(nn.Module, network)).to("meta")
        self.weight_bytes = sum(value.nbytes for value in self._shape.state_dict().values())
        self._compiled: dict[tuple[int, int], Any] = {}
        self._model = self._open(cast(nn.Module, network))

    def __call__(self, views: Sequence[Tensor]) -> Tensor:
        """Return the output for `views`, C x H x W each, as float32 3 x H x W, not clipped."""
        height, width = views[0].shape[-2:]
        with self._guard.at_work():
            run = self._compiled.pop((height, width), None) or self._compile(height, width)
            self._compiled[height, width] = run
            return self._infer(run, views)

    def dry_run(self, rows: int, width: int) -> None:
        """Make the tensors that the engine holds at once, without contents, so that their bytes can be counted."""
        with torch.no_grad():
            self._shape(*(torch.zeros(1, 3, rows, width, device="meta") for _ in self.spec.views))

    def _compile(self, height: int, width: int) -> Any:
        while len(self._compiled) >= MOST_SHAPES:
            del self._compiled[next(iter(self._compiled))]
        # Layers that are not in 8 bits can be in 16 if features are normalised; in other networks errors grew tenfold.
        is_normalised = isinstance(self._shape.network, mccnet_fast.MCCNetFast) and has_bf16(self._core)
        is_half = self.precision == "bf16" or (self.precision == "int8" and is_normalised)
        run = self._compile_in("bf16" if is_half else "f32", height, width)
        # OpenVINO takes the precision as a hint, and passes over it in silence where the processor lacks that.
        used = run.get_compiled_model().get_property("INFERENCE_PRECISION_HINT")
        if self.precision == "bf16" and used != self.openvino.Type.bf16:
            raise MachineError(_NO_BF16)
        return run

    def _compile_in(self, hint: str, height: int, width: int) -> Any:
        model = self._model.clone()
        model.reshape({port: [1, 3, height, width] for port in model.inputs})
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        with decimal_points():
            return self._core.compile_model(model, "CPU", settings).create_infer_request()

    def _compiled_once(self, hint: str) -> Callable[[Sequence[Tensor]], Tensor]:
        return lambda views: self._infer(self._compile_in(hint, *views[0].shape[-2:]), views)

    def _infer(self, run: Any, views: Sequence[Tensor]) -> Tensor:
        outputs = run.infer([np.ascontiguousarray(view[None].float().numpy()) for view in views], share_inputs=True)
        return self._guard.picture(outputs[0].copy(), *views[0].shape[-2:])

    def _open(self, network: nn.Module) -> Any:
        """The model: from an exported file, from the cache, or of the network converted now."""
        exported = exported_of(network)
        if exported is not None:
            model = self._read(exported.path)
            if self.precision == "int8" and rates.lacks_vnni() and _overflows(model):
                raise MachineError(
                    f"{exported.path} holds 8-bit weights whose products overflow on this processor, which has no VNNI;"
                    " export it again with this version of dualpix."
                )
            return model
        kind = "int8" if self.precision == "int8" else "fp32"
        kept = cache.place(network, kind, ".xml")
        if kept.is_file() and kept.with_suffix(".bin").is_file():
            with suppress(RuntimeError):  # Damaged, or of another version: made again.
                self._model = self._read_model(kept)
                if cache.agrees(self._compiled_once("f32"), network, kind):
                    return self._model
        graph = graph_of(network)
        if kind == "int8":
            round_to_8_bits(graph, [bundled_views(graph)])
        self._model = model = openvino_model(graph, {})
        self._check(graph)
        with suppress(OSError, RuntimeError):  # Without a place for it, it is converted again next time.
            kept.parent.mkdir(parents=True, exist_ok=True)
            save(self.openvino, model, kept)
        return model

    def _check(self, graph: Graph) -> None:
        """Compare a small picture with PyTorch's.

        OpenVINO 2026.4 was seen to compute nonsense, at once and without a message, for a variant of mccnet-fast
        without blocks at a quarter of the size.
        """
        views = graph.samples()
        with torch.no_grad():
            expected = graph(*views)[0].numpy()
        found = self._compile(*views[0].shape[2:]).infer([view.numpy() for view in views])[0][0]
        error = float(np.sqrt(np.mean((found - expected) ** 2)))
        if not error < MOST_ERROR[self.precision]:
            raise MachineError(
                f"OpenVINO computes {type(graph.network).__name__} wrongly here (by {error:.2g}); use the engine torch."
            )

    def _read_model(self, path: Path) -> Any:
        with decimal_points():
            return self._core.read_model(path)

    def _read(self, path: Path) -> Any:
        try:
            return self._read_model(path)
        except Exception as error:  # Depending on where the file is broken, not only RuntimeError.
            raise MachineError(f"OpenVINO cannot read {path}; export it again with `dualpix export`.") from error


def _save(openvino: Any, model: Any, path: Path) -> None:
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
        openvino.Core().read_model(path)  # OpenVINO 2025 fills a disk without a word
    except RuntimeError as error:  # which says no more of a full disk
        raise OSError(errno.EIO, f"OpenVINO could not write it ({reason_of(error)})") from error


def save(openvino: Any, model: Any, path: Path) -> None:
    """Write `path` and the .bin beside it; both appear whole, and the .xml, without which none is read, last."""
    partial = path.with_name(f".dualpix-{secrets.token_hex(8)}.xml")
    try:
        with decimal_points(), naming(path):
            _save(openvino, model, partial)
        os.replace(partial.with_suffix(".bin"), path.with_suffix(".bin"))
        os.replace(partial, path)
    finally:
        for leftover in (partial, partial.with_suffix(".bin")):
            leftover.unlink(missing_ok=True)


def bundled_views(graph: Graph) -> list[Tensor]:
    """Return the views that `graph` takes, from the pair inside the package, cut to `SAMPLE_PX`."""
    return [view[:, :SAMPLE_PX, :SAMPLE_PX] for view in cache.bundled_views(graph.spec.views)]


def _overflows(model: Any) -> bool:
    """Whether 8-bit weights of the model are beyond what processors without VNNI add up in 16 bits."""
    weights = (node for node in model.get_ops() if node.get_type_name() == "Constant")
    in_8_bits = (node.get_data() for node in weights if node.get_element_type().get_type_name() == "i8")
    return any(len(data) and np.abs(data.astype(np.int16)).max() > WEIGHT_LEVELS for data in in_8_bits)


def precision_of(network: Network, asked: str, has_it: bool) -> str:
    """Return the precision in which a network is run, on a processor in which OpenVINO has bf16 or not (`has_it`).

    Raises:
        MachineError: It cannot be run in what was asked for.
    """
    exported = exported_of(network)
    if exported is not None and exported.precision == "int8":
        if asked not in ("auto", "int8"):
            raise MachineError(
                f"{exported.path} holds 8-bit weights, which cannot run in {asked}; leave"
                f" {option('precision', None)} out."
            )
        return "int8"
    if exported is not None and asked == "int8":
        raise MachineError(f"{exported.path} holds no 8-bit weights; export it with {option('int8')}.")
    if asked == "auto":
        # What PyTorch gains by bf16, which was measured, says nothing about this engine.
        return "bf16" if has_it and planning.has_tiles() and not rates.switched_off() else "fp32"
    if asked == "bf16" and not has_it:
        raise MachineError(_NO_BF16)
    return asked


def has_bf16(core: Any) -> bool:
    """Whether OpenVINO says that it computes in bf16 on this processor."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
