"""The record of settings that decides what a training run computes; `recipes` has those with names."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from dualpix.errors import RecipeError
from dualpix.training.former_names import former_value, take_former_names, with_current_names

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Codec = Literal["jpeg", "vp8", "h264"]  # those of `simulation.samples.CODECS`
Decay = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Recipe:
    """Settings of a training run. Lengths in pixels; a step is one update of the weights.

    Args:
        network, arguments: A name in NETWORKS or DEFOCUS_ESTIMATORS and its keyword arguments.
        start: Weights, by name or file, from which a new run starts; empty for random ones. They must be of this
            network with these arguments. A resumed run goes on from where it is, whatever this says.
        teacher: Weights, by name or file, of any network that makes pictures; empty for none. What it makes of the same
            crops is mixed into the target, with the weight `distillation` (0 to 1) against the sharp picture: it has no
            detail that the views have lost, and what is left to learn is learnt from fewer crops (Hinton et al., 2015).
        loss: A name in LOSSES or OBJECTIVES.
        optimiser: Adam, AdamW with `weight_decay`, or Muon (`training.optimisers`).
        learning_rate: The peak, reached after `warmup_steps`.
        betas: Decay rates of the running means of the gradient and of its square.
        schedule: "stable" (constant, then a linear fall to 0 over the last `decay_steps`; a resumed run may be given
            another `steps`), "halving" (halved every `halve_every` steps) or "cosine" (to 0 at `steps`).
        batch, crop: Crops for each step, over all processes, and their side.
        final_steps: The last steps take `final_batch` crops of `final_crop` instead; 0 for either leaves it as it is.
            Like `decay_steps` they may be changed on resuming.
        ema_decay: Of the exponential moving average of the weights, which is what is validated and saved; 0 for none.
            It may be changed on resuming.
        grad_clip: Largest norm of the gradient; 0 for no limit.
        precision: "bf16" (bf16 weights, float32 masters), "fp32", or "auto": bf16 where it is measured to be the
            faster.
        seed: Decides the first weights, the scenes and the crops.
        scene, pool, fresh: Side of a simulated scene, which gives many crops; scenes to draw from at any time; new
            scenes for each step, while the oldest leave the pool.
        sharp_aperture, compressed, codecs, far_px, shade: See `simulation.samples.Simulated` and
            `simulation.scenes.Layout`.
        light, layout: Fields of `simulation.light.Light` and of `simulation.scenes.Layout` that differ from their
            defaults.
        augment: Mirror crops at random, left to right (with the views exchanged) and up to down.
        negate_depth: Exchange the views half of the time, a scene with its depths negated.
        simulated: Share of the crops that are simulated while the others are of real pairs; 0 for all of one kind.
        validate_every, keep_minutes: Steps between validations, and minutes between checkpoints.
        minutes: The run ends by the clock, after so many over all its resumptions, with validations and checkpoints
            inside them; 0 for a run that ends by `steps`. The rate then is constant after a warm-up (`warmup_steps`, or
            a tenth of the time if that is less) and falls over the last fifth of the time; `schedule`, `steps`,
            `decay_steps` and `validate_every` say nothing.

    Raises:
        RecipeError: Fields contradict each other.
        pydantic.ValidationError: A field has a value that it cannot take; a ValueError.
    """

    network: str = "mccnet-fast"
    arguments: dict[str, Any] = Field(default_factory=dict)
    start: str = ""
    teacher: str = ""
    distillation: Share = 1.0
    loss: str = "charbonnier"
    optimiser: Literal["adam", "adamw", "muon"] = "adamw"
    learning_rate: Amount = 4e-4
    betas: tuple[Decay, Decay] = (0.9, 0.99)
    weight_decay: Amount = 0.0
    schedule: Literal["stable", "halving", "cosine"] = "stable"
    steps: Positive = 20_000
    warmup_steps: Count = 300
    decay_steps: Count = 2_000
    halve_every: Count = 0
    batch: Positive = 8
    crop: Positive = 128
    final_steps: Count = 0
    final_batch: Count = 0
    final_crop: Count = 0
    ema_decay: Decay = 0.999
    grad_clip: Amount = 0.2
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: Count = 0
    scene: Positive = 256
    pool: Positive = 1500
    fresh: Amount = 0.5
    sharp_aperture: Share = 0.0
    compressed: Share = 0.5
    codecs: tuple[Codec, ...] = ("jpeg", "vp8")
    far_px: tuple[Length, Length] = (2.0, 20.0)
    shade: Amount = 0.5
    light: dict[str, Any] = Field(default_factory=dict)
    layout: dict[str, Any] = Field(default_factory=dict)
    augment: bool = True
    negate_depth: bool = False
    simulated: Share = 0.0
    validate_every: Positive = 500
    keep_minutes: Amount = 10.0
    minutes: Amount = 0.0

    _take_former_names = model_validator(mode="before")(take_former_names)
    if not TYPE_CHECKING:  # for which any misspelt field would be one
        __getattr__ = former_value

    def __post_init__(self) -> None:
        largest = max(self.crop, self.final_crop)
        if largest > self.scene:
            raise RecipeError(
                f"A crop of {largest} px does not fit into a scene of {self.scene} px; make scene larger."
            )
        if self.schedule == "halving" and not self.halve_every:
            raise RecipeError("schedule=halving needs halve_every, the steps after which the learning rate is halved.")
        if self.minutes and self.final_steps:
            raise RecipeError(
                f"final_steps={self.final_steps} count from the end of `steps`, which a run of minutes={self.minutes:g}"
                " does not know; give final_steps=0."
            )
        if self.far_px[0] > self.far_px[1]:
            raise RecipeError(f"far_px={list(self.far_px)} is a range: its first number must not be the larger.")


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    return asdict(recipe)


def from_dict(settings: Mapping[str, Any], base: Recipe | None = None) -> Recipe:
    """Return the recipe that a file holds: the inverse of `to_dict`. Former names of fields are read too.

    Args:
        settings: From fields to plain values, as JSON and TOML have them.
        base: What the fields that are not among `settings` are taken from; the defaults of a `Recipe` if None.

    Raises:
        RecipeError: A field does not exist, is given by both of its names, or has a value of the wrong kind.
    """
    if not isinstance(settings, Mapping):
        raise RecipeError("A recipe is a table of fields and their values, and this file holds something else.")
    base = base or Recipe()
    current, _ = with_current_names(settings, base.betas)
    try:
        return replace(base, **current)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(
            f"The recipe's field {'.'.join(map(str, first['loc']))} is not accepted: {first['msg']}."
        ) from None
