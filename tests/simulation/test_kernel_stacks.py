"""Kernels made together are those made one by one."""

import numpy as np
import pytest
import torch
from pieces import LENSES, OFF_AXIS

from dualpix.simulation.kernel_stacks import kernel_stack
from dualpix.simulation.kernels import Lens, kernels, reach_px
from dualpix.simulation.light import Light, draw_lens

RADII = [0.0, -12.0, 0.4, 21.5, 3.0, -2.25, 8.0]


def same(lens: Lens, light: float = 1e-5) -> None:
    reach = max(reach_px(lens, radius) for radius in RADII) + 1
    stack = kernel_stack(lens, RADII, reach, torch.device("cpu"))
    assert stack.shape == (len(RADII), 2, 2 * reach + 1, 2 * reach + 1)
    for made, radius in zip(stack, RADII, strict=True):
        alone = kernels(lens, radius)
        spare = reach - alone.shape[-1] // 2
        inner = made[:, spare : made.shape[1] - spare, spare : made.shape[1] - spare]
        assert float((inner - alone).abs().sum((1, 2)).max()) < light
        assert float(made.sum((1, 2)).sub(1).abs().max()) < 1e-5


@pytest.mark.parametrize("lens", (LENSES | OFF_AXIS).values(), ids=LENSES | OFF_AXIS)
def test_every_kind_of_pupil(lens: Lens) -> None:
    """The step of an ideal half disc, steeper than any that is drawn, is found less exactly."""
    same(lens, 1e-5 if lens.split < 1 else 6e-3)


@pytest.mark.parametrize("seed", range(6))
def test_drawn_lenses_of_both_families(seed: int) -> None:
    same(draw_lens(np.random.default_rng(seed), Light(one_sided=float(seed % 2))))
