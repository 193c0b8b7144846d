"""What a file of weights declares, its arguments, tensors and names, is checked as a record before it is used."""

import json
from pathlib import Path
from typing import Any

import pytest

from dualpix import networks
from dualpix.errors import CheckpointError
from dualpix.weights import checkpoint
from edited_weights import rewrite

ARGUMENTS = {"widths": [2, 2, 2, 2], "depths": [1, 0, 0, 0, 0, 0, 0], "max_disparity": 4}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    network = networks.create("mccnet-fast", **ARGUMENTS)
    return checkpoint.save(tmp_path / "fast.safetensors", network, "mccnet-fast", ARGUMENTS)


def describe(path: Path, text: str) -> Path:
    return rewrite(path, lambda header: header["__metadata__"].update(dualpix=text))


def refused(path: Path, *words: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    message = str(caught.value)
    for word in ("edited.safetensors", *words):
        assert word in message
    return message


def card(**changes: Any) -> str:
    empty: dict[str, Any] = {name: {} for name in ("recipe", "scores", "extra")}
    return json.dumps({"format": 1, "network": "mccnet-fast", "arguments": ARGUMENTS, **empty, **changes})


@pytest.mark.parametrize("value", [-5, True, 1.5, "8", None, [1], 10**9])
def test_arguments_that_no_tensor_depends_on_are_checked_too(saved: Path, value: object) -> None:
    """Fault 73: such a file loaded, and failed inside the computation."""
    refused(describe(saved, card(arguments=ARGUMENTS | {"max_disparity": value})), "max_disparity")


def test_a_network_of_any_size_is_not_built(saved: Path) -> None:
    """Or else a small file would keep the machine busy on and on."""
    refused(describe(saved, card(arguments=ARGUMENTS | {"depths": [10**8] * 7})), "depths")
    refused(describe(saved, card(arguments={"name": "mccnet"})), "'name'")


def test_what_a_tensor_declares_is_a_record_of_numbers(saved: Path) -> None:
    def declare(**changes: Any) -> Path:
        return rewrite(saved, lambda header: header["stem.bias"].update(changes))

    for shape in (["3"], [True], [3.0], [-3], "3", None, {"3": 3}):
        refused(declare(shape=shape), "'stem.bias' is unreadable")
    for offsets in ([0], [0, 4, 8], [0, "12"], [0, 1e3], None):
        refused(declare(data_offsets=offsets), "'stem.bias' is unreadable")
    for dtype in (32, None, "\ud800", "F" * 70_000, "float"):
        refused(declare(dtype=dtype), "'stem.bias' is unreadable")
    for dtype in ("I32", "F9", "C64", "BOOL"):
        refused(declare(dtype=dtype), "'stem.bias' holds", dtype)


def test_what_a_file_says_is_told_in_one_line(saved: Path) -> None:
    """Fault 76: a name of 100,000 characters, or one that breaks lines, is cut."""

    def rename(header: dict[str, Any]) -> None:
        header["a\n\x1b[2J" * 20_000] = header.pop("stem.bias")
        header["stem.bias"] = header["to_eighth.bias"]

    message = refused(rewrite(saved, rename))
    assert len(message) <= 600 and message.isprintable()
    message = refused(describe(saved, card(arguments={"[" * 50_000: 1})))
    assert len(message) <= 310 + len(str(saved)) and "unexpected keyword argument" in message


def test_json_of_every_strange_kind(saved: Path) -> None:
    infinite, twice = card().replace('"scores": {}', '"scores": {"psnr": 1e999}'), card()[:-1] + ', "format": 1}'
    for wrong in ("[" * 100_000, infinite, twice):
        refused(describe(saved, wrong), "description is not valid JSON")
