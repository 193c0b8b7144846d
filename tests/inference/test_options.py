"""One record of how a picture is made, checked once, in the same sentence for every entry."""

import json
import typing
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from dualpix.cli import app
from dualpix.errors import DualpixError
from dualpix.evaluation import demo as demonstration
from dualpix.evaluation import evaluate
from dualpix.evaluation.demo import demonstrate
from dualpix.inference import engines
from dualpix.inference.bands import run_bands
from dualpix.inference.deblur import deblur, deblur_pair
from dualpix.inference.focus import Refocus
from dualpix.inference.options import DeblurOptions, Keywords, options_of
from dualpix.io import read_picture
from dualpix.web.limits import Limits
from dualpix.web.openapi import describe
from dualpix.weights import checkpoint

Command = Callable[..., tuple[int, str, str]]
GOOD = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(1))
WRONG = {
    "engine": "tensorrt",
    "precision": "fp64",
    "device": "gpu",
    "memory": "lots",
    "scale": "1/5",
    "band_rows": 0,
    "layout": "diagonal",
    "turn": "sideways",
    "depth": 12,
    "strength": 1.5,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_picture_can_be_made_with_is_refused_at_once(name: str) -> None:
    with pytest.raises(DualpixError, match=name):
        DeblurOptions(**{name: WRONG[name]})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["engine", "precision", "device", "memory", "scale", "turn"])
def test_every_entry_says_the_same(name: str, dualpix: Command, folder: Path, tmp_path: Path) -> None:
    wrong = {name: WRONG[name]}
    with pytest.raises(DualpixError) as refused:
        DeblurOptions(**wrong)  # type: ignore[arg-type]
    entries: list[Callable[[], object]] = [
        lambda: deblur(GOOD, GOOD, **wrong),  # type: ignore[arg-type]
        lambda: deblur_pair({"left": GOOD, "right": GOOD}, **wrong),  # type: ignore[arg-type]
        lambda: demonstrate(tmp_path / "demo", **wrong),  # type: ignore[arg-type]
        lambda: evaluate("pairs", **wrong),  # type: ignore[arg-type]
    ]
    for entry in entries:
        with pytest.raises(DualpixError) as error:
            entry()
        assert str(error.value) == str(refused.value)
    given = f"--{name}", str(WRONG[name])
    commands = [
        ["deblur", "p_L.png", "p_R.png", "-o", "o.png"],
        ["deblur", ".", "-o", "many"],
        ["evaluate", "."],
        *([["demo"]] if name != "turn" else []),
    ]
    for words in [*commands, *([["web"]] if name not in ("device", "turn") else [])]:
        code, _, err = dualpix(*words, *given)
        assert (code, err.strip()) == (1, f"dualpix: {refused.value}"), words


def test_keywords_go_before_the_record_and_wrong_ones_are_named() -> None:
    options = DeblurOptions(precision="fp32", mirror=True)
    assert options_of(options, {"mirror": False}) == replace(options, mirror=False)
    assert options_of(None, {}) == DeblurOptions()
    with pytest.raises(TypeError, match="'memry'; did you mean 'memory'"):
        deblur(GOOD, GOOD, memry="2GB")  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        options.mirror = False  # type: ignore[misc]


def test_keywords_are_fields_of_the_same_kind() -> None:
    kinds = typing.get_type_hints(DeblurOptions)
    assert {name: kinds[name] for name in typing.get_type_hints(Keywords)} == typing.get_type_hints(Keywords)


def test_every_field_is_explained_and_shapes_the_picture_or_is_known_not_to() -> None:
    names = [field.name for field in fields(DeblurOptions)]
    assert all(f"{name}: " in (DeblurOptions.__doc__ or "") for name in names)
    unusual = DeblurOptions(
        turn="none", scale="1", guard=False, only_blurred=True, strength=0.5, keep_blur="behind"
    ).shaping()
    assert set(names) - set(
        unusual | DeblurOptions(mask="masks").shaping() | DeblurOptions(refocus=Refocus()).shaping()
    ) == {
        "memory",
        "band_rows",
        "force",
        "software",
    }


