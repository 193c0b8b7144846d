"""What keeps its blur, in words and numbers."""

import pytest
import torch

from dualpix.errors import RecipeError
from dualpix.inference.kept import SOFT_PX, parse_kept

DISPARITIES_PX = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("behind", [0, 0, 0, 1, 1]),
        ("in-front", [1, 1, 0, 0, 0]),
        ("behind 2", [0, 0, 0, 0, 1]),
        ("In-Front:2", [1, 0, 0, 0, 0]),
        ("beyond 2", [1, 0, 0, 0, 1]),
        ("beyond .5", [1, 1, 0, 1, 1]),
        ("-2..2", [0, 1, 1, 1, 0]),
        (" 0.5 .. 2 ", [0, 0, 0, 1, 0]),
        ("..-2", [1, 0, 0, 0, 0]),
        ("2..", [0, 0, 0, 0, 1]),
        ("outside -2..2", [1, 0, 0, 0, 1]),
        ("outside 2..", [1, 1, 1, 1, 0]),
    ],
)
def test_words_mean_disparities(words: str, kept: list[int]) -> None:
    assert parse_kept(words).share(DISPARITIES_PX).tolist() == kept


def test_ends_are_soft() -> None:
    share = parse_kept("1..3").share(torch.linspace(0, 2, 201))
    assert share[100] == 0.5 and (share.diff() >= 0).all()
    assert share[round(100 - 100 * SOFT_PX)] < 0.01 and share[round(100 + 100 * SOFT_PX)] > 0.99
    assert 0 < share[90] < 0.5 < share[110] < 1


@pytest.mark.parametrize("words", ["", "..", "outside", "outside ..", "beyond", "sideways", "1", "1..x", 7, None])
def test_what_means_nothing_is_told(words: object) -> None:
    with pytest.raises(RecipeError, match=r"no blur .* to keep; give behind, in-front"):
        parse_kept(words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "why"), [("3..1", "nothing between"), ("1..1", "nothing"), ("behind -1", "negative")]
)
def test_what_cannot_be_is_told(words: str, why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        parse_kept(words)
