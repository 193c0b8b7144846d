"""The line that a run ends with, for a result that is there already."""

import torch

from dualpix.errors import PairError
from dualpix.inference import scales
from dualpix.inference.comparison import BLOCK_PX, compare
from dualpix.inference.deblur import WeightsLike, as_sample, open_network, recipe_of
from dualpix.inference.finder import gives_disparity
from dualpix.inference.options import DeblurOptions
from dualpix.inference.summary import RunReport, summarise
from dualpix.io import PictureLike, as_picture
from dualpix.machine.modes import settled
from dualpix.pairs import inspection_of, lay_along_rows, require_pair
from dualpix.pairs.brightness import match_brightness
from dualpix.pairs.matching import noise_of


@settled()
def report(
    left: PictureLike,
    right: PictureLike,
    sharp: PictureLike,
    weights: WeightsLike = None,
    *,
    scale: str = "auto",
    turn: str = "auto",
) -> RunReport:
    """Say how much of a pair a result changed, and whether its blur is one that the weights know.

    Args:
        left: The left view, as `deblur` takes it.
        right: The right view.
        sharp: What `deblur` made of them.
        weights: Those it was made with.
        scale: As it was asked for.
        turn: As it was asked for.

    Returns:
        The record; `str()` of it is the line that `dualpix deblur` ends with.

    Raises:
        PairError: The result is of another size than the views.
        DualpixError: What `deblur` raises for these arguments.
    """
    options = DeblurOptions(scale=scale, turn=turn)
    sample = as_sample(left, right)
    require_pair(sample["left"], sample["right"])
    made = as_picture(sharp, "result").pixels.cpu().to(torch.float32).contiguous()
    if made.shape != sample["left"].shape:
        sizes = [" x ".join(map(str, reversed(thing.shape[1:]))) for thing in (made, sample["left"])]
        raise PairError(
            f"The result is {sizes[0]}, but the views are {sizes[1]} (width x height); give those it is of."
        )
    sample = lay_along_rows({**sample, "sharp": made}, options.turn)
    views = match_brightness(sample["left"], sample["right"])[:2]
    network, matches = open_network(weights), inspection_of(sample).matches
    steps, _ = scales.choose_for(network, matches, (views[0].shape[1], views[0].shape[2]), options.scale)
    return summarise(
        compare(sample["sharp"], views, BLOCK_PX * steps[0]),
        noise_of(views[0]),
        matches,
        recipe_of(weights),
        steps,
        scale=options.scale,
        tells_disparity=gives_disparity(network),
    )
