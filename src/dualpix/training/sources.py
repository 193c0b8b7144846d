"""Where training crops come from, and what is validated on: never the same photographs."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

from dualpix.datasets import Dpdd, Sample, Samples, open_dataset, require_samples
from dualpix.datasets.decoded import Decoded, FromFiles, stored
from dualpix.errors import DataError, RecipeError
from dualpix.evaluation import score
from dualpix.evaluation.scoring import found
from dualpix.inference.engines.pytorch import Runner
from dualpix.io.decoded import MOST_GB, DecodedPictures
from dualpix.networks import DEFOCUS_ESTIMATORS, Network
from dualpix.simulation.landscapes import with_depth
from dualpix.simulation.light import Light
from dualpix.simulation.photos import Photos, Tell, share_photos
from dualpix.simulation.samples import Simulated
from dualpix.simulation.scenes import Layout
from dualpix.simulation.store import MORE, Rendered, store_name
from dualpix.training.feed import CropSource, Fixed, Mixed, Moving
from dualpix.training.recipes import Recipe

VALIDATION_PICTURES = 24
VALIDATION_SEED = 10**6
PROTOCOL = "dpdd-8bit"
PHOTOS, PAIRS = "photos", "pairs"  # where in the store decoded photographs lie, and the pictures of real pairs

Record = TypeVar("Record", Layout, Light)

Data: TypeAlias = str | Path | Samples
"""A data set of pairs, or the folder it is in."""

Validator = Callable[[nn.Module], dict[str, float]]
"""Scores a network on held-out pictures: the mean `psnr` in dB, and more; of one that maps the blur, `MAP_ERROR`."""

MAP_ERROR = "blur_mae_px"
"""Mean distance in pixels between the size of the blur and what a network says."""


def score_of(scores: dict[str, float]) -> float:
    """Return the one number by which validations are compared: the larger, the better."""
    return -scores[MAP_ERROR] if MAP_ERROR in scores else scores["psnr"]


def is_better_low(score: str) -> bool:
    """Whether less is better of a score that a validation has: of errors."""
    return score in (MAP_ERROR, "mae", "mse", "lpips")


def open_sources(
    recipe: Recipe,
    store: Path,
    photos: Sequence[str | Path] = (),
    data: Data | None = None,
    validation: Sequence[Data] = (),
    names: Sequence[str] = ("left", "right", "sharp"),
    depths: str | Path | None = None,
    tell: Tell | None = None,
    decoded_gb: float = MOST_GB,
) -> tuple[CropSource, Validator]:
    """Return where crops come from, and the validator on held-out pictures.

    Args:
        recipe: Says which of `photos` and `data` are needed.
        store: The folder that keeps decoded photographs and pairs, and rendered scenes.
        photos: See `train`.
        data: See `train`.
        validation: See `train`.
        names: Of the pictures and maps that crops have to hold.
        depths: See `train`.
        tell: Is given a sentence on photographs that are left out, and on pairs that there is no room to keep decoded.
        decoded_gb: See `train`.

    Raises:
        DataError: `photos` and `data` are not what the recipe needs, more than one `validation` is given with `data`,
            or one of them cannot be opened.
    """
    if recipe.simulated and (data is None or not photos):
        raise DataError(
            f"This recipe adds simulated pairs to real ones (simulated={recipe.simulated:g}); give both a data set of"
            " pairs and folders of photographs."
        )
    if not recipe.simulated and (data is None) == (not photos):
        raise DataError(
            "Training needs either folders of photographs to simulate pairs from, or a data set of pairs; give one of"
            " the two, or a recipe whose field `simulated` mixes them."
        )
    if data is None:
        folders = [place for place in validation if isinstance(place, str | Path)]
        if len(folders) != len(validation):
            raise DataError("A training on photographs is validated on others; name their folders, not a data set.")
        return _simulate(recipe, store, photos, folders, names, depths, tell)
    if len(validation) > 1:
        raise DataError(f"A data set of pairs is validated on one other; {len(validation)} were given.")
    pictures = DecodedPictures(store / PAIRS, decoded_gb, tell)
    real, validator = _read(recipe, data, validation[0] if validation else None, pictures, names)
    if not recipe.simulated:
        return real, validator
    return Mixed(_pool(recipe, store, _shared(photos, store, depths, tell), names), real, recipe.simulated), validator


def _simulate(
    recipe: Recipe,
    store: Path,
    photos: Sequence[str | Path],
    validation: Sequence[str | Path],
    names: Sequence[str],
    depths: str | Path | None,
    tell: Tell | None,
) -> tuple[CropSource, Validator]:
    sharp = _shared(photos, store, depths, tell)
    count = _tenth(len(sharp))
    held_out = share_photos(validation, store / PHOTOS, depths=depths, tell=tell) if validation else sharp[-count:]
    learnt = sharp if validation or len(sharp) == 1 else sharp[:-count]
    held_out_scenes = _Kept(scenes_of(recipe, held_out, VALIDATION_PICTURES, VALIDATION_SEED))
    return _pool(recipe, store, learnt, names), _validator(recipe, held_out_scenes)


def _shared(photos: Sequence[str | Path], store: Path, depths: str | Path | None, tell: Tell | None) -> Photos:
    """The photographs to learn from. Raises `DataError` where `depths` has a map of none of them."""
    sharp = share_photos(photos, store / PHOTOS, depths=depths, tell=tell)
    if depths is not None and not with_depth(sharp):
        raise DataError(
            f"{depths} holds no map of depth for any of the photographs; they are looked for as"
            f" {Path(depths) / Path(os.path.realpath(photos[0])).name / 'NAME.png'} and so on."
        )
    return sharp


def _pool(recipe: Recipe, store: Path, photos: Photos, names: Sequence[str]) -> Moving:
    scenes, more = scenes_of(recipe, photos, 10**9, recipe.seed), tuple(name for name in MORE if name in names)
    return Moving(Rendered(scenes, store / store_name(scenes, more), more), recipe)


def scenes_of(recipe: Recipe, photos: Sequence[Tensor], count: int, seed: int) -> Simulated:
    """`count` scenes as a recipe wants them, from decoded photographs."""
    return Simulated(
        photos,
        size=recipe.scene,
        count=count,
        seed=seed,
        sharp_aperture=recipe.sharp_aperture,
        depth=8,
        compressed=recipe.compressed,
        layout=_record(Layout, "layout", {"far_px": recipe.far_px, "shade": recipe.shade, **recipe.layout}),
        codecs=recipe.codecs,
        light=_record(Light, "light", recipe.light),
    )


def _record(kind: type[Record], field: str, settings: dict[str, Any]) -> Record:
    """The record that a recipe's `field` describes. Raises `RecipeError` for what is no field of it, or no number."""
    known = [one.name for one in fields(cast(Any, kind))]
    numbers: dict[str, Any] = {
        name: tuple(value) if isinstance(value, (list, tuple)) else value for name, value in settings.items()
    }
    wrong = [name for name in settings if name not in known]
    wrong += [name for name, value in numbers.items() if name in known and not _like(value, getattr(kind, name, None))]
    if wrong:
        raise RecipeError(
            f"{field}={settings} is not accepted because of {', '.join(wrong)}; give numbers, and ranges of two"
            f" numbers, for any of: {', '.join(known)}."
        )
    return kind(**numbers)


