"""Exports: each form computes what the network does, says what it is, and can be given back; errors leave nothing."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dualpix as package
from dualpix.errors import CheckpointError, DualpixError, MachineError, RecipeError
from dualpix.inference.deblur import deblur_pair
from dualpix.inference.disparity import disparity
from dualpix.inference.engines import conversion
from dualpix.inference.export import MOST, SUFFIXES, export, facts_of
from dualpix.io import write_picture
from dualpix.networks import create
from dualpix.networks.export import graph_of
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import Checkpoint

SMALL: dict[str, Any] = {"widths": [4, 4, 8, 8], "depths": [1, 1, 0, 0, 0, 0, 0]}
Command = Callable[..., tuple[int, str, str]]
NEEDS = {"onnx": "onnxscript", "openvino": "openvino", "web": "onnxscript"}
VIEWS = {"left": torch.rand(3, 41, 67), "right": torch.rand(3, 41, 67)}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.manual_seed(0)
    network = create("mccnet-fast", **SMALL)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    facts = {"recipe": {"steps": 3}, "scores": {"psnr": 20.5}, "extra": {"licence": "CC0"}}
    checkpoint.save(path, network, "mccnet-fast", SMALL, **facts)
    return checkpoint.load(path)


@pytest.fixture(scope="module")
def made(opened: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each form whose packages are there."""
    folder = tmp_path_factory.mktemp("exported")
    found: dict[str, Path] = {}
    trace = conversion.program
    traced = cache(lambda: trace(graph_of(opened.network)))
    for to in SUFFIXES:
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(conversion, "program", lambda graph, once=traced: once())
                if "onnx" in found:  # Converting takes a minute, and browsers get the same graph, stored otherwise.
                    content = found["onnx"].read_bytes()
                    patch.setattr(conversion, "onnx_bytes", lambda graph, facts, content=content: content)
                done = export(opened, to, folder / ("page" if to == "web" else "net"))
        except MachineError:
            continue
        assert done.difference < (1e-3 if to == "web" else 1e-5)
        found[to] = done.path
    return found


def need(made: dict[str, Path], to: str) -> Path:
    if to in NEEDS:
        pytest.importorskip(NEEDS[to], reason=f"the extra dualpix[{to}] is not installed")
    if to != "openvino" and not conversion.has_programs():
        pytest.skip("this PyTorch makes no programs of networks")
    return made[to]


def expected(opened: Checkpoint) -> torch.Tensor:
    return deblur_pair({**VIEWS, "name": "pair"}, opened, precision="fp32").picture


def check_card(card: dict[str, Any]) -> None:
    assert card["network"] == "mccnet-fast" and card["arguments"] == SMALL and card["recipe"] == {"steps": 3}
    assert card["scores"] == {"psnr": 20.5} and card["licence"] == "CC0" and card["precision"] == "fp32"
    assert card["version"] == package.__version__


def test_shipped_weights_have_the_licence_of_the_package(opened: Checkpoint) -> None:
    assert facts_of(checkpoint.load("mccnet-fast"), "fp32")["licence"] == "Apache-2.0"
    assert facts_of(replace(opened, extra={}), "fp32")["licence"] == "unknown"


def test_onnx_files_run_without_this_package(made: dict[str, Path], opened: Checkpoint) -> None:
    path = need(made, "onnx")
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path))
    assert [port.name for port in session.get_inputs()] == ["left", "right"]
    assert [port.name for port in session.get_outputs()] == ["sharp"]
    check_card(json.loads(session.get_modelmeta().custom_metadata_map["dualpix"]))
    found = session.run(None, {name: view[None].numpy() for name, view in VIEWS.items()})[0]
    assert np.allclose(found[0].clip(0, 1), expected(opened).numpy(), atol=1e-5)


