"""The disparity that a network's cross-correlation finds: where along the row the pixels of the two views match.

The attention of a single pixel is too vague (`results/disparity.md`), so that of many is combined. The attention from
pixel i of the left view to pixel j of the right one, and from j to i, is moved to the middle between them, which is the
frame of the sharp picture. Its logarithms are averaged over a window, as evidence that adds up, and the mean of all
offsets weighted by the result is the disparity. It is enlarged to full size by weights that stop at the picture's
edges.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dualpix.errors import CheckpointError
from dualpix.io.writing import LUMINANCE
from dualpix.networks import CORRELATING, Network
from dualpix.networks.spec import NetworkSpec, spec_of
from dualpix.weights.exported import exported_of

REACH_PX = 32
WINDOW = 11  # side of the window in columns of features, of 2 pixels each
SHARPNESS = 4.0  # pixels in one window that count as one; neighbours are not independent
LEAST_LOG = -6.0  # so that one pixel that is sure of another offset does not overrule its neighbours
UNSURE_PX = 4.0  # spread of possible offsets, or difference between those of the two views, that halves the confidence
TEXTURE = 0.004  # mean difference of luminance between neighbours along the row that halves it too

SPREAD = 2  # columns of features on either side that share their disparity with a pixel
SPREAD_STEP = 2
EDGE = 0.06  # difference of luminance at which sharing ends


def gives_disparity(network: Network) -> bool:
    """Whether a disparity can be found by this network."""
    return exported_of(network) is None and spec_of(cast(nn.Module, network)).attention_radius_px is not None


class Finder(nn.Module):
    """The part of a network that finds disparity: left and right view, B 3 H W -> disparity and confidence, B 2 H W.

    Disparity is in pixels, confidence 0 to 1. It runs on the same devices as the network.

    Raises:
        CheckpointError: The network has no cross-correlation.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = cast(nn.Module, network)
        spec = spec_of(self.network)
        if spec.attention_radius_px is None:
            raise CheckpointError(
                f"{type(network).__name__} as built here has no cross-correlation to take a disparity from; give the"
                f" weights of one that has: {', '.join(CORRELATING)}."
            )
        radius_px = spec.attention_radius_px + 2 * (WINDOW // 2 + SPREAD * SPREAD_STEP + 2)
        views = ("left", "right")
        self.spec = NetworkSpec(views, spec.size_multiple, radius_px, takes_width=True)

    def forward(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        """Return disparity and confidence; `width` is the number of valid columns, if the rest is padding."""
        attention = self.network.log_attention(left, right, REACH_PX, width)  # type: ignore[operator]
        forth, back = attention.chunk(2)
        return disparity_of(forth, back, left, right, left.shape[-1] // attention.shape[-1])


def disparity_of(forth: Tensor, back: Tensor, left: Tensor, right: Tensor, step_px: int) -> Tensor:
    """Return disparity in pixels and confidence, B 2 H W.

    Args:
        forth: Logarithms of the attention from left to right, B K H/step_px W/step_px.
        back: The same from right to left.
        left: The left view, B 3 H W.
        right: The right view.
        step_px: Pixels from one column of the attention to the next.
    """
    found, confidence = estimate_disparity(*symmetrise_attention(forth, back), step_px)  # B 1 H/2 W/2 each
    guide = torch.einsum("c,bchw->bhw", torch.tensor(LUMINANCE).to(left), (left + right) / 2)[:, None]
    return spread_out(found, confidence * _texture(guide, step_px), guide)


def finder_for(network: Network) -> Finder:
    """The cross-correlation of this network. Raises `CheckpointError` for one that has none, or none in reach."""
    exported = exported_of(network)
    if exported is not None:
        raise CheckpointError(
            f"{exported.path} is for the engine {exported.engine}, which gives no disparity; give the .safetensors file"
            " it came from."
        )
    return Finder(network)


def symmetrise_attention(forth: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
    """Move attention to the middle between the two pixels, and order it by the offset from left to right.

    Args:
        forth: Logarithms of the attention from left to right, B K H W, for K offsets in columns, -reach to reach.
        back: The same from right to left.

    Returns:
        Both, B K H W each. What belongs between two columns goes to both, half each.
    """
    reach = forth.shape[1] // 2
    columns = forth.shape[-1]
    # Minus infinity where there are no columns.
    wide_forth, wide_back = (F.pad(one, (reach, reach), value=-torch.inf) for one in (forth, back.flip(1)))

    def ahead(wide: Tensor, place: int, steps: int) -> Tensor:
        """The values `steps` columns further right."""
        return wide[:, place, :, reach + steps : reach + steps + columns]

    moved_forth, moved_back = [], []
    for place, offset in enumerate(range(-reach, reach + 1)):
        # An odd offset has its middle between two columns, whose pairs of pixels lie one column apart.
        near, far = offset // 2, -(-offset // 2)
        moved_forth.append((ahead(wide_forth, place, -near) + ahead(wide_forth, place, -far)) / 2)
        moved_back.append((ahead(wide_back, place, near) + ahead(wide_back, place, far)) / 2)
    return torch.stack(moved_forth, 1), torch.stack(moved_back, 1)


def estimate_disparity(forth: Tensor, back: Tensor, step_px: int) -> tuple[Tensor, Tensor]:
    """Return disparity in pixels and confidence, B 1 H W each.

    Args:
        forth: Symmetrised attention from left to right, B K H W, see `symmetrise_attention`.
        back: The same from right to left.
        step_px: Pixels from one column of the attention to the next.
    """
    evidence = [_gather(attention) for attention in (forth, back)]
    found, width = _place((evidence[0] + evidence[1]) / 2)
    apart = _place(evidence[0])[0] - _place(evidence[1])[0]
    inside = (forth.exp() + back.exp()).sum(
        1, keepdim=True
    ) / 2  # the rest is attention further away than any disparity
    inside = F.avg_pool2d(inside, WINDOW, 1, WINDOW // 2, count_include_pad=False).clamp_max(1)
    doubts = [1 + (step_px * misfit / UNSURE_PX) ** 2 for misfit in (width, apart)]
    return step_px * found, inside / doubts[0] / doubts[1]


def _place(evidence: Tensor) -> tuple[Tensor, Tensor]:
    """The offset that the evidence, B K H W, speaks for, and the spread of those still possible, B 1 H W in columns.

    The weighted mean of all offsets, in which the peak takes part at the top of the parabola through it: a softmax this
    sharp would pull it to whole columns.
    """
    reach = evidence.shape[1] // 2
    share = (SHARPNESS * evidence).softmax(1)
    offsets = torch.arange(-reach, reach + 1).to(share)[:, None, None]
    mean = (share * offsets).sum(1, keepdim=True)
    spread = (share * (offsets - mean) ** 2).sum(1, keepdim=True).sqrt()
    top = evidence.argmax(1, keepdim=True).clamp(1, 2 * reach - 1)
    around = torch.cat([top - 1, top, top + 1], 1)
    before, at, after = evidence.gather(1, around).chunk(3, 1)
    peak = top - reach + (0.5 * (after - before) / (2 * at - before - after).clamp_min(1e-6)).clamp(-0.5, 0.5)
    return mean.lerp(peak, share.gather(1, around).sum(1, keepdim=True)), spread


def _gather(attention: Tensor) -> Tensor:
    """The mean over the window, of those values of the attention that are finite."""
    known = attention.isfinite()
    amounts = torch.where(known, attention.clamp_min(LEAST_LOG), 0.0)
    total, count = (F.avg_pool2d(x, WINDOW, 1, WINDOW // 2) for x in (amounts, known.to(attention)))
    return torch.where(count > 0, total / count.clamp_min(1e-6), LEAST_LOG)


def _texture(guide: Tensor, step_px: int) -> Tensor:
    """Whether there is texture to match along the row: 0 to 1, B 1 H W -> B 1 H/2 W/2."""
    change = guide.diff(dim=-1).abs()
    change = (F.pad(change, (1, 0)) + F.pad(change, (0, 1))) / 2
    mean = F.avg_pool2d(F.avg_pool2d(change, step_px), WINDOW, 1, WINDOW // 2, count_include_pad=False)
    return mean**2 / (mean**2 + TEXTURE**2)


def spread_out(found: Tensor, confidence: Tensor, guide: Tensor) -> Tensor:
    """Enlarge disparity and confidence to the size of a guide picture.

    Each pixel takes the mean of its neighbourhood, in which those weigh more that are near, have a similar luminance
    and, for the disparity, are confident: joint bilateral up-sampling (Kopf et al., SIGGRAPH 2007).

    Args:
        found: Disparity, B 1 h w.
        confidence: B 1 h w.
        guide: Luminance, B 1 H W.

    Returns:
        Disparity and confidence, B 2 H W.
    """
    small = F.avg_pool2d(guide, guide.shape[-1] // found.shape[-1])
    known = torch.cat([small, confidence, (confidence + 1e-3) * found, confidence + 1e-3], 1)  # B 4 h w
    reach = SPREAD * SPREAD_STEP
    wide = F.pad(known, (reach,) * 4, mode="replicate")
    height, width = found.shape[-2:]
    total = torch.zeros_like(guide)
    sums = torch.zeros_like(guide).repeat(1, 3, 1, 1)
    for down in range(-reach, reach + 1, SPREAD_STEP):
        for across in range(-reach, reach + 1, SPREAD_STEP):
            moved = wide[..., reach + down : reach + down + height, reach + across : reach + across + width]
            here = F.interpolate(moved, guide.shape[-2:], mode="bilinear", align_corners=False)
            nearness = -(down**2 + across**2) / reach**2
            weight = torch.exp(nearness - ((guide - here[:, :1]) / EDGE) ** 2) + 1e-6
            total, sums = total + weight, sums + weight * here[:, 1:]
    return torch.cat([sums[:, 1:2] / sums[:, 2:], sums[:, :1] / total], 1)
