"""The rows of the MCCNet paper's Table 1 by their labels, and a few that belong beside them.

To add one: one line in `TABLE_ROWS`. A network stands in the variant whose size the paper's table gives, which for
DPDNet and RDPD is not that of the authors' code (`networks.dpdnet`, `networks.rdpd`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from dualpix.errors import CheckpointError
from dualpix.evaluation.methods import METHODS
from dualpix.networks import create
from dualpix.networks.blank import without_numbers
from dualpix.networks.counting import Counts, count
from dualpix.networks.spec import spec_of
from dualpix.tables import pick
from dualpix.weights import checkpoint

TABLE_PX = (1120, 1680)
"""Height and width at which operations are counted: DPDD's pictures."""

ALL = "all"


@dataclass(frozen=True)
class System:
    """What one row runs: a network, a method of `evaluation.methods.METHODS`, or a method around a network.

    network, arguments: those of `networks.create`; no network is "".
    method: the name in METHODS; "" for a network that deblurs by itself.
    weights: the name in `weights.checkpoint.WEIGHTS` under which they are shipped, if they are; "" for a row that needs
    none.
    """

    network: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    weights: str = ""

    @property
    def views(self) -> tuple[str, ...]:
        """What it takes from a sample."""
        blank = None if self.method else self.blank()
        return METHODS[self.method].views if blank is None else spec_of(blank).views

    @property
    def has_weights(self) -> bool:
        """Whether it can run without a file of the user's."""
        if not self.weights:
            return True
        try:
            return self.weights in checkpoint.WEIGHTS and checkpoint.find(self.weights).is_file()
        except CheckpointError:  # named in the table, but missing from this installation
            return False

    def blank(self) -> nn.Module | None:
        """Its network with shapes and no numbers, which costs nothing; None if it has none."""
        with without_numbers():
            return create(self.network, **self.arguments) if self.network else None

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        network = f"network {self.network}" + (f" ({arguments})" if arguments else "") if self.network else ""
        return "; ".join(filter(None, [METHODS[self.method].about if self.method else "", network]))


TABLE_ROWS: dict[str, System] = {
    "JNB": System(method="jnb"),
    "EBDB": System(method="ebdb"),
    "DMENet": System("dmenet", method="dmenet", weights="dmenet"),
    "IFAN": System("ifan", weights="ifan"),
    "KPAC": System("kpac", weights="kpac"),
    "MDP": System("mdp", weights="mdp"),
    "DPDNet": System("dpdnet", {"up_kernel": 3}, weights="dpdnet"),
    "DPDNet+": System("dpdnet", {"up_kernel": 3}, weights="dpdnet+"),
    "RDPD+": System("rdpd", {"up_kernel": 3, "bottom_convolutions": 2, "radius_map": False}, weights="rdpd+"),
    "MCCNet": System("mccnet", weights="mccnet"),
    "mccnet-fast": System("mccnet-fast", weights="mccnet-fast"),
    "Restormer": System("restormer", weights="restormer"),
    "oracle-map": System(method="oracle-map"),
    "joint": System(method="joint"),
    "oracle-joint": System(method="oracle-joint"),
}
"""From label to row. A "+" is the same network, trained on simulated pairs as well as on real ones."""


def choose(text: str) -> dict[str, System]:
    """The rows that `text` names: "all", or labels with commas between them, in whatever case.

    Raises `RecipeError` for a label that does not exist.
    """
    labels = {label.lower(): label for label in TABLE_ROWS}
    words = [word.strip() for word in text.split(",")]
    chosen = list(TABLE_ROWS) if text.strip().lower() == ALL else [labels.get(word.lower(), word) for word in words]
    return {label: pick(TABLE_ROWS, label, "method") for label in chosen}


def size_of(network: nn.Module | None) -> Counts | None:
    """Parameters, and operations at `TABLE_PX`, padded as `deblur` pads it; None if there is nothing to count."""
    if network is None:
        return None
    multiple = spec_of(network).size_multiple
    height, width = (-(-side // multiple) * multiple for side in TABLE_PX)
    try:
        return count(network, height, width)
    except Exception:  # a network of the user's own may not run on shapes alone, which is no reason to lose its scores
        return None