def _like(value: Any, default: Any) -> bool:
    """Whether a setting is a number where the default is one, or so many numbers."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and len(value) == len(default) and all(map(_like, value, default))
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read(
    recipe: Recipe, data: Data, validation: Data | None, pictures: DecodedPictures, names: Sequence[str]
) -> tuple[Fixed, Validator]:
    pairs = _open(data, "train")
    held_out = _validation_split(data, pairs) if validation is None else _open(validation, "val")
    truth = "blur_px" if recipe.network in DEFOCUS_ESTIMATORS else "sharp"
    tried = _decoded(held_out or pairs, pictures, (*names, truth))
    learnt = _decoded(pairs, pictures, names)
    if held_out is None:
        count = _tenth(len(pairs))
        tried = Subset(tried, range(len(pairs) - count, len(pairs)))
        learnt = Subset(learnt, range(max(1, len(pairs) - count)))
    shown = min(VALIDATION_PICTURES, len(tried))
    shown_pairs = Subset(tried, [number * len(tried) // shown for number in range(shown)])
    return Fixed(learnt), _validator(recipe, shown_pairs)


def _decoded(samples: Samples, pictures: DecodedPictures, names: Sequence[str]) -> Samples:
    """A data set of files with its pictures kept decoded; another as it is."""
    return Decoded(samples, pictures, names) if isinstance(samples, FromFiles) else samples


def _open(data: Data, prefer: str) -> Samples:
    """Raises `DataError` for an empty data set, and what opening one raises."""
    pairs = open_dataset(data, prefer=prefer) if isinstance(data, str | Path) else require_samples(data)
    if not len(pairs):
        raise DataError("The data set holds no pairs; give one that does.")
    return pairs


def _validation_split(data: Data, pairs: Samples) -> Samples | None:
    """That of DPDD; None if there is none, as in a folder of one split, which answers to the names of all."""
    if not isinstance(data, str | Path) or not isinstance(pairs, Dpdd) or "val" not in pairs.splits(Path(data)):
        return None
    own = Dpdd(data, "val")
    return own if own.scenes != pairs.scenes else None


def _tenth(count: int) -> int:
    return max(1, count // 10)


def _validator(recipe: Recipe, samples: Samples) -> Validator:
    return DatasetValidator(samples, recipe.network in DEFOCUS_ESTIMATORS)


@dataclass(frozen=True)
class DatasetValidator:
    """A `Validator` on these samples; maps: of a network that maps the blur."""

    samples: Samples
    maps: bool

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """See `Validator`; raises `DataError` if no picture can be scored."""
        if self.maps:
            return {MAP_ERROR: _map_error(network, self.samples)}
        scores = score(network, self.samples, PROTOCOL, device=_compared_on(network))
        if not scores.pictures:
            raise DataError(f"No picture could be validated on: {next(iter(scores.failures.values()))}")
        return scores.mean()


def _compared_on(network: nn.Module) -> torch.device:
    """The GPU that a network lies on; the CPU for all others, which may have no float64."""
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    return device if device.type == "cuda" else torch.device("cpu")


def _map_error(network: nn.Module, samples: Samples) -> float:
    runner = Runner(cast(Network, network), "fp32", "auto")
    errors = []
    for sample in (samples[number] for number in range(len(samples))):
        if "blur_px" not in sample:
            raise DataError(
                f"The pair {sample['name']!r} has no blur_px, so a map of the blur cannot be validated on it; train"
                " such a network on photographs, or on pairs that `dualpix simulate` made."
            )
        size_px = runner([sample[view] for view in runner.spec.views])
        errors.append(float((size_px - sample["blur_px"].abs()).abs().mean()))
    return sum(errors) / len(errors)


class _Kept:
    """Simulated samples, rendered when first asked for and then kept in memory."""

    def __init__(self, scenes: Simulated) -> None:
        self.scenes = scenes
        self.files = getattr(scenes.photos, "files", None)
        self.found = "simulated scenes"
        self.kept: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Sample:
        if index not in self.kept:
            self.kept[index] = self.scenes[index]
        return self.kept[index]


class Subset:
    """Some of the samples of a data set, by their numbers."""

    def __init__(self, samples: Samples, numbers: Sequence[int]) -> None:
        self.samples, self.numbers = samples, numbers
        self.found = f"{len(numbers)} of {found(samples)}"

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[self.numbers[index]]

    def stored(self, index: int) -> Sample:
        """See `datasets.decoded.stored`."""
        return stored(self.samples, self.numbers[index])
