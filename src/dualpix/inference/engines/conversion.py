"""Graphs of networks converted to the forms of the engines."""

import inspect
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from dualpix.errors import MachineError, reason_of
from dualpix.networks.export import FEW, Graph
from dualpix.networks.export.layers import GraphBlock
from dualpix.networks.export.rounding import Convolution, round_layers
from dualpix.weights.exported import KEY, package

LEAST_HALVED = 64
"""Numbers of a weight from which on storing it in 16 bits saves anything; constants of formulas have fewer."""


def openvino_model(graph: Graph, facts: Mapping[str, Any]) -> Any:
    """Return an `openvino.Model` with named views of any height and width, and `facts` in its metadata."""
    openvino = package("openvino", "openvino")
    with _quietly(), torch.no_grad(), _refusing(graph):
        traced = torch.jit.trace(graph, graph.samples(), check_trace=False)  # type: ignore[no-untyped-call]
        # As `openvino.convert_model` does, which however reports its use over the network.
        decoder = package("openvino.frontend.pytorch.ts_decoder", "openvino").TorchScriptPythonDecoder(traced)
        frontend = package("openvino.frontend", "openvino").FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
        tidying = package("openvino._offline_transformations", "openvino")
        tidying.apply_moc_transformations(model, cf=False)
        tidying.compress_quantize_weights_transformation(model)
    for port, view in zip(model.inputs, graph.spec.views, strict=True):
        port.get_tensor().set_names({view})
        port.get_node().set_friendly_name(view)
        port.get_node().set_partial_shape(openvino.PartialShape([1, 3, -1, -1]))
    model.outputs[0].get_tensor().set_names({"sharp"})
    model.validate_nodes_and_infer_types()
    model.set_rt_info(json.dumps(facts, sort_keys=True), KEY)
    return model


def has_programs() -> bool:
    """Whether this PyTorch can make a program of a network without settling for a size of pictures."""
    return "prefer_deferred_runtime_asserts_over_guards" in inspect.signature(torch.export.export).parameters


def program(graph: Graph) -> ExportedProgram:
    """Return a program for `torch.export.load`, for any height and width."""
    with _refusing(graph):
        return _program(graph, dict(zip(graph.spec.views, graph.samples(), strict=True)))


def _program(module: nn.Module, samples: Mapping[str, Tensor]) -> ExportedProgram:
    """Of a module that takes pictures of any height and width; what has fewer dimensions keeps its shape."""
    if not has_programs():
        raise MachineError(
            f"PyTorch {torch.__version__} cannot describe a network that takes pictures of any size; get a newer one"
            " (2.13 is known to), or use the engine torch or openvino."
        )
    free = {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    with _quietly(), torch.no_grad():
        return torch.export.export(
            module,
            (),
            dict(samples),
            dynamic_shapes={name: free if sample.dim() == 4 else None for name, sample in samples.items()},
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )


def program_bytes(graph: Graph, facts: Mapping[str, Any]) -> bytes:
    """Return the contents of a .pt2 file."""
    content = io.BytesIO()
    with _quietly():
        torch.export.save(program(graph), content, extra_files={KEY: json.dumps(facts, sort_keys=True)})
    return content.getvalue()


def onnx_bytes(graph: Graph, facts: Mapping[str, Any]) -> bytes:
    """Return the contents of an .onnx file."""
    _require_onnx()
    proto = _onnx(program(graph), ["sharp"])
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(facts, sort_keys=True)
    content: bytes = proto.SerializeToString()
    return content


def _require_onnx() -> None:
    for name in ("onnx", "onnxscript"):
        package(name, "onnx")


def _onnx(exported: ExportedProgram, outputs: Sequence[str]) -> Any:
    with _quietly(), torch.no_grad():
        made = torch.onnx.export(exported, dynamo=True, output_names=list(outputs), verbose=False)
    assert made is not None
    return made.model_proto


def web_bytes(graph: Graph, facts: Mapping[str, Any]) -> bytes:
    """Return the contents of an .onnx file whose weights are stored in 16 bits, half the size, and computed with in 32.

    Engines undo the rounding once, when they open the file.
    """
    onnx = package("onnx", "onnx")
    return _halved(onnx.load_from_string(onnx_bytes(graph, facts)))


def web_part_bytes(module: nn.Module, samples: Mapping[str, Tensor], outputs: Sequence[str]) -> bytes:
    """Return the contents of such a file for a part of a network.

    Args:
        module: Takes `samples` by name and gives `outputs` in order.
        samples: B C H W, of which it will take any height and width, or tensors of a fixed shape.
        outputs: Names.
    """
    _require_onnx()
    return _halved(_onnx(_program(module, samples), outputs))


def _halved(model: Any) -> bytes:
    """The contents of a model's file, with weights in 16 bits; the model is changed."""
    onnx = package("onnx", "onnx")
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LEAST_HALVED:
            continue
        name, stored = weight.name, f"{weight.name}_fp16"
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    content: bytes = model.SerializeToString()
    return content


def round_to_8_bits(graph: Graph, sets: Sequence[Sequence[Tensor]]) -> None:
    """Give the graph convolutions in 8 bits, for `openvino_model`.

    Layers that take or make pictures keep their precision, and so does the correlation, which multiplies features and
    no weights. Layers that take a gated product do, too: products of two features are mostly small and seldom large,
    which one scale cannot serve, and these layers are a twentieth of the arithmetic (`results/precisions.md`).

    Args:
        graph: It is changed in place.
        sets: Views, 3 x H x W each, whose values set the scales.
    """
    layers = {name: layer for name, layer in graph.named_modules() if isinstance(layer, Convolution)}
    few = [name for name, layer in layers.items() if min(layer.in_channels, layer.out_channels) <= FEW]
    gated = [f"{name}.out" for name, layer in graph.named_modules() if isinstance(layer, GraphBlock)]
    before = {f"{name.rpartition('.')[0]}.{name.rpartition('.')[2]}_norm" for name in few}

    def run() -> None:
        with torch.no_grad():
            for views in sets:
                graph(*(view[None] for view in views))

    round_layers(graph, run, [f"{name}." for name in (*few, *gated, *before)])


@contextmanager
def _refusing(graph: Graph) -> Iterator[None]:
    """Turn whatever a converter raises into one sentence: the network has something that the engine does not."""
    try:
        yield
    except MachineError:
        raise
    except Exception as error:  # Tracers and converters raise dozens of types, which have no common one.
        reason = reason_of(error)
        raise MachineError(
            f"The network {type(graph.network).__name__} cannot be converted ({reason}); use the engine torch."
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress warnings of tracers about things that are intended here."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
