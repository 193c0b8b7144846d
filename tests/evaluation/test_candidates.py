"""What is compared is opened first: own weights in a row of the table, and what does not fit, in one sentence."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from dualpix.cli import app
from dualpix.datasets import Folder
from dualpix.errors import CheckpointError, DataError, as_flag
from dualpix.evaluation import evaluate
from dualpix.evaluation.candidates import open_candidate
from dualpix.evaluation.methods import by_defocus_estimator
from dualpix.evaluation.systems import TABLE_ROWS, choose
from dualpix.inference.deblur import deblur
from dualpix.inference.options import DeblurOptions
from dualpix.networks import create
from dualpix.weights import checkpoint

NARROW: dict[str, dict[str, Any]] = {
    "dpdnet": {"widths": [8, 8, 16, 16, 32], "up_kernel": 3},
    "kpac": {"width": 8},
    "dmenet": {"width": 4},
    "mdp": {"width": 8},
    "rdpd": {"widths": [8, 8, 16, 16, 32]},
    "ifan": {"channels": 8, "filters": 3},
    "restormer": {"channels": 16, "blocks": [1, 1, 1, 1], "refinement": 1},
    "mccnet": {"fusion": False, "extraction": False},
}


def weights(folder: Path, name: str) -> Path:
    torch.manual_seed(0)
    arguments = NARROW[name]
    return checkpoint.save(folder / f"{name}.safetensors", create(name, **arguments), name, arguments)


def cells(summary: str, method: str) -> dict[str, str]:
    lines = [line.split("|")[1:-1] for line in summary.splitlines() if line.startswith("|")]
    row = next(line for line in lines if line[0].strip() == method)
    return {title.strip(): cell.strip() for title, cell in zip(lines[0], row, strict=True)}


def test_all_methods_stand_in_one_table(simulated: Path, tmp_path: Path) -> None:
    """Own weights in their row, no number where there are none, and a blank wall that most fail at, and go on."""
    things = {**choose("all"), "DPDNet": weights(tmp_path, "dpdnet"), "mine": weights(tmp_path, "kpac")}
    found = evaluate(simulated, things, tmp_path / "run", scenes=1)
    rows = {row.method: row for row in found.rows}
    assert list(rows) == ["input", *TABLE_ROWS, "mine"]

    failed = {label for label, _ in found.failures}
    assert failed == {"JNB", "EBDB", "DPDNet", "MCCNet", "mccnet-fast", "joint", "mine"}
    assert {name for _, name in found.failures} == {"wall"}
    assert (
        "hold the same pixels" in found.failures["mine", "wall"] and "no structure" in found.failures["joint", "wall"]
    )
    assert "no clear edge" in found.failures["EBDB", "wall"] and "no texture" in found.failures["JNB", "wall"]
    idle = {label for label, row in rows.items() if row.unavailable_reason}
    assert idle == {"DMENet", "IFAN", "KPAC", "MDP", "DPDNet+", "RDPD+", "Restormer"}
    assert all(row.scores.pictures.keys() >= {"face"} for label, row in rows.items() if label not in idle)

    own = cells(found.summary, "DPDNet")
    network = create("dpdnet", **NARROW["dpdnet"])
    with torch.device("meta"), FlopCounterMode(display=False) as flops:
        create("dpdnet", **NARROW["dpdnet"])(*torch.empty(2, 1, 3, 1120, 1680))
    assert own["GMAC"] == f"{flops.get_total_flops() / 2e9:.1f} + 0.0"
    assert own["parameters"] == f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"
    assert (own["takes"], own["weights"]) == ("two: left, right", "dpdnet.safetensors")
    assert (own["pictures"], own["protocol"]) == ("1 of 2", "dpdd-16bit")
    without = cells(found.summary, "RDPD+")
    assert without["PSNR dB"] == "no weights" and without["SSIM"] == without["pictures"] == without["seconds"] == ""
    assert (without["parameters"], without["GMAC"], without["weights"]) == ("27.51 M", "611.8 + 0.0", "none")
    assert "- RDPD+: no weights; train some with `dualpix train`, and give the file: methods={'RDPD+': 'FILE'}." in (
        found.summary
    )
    assert cells(found.summary, "JNB")["weights"] == "none needed"
    assert cells(found.summary, "oracle-joint")["takes"] == "two: left, right + blur_px"
    assert cells(found.summary, "mccnet-fast")["weights"] == "shipped"
    assert not (tmp_path / "run" / "RDPD+").exists()


def test_dmenet_takes_own_weights_as_part_of_its_method(simulated: Path, tmp_path: Path) -> None:
    path = weights(tmp_path, "dmenet")
    made = open_candidate("DMENet", path, DeblurOptions())
    sample = Folder(simulated)[0]
    assert made.views == ("center",) and made.method is not None and "deconvolution" in made.source
    torch.testing.assert_close(made.method(sample), by_defocus_estimator(sample, checkpoint.load(path).network))


@pytest.mark.parametrize("label", ["IFAN", "MDP", "RDPD+", "MCCNet", "Restormer"])
def test_a_trained_network_fills_its_row(simulated: Path, tmp_path: Path, label: str) -> None:
    """Also on pictures smaller than what the deepest of its layers sees."""
    path = weights(tmp_path, TABLE_ROWS[label].network)
    made = open_candidate(label, path, DeblurOptions(precision="fp32"))
    assert made.method is not None and "the row itself is network" in made.source
    sample = Folder(simulated)[0]
    for side in (16, 17, 64):
        crop = {key: value if key == "name" else value[:, :side, :side] for key, value in sample.items()}
        out = made.method(crop).picture  # type: ignore[union-attr]
        assert out.shape == (3, side, side) and bool(out.isfinite().all())


def test_weights_of_another_network_do_not_fit_a_row(tmp_path: Path) -> None:
    path = weights(tmp_path, "kpac")
    with pytest.raises(CheckpointError, match=r"kpac\.safetensors holds weights of the network 'kpac', but the row"):
        open_candidate("DPDNet", path, DeblurOptions())
    with pytest.raises(CheckpointError, match="row JNB takes none"):
        open_candidate("JNB", path, DeblurOptions())
    assert open_candidate("mine", path, DeblurOptions()).method is not None


def test_a_network_that_maps_blur_is_no_method_by_itself(tmp_path: Path) -> None:
    path = weights(tmp_path, "dmenet")
    for thing in (path, checkpoint.load(path)):
        with pytest.raises(CheckpointError, match=r"maps the blur.*methods=.*dmenet\.safetensors"):
            open_candidate("mine", thing, DeblurOptions())
    with pytest.raises(CheckpointError, match="'dmenet', but the row IFAN takes those of 'ifan'"):
        open_candidate("IFAN", path, DeblurOptions())
    left, right = torch.rand(2, 3, 32, 32)
    for given in (path, checkpoint.load(path), checkpoint.load(path).network):
        with pytest.raises(CheckpointError, match="is a DMENet, which maps the blur and does not undo it; give"):
            deblur(left, right, given)


def test_a_row_that_needs_what_the_data_lack_says_so(simulated: Path, tmp_path: Path) -> None:
    for key in ("left", "right", "sharp"):
        (tmp_path / "pairs" / key).mkdir(parents=True)
        (tmp_path / "pairs" / key / "face.png").write_bytes((simulated / key / "face.png").read_bytes())
    found = evaluate(tmp_path / "pairs", choose("oracle-map,joint"), tmp_path / "run", scenes=0)
    assert found.failures == {} and cells(found.summary, "oracle-map")["PSNR dB"] == "no blur_px"
    assert "- oracle-map: no blur_px; the data do not have blur_px, which this method takes" in found.summary
    assert cells(found.summary, "joint")["pictures"] == "1 of 1"


def test_a_map_of_the_blur_that_is_none_is_one_sentence(simulated: Path, tmp_path: Path, write_png) -> None:
    for key in ("left", "right"):
        write_png(tmp_path / key / "a.png")
    (tmp_path / "blur").mkdir()
    for wrong in (np.zeros((16, 25)), np.full((16, 24), np.nan), np.array(["a"])):
        np.save(tmp_path / "blur" / "a.npy", wrong)
        with pytest.raises(DataError, match=r"a\.npy is not a blur map.*16 x 24"):
            Folder(tmp_path)[0]
    (tmp_path / "blur" / "a.npy").write_bytes(b"PK")
    with pytest.raises(DataError, match="damaged"):
        Folder(tmp_path)[0]
    np.save(tmp_path / "blur" / "a.npy", np.arange(384).reshape(16, 24) - 100)
    assert float(Folder(tmp_path)[0]["blur_px"][0, 2, 3]) == 51 - 100


def test_a_missing_package_is_told_once_and_not_for_each_picture(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("dualpix.classical.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)
    done = evaluate(simulated, choose("JNB"), tmp_path / "out")
    assert (
        done.rows[1].unavailable_reason == "no package"
        and not done.failures
        and not (tmp_path / "out" / "JNB").exists()
    )
    assert done.summary.count("pip install") == 1 and "JNB: no package; The classic methods need" in done.summary
    end = CliRunner().invoke(app, ["evaluate", str(simulated), "--methods", "JNB", "-o", str(tmp_path / "cli")])
    assert end.exit_code == 1 and end.stderr.count("pip install -e '.[classic]'") == 1


def test_the_label_of_a_row_in_place_of_weights_is_told_how_to_be_given() -> None:
    for given, row in (("EBDB", "EBDB"), ("dpdnet", "DPDNet")):
        with pytest.raises(DataError) as refused:
            open_candidate("mine", given, DeblurOptions())
        assert refused.value.spelled(as_flag).endswith(
            f"row of the paper's table and no file of weights; give --methods {row}."
        )
    with pytest.raises(CheckpointError, match="Did you mean 'mccnet-fast'"):
        open_candidate("mine", "mccnet-fst", DeblurOptions())
