"""Where the blocks lie that `match_blocks` tells about."""

import torch

from dualpix.pairs.matching import match_blocks


def test_blocks_know_their_places(defocused) -> None:
    """Only the right half of the scene is out of focus, so only blocks there have moved."""
    matches = match_blocks(*defocused(0, 8))
    assert matches.rows.shape == matches.columns.shape == matches.across.shape
    assert float(matches.across[matches.columns < 120].abs().max()) < 0.5
    assert float(matches.across[matches.columns > 200].min()) > 2


def test_a_patch_of_detail_is_found_where_it_is() -> None:
    picture = torch.full((3, 256, 320), 0.5)
    picture[:, 64:128, 192:256] = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    matches = match_blocks(picture, picture)
    best = (matches.rows - 96).abs() + (matches.columns - 224).abs()
    assert float(best.min()) == 0 and float(best.max()) <= 64
