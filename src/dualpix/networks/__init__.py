"""The networks by name. A network is a plain `nn.Module` that says which views it wants; nothing to inherit from.

To add one: one file here and one line in `NETWORKS`, or in `DEFOCUS_ESTIMATORS` if it tells the
blur and does not undo it.
"""

from collections.abc import Callable, Mapping
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
from dualpix.plugins import Table
from dualpix.tables import former_names, pick

__all__ = [
    "DEFOCUS_ESTIMATORS",
    "NETWORKS",
    "DefocusEstimator",
    "Network",
    "NetworkSpec",
    "create",
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
        network = maker(**arguments)
    except (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError) as error:
        given, reason = shortened(str(arguments), 110), shortened(reason_of(error), 110)
        raise RecipeError(f"The network {name!r} cannot be made with arguments={given}: {reason}.") from error
    object.__setattr__(network, "made_as", (name, dict(arguments)))
    return network


def made_as(network: nn.Module) -> tuple[str, dict[str, Any]] | None:
    """The name and the arguments by which `create` made a network; None for a network that was made otherwise."""
    return getattr(network, "made_as", None)
