"""What a run learns from, and what it is tried on: never the same photographs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from dualpix.data import Dpdd, Sample, Samples, open_dataset
from dualpix.data.dpdd import splits
from dualpix.data.photos import Photos, share_photos
from dualpix.data.rendered import Rendered, store_name
from dualpix.data.simulated import Simulated
from dualpix.errors import DataError
from dualpix.evaluating import score
from dualpix.optics.scenes import Layout
from dualpix.recipes import Recipe
from dualpix.training.feed import Fixed, Moving, Source

TRIAL_PICTURES = 24
TRIAL_SEED = 10**6
PROTOCOL = "dpdd-8bit"

Trial = Callable[[nn.Module], dict[str, float]]
"""Scores a network on held-out pictures: the mean `psnr`, and more."""


def open_sources(
    recipe: Recipe,
    store: Path,
    photos: Sequence[str | Path] = (),
    data: str | Path | None = None,
    validation: Sequence[str | Path] = (),
) -> tuple[Source, Trial]:
    """Where crops come from, and the trial on held-out pictures; see `train` for `photos`, `data` and `validation`.

    store: the folder that keeps decoded photographs and rendered scenes. Raises `DataError` for both or neither of
    `photos` and `data`, for more than one `validation` with `data`, and what opening them raises.
    """
    if (data is None) == (not photos):
        raise DataError(
            "Training needs either folders of photographs to simulate pairs from, or a data set of pairs; give one of"
            " the two."
        )
    if data is None:
        return _simulate(recipe, store, photos, validation)
    if len(validation) > 1:
        raise DataError(f"A data set of pairs is validated on one other; {len(validation)} were given.")
    return _read(data, validation[0] if validation else None)


def _simulate(
    recipe: Recipe, store: Path, photos: Sequence[str | Path], validation: Sequence[str | Path]
) -> tuple[Source, Trial]:
    decoded = store / "photos"
    sharp = share_photos(photos, decoded)
    count = _tenth(len(sharp))
    held_out = share_photos(validation, decoded) if validation else sharp[-count:]
    learnt = sharp if validation or len(sharp) == 1 else sharp[:-count]

    def scenes(of: Photos, count: int, seed: int) -> Simulated:
        return Simulated(
            of,
            size=recipe.scene,
            count=count,
            seed=seed,
            sharp_aperture=recipe.sharp_aperture,
            depth=8,
            compressed=recipe.compressed,
            layout=Layout(far_px=recipe.far_px),
        )

    pool = scenes(learnt, 10**9, recipe.seed)
    trial = _Kept(scenes(held_out, TRIAL_PICTURES, TRIAL_SEED))
    return Moving(Rendered(pool, store / store_name(pool)), recipe), _trial(trial)


def _read(data: str | Path, validation: str | Path | None) -> tuple[Source, Trial]:
    pairs = open_dataset(data, prefer="train")
    held_out = _validation_split(data, pairs) if validation is None else open_dataset(validation, prefer="val")
    if held_out is None:
        count = _tenth(len(pairs))
        held_out = _Part(pairs, range(len(pairs) - count, len(pairs)))
        pairs = _Part(pairs, range(max(1, len(pairs) - count)))
    shown = min(TRIAL_PICTURES, len(held_out))
    return Fixed(pairs), _trial(_Part(held_out, [number * len(held_out) // shown for number in range(shown)]))


def _validation_split(data: str | Path, pairs: Samples) -> Samples | None:
    """That of DPDD; None if there is none, as in a folder of one split, which answers to the names of all."""
    if not isinstance(pairs, Dpdd) or "val" not in splits(Path(data)):
        return None
    own = Dpdd(data, "val")
    return own if own.scenes != pairs.scenes else None


def _tenth(count: int) -> int:
    return max(1, count // 10)


def _trial(samples: Samples) -> Trial:
    def trial(network: nn.Module) -> dict[str, float]:
        scores = score(network, samples, PROTOCOL)
        if not scores.pictures:
            raise DataError(f"No picture could be validated on: {next(iter(scores.failures.values()))}")
        return scores.mean()

    return trial


class _Kept:
    """Simulated samples, rendered when first asked for and then kept in memory."""

    def __init__(self, scenes: Simulated) -> None:
        self.scenes = scenes
        self.found = "simulated scenes"
        self.kept: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Sample:
        if index not in self.kept:
            self.kept[index] = self.scenes[index]
        return self.kept[index]


class _Part:
    """Some of the samples of a data set, by their numbers."""

    def __init__(self, samples: Samples, numbers: Sequence[int]) -> None:
        self.samples, self.numbers = samples, numbers
        self.found = f"{len(numbers)} of {samples.found}"

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[self.numbers[index]]
