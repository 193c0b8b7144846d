"""How much of the result is taken: by hand, and for a pair."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dualpix.errors import PictureError
from dualpix.inference.blending import blend, check_strength, with_choices
from dualpix.inference.deblur import deblur, deblur_pair
from dualpix.io import Metadata

Command = Callable[..., tuple[int, str, str]]


def test_a_hand_worked_mixture() -> None:
    left, right, result = (torch.full((3, 16, 16), level) for level in (0.2, 0.4, 0.8))
    assert blend(result, left, right, 1) is result  # costs nothing
    assert torch.allclose(blend(result, left, right, 0), torch.tensor(0.3))
    assert torch.allclose(blend(result, left, right, 0.25), torch.tensor(0.3 + 0.25 * 0.5))
    assert with_choices(Metadata(software="x"), 0.25, "behind").software == "x, blur kept behind, strength 0.25"
    assert with_choices(Metadata(software=None), 0.25).software is None


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan"), float("inf"), "half", None, [0.5]])
def test_what_is_no_share_is_refused(strength: object) -> None:
    with pytest.raises(PictureError, match="from 0, as taken, to 1"):
        check_strength(strength)  # type: ignore[arg-type]


def test_it_is_the_photograph_as_taken_that_is_mixed_in(folder: Path, dualpix: Command) -> None:
    """Of views that were made equally bright for the work, those as they came."""
    generator = torch.Generator().manual_seed(0)
    left = torch.rand(3, 32, 48, generator=generator)
    right = 0.6 * left.roll(1, 2)
    whole = deblur_pair({"left": left, "right": right, "name": "x", "quarter_turns": 0}, "w.safetensors")
    assert "times as bright" in " ".join(whole.warnings)
    with pytest.warns(UserWarning, match="times as bright"):
        half = deblur(left, right, "w.safetensors", strength=0.5, turn="none")
    expected = 0.5 * whole.picture.numpy() + 0.5 * (left.numpy() + right.numpy()) / 2
    np.testing.assert_allclose(half.numpy(), expected, atol=1e-6)
    code, _, err = dualpix("deblur", "p_L.png", "p_R.png", "-o", "o.png", "--strength", "2")
    assert (code, err.strip()) == (1, "dualpix: " + _refusal(2.0)) and not Path("o.png").exists()


def _refusal(strength: float) -> str:
    return f"The strength cannot be {strength!r}; give --strength a number from 0, as taken, to 1, all of the result."
