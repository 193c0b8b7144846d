"""Runs that start from weights instead of random ones, and what they say of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dualpix import networks
from dualpix.errors import CheckpointError, RecipeError
from dualpix.inference.export import export
from dualpix.training import train
from dualpix.training.curve import points, read_log
from dualpix.training.learner import Learner
from dualpix.training.recipes import Recipe
from dualpix.weights import checkpoint

Make = Callable[..., Recipe]


@pytest.fixture
def weights(quick: Make, tmp_path: Path) -> Path:
    """Of the network of `quick()`, as no seed would make them."""
    recipe = quick()
    torch.manual_seed(123)
    network = networks.create(recipe.network, **recipe.arguments)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.05)
    return checkpoint.save(tmp_path / "given.safetensors", network, recipe.network, recipe.arguments)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_masters_copies_and_mean_are_the_weights_given(quick: Make, weights: Path, precision: str) -> None:
    learner = Learner(quick(precision=precision))
    learner.start_from(str(weights))
    given = list(checkpoint.load(weights).network.parameters())
    for ours in (learner.masters, learner.means, list(learner.averaged().parameters())):
        assert all(torch.equal(one, two) for one, two in zip(ours, given, strict=True))
    working = learner.network.parameters()
    assert all(torch.equal(one, two.to(one.dtype)) for one, two in zip(working, given, strict=True))
    learner.means[0].add_(1)
    assert not torch.equal(learner.means[0], learner.masters[0])


def test_arguments_left_out_are_the_defaults(quick: Make, tmp_path: Path) -> None:
    given = {"fusion": False, "extraction": False}
    network = networks.create("mccnet", **given)
    path = checkpoint.save(tmp_path / "given.safetensors", network, "mccnet", given)
    Learner(quick(network="mccnet", arguments=given | {"residual": True, "max_disparity": None})).start_from(str(path))
    other = Learner(quick(network="mccnet", arguments=given | {"residual": False}))
    with pytest.raises(RecipeError, match=r"other arguments than the recipe's \(residual=True\); give"):
        other.start_from(str(path))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"network": "mccnet", "arguments": {}}, "is of the network 'mccnet-fast', but the recipe's is 'mccnet'"),
        ({"arguments": {"widths": [8, 12, 16, 16], "max_disparity": 5}}, "max_disparity=4"),
    ],
)
def test_weights_of_another_kind_leave_no_run(
    quick: Make, weights: Path, photos: Path, tmp_path: Path, changes: dict, says: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        train(quick(start=str(weights), **changes), tmp_path / "run", photos=[photos])
    assert says in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"There is no weights file nowhere"):
        train(quick(start="nowhere"), tmp_path / "run", photos=[photos])
    assert not (tmp_path / "run").exists()


def test_the_start_is_validated_and_written_down(quick: Make, weights: Path, photos: Path, tmp_path: Path) -> None:
    run, told = tmp_path / "run", []
    recipe = quick(start=str(weights), steps=2, learning_rate=0.0)
    best = train(recipe, run, photos=[photos], report=told.append)
    assert [line["step"] for line in told] == [0, 2, 2]
    assert told[0]["validation"]["psnr"] == pytest.approx(told[2]["validation"]["psnr"])
    assert (told[0]["best"], told[2]["best"]) == (True, False)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert (lines[0]["began_at_step"], lines[0]["start"]) == (0, str(weights))
    kept, given = (checkpoint.load(path).network.state_dict() for path in (best, weights))
    assert checkpoint.read_card(best)["extra"]["step"] == 0
    assert all(torch.equal(kept[key], given[key]) for key in given), "at a rate of 0 nothing is learnt"


def test_a_resumed_run_goes_on_from_where_it_is(quick: Make, weights: Path, photos: Path, tmp_path: Path) -> None:
    """Whatever the recipe now says, and with the weights gone; bit for bit as the run that was never stopped."""
    recipe = quick(start=str(weights), steps=4, decay_steps=0)
    train(recipe, tmp_path / "whole", photos=[photos])
    run = tmp_path / "run"
    train(replace(recipe, steps=2), run, photos=[photos])
    weights.unlink()
    told: list[dict] = []
    train(replace(recipe, start="nowhere"), run, photos=[photos], report=told.append)
    assert told[0] == {"resumed_at_step": 2} and all(line.get("step") != 0 for line in told)
    states = [torch.load(path / "last.pt", weights_only=True)["learner"] for path in (run, tmp_path / "whole")]
    for one, two in zip(states[0]["masters"], states[1]["masters"], strict=True):
        assert torch.equal(one, two)
    assert json.loads((run / "recipe.json").read_text())["start"] == str(weights)
    assert checkpoint.read_card(run / "last.safetensors")["recipe"]["start"] == str(weights)


def test_a_run_begun_anew_is_validated_once_at_its_start(
    quick: Make, weights: Path, photos: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for _ in range(2):
        train(quick(start=str(weights), steps=1), run, photos=[photos])
        (run / "last.pt").unlink()
    assert [step for step, _ in points(read_log(run / "log.jsonl"))[1]] == [0, 1]


def test_a_file_for_another_engine_is_refused(quick: Make, weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra dualpix[openvino] is not installed")
    exported = str(export(checkpoint.load(weights), "openvino", tmp_path / "exported").path)
    begin: dict[str, Callable[[], object]] = {
        "start": lambda: Learner(quick()).start_from(exported),
        "teacher": lambda: Learner(quick(teacher=exported)),
    }
    for field, call in begin.items():
        with pytest.raises(RecipeError, match=rf"{field}=.*\.xml is a file for the engine openvino") as caught:
            call()
        assert "\n" not in str(caught.value)
