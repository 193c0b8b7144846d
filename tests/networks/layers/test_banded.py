"""The correlation for other engines equals the one that networks run."""

import pytest
import torch

from dualpix.networks.layers.banded import COLUMNS, correlate_pixels
from dualpix.networks.layers.correlation import correlate_rows


@pytest.mark.parametrize("columns", [1, 5, COLUMNS, COLUMNS + 1, 3 * COLUMNS - 7])
@pytest.mark.parametrize("reach", [None, 0, 3, 8, 24, 45])
@pytest.mark.parametrize("spare", [0, 3])
def test_equals_the_correlation_along_rows(columns: int, reach: int | None, spare: int) -> None:
    torch.manual_seed(columns)
    spare = min(spare, columns - 1)
    query, key, value = torch.randn(2, 6, 3, columns), torch.randn(2, 6, 3, columns), torch.randn(2, 4, 3, columns)
    expected = correlate_rows(query, key, value, reach, columns - spare, 0.7)
    # Past the picture nobody looks and nothing comes out, whatever is there.
    query, key, value = (part.permute(0, 2, 3, 1) for part in (query, key, value))
    found = correlate_pixels(0.7 * query, key, value, reach, columns - spare).permute(0, 3, 1, 2)
    assert torch.allclose(found, expected, atol=1e-5)


def test_one_tensor_may_be_both_key_and_value() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(1, 2, 70, 6), torch.randn(1, 2, 70, 6)
    expected = correlate_pixels(query, key, key.clone(), 8, 70)
    assert torch.equal(correlate_pixels(query, key, key, 8, 70), expected)