def test_files_for_browsers_hold_half_the_bytes_and_say_how_to_run_them(
    made: dict[str, Path], opened: Checkpoint
) -> None:
    path = need(made, "web")
    manifest = json.loads(path.with_suffix(".json").read_text())
    content = path.read_bytes()
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest() and manifest["bytes"] == len(content)
    assert manifest["file"] == path.name and manifest["licence"] == "CC0" and manifest["network"] == "mccnet-fast"
    spec = opened.network.spec
    assert (
        manifest["receptive_radius_px"] == spec.receptive_radius_px and manifest["size_multiple"] == spec.size_multiple
    )
    assert manifest["bytes_per_px"] > 24, "the views alone"
    onnx = pytest.importorskip("onnx")
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
    weights = [weight for weight in onnx.load(path).graph.initializer if np.prod(weight.dims) >= 64]
    assert {weight.data_type for weight in weights} & floats == {onnx.TensorProto.FLOAT16}
    check = manifest["check"]
    views = {name: np.reshape(check[name], (1, 3, check["height"], check["width"])) for name in ("left", "right")}
    with torch.no_grad():
        sharp = opened.network(*(torch.tensor(view, dtype=torch.float32) for view in views.values()))
    assert np.allclose(sharp.flatten(), check["sharp"], atol=2e-5)
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path))
    found = session.run(None, {name: view[None].numpy() for name, view in VIEWS.items()})[0]
    assert np.allclose(found[0].clip(0, 1), expected(opened).numpy(), atol=1e-3)


