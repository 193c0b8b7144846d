"""Classic two-stage deblurring: a map of the blur from one picture, then deconvolution by it.

To add a map: one file here and one line in `MAPS`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import Tensor

from dualpix.errors import MachineError, how_to_install


def _in(module: str) -> Callable[..., Tensor]:
    """`blur_map` of a module of this package, imported when first called: it needs the extra `classic`."""

    def blur_map(picture: Tensor, mode: str = "fast") -> Tensor:
        sigma_px: Tensor = require(module).blur_map(picture, mode)
        return sigma_px

    return blur_map


def require(name: str) -> Any:
    """The module of the map called `name`. Raises `MachineError` if a package that it needs cannot be imported."""
    try:
        return import_module(f"dualpix.classical.{name}")
    except ImportError as error:
        raise MachineError(
            f"The classic methods need an optional package that cannot be imported ({error}); install it with:"
            f" {how_to_install('classic')}."
        ) from error


MAPS: dict[str, Callable[..., Tensor]] = {"jnb": _in("jnb"), "ebdb": _in("ebdb")}
"""From the name of a method to its function (picture 3 H W in [0, 1], mode "fast" or "faithful"), which gives the
standard deviation of the Gaussian blur in pixels, H W."""
