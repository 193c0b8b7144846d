"""Networks made ready to be run without gradients: the same outputs, sooner and in less memory.

`prepared(network)` is what a runner calls; a network without an entry in `PREPARED` is run as it is.
"""

from collections.abc import Callable

from torch import nn

from dualpix.networks.mccnet.model import MCCNet
from dualpix.networks.mccnet.streaming import MCCNetInStrips
from dualpix.networks.mccnet_fast.model import MCCNetFast
from dualpix.networks.mccnet_fast.streaming import MCCNetFastInStrips

PREPARED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    MCCNet: MCCNetInStrips,
    MCCNetFast: MCCNetFastInStrips,
}


def prepared(network: nn.Module) -> nn.Module:
    """`network` so that it runs fast without gradients on a CPU. It shares the weights: do not change them afterwards.

    Offers what the network offers, with `steady_state_rows` in its `spec` and `dry_run` where it takes few rows at a
    time.
    """
    prepare = PREPARED.get(type(network))
    return network if prepare is None else prepare(network)
