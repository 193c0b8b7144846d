"""Recipes: everything that decides what a training run computes, as one flat record. Variants replace fields."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dualpix.errors import RecipeError
from dualpix.tables import pick
from dualpix.training.former_names import with_current_names
from dualpix.training.recipe import Recipe, from_dict, to_dict

__all__ = ["RECIPES", "Recipe", "current_changes", "find_recipe", "from_dict", "to_dict"]

RECIPES: dict[str, Recipe] = {}

# Section 4.2 of the paper, as far as it goes. DPDD has 350 training pictures cut into 7000 patches (20 each, as DPDNet
# does) and the paper gives no batch size; 8 is assumed: 875 steps an epoch, 200 epochs, halved every 60. Otherwise than
# there, crops are at random places, and validation is on 24 whole pictures (docs/paper.md). 175,000 steps: days on a
# GPU, months on two CPU cores. Expected on DPDD: 25.85 dB, SSIM 0.802 (the paper's Table 1; not reproduced here).
RECIPES["paper"] = Recipe(
    network="mccnet",
    arguments={"residual": False, "score_scale": 1.0, "extraction_residual": False},
    loss="mix",
    optimiser="adam",
    learning_rate=1e-4,
    betas=(0.9, 0.999),
    schedule="halving",
    steps=175_000,
    halve_every=52_500,
    warmup_steps=0,
    batch=8,
    crop=512,
    scene=576,
    ema_decay=0.0,
    grad_clip=0.0,
    precision="fp32",
    compressed=0.0,
    augment=False,
    validate_every=875,
)

# The best known for two CPU cores in hours: 20,000 steps take about 4 hours in two processes. Stop it whenever you
# like: `steps` can be changed on resuming, and the last `decay_steps` bring the rate down.
RECIPES["cpu"] = Recipe(
    loss="mix",
    optimiser="muon",
    learning_rate=1e-3,
    sharp_aperture=4 / 22,
    compressed=0.8,
    far_px=(4.0, 24.0),
)

# The paper's network by the same recipe, for what two CPU cores can do: it matches in a window, as the softmax over a
# photograph's row is flatter than over a training crop's. 20,000 steps take about 12 hours.
RECIPES["mccnet"] = replace(RECIPES["cpu"], network="mccnet", arguments={"max_disparity": 24})

# The same for one modern GPU in minutes, which ends by the clock: scenes are simulated where the network learns.
# It takes 8 minutes, and as many steps as go into them: the 20,000 steps of `cpu` do not count.
RECIPES["gpu"] = replace(
    RECIPES["cpu"],
    minutes=8.0,
    batch=64,
    crop=192,
    pool=2048,
    fresh=16.0,
    codecs=("jpeg",),
    loss="mix-ssim",
    warmup_steps=100,
    ema_decay=0.998,
)

# Shows that everything works, nothing more: 12 steps, seconds on any machine.
RECIPES["tiny"] = Recipe(
    arguments={"widths": [8, 12, 16, 16], "depths": [1, 1, 1, 1, 1, 1, 1], "max_disparity": 4},
    steps=12,
    warmup_steps=2,
    decay_steps=4,
    batch=2,
    crop=48,
    scene=64,
    pool=4,
    ema_decay=0.9,
    validate_every=6,
    precision="fp32",
)

# What the published methods share: Adam as they all set it, no warm-up and no clipping. What is not theirs: scenes,
# crops and steps for two CPU cores, the steps of a schedule shortened in proportion, and the running mean of the
# weights. Expected numbers are PSNR and SSIM on DPDD as their authors report them, with their data, crops and steps;
# none is reproduced here yet. Hours are estimated from the number of multiply-adds.
PUBLISHED = Recipe(
    optimiser="adam",
    betas=(0.9, 0.999),
    schedule="halving",
    halve_every=10_000,
    warmup_steps=0,
    grad_clip=0.0,
    precision="fp32",
    sharp_aperture=4 / 22,
    compressed=0.8,
    far_px=(4.0, 24.0),
)

# Abuolaim and Brown: 200 epochs of 1400 steps of 5 crops of 512, halved every 60, so 280,000 steps, GPU days; 25.13 dB,
# 0.786. Here 20,000 steps of smaller crops, about 35 hours on two CPU cores.
RECIPES["dpdnet"] = replace(PUBLISHED, network="dpdnet", loss="mse", learning_rate=2e-5, halve_every=6_000, batch=5)

# The same with simulated pairs beside the real ones of --data; their share is not published. 25.12 dB, 0.784.
# 20,000 steps, about 35 hours.
RECIPES["dpdnet+"] = replace(RECIPES["dpdnet"], simulated=0.5)

# Abuolaim et al.: 140 epochs of 700 steps of 8 crops of 512, halved every 40, so 98,000 steps, GPU days. Trained on
# simulated films alone; here on stills, on crops without their distance from the centre. 20,000 steps, about 20 hours.
RECIPES["rdpd"] = replace(
    PUBLISHED, network="rdpd", arguments={"radius_map": False}, loss="edges", learning_rate=5e-5, halve_every=5_700
)

# Real pairs and simulated ones in turns, theirs; 25.39 dB, 0.772. 20,000 steps, about 20 hours.
RECIPES["rdpd+"] = replace(RECIPES["rdpd"], simulated=0.5)

# Abuolaim, Afifi and Brown: phase 2, 80 epochs of 350 steps of 8 crops of 512, halved every 8, so 28,000 steps, GPU
# days; 25.35 dB, 0.763. It starts from phase 1, 60 epochs on pairs that need no sharp picture, which is
# `dualpix train mdp loss=multi-task-views learning_rate=3e-4 halve_every=2600 -o first`, then
# `dualpix train mdp start=first/last.safetensors`. Here 20,000 steps each, about 35 hours, on crops of 64.
RECIPES["mdp"] = replace(PUBLISHED, network="mdp", loss="multi-task", learning_rate=6e-4, halve_every=2_000, crop=64)

# Son et al. publish no training; a batch of 8 and Adam at 1e-4 are in their code, the loss is a guess (theirs is likely
# to look at features of VGG19 too). 25.22 dB, 0.774. 20,000 steps, about 15 hours.
RECIPES["kpac"] = replace(PUBLISHED, network="kpac", loss="mae", learning_rate=1e-4)

# Lee, Lee, Cho and Lee: 3 crops of 240, times 0.8 every 20 epochs (halved about every 60), GPU days. It is validated by
# the error of its map; deconvolved by it 23.55 dB, 0.720. 20,000 steps of crops of 96, about 20 hours. largest_px is
# what the simulator blurs by, not the authors' 14.
RECIPES["dmenet"] = replace(
    PUBLISHED, network="dmenet", arguments={"largest_px": 24.0}, loss="blur-map", learning_rate=1e-4, batch=3, crop=96
)

# Lee, Son, Rim, Cho and Lee: RAdam (here a warm-up), 600,000 steps of 8 crops of 256, GPU days, the rate falling over
# the last sixth; 25.37 dB, 0.789. Here 20,000 steps of 4 crops of 128, about 20 hours. pass_through is ours, for runs
# as short as this; reblur is what their loss needs, and `forward` does not.
RECIPES["ifan"] = replace(
    PUBLISHED,
    network="ifan",
    arguments={"reblur": True, "pass_through": True},
    loss="reblur",
    optimiser="adamw",
    weight_decay=0.01,
    learning_rate=1e-4,
    schedule="stable",
    warmup_steps=300,
    decay_steps=3_300,
    batch=4,
    grad_clip=0.5,
)

# The same, its filters read from both views: 25.99 dB, 0.804. 20,000 steps, about 20 hours.
RECIPES["ifan-dual"] = replace(RECIPES["ifan"], arguments={"dual": True, **RECIPES["ifan"].arguments})

# Zamir et al.: AdamW, 300,000 steps, GPU days, constant for a third and then falling, on crops that grow from 128 to
# 384 while there are fewer of them; 26.66 dB, 0.833. Here 20,000 steps of 4 crops of 64, at last of 1 of 128, about 30
# hours.
RECIPES["restormer"] = replace(
    PUBLISHED,
    network="restormer",
    loss="mae",
    optimiser="adamw",
    weight_decay=1e-4,
    learning_rate=3e-4,
    schedule="stable",
    decay_steps=13_900,
    batch=4,
    crop=64,
    final_steps=8_000,
    final_batch=1,
    final_crop=128,
    grad_clip=0.01,
)


def find_recipe(name: str, changes: Mapping[str, str] | None = None) -> Recipe:
    """Return the recipe `name` with fields replaced: `find_recipe("cpu", {"steps": "100"})`.

    Args:
        name: One of `RECIPES`.
        changes: From fields to texts, which are read by the field's type (JSON for lists and dicts).

    Raises:
        RecipeError: There is no such recipe or field, or a value is of the wrong kind.

    Example:
        >>> recipe = find_recipe("cpu", {"steps": "100", "far_px": "[2, 12]"})
        >>> recipe.steps, recipe.far_px, recipe.network
        (100, (2.0, 12.0), 'mccnet-fast')
    """
    recipe = pick(RECIPES, name, "recipe")
    changes = current_changes(name, changes or {}, _warn)
    return replace(recipe, **{field: _parse(field, text) for field, text in changes.items()})


def current_changes(name: str, changes: Mapping[str, str], tell: Callable[[str], None]) -> dict[str, str]:
    """Return the changes of the recipe `name` by the fields' current names; `tell` is given a hint for each former one.

    Raises:
        RecipeError: There is no such recipe, or a field is given by both of its names.
    """
    current, hints = with_current_names(changes, pick(RECIPES, name, "recipe").betas)
    for hint in hints:
        tell(hint)
    return {field: text if isinstance(text, str) else f"[{text[0]}, {text[1]}]" for field, text in current.items()}


def _warn(hint: str) -> None:
    warnings.warn(hint, DeprecationWarning, stacklevel=4)


def _parse(field: str, text: str) -> Any:
    kinds: dict[str, Any] = {f.name: f.type for f in fields(Recipe)}
    kind = pick(kinds, field, "recipe field")
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        return adapter.validate_json(text) if text[:1] in ("[", "{") else adapter.validate_python(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise RecipeError(f"{field}={text} is not accepted: {reason}.") from None
