"""Run a network in ONNX Runtime, on the CPU, in fp32."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from dualpix.errors import MachineError
from dualpix.inference.engines import cache
from dualpix.inference.engines.conversion import onnx_bytes
from dualpix.inference.engines.guarding import EngineGuard
from dualpix.machine.files import write_whole
from dualpix.networks import Network
from dualpix.networks.export import graph_of
from dualpix.networks.export.layers import GraphCrossCorrelation
from dualpix.networks.spec import spec_of
from dualpix.weights.exported import exported_of, package


class OnnxRunner:
    """A network in ONNX Runtime, as `inference.engines.check` allows."""

    engine = "onnx"
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    cpu_only: ClassVar[bool] = True
    engine_gain: float | None = None

    def __init__(self, network: Network, precision: str, device: str | torch.device) -> None:
        self.runtime = package("onnxruntime", "onnx")
        self.device = torch.device("cpu")
        self.precision = "fp32"
        self._guard = EngineGuard("ONNX Runtime", network)
        self.gain: float | None = None
        self.spec = spec_of(cast(nn.Module, network))
        self._shape = graph_of(cast(nn.Module, network)).to("meta")
        self.weight_bytes = sum(value.nbytes for value in self._shape.state_dict().values())
        # This engine holds the scores along whole rows, which are not among the tensors that are counted.
        self.workspace_factor = 2.8 if any(map(_looks_along_whole_rows, self._shape.modules())) else 2.0
        self._session = self._open(cast(nn.Module, network))

    def __call__(self, views: Sequence[Tensor]) -> Tensor:
        """Return the output for `views`, C x H x W each, as float32 3 x H x W, not clipped."""
        return self._infer(self._session, views)

    def _infer(self, session: Any, views: Sequence[Tensor]) -> Tensor:
        named = {
            name: view[None].float().contiguous().numpy() for name, view in zip(self.spec.views, views, strict=True)
        }
        options = self.runtime.RunOptions()
        # Otherwise it would keep the memory that the largest picture needed.
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        with self._guard.at_work():
            return self._guard.picture(session.run(None, named, options)[0], *views[0].shape[-2:])

    def dry_run(self, rows: int, width: int) -> None:
        """Make the tensors that the engine holds at once, without contents, so that their bytes can be counted."""
        with torch.no_grad():
            self._shape(*(torch.zeros(1, 3, rows, width, device="meta") for _ in self.spec.views))

    def _open(self, network: nn.Module) -> Any:
        """The session: from an exported file, from the cache, or of the network converted now."""
        exported = exported_of(network)
        if exported is not None:
            return self._start(exported.path)
        kept = cache.place(network, "fp32", ".onnx")
        if kept.is_file():
            with suppress(MachineError, RuntimeError):  # Damaged, or of another version: made again.
                session = self._start(kept)
                if cache.agrees(lambda views: self._infer(session, views), network, "fp32"):
                    return session
        content = onnx_bytes(graph_of(network), {})
        with suppress(OSError):  # Without a place for it, it is converted again next time.
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, content)
        return self._start(content)

    def _start(self, content: Path | bytes) -> Any:
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # Threads that wait in a loop take cores from those they wait for, when other programs run.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False  # It is planned for one size, and does not fit the next.
        given = str(content) if isinstance(content, Path) else content
        try:
            return self.runtime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # Its exceptions have no common type.
            raise MachineError("ONNX Runtime cannot read this; export it again with `dualpix export`.") from error


def _looks_along_whole_rows(layer: nn.Module) -> bool:
    return isinstance(layer, GraphCrossCorrelation) and layer.max_disparity is None
