"""What a network says of itself, in one record; whoever runs, trains, counts or exports it asks nothing else."""

import inspect
from dataclasses import dataclass
from warnings import warn

from torch import nn

from dualpix.errors import RecipeError


@dataclass(frozen=True)
class NetworkSpec:
    """Every network has one as its attribute `spec`.

    Args:
        views: the named views that `forward` takes, in this order, of "left", "right" and "center".
        size_multiple: height and width must divide by it; the caller pads.
        receptive_radius_px: rows above and below an output pixel that it may depend on, None for the whole picture.
        receptive_columns_px: columns left and right of an output pixel that it may depend on, None for the whole row.
        tells_correction: there is a method `correction(*views)`, what is to be added to the mean of the views; low
            precision then need not round the picture itself.
        residual: the network itself adds its input, so that the correction is small.
        takes_width: `forward` takes `width`, the number of valid columns, if the rest is padding.
        attention_radius_px: rows above and below that a row of `log_attention`, which tells where the network looks,
            may depend on; None for a network without.
        steady_state_rows: of a form that takes few rows at a time by itself, so many that memory grows evenly from
            there on; None of others.

    Raises:
        RecipeError: for no views, one that is named twice, or a `size_multiple` below 1.

    Example:
        >>> NetworkSpec(views=("left", "right"), size_multiple=8).receptive_radius_px is None
        True
    """

    views: tuple[str, ...]
    size_multiple: int = 1
    receptive_radius_px: int | None = None
    tells_correction: bool = False
    residual: bool = False
    takes_width: bool = False
    attention_radius_px: int | None = None
    steady_state_rows: int | None = None
    receptive_columns_px: int | None = None

    def __post_init__(self) -> None:
        if not self.views or len(set(self.views)) < len(self.views):
            raise RecipeError(f"A network cannot take the views {self.views}; give each of what it takes once.")
        if self.size_multiple < 1:
            raise RecipeError(f"A network cannot need sizes that divide by {self.size_multiple}; give 1 or more.")


def spec_of(network: nn.Module) -> NetworkSpec:
    """The record of a network, of this package or of a user's own.

    Networks written for earlier versions have `views`, `multiple`, `reach_px` and `attention_reach_px` instead, and
    give a DeprecationWarning.

    Raises:
        RecipeError: for a module that says nothing of itself.
    """
    spec = getattr(network, "spec", None)
    if isinstance(spec, NetworkSpec):
        return spec
    views, kind = getattr(network, "views", None), type(network).__name__
    if not isinstance(views, tuple):
        raise RecipeError(
            f"{kind} does not say which views it takes; give it an attribute spec = NetworkSpec(views=(...)), of"
            " `dualpix.networks.spec`."
        )
    told = f"{kind} has views, multiple and reach_px; give it spec = NetworkSpec(views={views}, ...) instead."
    warn(told, DeprecationWarning, stacklevel=2)
    offers = hasattr(network, "correction")
    attends = hasattr(network, "log_attention") and bool(getattr(network, "correlation", True))
    return NetworkSpec(
        views,
        _whole_number(network, "multiple") or 1,
        _whole_number(network, "reach_px"),
        tells_correction=offers,
        residual=offers and bool(getattr(network, "residual", True)),
        takes_width="width" in inspect.signature(network.forward).parameters,
        attention_radius_px=_whole_number(network, "attention_reach_px") if attends else None,
    )


def _whole_number(network: nn.Module, name: str) -> int | None:
    value = getattr(network, name, None)
    return value if isinstance(value, int) else None
