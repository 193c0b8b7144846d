"""Weights that a training begins with or learns from."""

import inspect
import json
from typing import Any

import torch
from torch import nn

from dualpix.errors import RecipeError
from dualpix.networks import DEFOCUS_ESTIMATORS, NETWORKS, create
from dualpix.networks.spec import spec_of
from dualpix.training.feed import sizes
from dualpix.training.recipes import Recipe
from dualpix.weights import checkpoint
from dualpix.weights.exported import exported_of


def find_teacher(recipe: Recipe, device: torch.device) -> Any:
    """Return the recipe's teacher, which does not learn, or None.

    Raises `RecipeError` for one that makes no pictures or was exported, or for a recipe whose crops it cannot take.
    """
    if not recipe.teacher:
        return None
    found = load_weights("teacher", recipe.teacher)
    if found.name in DEFOCUS_ESTIMATORS or recipe.network in DEFOCUS_ESTIMATORS:
        raise RecipeError(
            f"teacher={recipe.teacher} is of {found.name!r} and the recipe's network is {recipe.network!r}: a network"
            " that maps blur neither teaches nor is taught; choose weights and a recipe of networks that undo it."
        )
    multiple = spec_of(found.network).size_multiple
    for _, crop in sizes(recipe):
        if crop % multiple:
            raise RecipeError(f"crop={crop} does not fit: the teacher, {found.name!r}, needs a multiple of {multiple}.")
    return found.network.to(device).to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]


def load_weights(field: str, weights: str) -> checkpoint.Checkpoint:
    """Weights by name or file, for a recipe's `field`; raises `RecipeError` for those of another engine."""
    found = checkpoint.load(weights)
    if exported := exported_of(found.network):
        raise RecipeError(
            f"{field}={weights} is a file for the engine {exported.engine}, which training does not use; give the"
            " weights it was exported from."
        )
    return found


def all_arguments(network: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of those that are left out, and as JSON keeps them."""
    call = inspect.signature((NETWORKS | DEFOCUS_ESTIMATORS)[network]).bind(**arguments)
    call.apply_defaults()
    plain: dict[str, Any] = json.loads(json.dumps(call.arguments))
    return plain


def weights_to_start_from(recipe: Recipe, weights: str) -> checkpoint.Checkpoint:
    """Weights, by name or file, of the recipe's network with its arguments; raises `RecipeError` for any others."""
    found = load_weights("start", weights)
    if found.name != recipe.network:
        raise RecipeError(
            f"start={weights} is of the network {found.name!r}, but the recipe's is {recipe.network!r};"
            " choose weights of the same network."
        )
    wanted, given = (all_arguments(recipe.network, one) for one in (recipe.arguments, found.arguments))
    if wanted != given:
        differing = [f"{key}={given.get(key)}" for key in given | wanted if given.get(key) != wanted.get(key)]
        raise RecipeError(
            f"start={weights} was trained with other arguments than the recipe's ({', '.join(differing)}); give the"
            " recipe the same, or choose other weights."
        )
    return found


def create_network(recipe: Recipe) -> nn.Module:
    """A network with the weights that belong to the recipe's seed; the caller's random numbers stay as they were.

    Raises `RecipeError` for arguments that it does not take, or a crop of no multiple of its size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            network = create(recipe.network, **recipe.arguments)
        except (TypeError, ValueError) as error:
            raise RecipeError(
                f"The network {recipe.network!r} cannot be made with arguments={recipe.arguments}: {error}."
            ) from error
    multiple = spec_of(network).size_multiple
    for _, crop in sizes(recipe):
        if crop % multiple:
            raise RecipeError(f"crop={crop} does not fit: {recipe.network!r} needs a multiple of {multiple}.")
    return network
