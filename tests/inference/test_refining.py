"""Disparity made fit to cut by: edges where the picture has its own, unsure places filled, slants kept."""

import torch
from torch.nn import functional as F

from dualpix.inference.refining import refine


def test_a_coarse_edge_goes_to_where_the_picture_has_its_own() -> None:
    true = torch.zeros(1, 120, 200)
    true[:, 30:90, 60:140] = 5
    guide = torch.where(true > 2, 0.7, 0.3).expand(3, -1, -1) + 0.05 * torch.rand(3, 120, 200, generator=seeded())
    coarse = F.avg_pool2d(F.pad(true[None], (11,) * 4, "replicate"), 23, 1)[0].roll(4, 2)  # and 4 px too far right
    found = refine(coarse, torch.full_like(coarse, 0.8), guide)[0]
    wrong = (found - true).abs() > 1
    assert float(wrong.float().mean()) < 0.01 < float(((coarse - true).abs() > 1).float().mean()) / 10
    between = (found > 1.5) & (found < 3.5)  # a surface that does not exist
    assert float(between.float().mean()) < 0.003


def test_unsure_places_take_over_what_is_sure_on_their_surface() -> None:
    true = torch.full((1, 100, 160), 3.0)
    true[:, :, 80:] = -2
    guide = torch.where(true > 0, 0.8, 0.2).expand(3, -1, -1)
    confidence = torch.full_like(true, 0.9)
    found = true.clone()
    for columns in (slice(20, 60), slice(100, 140)):
        found[:, 30:70, columns], confidence[:, 30:70, columns] = 9.0, 0.02
    assert float((refine(found, confidence, guide)[0] - true).abs().max()) < 0.3


def test_slants_stay_slants() -> None:
    slant = torch.linspace(-3, 4, 150).expand(1, 100, 150)
    guide = torch.rand(3, 100, 150, generator=seeded())
    found = refine(slant, torch.ones_like(slant), guide)[0]
    assert float((found - slant)[:, 15:-15, 15:-15].abs().max()) < 0.4


def test_a_large_picture_keeps_its_edges_at_full_size() -> None:
    true = torch.zeros(1, 800, 1001)
    true[:, 201:599, 303:701] = 6
    guide = torch.where(true > 2, 0.8, 0.2).expand(3, -1, -1)
    small = F.avg_pool2d(true[None], 16, ceil_mode=True)[0]
    coarse = F.interpolate(small[None], true.shape[1:], mode="bilinear")[0]
    found = refine(coarse, torch.ones_like(coarse), guide)[0]
    assert float(((found - true).abs() > 1).float().mean()) < 0.002


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)
