"""The rows of Table 1: what they take, and the sizes that the paper prints."""

import pytest

from dualpix.errors import RecipeError
from dualpix.evaluation.methods import METHODS
from dualpix.evaluation.systems import TABLE_ROWS, choose, size_of
from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS, create
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import save

PRINTED = {
    "DMENet": (26.94, 2312.05, 1),
    "IFAN": (10.48, 738.08, 1),
    "KPAC": (1.58, 391.33, 1),
    "MDP": (46.86, 2634.62, 1),
    "DPDNet": (34.52, 1882.58, 2),
    "DPDNet+": (34.52, 1882.58, 2),
    "RDPD+": (27.51, 611.82, 2),
    "MCCNet": (5.52, 979.65, 2),
    "Restormer": (26.13, 4059.08, 2),
}
"""Millions of parameters (the paper's, whose 46.8 is cut, not rounded), 10^9 multiply-adds of convolutions, views."""


@pytest.mark.parametrize("label", PRINTED)
def test_a_row_is_the_variant_that_the_paper_counts(label: str) -> None:
    system = TABLE_ROWS[label]
    counts = size_of(system.blank())
    assert counts is not None
    counted = (round(counts.parameters / 1e6, 2), round(counts.conv_macs / 1e9, 2), len(system.views))
    assert counted == PRINTED[label]


def test_every_network_and_method_has_a_row() -> None:
    networks = {system.network for system in TABLE_ROWS.values()}
    assert (NETWORKS | DEFOCUS_ESTIMATORS).keys() - networks == {"dpdnet-single"}
    assert {system.method for system in TABLE_ROWS.values() if system.method} == METHODS.keys()
    for system in TABLE_ROWS.values():
        assert bool(system.network) == bool(system.weights) and (system.network or system.method)


def test_rows_are_chosen_by_name_in_whatever_case() -> None:
    assert list(choose("all")) == list(TABLE_ROWS) == list(choose("ALL"))
    assert list(choose("kpac, jnb,DPDNet+")) == ["KPAC", "JNB", "DPDNet+"]
    for text in ("KPACK", "KPAC,", "", "all,KPAC"):
        with pytest.raises(RecipeError, match="choose from: JNB, EBDB"):
            choose(text)


def test_weights_are_there_once_they_are_shipped(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "WEIGHTS", {})
    assert not TABLE_ROWS["KPAC"].has_weights and TABLE_ROWS["JNB"].has_weights
    monkeypatch.setattr(checkpoint, "WEIGHTS", {"kpac": str(tmp_path / "kpac.safetensors")})
    assert not TABLE_ROWS["KPAC"].has_weights  # named, but not installed
    save(tmp_path / "kpac.safetensors", create("kpac", width=8), "kpac", {"width": 8})
    assert TABLE_ROWS["KPAC"].has_weights
