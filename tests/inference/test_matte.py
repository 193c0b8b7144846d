"""From a rough share to a soft matte: its parts beside PyTorch's own, and an edge that is found again."""

import torch
import torch.nn.functional as F

from dualpix.inference.matte import dilated, refine

RANDOM = torch.Generator().manual_seed(0)


def test_parts_do_what_pytorch_does() -> None:
    planes = torch.rand(2, 13, 17, generator=RANDOM)
    torch.testing.assert_close(dilated(planes, 2), F.max_pool2d(planes, 5, 1, 2))


def test_a_matte_ends_where_the_picture_does() -> None:
    """The disparity puts the border six pixels aside, and is unsure in a corner."""
    guide = 0.3 + 0.02 * torch.randn(3, 160, 200, generator=RANDOM)
    guide[0, :, 90:] += 0.3
    rough = torch.zeros(1, 80, 100)
    rough[:, :, 48:] = 1
    sure = torch.ones_like(rough)
    rough[:, 70:, 80:], sure[:, 70:, 80:] = 0, 0
    matte = refine(rough, sure, guide, 2)
    assert matte.shape == (1, 160, 200) and 0 <= float(matte.min()) <= float(matte.max()) <= 1
    assert float(matte[..., :88].mean()) < 0.01 and float(matte[..., 92:].mean()) > 0.98


def test_without_edges_the_disparity_decides() -> None:
    flat, rough = torch.full((3, 64, 200), 0.5), torch.zeros(1, 32, 100)
    rough[:, :, 50:] = 1
    matte = refine(rough, torch.ones_like(rough), flat, 2)
    assert float(matte[..., :60].max()) == 0 and float(matte[..., 140:].min()) == 1
