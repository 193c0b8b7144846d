"""A small network that adds a correction to the mean of the views."""

import torch
from torch import Tensor, nn

from dualpix import NetworkSpec


class ExampleNet(nn.Module):
    """Two convolutions over both views."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.spec = NetworkSpec(("left", "right"), receptive_radius_px=2)
        self.layers = nn.Sequential(
            nn.Conv2d(6, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 3, 3, padding=1)
        )

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Views B x 3 x H x W in [0, 1] to the sharp picture."""
        return (left + right) / 2 + self.layers(torch.cat([left, right], 1))
