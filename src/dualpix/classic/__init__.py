"""Classic two-stage deblurring: a map of the blur from one picture, then deconvolution by it.

To add a map: one file here and one line in `MAPS`.
"""

from collections.abc import Callable
from importlib import import_module

from torch import Tensor

from dualpix.errors import MachineError, how_to_install


def _in(module: str) -> Callable[..., Tensor]:
    """`blur_map` of a module of this package, imported when first called: it needs the extra `classic`."""

    def blur_map(picture: Tensor, mode: str = "fast") -> Tensor:
        try:
            method = import_module(f"dualpix.classic.{module}").blur_map
        except ModuleNotFoundError as error:
            raise MachineError(
                f"The classic methods need an optional package that cannot be imported ({error}); install it with:"
                f" {how_to_install('classic')}."
            ) from error
        sigma_px: Tensor = method(picture, mode)
        return sigma_px

    return blur_map


MAPS: dict[str, Callable[..., Tensor]] = {"jnb": _in("jnb"), "ebdb": _in("ebdb")}
"""From the name of a method to its function (picture 3 H W in [0, 1], mode "fast" or "faithful"), which gives the
standard deviation of the Gaussian blur in pixels, H W."""
