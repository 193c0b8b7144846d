import numpy as np

from dualpix.io.curve import encode_srgb


def test_the_curve_is_that_of_the_standard() -> None:
    """Middle grey of 18 % is 118 of 255; the two pieces meet; what lies outside is clipped."""
    given = np.array([-0.5, 0, 0.0031308, 0.18, 0.5, 1, 2], np.float32)
    np.testing.assert_allclose(encode_srgb(given), [0, 0, 0.04045, 118 / 255, 0.7353570, 1, 1], atol=2e-3)
    steps = np.diff(encode_srgb(np.linspace(0, 0.01, 1000, dtype=np.float32)))
    assert steps.min() > 0 and steps.max() < 1.4e-4
