"""Recipes: what they say, and what they refuse."""

import inspect
import json
import re
from dataclasses import fields, replace
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from dualpix.errors import RecipeError
from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS, create
from dualpix.simulation.samples import CODECS
from dualpix.training import recipes
from dualpix.training.losses import LOSSES
from dualpix.training.objectives import OBJECTIVES
from dualpix.training.recipe import Codec
from dualpix.training.recipes import RECIPES, Recipe, find_recipe, from_dict, to_dict


def test_paper_is_section_4_2() -> None:
    """And section 3.5 for the loss. The batch and the patches an epoch are not in the paper; the comment says so."""
    paper = RECIPES["paper"]
    assert (paper.network, paper.loss, paper.optimiser) == ("mccnet", "mix", "adam")
    assert (paper.learning_rate, paper.betas) == (1e-4, (0.9, 0.999))
    epoch = 350 * 20 // paper.batch
    assert (paper.schedule, paper.halve_every, paper.steps) == ("halving", 60 * epoch, 200 * epoch)
    assert paper.crop == 512
    nothing_else = (paper.weight_decay, paper.warmup_steps, paper.ema_decay, paper.grad_clip, paper.compressed)
    assert nothing_else == (0, 0, 0, 0, 0) and paper.precision == "fp32"
    network = create(paper.network, **paper.arguments)
    assert (network.fusion, network.correlation, network.extraction) == (True, True, True)
    assert network.residual is False, "the paper's network paints the picture itself"
    assert not network.encoder3[1].residual and network.cc1.score_scale == 1, "as 3.2 and 3.3 have it"
    assert paper.augment is False and RECIPES["cpu"].augment is True


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_names_what_exists(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.network in NETWORKS | DEFOCUS_ESTIMATORS and recipe.loss in LOSSES | OBJECTIVES
    with torch.device("meta"):
        multiple = create(recipe.network, **recipe.arguments).spec.size_multiple
    assert recipe.crop % multiple == 0 and recipe.final_crop % multiple == 0


def test_plus_is_a_field_and_nothing_else() -> None:
    for name in ("dpdnet", "rdpd"):
        assert replace(RECIPES[f"{name}+"], simulated=0.0) == RECIPES[name]


def test_the_published_methods_learn_from_the_same_scenes() -> None:
    fields_of_scenes = ("scene", "pool", "fresh", "seed", "sharp_aperture", "compressed", "codecs", "far_px", "shade")
    published = [recipe for name, recipe in RECIPES.items() if name not in ("paper", "tiny", "gpu")]
    assert {tuple(getattr(recipe, field) for field in fields_of_scenes) for recipe in published} == {
        tuple(getattr(RECIPES["cpu"], field) for field in fields_of_scenes)
    }


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_it_costs(name: str) -> None:
    comment = re.search(rf'((?:^#.*\n)+)^RECIPES\["{re.escape(name)}"\]', inspect.getsource(recipes), re.MULTILINE)[1]
    stated = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) steps", comment)]
    assert RECIPES[name].steps in stated
    assert re.search(r"\b(seconds|minutes|hours|days)\b", comment)


def test_codecs_are_those_of_the_simulator() -> None:
    assert get_args(Codec) == tuple(CODECS)


def test_every_field_is_documented() -> None:
    described = set(re.findall(r"\w+", Recipe.__doc__))
    assert {field.name for field in fields(Recipe)} - described == set()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name: str) -> None:
    recipe = replace(RECIPES[name], far_px=(1.5, 9.0), arguments={"max_disparity": 7})
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe


def test_fields_are_read_from_text_by_their_type() -> None:
    changes = {"steps": "7", "learning_rate": "3e-4", "negate_depth": "true", "schedule": "cosine", "far_px": "[1, 5]"}
    recipe = find_recipe("tiny", changes | {"arguments": '{"widths": [8, 8, 8, 8]}', "loss": "mix"})
    assert recipe == replace(
        RECIPES["tiny"],
        steps=7,
        learning_rate=3e-4,
        negate_depth=True,
        schedule="cosine",
        far_px=(1.0, 5.0),
        arguments={"widths": [8, 8, 8, 8]},
        loss="mix",
    )
    assert find_recipe("tiny") == RECIPES["tiny"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("learning_rte=1", "Did you mean 'learning_rate'"),
        ("learning_rate=fast", "learning_rate=fast is not accepted: Input should be a valid number"),
        ("learning_rate=nan", "finite"),
        ("learning_rate=-1", "greater than or equal to 0"),
        ("steps=0", "steps=0 is not accepted: Input should be greater than or equal to 1"),
        ("steps=2.5", "valid integer"),
        ("seed=-1", "greater than or equal to 0"),
        ("ema_decay=1", "less than 1"),
        ("betas=[0.9]", "Field required"),
        ("betas=[0.9, 1]", "less than 1"),
        ("compressed=2", "less than or equal to 1"),
        ("schedule=linear", "'stable', 'halving' or 'cosine'"),
        ("schedule=halving", "halve_every"),
        ("negate_depth=perhaps", "valid boolean"),
        ("arguments=12", "valid dictionary"),
        ('arguments={"a"', "Invalid JSON"),
        ('codecs=["gif"]', "'jpeg', 'vp8' or 'h264'"),
        ("far_px=[1]", "Field required"),
        ("far_px=[5, 1]", "range"),
        ("far_px=[0, 1]", "greater than 0"),
        ("crop=512", "A crop of 512 px does not fit into a scene of 256 px"),
        ("final_crop=320", "A crop of 320 px does not fit into a scene of 256 px"),
        ("final_steps=-1", "greater than or equal to 0"),
    ],
)
def test_what_is_not_accepted_is_one_sentence(change: str, says: str) -> None:
    field, _, text = change.partition("=")
    with pytest.raises(RecipeError) as caught:
        find_recipe("cpu", {field: text})
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(RecipeError, match=r"no recipe called 'papre'.*paper"):
        find_recipe("papre")


@pytest.mark.parametrize("settings", [{"colour": 1}, {"steps": -1}, {"schedule": "linear"}])
def test_settings_of_another_kind_are_refused(settings: dict) -> None:
    with pytest.raises(RecipeError, match=next(iter(settings))):
        from_dict(settings)


def test_a_record_cannot_be_changed_or_wrong() -> None:
    with pytest.raises(AttributeError):
        RECIPES["cpu"].steps = 3
    with pytest.raises(ValidationError):
        Recipe(learning_rate="fast")


def test_recipes_do_not_share_their_arguments() -> None:
    assert Recipe().arguments == {} and Recipe().arguments is not Recipe().arguments
