"""Exported networks that are damaged, or made to look like ours: one sentence, wherever they fail."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dualpix.errors import CheckpointError, DualpixError, MachineError
from dualpix.inference.deblur import deblur_pair
from dualpix.weights import checkpoint

CARD: dict[str, Any] = {
    "format": 1,
    "network": "mccnet-fast",
    "arguments": {"widths": [2, 2, 2, 2], "depths": [0] * 7},
    "precision": "fp32",
    **{name: {} for name in ("recipe", "scores", "extra")},
}
VIEWS = {"left": torch.rand(3, 32, 48), "right": torch.rand(3, 32, 48), "name": "pair"}


def onnx_file(path: Path, facts: str, kind: str = "good") -> Path:
    """A network of one operation on the mean, which `facts` call something else."""
    onnx = pytest.importorskip("onnx", reason="the extra dualpix[onnx] is not installed")
    pytest.importorskip("onnxruntime", reason="the extra dualpix[onnx] is not installed")
    make, FLOAT, INT = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    last = {
        "good": make.make_node("Identity", ["mean"], ["sharp"]),
        "operation": make.make_node("Reshape", ["mean", "shape"], ["sharp"]),
        "size": make.make_node("Concat", ["mean", "mean"], ["sharp"], axis=2),
        "type": make.make_node("Cast", ["mean"], ["sharp"], to=INT),
    }[kind]
    views = [make.make_tensor_value_info(name, FLOAT, [1, 3, "h", "w"]) for name in ("left", "right")]
    sharp = make.make_tensor_value_info("sharp", INT if kind == "type" else FLOAT, None)
    shape = make.make_tensor("shape", INT, [4], [1, 24, 1, 4])
    nodes = [make.make_node("Add", ["left", "right"], ["mean"]), last]
    model = make.make_model(
        make.make_graph(nodes, "net", views, [sharp], [shape]), opset_imports=[make.make_opsetid("", 18)], ir_version=9
    )
    make.set_model_props(model, {"dualpix": facts})
    onnx.save(model, path)
    return path


def openvino_file(path: Path, facts: str, kind: str = "good") -> Path:
    openvino = pytest.importorskip("openvino", reason="the extra dualpix[openvino] is not installed")
    ops = openvino.opset13
    left, right = (ops.parameter([1, 3, -1, -1], name=name) for name in ("left", "right"))
    mean = ops.add(left, right)
    last = {
        "good": lambda: mean,
        "operation": lambda: ops.reshape(mean, ops.constant([1, 24, 1, 4]), False),
        "size": lambda: ops.concat([mean, mean], 2),
        "type": lambda: ops.convert(mean, "i64"),
    }[kind]()
    model = openvino.Model([last], [left, right])
    model.set_rt_info(facts, "dualpix")
    openvino.save_model(model, path, compress_to_fp16=False)
    return path


FORMS = {".onnx": onnx_file, ".xml": openvino_file}


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("kind", ["good", "operation", "size", "type"])
def test_a_network_that_cannot_run_is_one_sentence(tmp_path: Path, suffix: str, kind: str) -> None:
    path = FORMS[suffix](tmp_path / f"net{suffix}", json.dumps(CARD), kind)
    if kind == "good":
        sum_ = deblur_pair(
            VIEWS, str(path), strict=False, guard=False
        ).picture  # a card and a network that fit: this is no accident
        assert torch.allclose(sum_, (VIEWS["left"] + VIEWS["right"]).clamp(0, 1), atol=1e-5)  # type: ignore[operator]
        return
    with pytest.raises(MachineError, match="export it again") as caught:
        deblur_pair(VIEWS, str(path), strict=False)
    assert path.name in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) <= 600


WRONG = {
    "deep": "[" * 100_000,
    "infinite": json.dumps(CARD).replace('"scores": {}', '"scores": {"psnr": 1e999}'),
    "argument": json.dumps(CARD | {"arguments": {"zz": 1}}),
    "few": json.dumps(CARD | {"arguments": {"widths": [2]}}),
    "text": json.dumps(CARD | {"arguments": {"max_disparity": "8"}}),
    "huge": json.dumps(CARD | {"arguments": {"depths": [10**8] * 7}}),
    "unknown": json.dumps(CARD | {"network": "none"}),
    "number": json.dumps(CARD | {"network": 3}),
    "list": "[]",
    "no precision": json.dumps({**CARD, "precision": 32}),
}


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("what", WRONG)
def test_facts_are_checked_before_the_network_is_built(tmp_path: Path, suffix: str, what: str) -> None:
    path = FORMS[suffix](tmp_path / f"net{suffix}", WRONG[what])
    for read in (checkpoint.load, checkpoint.read_card):
        if read is checkpoint.load or what in ("deep", "infinite", "number", "list", "no precision"):
            with pytest.raises(CheckpointError) as caught:
                read(path)
            assert path.name in str(caught.value) and len(str(caught.value)) <= 600


@pytest.mark.parametrize(
    "text",
    [
        "<?xml version='1.0' encoding='klingon'?><net/>",
        "<?xml version='1.0' encoding='utf-7'?><net/>",
        "<net>" * 100_000,
        "<!DOCTYPE net [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
            f"<!ENTITY {b} '{10 * f'&{a};'}'>" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
        ) + "]><net><rt_info><dualpix value='&j;'/></rt_info></net>",
        "\x00",
    ],
    ids=["encoding", "multi-byte", "deep", "laughs", "zero"],
)  # fmt: skip
def test_xml_of_every_strange_kind(tmp_path: Path, text: str) -> None:
    (tmp_path / "net.xml").write_text(text)
    with pytest.raises(DualpixError, match="damaged"):
        checkpoint.load(tmp_path / "net.xml")
