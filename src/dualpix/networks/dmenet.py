"""DMENet: estimates how blurred each pixel of a single picture is. The deblurring is left to a deconvolution.

J. Lee, S. Lee, S. Cho, S. Lee, "Deep Defocus Map Estimation using Domain Adaptation", CVPR 2019, and its released code.

| paper                               | here                          |
|-------------------------------------|-------------------------------|
| B, the blur estimation network      | `DMENet`                      |
| its encoder, VGG19 up to conv5_4    | `DMENet.encoder`              |
| its decoder, with skips             | `DMENet.decoder`, `Refine`    |
| auxiliary maps at every scale       | `DMENet.guess`, `guess_head`  |

26,943,184 parameters, of which 1,591,311 are in the auxiliary heads. Table 1 of the MCCNet paper counts these too
(26.94 M) and gives no operations. At 1120 x 1680, multiply-adds: 2382.21 G with the heads, 2312.05 G for what `forward`
does, which leaves them out.

Units. The network's map m is in [0, 1]: m = 1/15 is sharp, 1 the largest blur. The authors deblur with Gaussians of
deviation (15 m - 1) / 2 px. A disc of radius r has the deviation r / 2 along each axis, so 15 m - 1 is the radius of
the disc that blurs as much: the size of `blur_px` elsewhere in this package, at most 14 px. `largest_px` changes that.

What is left out, and why
* The authors train on made pictures with known maps and on photographs without, and draw these together: a
  discriminator looks at the features, a small network turns maps into labels of blurred regions, and a second VGG19
  compares maps. They need labelled photographs and weights of VGG19, neither of which can be had here, and our
  simulator makes pictures nearer to photographs than theirs. What remains of their objective are the squares on the
  map and on the five auxiliary maps, `outputs`, to be compared with `map_of` the true blur.
* The encoder starts from random weights, where theirs starts from VGG19 trained on ImageNet. It still takes pictures as
  VGG19 does (0 to 255, mean subtracted, BGR), so that such weights would fit.

Choices the paper leaves open
* Normalisation has scale and shift. The authors' scale is likely absent (26,939,819 parameters; 26.94 M as well).
* Nearest up-sampling with aligned corners, as theirs, repeats pixels 2 x 2: the same as without.

Letters: B batch, H and W rows and columns, C channels.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from dualpix.networks.arguments import Channels
from dualpix.networks.layers.blocks import he_initialise, upsample
from dualpix.networks.spec import NetworkSpec

SLOPE = 0.2
VGG_MEAN_BGR = (103.939, 116.779, 123.68)
VGG_CONVOLUTIONS = (2, 2, 4, 4, 4)
DECODER_CONVOLUTIONS = (3, 3, 3, 1)
REFINEMENTS = 7


class DMENet(nn.Module):
    """The combined view, B 3 H W in [0, 1] -> the size of its blur, the radius of a disc in pixels, B 1 H W, 0 or more.

    width: channels at full size; 64 is the paper. largest_px: the radius that map 1 stands for; 14 is the paper.

    >>> network = DMENet(width=8).eval()
    >>> network(torch.rand(1, 3, 32, 48)).shape
    torch.Size([1, 1, 32, 48])
    """

    # Rows that an output row may depend on, in evaluation: encoder 2 + 2 * 2 + 4 * (4 + 8 + 16); up-sampling
    # 8 + 4 + 2 + 1; decoder 3 * (8 + 4 + 2) + 1; refinement 7 * 2; last layers 3.
    spec = NetworkSpec(views=("center",), size_multiple=16, receptive_radius_px=193)

    def __init__(
        self, *, width: Annotated[Channels, Field(ge=2)] = 64, largest_px: Annotated[float, Field(gt=0, le=1000)] = 14.0
    ) -> None:
        super().__init__()
        self.largest_px = largest_px
        deep = (width, 2 * width, 4 * width, 8 * width, 8 * width)  # channels at 1, 1/2, 1/4, 1/8, 1/16
        inputs = (3, *deep[:-1])
        stages = zip(inputs, deep, VGG_CONVOLUTIONS, strict=True)
        self.encoder = nn.ModuleList(vgg_stage(*stage) for stage in stages)
        self.pool = nn.MaxPool2d(2)
        up = (8 * width, 4 * width, 2 * width, width, width)  # channels of the decoder at 1/16, 1/8, 1/4, 1/2, 1
        joined = [below + skip for below, skip in zip(up[:-1], reversed(deep[:-1]), strict=True)]
        stages = zip(joined, up[1:], DECODER_CONVOLUTIONS, strict=True)
        self.decoder = nn.ModuleList(decoder_stage(*stage) for stage in stages)
        hidden = (4 * width, 2 * width, width, width // 2, width // 2)
        self.guess = nn.ModuleList(guess_head(*channels) for channels in zip(up, hidden, strict=True))
        self.refine = nn.Sequential(*(Refine(width) for _ in range(REFINEMENTS)))
        self.paint = nn.Sequential(
            normed(width, width), normed(width, width // 2), replicating(width // 2, 1, 3), nn.Sigmoid()
        )
        he_initialise(self, SLOPE)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.out_channels == 1:
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, center: Tensor) -> Tensor:
        """The view, B 3 H W in [0, 1] -> the radius of the blur in pixels, B 1 H W."""
        defocus: Tensor = self.paint(self.refine(self._decode(center)[-1]))
        return self.blur_px_of(defocus)

    def outputs(self, center: Tensor) -> dict[str, Tensor]:
        """Return all that the network is trained on.

        Args:
            center: The view, B 3 H W in [0, 1].

        Returns:
            "map", B 1 H W in [0, 1], to be like `map_of` the true blur, and coarse guesses of it: "map_16", "map_8",
            "map_4", "map_2" and "map_1", where "map_16" has a sixteenth of the rows and columns, and so on.
        """
        decoded = self._decode(center)
        scales = (16, 8, 4, 2, 1)
        guesses = {f"map_{scale}": guess(maps) for scale, guess, maps in zip(scales, self.guess, decoded, strict=True)}
        return {"map": self.paint(self.refine(decoded[-1])), **guesses}

    def blur_px_of(self, defocus: Tensor) -> Tensor:
        """A map in [0, 1] -> the size of the blur in pixels, 0 to `largest_px`."""
        return ((self.largest_px + 1) * defocus - 1).clamp_min(0)

    def map_of(self, blur_px: Tensor) -> Tensor:
        """The blur in pixels, signed or not -> the map of it, in [0, 1]; more than `largest_px` is cut."""
        return ((blur_px.abs() + 1) / (self.largest_px + 1)).clamp_max(1)

    def _decode(self, center: Tensor) -> list[Tensor]:
        """The decoder's maps at 1/16, 1/8, 1/4, 1/2 and 1 of the size; the first are the encoder's last."""
        maps = 255 * center.flip(1) - center.new_tensor(VGG_MEAN_BGR).view(3, 1, 1)
        skips = []
        for encode in self.encoder:
            skips.append(encode(maps))  # B C H/s W/s, s = 1, 2, 4, 8, 16
            maps = self.pool(skips[-1]) if len(skips) < len(self.encoder) else maps
        decoded = [skips.pop()]
        for decode in self.decoder:
            decoded.append(decode(torch.cat([upsample(decoded[-1], 2, "nearest"), skips.pop()], dim=1)))
        return decoded


class Refine(nn.Module):
    """Two convolutions beside one of a single pixel, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(normed(channels, channels), normed(channels, channels))
        self.aside = normed(channels, channels, kernel=1)

    def forward(self, maps: Tensor) -> Tensor:
        """B C H W -> B C H W."""
        refined: Tensor = self.main(maps) + self.aside(maps)
        return refined