def test_networks_that_see_the_whole_picture_are_not_for_browsers(tmp_path: Path) -> None:
    network = create("restormer", channels=16, blocks=(1, 2, 1, 1), refinement=1)
    whole = Checkpoint(network, "restormer", {}, {}, {}, {}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="bands"):
        export(whole, "web", tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_openvino_files_run_without_this_package(made: dict[str, Path], opened: Checkpoint) -> None:
    path = need(made, "openvino")
    model = pytest.importorskip("openvino").Core().read_model(path)
    check_card(json.loads(model.get_rt_info("dualpix").value))
    compiled = pytest.importorskip("openvino").compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({name: view[None].numpy() for name, view in VIEWS.items()})["sharp"]
    assert np.allclose(found[0].clip(0, 1), expected(opened).numpy(), atol=1e-5)


def test_the_lines_of_the_page_run_a_file_in_the_precision_it_was_compared_in(
    made: dict[str, Path], opened: Checkpoint
) -> None:
    """On a processor with bf16 OpenVINO takes that unless told."""
    path = need(made, "openvino")
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text()
    lines = re.search(r"^model = openvino.compile_model.*?(?=^```)", page, re.MULTILINE | re.DOTALL)[0]  # type: ignore[index]
    names: dict[str, Any] = {name: view[None].numpy() for name, view in VIEWS.items()}
    names["openvino"] = pytest.importorskip("openvino")
    exec(lines.replace("net.xml", str(path)), names)
    assert np.allclose(names["sharp"][0].clip(0, 1), expected(opened).numpy(), atol=1e-5)


def test_torch_programs_run_without_this_package(made: dict[str, Path], opened: Checkpoint) -> None:
    facts = {"dualpix": ""}
    program = torch.export.load(need(made, "torch"), extra_files=facts)
    check_card(json.loads(facts["dualpix"]))
    with torch.no_grad():
        found = program.module()(**{name: view[None] for name, view in VIEWS.items()})
    assert torch.allclose(found[0].clamp(0, 1), expected(opened), atol=1e-5)


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_files_are_weights_that_pick_their_engine(made: dict[str, Path], opened: Checkpoint, to: str) -> None:
    again = checkpoint.load(need(made, to))
    check_card(checkpoint.read_card(made[to]))
    assert (again.name, again.arguments, again.scores) == ("mccnet-fast", SMALL, {"psnr": 20.5})
    done = deblur_pair({**VIEWS, "name": "pair"}, again, precision="fp32")
    assert done.plan.device == f"cpu, {to}"
    assert torch.allclose(done.picture, expected(opened), atol=1e-5)
    bands = deblur_pair({**VIEWS, "name": "pair"}, again, precision="fp32", band_rows=16)
    assert len(bands.plan.bands) == 3 and torch.allclose(bands.picture, expected(opened), atol=1e-5)
    with pytest.raises(MachineError, match=f"is for the engine {to}, and torch cannot run it"):
        deblur_pair({**VIEWS, "name": "pair"}, again, engine="torch")
    with pytest.raises(CheckpointError, match="was exported already"):
        export(again, "torch", made[to].with_name("again"))
    with pytest.raises(CheckpointError, match=r"is for the engine .* give the .safetensors file"):
        disparity(VIEWS["left"], VIEWS["right"], again)


def test_8_bits_from_photographs(opened: Checkpoint, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra dualpix[openvino] is not installed")
    (tmp_path / "photos").mkdir()
    write_picture(tmp_path / "photos" / "one.png", torch.rand(3, 256, 256))
    write_picture(tmp_path / "photos" / "small.png", torch.rand(3, 80, 80))
    done = export(opened, "openvino", tmp_path / "eight", int8=True, photos=[tmp_path / "photos"])
    path, (left_out,) = done.path, done.notes
    assert left_out.startswith("Left out, with fewer than 256 px on a side: 1 of 2 photographs")
    done = deblur_pair({**VIEWS, "name": "pair"}, checkpoint.load(path))
    assert done.plan.precision == "int8"
    error = (done.picture - expected(opened)).pow(2).mean().sqrt()
    assert 1e-5 < error < 0.02
    with pytest.raises(MachineError, match="holds 8-bit weights, which cannot run in fp32"):
        deblur_pair({**VIEWS, "name": "pair"}, checkpoint.load(path), precision="fp32")


def test_a_file_that_computes_something_else_is_not_left(
    opened: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the extra dualpix[openvino] is not installed")
    monkeypatch.setitem(MOST, "fp32", -1.0)
    with pytest.raises(MachineError, match=r"was not written: .* differ by"):
        export(opened, "openvino", tmp_path / "net.xml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"to": "coreml"}, RecipeError, "no form called 'coreml'"),
        ({"to": "onnx", "int8": True}, MachineError, "Only files for openvino can have 8 bits"),
        ({"to": "openvino", "photos": ["p"]}, MachineError, "give int8=True too"),
    ],
)
def test_what_cannot_be_is_said(opened: Checkpoint, tmp_path: Path, how: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        export(opened, output=tmp_path / "net", **how)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", ["onnx", "torch", "web"])
def test_a_pytorch_that_cannot_convert_says_so(
    opened: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    if to in NEEDS:
        pytest.importorskip(NEEDS[to], reason=f"the extra dualpix[{to}] is not installed")
    monkeypatch.setattr(conversion, "has_programs", lambda: False)
    with pytest.raises(MachineError, match=r"^PyTorch .* cannot describe .*; get a newer one"):
        export(opened, to, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(opened: Checkpoint, tmp_path: Path) -> None:
    """The system refuses what goes beyond the limit of a file, as a full disk does; OpenVINO speaks of streams."""
    resource = pytest.importorskip("resource", reason="no such system")
    pytest.importorskip("openvino", reason="the extra dualpix[openvino] is not installed")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DualpixError, match=r"net\.xml cannot be written: .*; make room there"):
            export(opened, "openvino", tmp_path / "net")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_kept(opened: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"mine")
    with pytest.raises(CheckpointError, match="exists already"):
        export(opened, "onnx", tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == b"mine"


@pytest.mark.parametrize(("name", "content"), [("x.xml", b"<broken"), ("x.xml", b"<net/>"), ("x.onnx", b"nonsense")])
def test_other_files_are_refused_as_weights(tmp_path: Path, name: str, content: bytes) -> None:
    if name.endswith("onnx"):
        pytest.importorskip("onnxruntime", reason="the extra dualpix[onnx] is not installed")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is damaged|was not made by `dualpix export`"):
        checkpoint.load(tmp_path / name)


def test_the_command_exports_and_deblurs(opened: Checkpoint, tmp_path: Path, dualpix: Command) -> None:
    pytest.importorskip("openvino", reason="the extra dualpix[openvino] is not installed")
    for name, view in VIEWS.items():
        write_picture(tmp_path / f"{name}.png", view)
    net = str(tmp_path / "net.xml")
    code, out, err = dualpix("export", str(opened.path), "--to", "openvino", "-o", net)
    assert (code, err) == (0, "") and "mccnet-fast, fp32, licence CC0" in out and "greatest difference" in out
    assert '{"INFERENCE_PRECISION_HINT": "f32"}' in out
    files = [str(tmp_path / f"{name}.png") for name in VIEWS]
    code, out, err = dualpix("deblur", *files, "-o", str(tmp_path / "sharp.png"), "-w", net, "--force")
    assert code == 0 and "cpu, openvino" in out and (tmp_path / "sharp.png").is_file()
    code, out, err = dualpix("deblur", *files, "-o", str(tmp_path / "no.png"), "-w", net, "--engine", "onnx")
    assert code == 1 and "is for the engine openvino" in err
    code, out, err = dualpix("deblur", *files, "-o", str(tmp_path / "no.png"), "-w", net, "--disparity", "map.png")
    assert code == 1 and "gives no disparity" in err and not (tmp_path / "no.png").exists()
