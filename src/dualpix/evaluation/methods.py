"""The methods that are more than one network, by name: the classic two-stage ones, and two that nobody publishes.

To add one: one line in `METHODS`. A method takes a sample and gives the sharp picture, as `evaluate` wants it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualpix.classical import MAPS, require
from dualpix.classical.deconvolution import Mode, deblur_by_map
from dualpix.classical.joint import blur_from_disparity, deblur_views, match_disparity
from dualpix.datasets import Sample
from dualpix.errors import CheckpointError, DataError
from dualpix.networks.spec import spec_of
from dualpix.simulation.kernels import Lens, kernels
from dualpix.simulation.sensor import Tone
from dualpix.weights import checkpoint

TYPICAL_LENS = Lens(rho=0.38, softness_px=0.4, softness_rel=0.06)
"""The middle of what was measured on a Canon 5D Mark IV at f/4; a picture does not say which lens took it."""


@dataclass(frozen=True)
class ClassicMethod:
    """One method: `method(sample)` -> the sharp picture 3 H W in [0, 1].

    about: what it does, in one line.
    views: what it takes from the sample.
    run: the method itself.
    weights: the name in `weights.checkpoint.WEIGHTS` of the network in it, if it has one.
    needs: the entry of `classical.MAPS` in it, whose packages are optional, if it has one.
    """

    about: str
    views: tuple[str, ...]
    run: Callable[[Sample], Tensor]
    weights: str | None = None
    needs: str | None = None

    def require(self) -> None:
        """Raises `MachineError` if an optional package that it needs cannot be imported."""
        if self.needs is not None:
            require(self.needs)

    @property
    def unavailable_reason(self) -> str:
        """Why it cannot run, "" if it can."""
        return "no weights" if self.weights is not None and self.weights not in checkpoint.WEIGHTS else ""

    def __call__(self, sample: Sample) -> Tensor:
        """Raises `DataError` for a sample without one of `views`, and `CheckpointError` where there are no weights."""
        if self.unavailable_reason:
            raise CheckpointError(
                f"There are no weights for {self.weights!r} yet; train some, and give them to `by_defocus_estimator`."
            )
        missing = [view for view in self.views if view not in sample]
        if missing:
            have = ", ".join(key for key, value in sample.items() if isinstance(value, Tensor))
            raise DataError(
                f"This method needs {' and '.join(missing)} of {sample.get('name', 'the sample')!r}, which has only"
                f" {have or 'nothing'}; use data that has it, or another method."
            )
        return self.run(sample)


def by_map(sample: Sample, name: str, mode: Mode = "fast") -> Tensor:
    """Deblur the centre view by the defocus map `classic.MAPS[name]`: "fast", or "faithful" to its authors' numbers."""
    return deblur_by_map(sample["center"], MAPS[name](sample["center"], mode), mode)


def by_defocus_estimator(sample: Sample, network: nn.Module, mode: Mode = "fast") -> Tensor:
    """Deblur the centre view by the map of a network, which takes B 3 H W and gives the radius of a disc, B 1 H W.

    The Gaussian that spreads as much as the disc has half its radius.
    """
    center = sample["center"]
    height, width = center.shape[-2:]
    multiple = spec_of(network).size_multiple
    with torch.inference_mode():
        padded = F.pad(center[None], (0, -width % multiple, 0, -height % multiple), mode="replicate")
        radius_px = network(padded)[0, 0, :height, :width]
    return deblur_by_map(center, radius_px.clamp_min(0).float() / 2, mode)


def by_true_map(sample: Sample) -> Tensor:
    """Deblur the centre view by the true size of its blur: what a perfect defocus map would bring."""
    return deblur_by_map(sample["center"], sample["blur_px"][0].abs() / 2)


def by_both_views(sample: Sample, lens: Lens = TYPICAL_LENS) -> Tensor:
    """Estimate the disparity of the views, turn it into blur by `lens`, and deconvolve both together."""
    disparity_px, _ = match_disparity(sample["left"], sample["right"])
    return _jointly(sample, blur_from_disparity(disparity_px, partial(kernels, lens)), lens)


def by_both_views_and_true_map(sample: Sample, lens: Lens = TYPICAL_LENS) -> Tensor:
    """Deconvolve both views together by the true signed blur, taking `lens` for the one that made them."""
    return _jointly(sample, sample["blur_px"][0], lens)


def _jointly(sample: Sample, blur_px: Tensor, lens: Lens) -> Tensor:
    tone = Tone()
    left, right = tone.decode(sample["left"]), tone.decode(sample["right"])
    return tone.encode(deblur_views(left, right, blur_px, partial(kernels, lens)))


def _by_dmenet(sample: Sample) -> Tensor:
    return by_defocus_estimator(sample, checkpoint.load("dmenet").network)


METHODS: dict[str, ClassicMethod] = {
    "jnb": ClassicMethod(
        "defocus map by sparse codes of small patches (Shi et al., CVPR 2015), then deconvolution",
        ("center",),
        partial(by_map, name="jnb"),
        needs="jnb",
    ),
    "ebdb": ClassicMethod(
        "defocus map by edges blurred again (Karaali and Jung, TIP 2018), then deconvolution",
        ("center",),
        partial(by_map, name="ebdb"),
        needs="ebdb",
    ),
    "dmenet": ClassicMethod(
        "defocus map by a network (Lee et al., CVPR 2019), then deconvolution",
        ("center",),
        _by_dmenet,
        weights="dmenet",
    ),
    "oracle-map": ClassicMethod(
        "the true size of the blur, then the same deconvolution by Gaussians",
        ("center", "blur_px"),
        by_true_map,
    ),
    "joint": ClassicMethod(
        "disparity of the views, then deconvolution of both together by a typical lens",
        ("left", "right"),
        by_both_views,
    ),
    "oracle-joint": ClassicMethod(
        "the true signed blur, then deconvolution of both views together by a typical lens",
        ("left", "right", "blur_px"),
        by_both_views_and_true_map,
    ),
}