def test_what_journals_hold_of_the_options_stays() -> None:
    """The text of version 0.1.0, of which a journal holds the hash: another would make all pictures again."""
    usual = '{"precision": "auto", "device": "auto", "engine": "auto", "mirror": false, "depth": null, '
    usual += '"strip_metadata": false, "layout": null, "swap": false}'
    assert json.dumps(DeblurOptions(memory="2GB", force=True, software="x").shaping()) == usual
    assert json.dumps(DeblurOptions(turn="left").shaping()) == usual[:-1] + ', "turn": "left"}'
    assert json.dumps(DeblurOptions(scale="1/2", strength=1).shaping()) == usual[:-1] + ', "scale": "1/2"}'
    assert json.dumps(DeblurOptions(strength=0.5).shaping()) == usual[:-1] + ', "strength": 0.5}'
    assert json.dumps(DeblurOptions(keep_blur="1..3").shaping()) == usual[:-1] + ', "keep_blur": "1..3"}'
    assert json.dumps(DeblurOptions(mask=Path("m.png")).shaping()) == usual[:-1] + ', "mask": "m.png"}'


def test_views_are_exchanged_for_functions_too(folder: Path) -> None:
    right = GOOD.roll(2, 2)
    options = DeblurOptions(swap=True, precision="fp32")
    swapped = deblur(GOOD, right, "w.safetensors", options)
    assert torch.equal(swapped, deblur(right, GOOD, "w.safetensors", precision="fp32"))
    with pytest.raises(DualpixError, match="layout="):
        deblur(GOOD, right, "w.safetensors", DeblurOptions(layout="npz"))


def test_options_as_usual_leave_the_networks_own_result_bit_for_bit() -> None:
    """Parts, strength, refocus, guard and windows change nothing where nothing is asked of them."""
    home = Path(demonstration.__file__).parents[1] / "demo_pair"
    left, right = (read_picture(home / f"{side}.png").pixels[:, 100:196, 100:228] for side in ("left", "right"))
    opened = checkpoint.load(checkpoint.DEFAULT_WEIGHTS)
    done = deblur_pair({"left": left, "right": right, "name": "demo"}, opened, precision="fp32", scale="1")
    runner = engines.start(opened.network, "torch", "fp32", "cpu")
    assert torch.equal(done.picture, run_bands(runner, [left, right], done.plan, None))
    assert done.report is not None and done.report.mixed_in == 0 and done.mask is None and done.scene is None


COMMAND = {"guard": "no_guard", "refocus": "aperture"}
"""Fields that are called otherwise on the command line; one command takes pairs and folders alike."""
NOT_A_COMMAND = {"band_rows": "--memory chooses the bands", "software": "is the program's own name"}
PAGE = {"guard": "no_guard", "keep_blur": "keep", "refocus": "aperture"}
NOT_ON_THE_PAGE = NOT_A_COMMAND | {
    "device": "the page runs on the device that its program finds",
    "mirror": "takes four times as long, for measurements",
    "strip_metadata": "the file's own profile and EXIF are what a browser's download is expected to keep",
    "force": "the page goes on, and says what is odd",
}


def test_every_field_is_reached_by_command_folder_page_and_function_or_has_a_reason_why_not() -> None:
    names = {field.name for field in fields(DeblurOptions)}
    group = typing.cast(Any, typer.main.get_command(app))
    taken = {name: {option.name for option in command.params} for name, command in group.commands.items()}
    commands = {COMMAND.get(name, name) for name in names - set(NOT_A_COMMAND)}
    assert commands <= taken["deblur"] | taken["refocus"]
    # To refocus, the picture must be sharp everywhere first.
    assert commands - taken["refocus"] == {"strength", "keep_blur", "mask"}
    page = {PAGE.get(name, name) for name in names - set(NOT_ON_THE_PAGE)}
    assert page <= taken["web"] | set(asked_for(describe(Limits())))
    described = asked_for(describe(Limits()))
    assert {field.name for field in fields(Refocus)} - {"focus_px"} <= set(described) | {"focus"}
    with pytest.raises(DualpixError, match="the picture must be sharp everywhere first"):
        DeblurOptions(refocus=Refocus(), keep_blur="behind")


def asked_for(described: Any) -> list[str]:
    """Names of queries and fields of forms in the page's description of itself."""
    if isinstance(described, list):
        return [name for part in described for name in asked_for(part)]
    if not isinstance(described, dict):
        return []
    here = [described["name"]] if described.get("in") == "query" else list(described.get("properties", ()))
    return here + [name for part in described.values() for name in asked_for(part)]
