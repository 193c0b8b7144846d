"""The views mixed into a result where it has what cannot come from them: colours, brightness, patterns.

Deblurring moves light by some pixels. So after a low-pass a result is as bright and as coloured as its views, but for
what their own contrast near by explains; and where they are flat it has no detail either. A network that is damaged, or
is given what it never saw, keeps to neither: it tints skies, and lays mosaics over walls. Where a result goes beyond
what sharp photographs of the same scenes differ from their views by (`results/guard.md`), the views take its place,
smoothly. Everywhere else it stays as it is, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dualpix.errors import PairError, option, told
from dualpix.inference.comparison import BLOCK_PX, Comparison, block_means, compare, mean_of, near_means, strips
from dualpix.inference.scales import enlarge

NEAR, REACH, WIDE = 3, 5, 15
"""Blocks a side: of the low-pass, of the surroundings whose contrast explains a difference, and of a wide low-pass, in
which what deblurring moves to and fro is gone."""


class Allowed(NamedTuple):
    """How large a difference may be.

    Attributes:
        flat: Without any contrast near by.
        contrast: More for each unit of the standard deviation of all levels near by.
        colours: More for each unit of that of colours alone.
    """

    flat: float
    contrast: float
    colours: float = 0.0

    def share(self, difference: Tensor, contrast: Tensor, colours: Tensor) -> Tensor:
        """How much of what is allowed `difference` takes, as a factor."""
        return difference / (self.flat + self.contrast * contrast + self.colours * colours)


LEVEL = 1 / 255
BRIGHTNESS = Allowed(10 * LEVEL, 2.0)  # of means over NEAR blocks
COLOUR = Allowed(5 * LEVEL, 0.08, 1.2)
WIDE_BRIGHTNESS = Allowed(7 * LEVEL, 0.7)  # of means over WIDE blocks
WIDE_COLOUR = Allowed(3 * LEVEL, 0.03, 0.4)
PATTERN = Allowed(6 * LEVEL, 6.0)  # root mean square over NEAR blocks
COLOURED_PATTERN = Allowed(4 * LEVEL, 0.2, 3.0)

FULLY = 1.3  # times what is allowed: from here on nothing of the result is left
MUCH = 0.25  # of the picture: then it is no accident, and the weights are of no use for it


@dataclass(frozen=True)
class Watched:
    """What was found in a result, and done about it.

    Attributes:
        comparison: The result as it is now, beside the views.
        mixed_in: Share of the picture's area in which the views were mixed in, 0 to 1.
        notes: One sentence each on what was done.
    """

    comparison: Comparison
    mixed_in: float = 0.0
    notes: tuple[str, ...] = ()


def watch(picture: Tensor, views: Sequence[Tensor], name: str, reduction: int = 1, is_guarded: bool = True) -> Watched:
    """Clip `picture` to [0, 1], and mix the mean of `views` into it where that is not of them; in place.

    Args:
        picture: The result, 3 H W.
        views: What it was made of, one or more, 3 H W each.
        name: Of the pair, for the error.
        reduction: At which the widest blur was undone: the first of `Plan.scales`.
        is_guarded: If not, nothing is mixed in.

    Raises:
        PairError: Nothing in the picture is a number; if it is not guarded, something.
    """
    lost = _heal(picture, views, BLOCK_PX * reduction)
    if bool((lost == 1).all() if is_guarded else lost.any()):
        raise _without_numbers(name)
    found = compare(picture.clamp_(0, 1), views, BLOCK_PX * reduction)
    if not is_guarded:
        return Watched(found)
    strange = share_of_views(found)
    share = torch.maximum(strange, _spread((lost > 0).float()))
    if bool(share.any()):
        _mix(picture, views, share, found.block_px)
        found = replace(found, shift=found.shift * (1 - share), change=found.change * (1 - share).square())
    return Watched(found, float((share > 0).float().mean()), (*_told_lost(lost), *_told_strange(strange)))


def _without_numbers(name: str) -> PairError:
    """What is raised for a result of which nothing can be used."""
    return PairError(f"The network gives NaN or infinity for {name}; try other weights.")


def excess(found: Comparison) -> Tensor:
    """The largest share that a difference takes of what is allowed, 1 h w: above 1 it cannot come from the views."""
    grey_shift, grey_level = found.shift.mean(0, keepdim=True), found.level.mean(0, keepdim=True)
    colour_shift = found.shift - grey_shift
    contrast = _contrast(found.level, found.texture[:1])
    colours = _contrast(found.level - grey_level, found.texture[:1] - found.texture[1:])
    wide = near_means(contrast, WIDE), near_means(colours, WIDE)
    change = near_means(found.change[:1], NEAR)
    colour_change = near_means(found.change[:1] - found.change[1:], NEAR).clamp(min=0)
    shares = (
        BRIGHTNESS.share(near_means(grey_shift, NEAR).abs(), contrast, colours),
        COLOUR.share(near_means(colour_shift, NEAR).abs(), contrast, colours),
        WIDE_BRIGHTNESS.share(near_means(grey_shift, WIDE).abs(), *wide),
        WIDE_COLOUR.share(near_means(colour_shift, WIDE).abs(), *wide),
        PATTERN.share(change.sqrt(), contrast, colours),
        COLOURED_PATTERN.share(colour_change.sqrt(), contrast, colours),
    )
    return torch.cat(shares).amax(0, keepdim=True)


def share_of_views(found: Comparison) -> Tensor:
    """How far the views are to be mixed in, 0 to 1, 1 h w."""
    beyond = ((excess(found) - 1) / (FULLY - 1)).clamp(0, 1)
    return _spread(beyond.square() * (3 - 2 * beyond))


def _contrast(level: Tensor, texture: Tensor) -> Tensor:
    """The largest standard deviation near by, 1 h w.

    `level`: means of the blocks, C h w; `texture`: their variances, 1 h w.
    """
    between = (near_means(level.square(), NEAR) - near_means(level, NEAR).square()).mean(0, keepdim=True)
    variance = (near_means(texture, NEAR) + between).clamp(min=0)
    return F.max_pool2d(variance[None], REACH, 1, REACH // 2)[0].sqrt()


def _spread(share: Tensor) -> Tensor:
    """The same or more, falling off over two blocks around."""
    return near_means(F.max_pool2d(share[None], NEAR, 1, NEAR // 2)[0], NEAR)


def _heal(picture: Tensor, views: Sequence[Tensor], block_px: int) -> Tensor:
    """Put the mean of `views` where `picture` is no number; returns the share of each block where that was, 1 h w."""
    lost = []
    for rows in strips(picture.shape[1], block_px):
        strip = picture[:, rows]
        finite = torch.isfinite(strip).all(0, keepdim=True)
        if not finite.all():
            strip.copy_(torch.where(finite, strip, mean_of(views, rows)))
        lost.append(block_means(1 - finite.float(), block_px))
    return torch.cat(lost, dim=1)


def _mix(picture: Tensor, views: Sequence[Tensor], share: Tensor, block_px: int) -> None:
    height, width = picture.shape[1:]
    for rows in strips(height, block_px):
        near = slice(max(rows.start // block_px - 1, 0), rows.stop // block_px + 2)
        if share[:, near].any():
            weight = enlarge(share, block_px, rows.start, rows.stop, width, "bilinear")
            torch.lerp(picture[:, rows], mean_of(views, rows), weight, out=picture[:, rows])


def _told_lost(lost: Tensor) -> tuple[str, ...]:
    share = float(lost.mean())
    if not share:
        return ()
    return (f"The network gave NaN or infinity in {percent(share)} of the picture, where the views stand now.",)


def _told_strange(share: Tensor) -> tuple[str, ...]:
    mixed_in = float((share > 0).float().mean())
    if not mixed_in:
        return ()
    advice = "; try other weights" if mixed_in > MUCH else ""
    return (
        told(
            f"In {percent(mixed_in)} of the picture the network's result had colours, brightness or patterns that"
            f" cannot come from the views, so these were mixed in there ({option('no-guard', python='guard=False')}"
            f" leaves it as it is){advice}."
        ),
    )


def percent(share: float) -> str:
    """A share as people read it: "3 %", "0.4 %", "less than 0.1 %"."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.1 and round(1000 * share) % 10 else f"{100 * share:.0f} %"
