"""The networks by name. A network is a plain `nn.Module` that says which views it wants; nothing to inherit from.

To add one: one file here and one line in `NETWORKS`, or in `DEFOCUS_ESTIMATORS` if it tells the
blur and does not undo it.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from torch import Tensor, nn

from dualpix.errors import RecipeError, reason_of, shortened
from dualpix.networks.arguments import check
from dualpix.networks.dmenet import DMENet
from dualpix.networks.dpdnet import DPDNet, DPDNetSingle
from dualpix.networks.ifan import IFAN
from dualpix.networks.kpac import KPAC
from dualpix.networks.mccnet.model import MCCNet
from dualpix.networks.mccnet_fast.model import MCCNetFast
from dualpix.networks.mdp import MDP
from dualpix.networks.rdpd import RDPD
from dualpix.networks.restormer import Restormer
from dualpix.networks.spec import NetworkSpec, spec_of
from dualpix.plugins import Guarded, Table
from dualpix.tables import former_names, pick

__all__ = [
    "DEFOCUS_ESTIMATORS",
    "NETWORKS",
    "DefocusEstimator",
    "Network",
    "NetworkSpec",
    "at_work",
    "create",
    "guarded_call",
    "spec_of",
]

__getattr__ = former_names(__name__, {"MAPPERS": "DEFOCUS_ESTIMATORS", "Mapper": "DefocusEstimator"})


class Network(Protocol):
    """What a network promises."""

    spec: NetworkSpec

    def __call__(self, *views: Tensor) -> Tensor:
        """Views B 3 H W in [0, 1], display-encoded -> the sharp picture B 3 H W, not clipped."""
        ...


class DefocusEstimator(Protocol):
    """What a network promises that maps the blur."""

    spec: NetworkSpec

    def __call__(self, *views: Tensor) -> Tensor:
        """Views B 3 H W in [0, 1], display-encoded -> the radius of the blur in pixels, B 1 H W, 0 or more."""
        ...


NETWORKS: Table[Callable[..., nn.Module]] = Table(
    "networks",
    {
        "mccnet": MCCNet,
        "mccnet-fast": MCCNetFast,
        "dpdnet": DPDNet,
        "dpdnet-single": DPDNetSingle,
        "rdpd": RDPD,
        "mdp": MDP,
        "ifan": IFAN,
        "kpac": KPAC,
        "restormer": Restormer,
    },
)

DEFOCUS_ESTIMATORS: dict[str, Callable[..., nn.Module]] = {
    "dmenet": DMENet,
}

CORRELATING = ("mccnet", "mccnet-fast")
"""Networks that correlate the views, unless built without that, so that a disparity can be taken from them: their
`spec.attention_radius_px` is set.
"""


def create(name: str, /, **arguments: Any) -> nn.Module:
    """Return a new network, with random weights.

    Args:
        name: A key of `NETWORKS` or `DEFOCUS_ESTIMATORS`.
        **arguments: Of the network's constructor, with whose annotations they are compared before it is built.

    Raises:
        RecipeError: There is no such network, or it does not take these arguments.

    Example:
        >>> network = create("mccnet", max_disparity=24)
        >>> network.spec.views, network.spec.size_multiple
        (('left', 'right'), 8)
        >>> create("mccnet", max_disparity="far")
        Traceback (most recent call last):
        dualpix.errors.RecipeError: ...
    """
    table: Mapping[str, Callable[..., nn.Module]] = NETWORKS if name in NETWORKS else NETWORKS | DEFOCUS_ESTIMATORS
    maker = pick(table, name, "network")
    try:
        check(maker, arguments)
        with NETWORKS.at_work(name):
            network = maker(**arguments)
            if not isinstance(network, nn.Module):
                raise TypeError(f"it gives {type(network).__name__} and not a module")
    except (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError) as error:
        given, reason = shortened(str(arguments), 110), shortened(reason_of(error), 110)
        raise RecipeError(f"The network {name!r} cannot be made with arguments={given}: {reason}.") from error
    object.__setattr__(network, "made_as", (name, dict(arguments)))
    return network


def made_as(network: nn.Module) -> tuple[str, dict[str, Any]] | None:
    """The name and the arguments by which `create` made a network; None for a network that was made otherwise."""
    return getattr(network, "made_as", None)


def at_work(network: nn.Module) -> AbstractContextManager[None]:
    """A context in which whatever a network of another package raises is told in one sentence; of no other network."""
    name, _ = made_as(network) or ("", {})
    return NETWORKS.at_work(name) if name else nullcontext()


def guarded_call(network: nn.Module, call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`call`, by which a network is run; of one of another package what it raises is told, and its output checked."""
    name, _ = made_as(network) or ("", {})
    origin = NETWORKS.origin_of(name) if name else None
    return Guarded(call, origin, _output) if origin else call


def _output(made: Any, *views: Tensor) -> Tensor:
    if not isinstance(made, Tensor):
        raise TypeError(f"it gives {type(made).__name__} and not a tensor")
    if made.ndim != 4 or made.shape[0] != views[0].shape[0] or made.shape[-2:] != views[0].shape[-2:]:
        raise ValueError(f"it gives {tuple(made.shape)} of views {tuple(views[0].shape)}")
    return made