def vgg_stage(channels_in: int, channels: int, convolutions: int) -> nn.Sequential:
    """The convolutions of VGG19 between two poolings, each with its ReLU."""
    steps: list[nn.Module] = []
    for i in range(convolutions):
        steps += [replicating(channels if i else channels_in, channels, 3), nn.ReLU(inplace=True)]
    return nn.Sequential(*steps)


def decoder_stage(channels_in: int, channels: int, convolutions: int) -> nn.Sequential:
    """Convolutions of what comes from below and of the encoder's maps, concatenated."""
    inputs = (channels_in, *(channels,) * (convolutions - 1))
    return nn.Sequential(*(normed(wide_in, channels) for wide_in in inputs))


def guess_head(channels: int, hidden: int) -> nn.Sequential:
    """From the decoder's maps at one scale to a map of the blur in [0, 1] at that scale."""
    return nn.Sequential(normed(channels, hidden), replicating(hidden, 1, 3), nn.BatchNorm2d(1), nn.Sigmoid())


def normed(channels_in: int, channels: int, kernel: int = 3) -> nn.Sequential:
    """A convolution, normalised over the batch, then LeakyReLU."""
    convolve = replicating(channels_in, channels, kernel)
    return nn.Sequential(convolve, nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE, inplace=True))


def replicating(channels_in: int, channels: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the size, with the pixels of the edge repeated around."""
    return nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, padding_mode="replicate")
