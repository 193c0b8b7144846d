"""The guided filter and its parts, beside PyTorch's own and a fit by least squares."""

import torch
import torch.nn.functional as F

from dualpix.inference.guided import PAIRS, GuidedFilter, apply, boxed, inverse, times

RANDOM = torch.Generator().manual_seed(0)


def test_parts_do_what_pytorch_does() -> None:
    planes = torch.rand(2, 13, 17, generator=RANDOM)
    mean = F.avg_pool2d(planes[None], 7, 1, 3, count_include_pad=False)[0]
    torch.testing.assert_close(boxed(planes, 3), mean, atol=1e-6, rtol=0)
    points = torch.rand(3, 20, 5, 7, generator=RANDOM)
    spread = torch.einsum("ikhw,jkhw->ijhw", points, points) / 20
    common = torch.rand(3, 5, 7, generator=RANDOM)
    upper = torch.stack([spread[a, b] for a, b in PAIRS])
    whole = spread.permute(2, 3, 0, 1) + 1e-4 * torch.eye(3)
    expected = torch.linalg.solve(whole, common.permute(1, 2, 0)[..., None])[..., 0].permute(2, 0, 1)
    torch.testing.assert_close(times(inverse(upper, 1e-4), common), expected, atol=1e-3, rtol=1e-3)


def test_a_plane_that_is_linear_in_the_colours_comes_back() -> None:
    """Also where it is fitted in a small picture and applied to a larger one."""
    guide = torch.rand(3, 40, 48, generator=RANDOM)
    weights = torch.tensor([0.5, -0.25, 1.0])[:, None, None]
    plane = (weights * guide).sum(0, keepdim=True) + 0.1
    torch.testing.assert_close(apply(GuidedFilter(guide, 5, 1e-7).fit(plane), guide), plane, atol=1e-3, rtol=0)
    small, wanted = (F.avg_pool2d(x[None], 2)[0] for x in (guide, plane))
    fitted = F.interpolate(GuidedFilter(small, 5, 1e-7).fit(wanted)[None], scale_factor=2.0)[0]
    torch.testing.assert_close(apply(fitted, guide), plane, atol=1e-3, rtol=0)
