"""IFAN: deblurs by filters predicted for every pixel, applied to features at an eighth of the size, one after another.

J. Lee, H. Son, J. Rim, S. Cho, S. Lee, "Iterative Filter Adaptive Network for Single Image Defocus Deblurring",
CVPR 2021.

| paper                              | here                                                     |
|------------------------------------|----------------------------------------------------------|
| feature extractor, filter encoder  | `encoder`, twice                                         |
| disparity map estimator            | `IFAN.estimate`                                          |
| filter predictor                   | `IFAN.embed`, `IFAN.fuse`, `IFAN.predict`, `FilterSteps` |
| iterative adaptive convolution     | `FilterSteps`, `filter_once`                             |
| reconstructor                      | `IFAN.deepen`, `ResidualUp`                              |
| reblurring network (training only) | `Reblurring`                                             |

Defocus filters every pixel by a disc of its own; the filters here undo that: 17 steps of a vertical and a horizontal
filter of 3 taps, a bias and an activation, different for every pixel and channel.

Variants: `IFAN()` takes one picture and is the row of MCCNet's Table 1: 10,476,996 parameters; 738.08 G multiply-adds
at 1120 x 1680. The 725.8 G printed there are 2 x 362.895 G at 720 x 1280, where each bias and each output of an
activation layer counts as much as a multiply-add. `IFAN(dual=True)` reads its filters from the two views (10,477,860;
739.70 G). Counting layers misses the filtering itself, 0.384 G, which `attention_macs` reports.

Training, after the paper: the sum, each with weight 1, of three mean squared errors between what `outputs` gives and
* "sharp": the sharp picture,
* "aligned": `eighth(left)`; it teaches the disparity and needs the views left and right, also of `IFAN()`,
* "reblurred": `eighth(center)`; it asks of the filters that, inverted, they blur, and needs `reblur=True` and the sharp
  picture. `Reblurring` (19,139,685 parameters) serves nothing else: `training_only` names it.

Choices, where paper and published code differ or leave it open
* The published code and weights apply the first 3 taps down the columns and again along the rows, the second 3 never:
  `reuse_taps=True`. The default applies both, as the authors advise those who train anew.
* The last convolution's LeakyReLU, before the input is added, is theirs. So is that the sharp picture is reduced to an
  eighth by taking every eighth pixel, where its target is averaged.
* They read filters of two views from right and left, in this order; inside, so does this.
* Their initialisation (Glorot's, times 1.5 in the predictor) makes filters so small that 17 of them leave nothing of
  the features: the extractor's last level has no gradient at all until the biases have taught the rest. So does ours.
  With `pass_through=True` the prediction is added to filters whose middle taps are 1, which change nothing.

Letters: B batch, C channels, H W the picture's size.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.arguments import Channels, Depth
from dualpix.networks.layers.blocks import convolution
from dualpix.networks.spec import NetworkSpec

SLOPE = 0.1
TAPS = 3


class IFAN(nn.Module):
    """The view center, and if `dual` the views left and right, B 3 H W in [0, 1] -> sharp picture B 3 H W, not clipped.

    dual: predict the filters from left and right, not from center.
    filters: steps of filtering. channels: at full size; twice as many at half size, four times below.
    reuse_taps: as the published weights need it. pass_through: so that a short training uses the filters. See above.
    reblur: with the network that only training needs.
    """

    training_only = ("reblur",)

    def __init__(
        self,
        *,
        dual: bool = False,
        filters: Annotated[Depth, Field(ge=1)] = 17,
        channels: Channels = 32,
        reuse_taps: bool = False,
        pass_through: bool = False,
        reblur: bool = False,
    ) -> None:
        super().__init__()
        self.dual, self.filters = dual, filters
        deep = 4 * channels
        self.extract = encoder(3, channels)
        self.read = encoder(6 if dual else 3, channels)
        self.estimate = nn.Sequential(activated(deep, deep), Residual(deep), Residual(deep), convolution(deep, 1, 3))
        self.embed = activated(1, deep)
        self.fuse = nn.Sequential(activated(2 * deep, deep), Residual(deep), Residual(deep), activated(deep, deep))
        self.predict = nn.Sequential(activated(deep, deep), Residual(deep), Residual(deep))
        self.filter = FilterSteps(deep, filters, reuse_taps, pass_through)
        self.deepen = nn.Sequential(activated(deep, deep), Residual(deep, 3), activated(deep, deep))
        self.up_quarter = ResidualUp(deep, deep)
        self.up_half = ResidualUp(deep, 2 * channels)
        self.up_full = ResidualUp(2 * channels, channels)
        self.head = activated(channels, 3)
        self.reblur = Reblurring(self.filter.out_channels, deep, filters, reuse_taps) if reblur else None
        self.apply(xavier_initialise)
        for part in (self.predict, self.filter):
            part.apply(lambda layer: xavier_initialise(layer, gain=1.5))
        self.spec = NetworkSpec(
            views=("center", "left", "right") if dual else ("center",),
            size_multiple=8,
            receptive_radius_px=self._receptive_radius_px(),
            tells_correction=True,
            residual=True,
            receptive_columns_px=self._receptive_radius_px(),
        )

    def forward(self, center: Tensor, left: Tensor | None = None, right: Tensor | None = None) -> Tensor:
        """The centre view, and both views if dual, B 3 H W each in [0, 1] -> the sharp picture, B 3 H W."""
        return center + self._predict(center, self._foresee(center, left, right)[0])

    def correction(self, center: Tensor, left: Tensor | None = None, right: Tensor | None = None) -> Tensor:
        """What is added to the mean of the views, B 3 H W; apart, so that low precision need not round the picture."""
        painted = self._predict(center, self._foresee(center, left, right)[0])
        if not self.dual or left is None or right is None:
            return painted
        return painted + (center - (center + left + right) / 3)

    def outputs(
        self, center: Tensor, left: Tensor | None = None, right: Tensor | None = None, *, sharp: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the result and what training compares.

        Args:
            center: The centre view, B 3 H W in [0, 1].
            left: The left view, of the same shape; needed for "aligned", even by a network that is not dual.
            right: The right view, likewise.
            sharp: The true sharp picture, of the same shape; needed for "reblurred".

        Returns:
            By name: "sharp", what `forward` gives, B 3 H W; "disparity_px", x_right - x_left in pixels of the picture,
            B 1 H/8 W/8, with which the filters were predicted; "aligned", the right view brought to the left one,
            B 3 H/8 W/8, by the disparity read from both views (dual) or from the right one alone; "reblurred", `sharp`
            blurred again, B 3 H/8 W/8.

        Raises:
            ValueError: `sharp` is given to a network without `reblur`.
        """
        hidden, disparity = self._foresee(center, left, right)
        made = {"sharp": center + self._predict(center, hidden), "disparity_px": 8 * disparity}
        if left is not None and right is not None:
            seen = disparity if self.dual else self.estimate(self.read(right))
            made["aligned"] = align(eighth(right), seen)
        if sharp is not None:
            if self.reblur is None:
                raise ValueError("reblurring the sharp picture needs IFAN(reblur=True)")
            made["reblurred"] = self.reblur(self.filter.all_filters(hidden), sharp)
        return made

    def _foresee(self, center: Tensor, left: Tensor | None, right: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the filters are made from, B C H/8 W/8, and the disparity, B 1 H/8 W/8, in eighths of the picture's."""
        if not self.dual:
            seen = self.read(center)
        elif left is None or right is None:
            raise ValueError("IFAN(dual=True) takes the views center, left and right")
        else:
            seen = self.read(torch.cat([right, left], 1))
        disparity = self.estimate(seen)
        return self.predict(self.fuse(torch.cat([seen, self.embed(disparity)], 1))), disparity

    def _predict(self, center: Tensor, hidden: Tensor) -> Tensor:
        features = [center]
        for level in self.extract:
            features.append(level(features[-1]))
        _, full, half, quarter, eighth_size = features
        deep = self.deepen(self.filter(hidden, eighth_size))  # B C H/8 W/8
        deep = self.up_quarter(deep, quarter)
        deep = self.up_half(deep, half)
        painted: Tensor = self.head(self.up_full(deep, full))
        return painted

    def _receptive_radius_px(self) -> int:
        """Rows of the input above and below an output row that it may depend on: the path through the filters.

        A 3 x 3 convolution at 1/s of the size reaches s rows, one that halves the size those of the larger size, and an
        up-convolution to 1/s 2 s. The first filter is seen as far away as the other steps carry it.
        """
        encoding = (1 + 1 + 1) + (1 + 2 + 2) + (2 + 4 + 4) + (4 + 8 + 8)
        predicting = 8 * ((1 + 8 + 1) + 1 + (1 + 8 + 1) + (1 + 8))
        filtering = 8 * (self.filters - 1)
        deepening = 8 * (1 + 6 + 1)
        raising = (2 + 4) * (4 + 2 + 1)
        return encoding + predicting + filtering + deepening + raising + 1


class FilterSteps(nn.Conv2d):
    """A 1 x 1 convolution that predicts every pixel's filters, and the filtering of other maps with them.

    Its channels are, for each step, `TAPS` taps down for each channel of the maps and as many across, channel by
    channel; then, for each step, a bias for each channel. Each step's filters are predicted when their turn comes: all
    of them at once are 119 times the maps (1.8 GB for 1120 x 1680 pixels).
    """

    def __init__(self, channels: int, steps: int, reuse_taps: bool, pass_through: bool) -> None:
        super().__init__(channels, filter_channels(channels, steps), 1)
        self.channels, self.steps, self.reuse_taps, self.pass_through = channels, steps, reuse_taps, pass_through

    def forward(self, hidden: Tensor, maps: Tensor) -> Tensor:  # type: ignore[override]
        """Hidden features B C H W that say how to filter, and maps B C H W to be filtered -> B C H W."""
        weights, biases = (split_steps(x, self.channels, self.steps) for x in (self.weight, self._biases()))
        for (taps, shift), (taps_bias, shift_bias) in zip(weights, biases, strict=True):
            predicted = F.conv2d(hidden, torch.cat([taps, shift]), torch.cat([taps_bias, shift_bias]))
            filtered = filter_once(maps, predicted[:, : len(taps)], predicted[:, len(taps) :], self.reuse_taps)
            maps = F.leaky_relu(filtered, SLOPE)
        return maps

    def all_filters(self, hidden: Tensor) -> Tensor:
        """B C H W -> what is predicted for all steps, B `out_channels` H W."""
        return F.conv2d(hidden, self.weight, self.bias)

    def attention_macs(self, hidden: Tensor, maps: Tensor) -> int:
        """Multiply-adds of the filtering; predicting the filters is a convolution."""
        return self.steps * 2 * TAPS * maps.numel()

    def _biases(self) -> Tensor:
        assert self.bias is not None
        if not self.pass_through:
            return self.bias
        shifted = self.bias.clone()
        shifted[1 : self.steps * self.channels * 2 * TAPS : TAPS] += 1
        return shifted


class Reblurring(nn.Module):
    """Blurs the sharp picture by filters made from those that deblur; only training looks at it."""

    def __init__(self, channels_in: int, channels: int, steps: int, reuse_taps: bool) -> None:
        super().__init__()
        last = convolution(channels, filter_channels(3, steps), 3)
        self.predict = nn.Sequential(activated(channels_in, channels), Residual(channels), Residual(channels), last)
        self.steps, self.reuse_taps = steps, reuse_taps

    def forward(self, filters: Tensor, sharp: Tensor) -> Tensor:
        """All filters, B C H/8 W/8, and the sharp picture, B 3 H W -> B 3 H/8 W/8."""
        small = sharp[..., ::8, ::8]
        blurred = small
        for number, (taps, shift) in enumerate(split_steps(self.predict(filters), 3, self.steps, 1), 1):
            blurred = filter_once(blurred, taps, shift, self.reuse_taps)
            blurred = F.leaky_relu(blurred, SLOPE) if number < self.steps else blurred
        return blurred + small


class ResidualUp(nn.Module):
    """To twice the size, plus the skip, and two residual units."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.raise_size = nn.Sequential(nn.ConvTranspose2d(channels, channels_out, 4, stride=2, padding=1), leaky())
        self.refine = nn.Sequential(Residual(channels_out, 1), Residual(channels_out, 1))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """B C H W and B C_out 2H 2W -> B C_out 2H 2W."""
        refined: Tensor = self.refine(self.raise_size(deep) + skip)
        return refined


class Residual(nn.Module):
    """Units of two convolutions plus their input, activated; around several of them, their input once more."""

    def __init__(self, channels: int, units: int = 2) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            nn.Sequential(activated(channels, channels), convolution(channels, channels, 3)) for _ in range(units)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        first = maps
        for unit in self.units:
            maps = F.leaky_relu(maps + unit(maps), SLOPE)
        return maps + first if len(self.units) > 1 else maps


def encoder(channels_in: int, channels: int) -> nn.Sequential:
    """B channels_in H W -> level by level, three convolutions each: full, half, quarter and eighth of the size."""
    widths = (channels, 2 * channels, 4 * channels, 4 * channels)
    levels: list[nn.Module] = []
    for before, width in zip((channels_in, *widths), widths, strict=False):
        stride = 2 if levels else 1
        levels.append(nn.Sequential(activated(before, width, stride), activated(width, width), activated(width, width)))
    return nn.Sequential(*levels)


def activated(channels: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution and its activation."""
    return nn.Sequential(nn.Conv2d(channels, channels_out, 3, stride, padding=1), leaky())


def leaky() -> nn.LeakyReLU:
    """The activation of all layers."""
    return nn.LeakyReLU(SLOPE, inplace=True)


def filter_channels(channels: int, steps: int) -> int:
    """Taps down, taps across and a bias, for each step and channel."""
    return steps * channels * (2 * TAPS + 1)


def split_steps(filters: Tensor, channels: int, steps: int, dim: int = 0) -> list[tuple[Tensor, Tensor]]:
    """The taps and the biases of each step, out of all filters along `dim`."""
    taps, shifts = torch.split(filters, [steps * channels * 2 * TAPS, steps * channels], dim)
    return list(zip(taps.chunk(steps, dim), shifts.chunk(steps, dim), strict=True))


def filter_once(maps: Tensor, taps: Tensor, shift: Tensor, reuse_taps: bool = False) -> Tensor:
    """Filter every pixel and channel of maps, B C H W, by its own taps, first down, then across, and add its shift.

    taps: B 2*C*3 H W, those down for each channel, then those across; with `reuse_taps` these are the first again.
    shift: B C H W. Beyond the edge lies what is on it.
    """
    batch, channels, *size = maps.shape
    down, across = taps.reshape(batch, 2, channels, TAPS, *size).unbind(1)  # B C 3 H W
    filtered = _three_taps(F.pad(maps, (0, 0, 1, 1), mode="replicate"), down, -2)
    across = down if reuse_taps else across
    return _three_taps(F.pad(filtered, (1, 1, 0, 0), mode="replicate"), across, -1) + shift


def _three_taps(padded: Tensor, taps: Tensor, dim: int) -> Tensor:
    first, middle, last = (padded.narrow(dim, tap, taps.shape[dim]) * taps[:, :, tap] for tap in range(TAPS))
    return first + middle + last


def eighth(picture: Tensor) -> Tensor:
    """B C H W -> means of squares of 8 x 8 pixels, B C H/8 W/8."""
    return F.avg_pool2d(picture, 8)


def align(picture: Tensor, disparity: Tensor) -> Tensor:
    """What of `picture`, B C H W, lies `disparity` columns, B 1 H W, further right; bilinear, black off its sides."""
    columns = torch.arange(picture.shape[-1], device=picture.device) + disparity.float()  # B 1 H W
    before = columns.floor()
    part = columns - before
    at = before.long()
    return (1 - part) * _fetch(picture, at) + part * _fetch(picture, at + 1)


def _fetch(picture: Tensor, columns: Tensor) -> Tensor:
    last = picture.shape[-1] - 1
    inside = (columns >= 0) & (columns <= last)
    return picture.gather(-1, columns.clamp(0, last).expand_as(picture)) * inside


def xavier_initialise(layer: nn.Module, gain: float = 1.0) -> None:
    """Uniform after Glorot and Bengio (AISTATS 2010), as the published code draws them; biases zero."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_uniform_(layer.weight, gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
