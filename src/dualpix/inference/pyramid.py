"""A picture deblurred at several scales, from the coarsest to full size: see `inference.scales` for why."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from dualpix.inference.disparity import disparity
from dualpix.inference.scales import join, reduce, share_of_finer
from dualpix.networks import Network
from dualpix.pairs.sample import Sample, mean_view


def joined(
    picture: Tensor,
    sample: Sample,
    network: Network,
    run: Callable[..., tuple[Tensor, Any, Any]],
    steps: Sequence[int],
) -> Tensor:
    """`picture`, 3 H W, which `network` made of `sample` at full size, joined in place with what it makes at `steps`.

    `run`: what makes a picture, a plan and notes of a keyword `sample`.
    """
    coarsest = steps[0]
    views: dict[str, Tensor] = {
        name: reduce(sample[name], coarsest) for name in ("left", "right", "center") if name in sample
    }
    found = disparity(views["left"], views["right"], network)  # type: ignore[arg-type]
    before, result, mean = coarsest, _run(run, sample, views), mean_view(views["left"], views["right"])
    for step in steps[1:]:
        correction = result - mean
        views = {name: reduce(sample[name], step) for name in views}
        mean = mean_view(views["left"], views["right"])
        result = picture if step == 1 else _run(run, sample, views)
        share = share_of_finer(found.disparity_px * (coarsest / step), found.confidence)
        join(result, mean, correction, before // step, share, coarsest // step)
        before = step
    return result


def _run(run: Callable[..., tuple[Tensor, Any, Any]], sample: Sample, views: dict[str, Tensor]) -> Tensor:
    return run(sample={**views, "name": sample["name"]}, progress=None)[0]
