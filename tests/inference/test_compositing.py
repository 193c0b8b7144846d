"""No light of one side in the other: against pictures that the package's optics render with only one side blurred."""

import numpy as np
import torch
from torch import Tensor

from dualpix.inference.compositing import BY, compose, filled
from dualpix.inference.scales import reduce
from dualpix.simulation.kernels import Lens
from dualpix.simulation.render import Layer, composite, render

RHO, SIZE, MARGIN = 0.4, 96, 24
LENS = Lens(rho=RHO, softness_px=0.1)


def test_values_are_carried_to_where_none_are() -> None:
    ramp = torch.linspace(0, 1, 33).expand(2, 21, 33).contiguous()
    weight = (torch.arange(33) < 20).float().expand(1, 21, 33)
    out = filled(ramp, weight)
    assert torch.equal(out[..., :20], ramp[..., :20])
    assert float(out[..., 20:].min()) > 0.4 and float(out[..., 20:].max()) <= float(ramp[..., :20].max()) + 1e-6
    torch.testing.assert_close(filled(torch.full((1, 9, 9), 0.3), torch.eye(9)[None]), torch.full((1, 9, 9), 0.3))


def scene(back_px: float, front_px: float, sharp: str) -> tuple[Tensor, ...]:
    """A square before a background, of two colours with a texture: sharp picture, views, matte, planes, truth."""
    whole = SIZE + 2 * MARGIN
    rng = np.random.default_rng(1)
    texture = torch.from_numpy(rng.uniform(-0.1, 0.1, (2, 3, whole, whole))).float()
    alpha = torch.zeros(whole, whole)
    alpha[whole // 3 : 2 * whole // 3, whole // 3 : 2 * whole // 3] = 1
    back = Layer(
        texture[0] + torch.tensor([0.2, 0.3, 0.6])[:, None, None], torch.ones(whole, whole), alpha * 0 + back_px
    )
    front = Layer(texture[1] + torch.tensor([0.8, 0.6, 0.2])[:, None, None], alpha, alpha * 0 + front_px)
    picture, blur_px = composite([back, front], MARGIN)
    inside = alpha[MARGIN:-MARGIN, MARGIN:-MARGIN][None]
    matte = inside if sharp == "front" else 1 - inside
    still = [Layer(x.colour, x.alpha, 0 * x.blur_px) if is_sharp else x
             for x, is_sharp in ((back, sharp == "back"), (front, sharp == "front"))]  # fmt: skip
    left, right = render([back, front], LENS, MARGIN)
    truth = render(still, LENS, MARGIN).mean(0)
    return picture, left, right, matte, reduce(RHO * blur_px[None], BY), truth


def errors(back_px: float, front_px: float, sharp: str) -> tuple[float, float]:
    """Mean squared error of the composite and of a plain mixture, both with the true matte."""
    picture, left, right, matte, disparity_px, truth = scene(back_px, front_px, sharp)
    plain = torch.lerp((left + right) / 2, picture, matte)
    made = compose(picture.clone(), left, right, matte, disparity_px, torch.ones_like(disparity_px))
    return float((made - truth).square().mean()), float((plain - truth).square().mean())


def test_a_blurred_subject_made_sharp_leaves_no_halo_on_what_is_kept_behind_it() -> None:
    made, plain = errors(6.0, -8.0, "front")
    assert made < 0.25 * plain


def test_through_the_edge_of_what_is_kept_in_front_the_background_is_sharp() -> None:
    made, plain = errors(6.0, -8.0, "back")
    assert made < 0.5 * plain


def test_one_surface_is_a_plain_mixture_and_all_or_nothing_takes_no_border() -> None:
    picture, left, right, matte, disparity_px, _ = scene(4.0, 4.0, "front")
    mean, sure = (left + right) / 2, torch.ones_like(disparity_px)
    made = compose(picture.clone(), left, right, matte, disparity_px, sure)
    torch.testing.assert_close(made, torch.lerp(mean, picture, matte).clamp(0, 1))
    for share, expected in ((1.0, picture), (0.0, mean)):
        assert torch.equal(
            compose(picture.clone(), left, right, torch.full_like(matte, share), disparity_px, sure), expected
        )
