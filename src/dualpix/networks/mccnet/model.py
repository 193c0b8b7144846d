"""MCCNet: deblurs a dual-pixel pair by correlating the two views row by row, at two scales.

K. Swami, "Adjust Your Focus: Defocus Deblurring From Dual-Pixel Images Using Explicit Multi-Scale Cross-Correlation".

| paper        | here                                    |
|--------------|-----------------------------------------|
| 3.1, Fig. 2  | `MCCNet`, `Decoder`                     |
| 3.2, Fig. 4  | `CrossCorrelation` (CC1 and CC2)        |
| 3.3, Fig. 5  | `MultiScaleExtraction`                  |
| 3.4, Fig. 6  | `MultiScaleFusion`                      |
| 6, Table 2   | `fusion`, `correlation`, `extraction`   |

The paper gives no code and leaves widths open. Those below are the one reading of its text found that gives the
parameters and the operations of its Table 1 (5.52 M, 978.79 G): 5,520,879, and 979.65 G multiply-adds of convolutions
at 1120 x 1680; the correlations add 85.35 G.

Choices the paper leaves open
* Query and key come from one shared projection: only then is S transposed "equivalent to obtaining Q from right
  feature maps and K from left feature maps".
* The gathered features are added to the input features. `value_projection` projects them first, and with
  `fusion_channels=(16, 32, 64)` gives the reading nearest to Table 1 in operations (5,522,751; 978.69 G).
* S is divided by sqrt(C) before the softmax (`score_scale`; 1.0 leaves it as it is), or freshly initialised
  features saturate it.
* `max_disparity` limits how far along the row a pixel looks. None is the paper. But the softmax over a photograph's
  row is flatter than over a training crop's, and disparities are small; a window makes the two alike.
* The output is added to (left + right) / 2, so that training starts at the blurry picture; `residual=False` for a
  network that paints the picture itself. With the residual, the last layer starts near zero.
* LeakyReLU has slope 0.2. Maps are up-sampled bilinearly (`upsampling`; "nearest" is quicker to train) and reduced by
  averaging. Convolutions pad with zeros.
* Extraction blocks double their channels inside, as in their source [10]; within the fusion they do not.
* They add their input to what comes out, as that source does. `extraction_residual=False` is the paper's text, whose
  1 x 1 convolution "forms the output".
* Encoder 3 takes the map of encoder 2 as it is, not what CC1 makes of it.
* Without correlation the encoder sees both views as six channels, and there is one skip for each scale, not two.

Letters: B batch, H and W rows and columns, C channels; 2B stacks the left views over the right ones.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualpix.networks.arguments import Channels, Disparity, Slope
from dualpix.networks.layers.blocks import Merge, Upsampling, convolution, he_initialise, leaky_pair
from dualpix.networks.layers.correlation import correlate_rows, log_attention
from dualpix.networks.layers.tracing import is_exporting
from dualpix.networks.spec import NetworkSpec


class MCCNet(nn.Module):
    """Left and right view, each B 3 H W in [0, 1] -> the sharp picture, B 3 H W, not clipped.

    >>> network = MCCNet(max_disparity=24)
    >>> network(torch.rand(1, 3, 64, 96), torch.rand(1, 3, 64, 96)).shape
    torch.Size([1, 3, 64, 96])
    """

    def __init__(
        self,
        *,
        fusion: bool = True,
        correlation: bool = True,
        extraction: bool = True,
        extraction_residual: bool = True,
        max_disparity: Disparity | None = None,
        residual: bool = True,
        slope: Slope = 0.2,
        upsampling: Upsampling = "bilinear",
        score_scale: float | None = None,
        value_projection: bool = False,
        fusion_channels: tuple[Channels, Channels, Channels] = (32, 64, 64),
    ) -> None:
        """Build the network; the choices are explained at the head of the file.

        `max_disparity` counts columns of the half-size features that CC1 looks either way, so twice as many pixels of
        the picture; CC2, at quarter size, takes half as many columns. None stands for the whole row.
        """
        super().__init__()
        self.fusion, self.correlation, self.extraction, self.residual = fusion, correlation, extraction, residual
        self.upsampling = upsampling
        views = 2 if correlation else 1

        def extract(channels: int) -> nn.Module:
            if not extraction:
                return nn.Identity()
            return MultiScaleExtraction(channels, 2 * channels, slope, extraction_residual)

        self.encoder1 = leaky_pair((6 // views, 16, 32), slope=slope)
        self.encoder2 = leaky_pair((32, 64, 64), slope=slope)
        self.encoder3 = nn.Sequential(leaky_pair((64, 64, 64), slope=slope), extract(64))
        self.encoder4 = nn.Sequential(leaky_pair((64 * views, 128, 128), slope=slope), extract(128))
        self.pool = nn.MaxPool2d(2)
        if correlation:
            quarter_disparity = None if max_disparity is None else -(-max_disparity // 2)
            self.cc1 = CrossCorrelation(64, max_disparity, score_scale, value_projection, slope)
            self.cc2 = CrossCorrelation(64, quarter_disparity, score_scale, value_projection, slope)
        skips = (32, 64, 64)
        if fusion:
            self.fuse = MultiScaleFusion(
                skips, fusion_channels, extraction, upsampling, slope, extraction_residual=extraction_residual
            )
            skips = fusion_channels
        self.decoder3 = Decoder(128, (skips[2],) * views, 128, upsampling, slope)
        self.decoder2 = Decoder(128, (skips[1],) * views, 64, upsampling, slope)
        self.decoder1 = Decoder(64, (skips[0],) * views, 32, upsampling, slope)
        last = convolution(3, 3, 1)
        self.head = nn.Sequential(convolution(32, 3, 3), last)
        he_initialise(self, slope)
        if residual:
            nn.init.normal_(last.weight, std=0.01)
        self.spec = NetworkSpec(
            views=("left", "right"),
            size_multiple=8,
            receptive_radius_px=self._receptive_radius_px(),
            tells_correction=True,
            residual=residual,
            takes_width=True,
            attention_radius_px=self._attention_radius_px() if correlation else None,
        )

    def forward(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        """width: valid columns; no pixel is matched with the padding right of them.

        Columns beyond `width` rounded up to `spec.size_multiple` are not looked at at all: such padding changes
        nothing. Those between are still seen by the convolutions, so fill them by repeating the edge.
        """
        painted = self._predict(left, right, width)
        return painted + (left + right) / 2 if self.residual else painted

    def correction(self, left: Tensor, right: Tensor, width: int | None = None) -> Tensor:
        """Return what is added to the mean of the views, B 3 H W; low precision would round their sum."""
        painted = self._predict(left, right, width)
        return painted if self.residual else painted - (left + right) / 2

    def log_attention(self, left: Tensor, right: Tensor, reach_px: int, width: int | None = None) -> Tensor:
        """Where CC1 looks, as `correlation.log_attention` tells it: 2B K H/2 W/2, offsets in columns of 2 pixels.

        The left views' look at the right ones comes first. K is odd, its middle no offset; `reach_px` either way, or
        as far as CC1 looks. Raises ValueError for a network without correlation.
        """
        if not self.correlation:
            raise ValueError("this network was built without correlation")
        maps = self.encoder2(self.pool(self.encoder1(torch.cat([left, right]))))  # 2B 64 H/2 W/2
        return self.cc1.log_attention(maps, reach_px // 2, None if width is None else -(-width // 2))

    def _attention_radius_px(self) -> int:
        """Rows of the input above and below that `log_attention` of a row may depend on."""
        encoders = 2 * (1 + 2)
        projection = 2 * 2
        return encoders + projection

    def _predict(self, left: Tensor, right: Tensor, width: int | None) -> Tensor:
        width = left.shape[-1] if width is None else width
        padding = (left.shape[-1] - width) // self.spec.size_multiple * self.spec.size_multiple
        if not is_exporting() and padding > 0:  # Graphs fill up to `size_multiple` at most.
            return F.pad(self._predict(left[..., :-padding], right[..., :-padding], width), (0, padding))

        views = torch.cat([left, right], dim=0 if self.correlation else 1)  # 2B 3 H W, or B 6 H W
        full = self.encoder1(views)  # 2B 32 H W
        half = self.encoder2(self.pool(full))  # 2B 64 H/2 W/2
        quarter = self.encoder3(self.pool(half))  # 2B 64 H/4 W/4
        eighth = self.encoder4(torch.cat(self._each(self.pool(quarter)), dim=1))  # B 128 H/8 W/8
        if self.correlation:
            half, quarter = self.cc1(half, (width + 1) // 2), self.cc2(quarter, (width + 3) // 4)
        if self.fusion:
            full, half, quarter = self.fuse(full, half, quarter)
        decoded = self.decoder3(eighth, *self._each(quarter))  # B 128 H/4 W/4
        decoded = self.decoder2(decoded, *self._each(half))  # B 64 H/2 W/2
        decoded = self.decoder1(decoded, *self._each(full))  # B 32 H W
        painted: Tensor = self.head(decoded)
        return painted

    def _each(self, maps: Tensor) -> tuple[Tensor, ...]:
        """The maps of the left and of the right view; of both together if the encoder is not siamese."""
        return tuple(maps.chunk(2)) if self.correlation else (maps,)

    def _receptive_radius_px(self) -> int:
        """Rows of the input above and below an output row that it may depend on: the path through encoder 4.

        A k x k convolution at 1/s of the size reaches s (k // 2) rows, bilinear up-sampling to 1/s 2 s, nearest s.
        """
        encoders = 2 * (1 + 2 + 4 + 8)
        extraction = (2 + 2) * (4 + 8) if self.extraction else 0
        upsampling = (2 if self.upsampling == "bilinear" else 1) * (4 + 2 + 1)
        decoders = (2 + 1) * (4 + 2 + 1)
        head = 1
        return encoders + extraction + upsampling + decoders + head


class CrossCorrelation(nn.Module):
    """3.2: features of each view, to which those are added that the same row of the other view has for it."""

    def __init__(
        self, channels: int, max_disparity: int | None, score_scale: float | None, value_projection: bool, slope: float
    ) -> None:
        super().__init__()
        self.max_disparity, self.score_scale = max_disparity, score_scale
        self.block = nn.Sequential(
            convolution(channels, channels, 3), nn.LeakyReLU(slope, inplace=True), convolution(channels, channels, 3)
        )
        self.project = convolution(channels, channels, 1)
        self.project_value = convolution(channels, channels, 1) if value_projection else nn.Identity()

    def forward(self, maps: Tensor, width: int | None = None) -> Tensor:
        """2B C H W -> 2B C H W.

        The left half of the batch is correlated with the right half (S), and the right half with the left (S
        transposed).
        """
        query = self._query(maps)
        value = self.project_value(maps)
        gathered = correlate_rows(query, _other(query), _other(value), self.max_disparity, width, self.score_scale)
        return maps + gathered

    def _query(self, maps: Tensor) -> Tensor:
        projected: Tensor = self.project(maps + self.block(maps))
        return projected

    def log_attention(self, maps: Tensor, reach: int, width: int | None = None) -> Tensor:
        """2B C H W -> 2B K H W: where either view looks in the other, `reach` columns at most."""
        query = self._query(maps)
        reach = reach if self.max_disparity is None else min(reach, self.max_disparity)
        return log_attention(query, _other(query), reach, self.max_disparity, width, self.score_scale)

    def attention_macs(self, maps: Tensor, width: int | None = None) -> int:
        """Multiply-adds of S and of what it gathers for either view: S is counted once, as the paper makes it once."""
        batch, channels, height, full_width = maps.shape
        width = full_width if width is None else width
        seen = width if self.max_disparity is None else min(width, 2 * self.max_disparity + 1)
        return 3 * (batch // 2) * height * width * seen * channels


def _other(maps: Tensor) -> Tensor:
    """The other view's maps at the place of each: the two halves of the batch, exchanged."""
    return maps.roll(maps.shape[0] // 2, 0)


class MultiScaleExtraction(nn.Module):
    """3.3: 3 x 3 and 5 x 5 convolutions side by side and concatenated, twice; `inner` channels each the second time.

    residual: whether the input is added to what comes out.
    """

    def __init__(self, channels: int, inner: int, slope: float, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.first3, self.first5 = convolution(channels, channels, 3), convolution(channels, channels, 5)
        self.second3, self.second5 = convolution(2 * channels, inner, 3), convolution(2 * channels, inner, 5)
        self.merge = Merge((inner, inner), channels, (0, 0))
        self.activate = nn.LeakyReLU(slope, inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        first = self.activate(torch.cat([self.first3(maps), self.first5(maps)], dim=1))
        second = [self.activate(convolve(first)) for convolve in (self.second3, self.second5)]
        del first  # At full size, this is where the memory needed is greatest.
        merged: Tensor = self.merge(second)
        return merged.add_(maps) if self.residual else merged


class MultiScaleFusion(nn.Module):
    """3.4: for each of three scales, the maps of all three brought to it, merged, extracted and projected."""

    def __init__(
        self,
        channels: tuple[int, int, int],
        channels_out: tuple[int, int, int],
        extraction: bool,
        upsampling: Upsampling,
        slope: float,
        *,
        extraction_residual: bool = True,
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList()
        for scale, (inner, out) in enumerate(zip((16, 32, 64), channels_out, strict=True)):
            doublings = (0 - scale, 1 - scale, 2 - scale)
            extract = MultiScaleExtraction(inner, inner, slope, extraction_residual) if extraction else nn.Identity()
            merge = Merge(channels, inner, doublings, upsampling)
            self.scales.append(nn.Sequential(merge, extract, convolution(inner, out, 1)))

    def forward(self, *maps: Tensor) -> tuple[Tensor, ...]:
        """Maps at full, half and quarter size -> as many, of the same sizes."""
        return tuple(scale(maps) for scale in self.scales)


class Decoder(nn.Module):
    """3.1: up-sampling, a 1 x 1 convolution that merges the skips, and a leaky pair whose first kernel is 5 x 5."""

    def __init__(
        self, channels: int, skips: tuple[int, ...], channels_out: int, upsampling: Upsampling, slope: float
    ) -> None:
        super().__init__()
        self.merge = Merge((channels, *skips), channels_out, (1,) + (0,) * len(skips), upsampling)
        self.convolve = leaky_pair((channels_out,) * 3, (5, 3), slope)

    def forward(self, below: Tensor, *skips: Tensor) -> Tensor:
        """B C H/2 W/2 and skips B C_i H W -> B channels_out H W."""
        decoded: Tensor = self.convolve(self.merge((below, *skips)))
        return decoded
